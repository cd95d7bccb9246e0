"""Drift: the audited texts against the holdout's, test by test.

As in the certificate, each distinct text counts once, at its first audit. A text whose nearest fit text is itself
(distance 0) was in the fit and is left out, because no holdout text was; where the log does not tell the distance, such
texts cannot be known, and traffic that repeats itself then looks nearer and surer than the holdout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tracer_cli.core.certificate import clopper_pearson
from tracer_cli.core.drift import (
    FIRST_LOOK,
    LOOKS,
    Reference,
    distinct,
    gap_p_value,
    holm,
    largest_gap,
    over_looks,
)
from tracer_cli.core.noise import LEVEL, Counts, compare
from tracer_cli.core.shift import shift
from tracer_cli.monitor.audits import Audit
from tracer_cli.monitor.reference import Certified

ITSELF = 1e-6  # 1 - cosine similarity, in single precision
RULE = (
    f"distinct texts, those of the fit left out where the distance is known; {LOOKS}; all tests together at "
    f"{LEVEL:g} (Holm)"
)
NO_REFERENCE = "the policy folder does not tell them for the holdout: keep artifacts/ beside it, or fit again"


def compared(
    audits: Sequence[Audit], base: Certified, deployed: Mapping[str, Any], confidence: float
) -> dict[str, Any]:
    """Four comparisons, each with `p` (valid at all times) and `p_all` (corrected for the four), or with `missing`.

    deployed: the manifest's entry of the target.
    """
    first = [audits[i] for i in distinct([audit.key for audit in audits])]
    new = [audit for audit in first if audit.distance is None or audit.distance > ITSELF]
    found = {
        "defer_rate": _defer_rate(new, deployed, confidence),
        "scores": _numbers([a.score for a in new], base.scores, "score"),
        "distances": _numbers([a.distance for a in new], base.distances, "distance"),
        "labels": _labels(new, base.labels),
    }
    tested = [entry for entry in found.values() if entry.get("p") is not None]
    for entry, p in zip(tested, holm([entry["p"] for entry in tested]), strict=True):
        entry["p_all"], entry["beyond_noise"] = p, p <= LEVEL
    return {
        "texts": len(new),
        "distinct_texts": len(first),
        "texts_of_the_fit": len(first) - len(new) if any(a.distance is not None for a in first) else None,
        "reference": base.source,
        "rule": RULE,
        **found,
    }


def _looks(size: int, test: Callable[[int], float]) -> dict[str, Any]:
    looks = over_looks(size, test)
    if looks is None:
        return {"p": None, "too_few": f"{size} texts; the first test is at {FIRST_LOOK}"}
    return {"p": looks.p, "p_from_texts": looks.size, "tests": looks.tests}


def _defer_rate(new: Sequence[Audit], deployed: Mapping[str, Any], confidence: float) -> dict[str, Any]:
    """Fisher's exact test: the certified coverage is a share of a sample as well."""
    if not deployed["certified"]:
        return {"missing": f"nothing is certified at {deployed['target']:g}"}
    if not new:
        return {"missing": "no audited text"}
    held, rows = int(deployed["handled"]), int(deployed["evidence_rows"])
    handled = np.cumsum([audit.handled for audit in new])
    deferred = len(new) - int(handled[-1])
    return {
        "texts": len(new),
        "deferred": deferred,
        "share": deferred / len(new),
        "interval": list(clopper_pearson(deferred, len(new), confidence)),
        "reference_rows": rows,
        "reference_share": 1 - held / rows,
        **_looks(len(new), lambda size: compare(Counts(held, rows), Counts(int(handled[size - 1]), size)).p),
    }


def _numbers(values: Sequence[float | None], base: Reference | None, what: str) -> dict[str, Any]:
    known = np.array([value for value in values if value is not None], np.float64)
    if base is None:
        return {"missing": NO_REFERENCE}
    if not len(known):
        return {"missing": f"no audited text comes with its {what}"}
    return {
        "texts": len(known),
        "gap": largest_gap(base, known),
        "median": float(np.median(known)),
        "reference_rows": base.rows,
        "reference_median": base.quantile(0.5),
        **_looks(len(known), lambda size: gap_p_value(largest_gap(base, known[:size]), base.rows, size)),
    }


def _labels(new: Sequence[Audit], base: Mapping[str, int] | None) -> dict[str, Any]:
    if base is None:
        return {"missing": NO_REFERENCE}
    labels = [audit.teacher for audit in new]
    whole = shift(base, Counter(labels))
    if whole is None:
        return {"missing": "no audited text"}

    def p_value(size: int) -> float:
        part = shift(base, Counter(labels[:size]))
        return 1.0 if part is None else part.p

    return {
        "texts": whole.new,
        "distance": whole.distance,
        "distance_by_chance": whole.by_chance,
        "reference_rows": whole.old,
        "moved": [
            {"label": m.label, "reference_share": m.shares.before.share, "share": m.shares.after.share, "p": m.p}
            for m in whole.labels
        ],
        **_looks(len(labels), p_value),
    }
