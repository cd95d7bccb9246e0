"""The figures of the report, from the policy's manifest and the holdout's evidence. Numbers only, no markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracer_cli.artifacts import CERTIFIED, MEASURED, TARGET
from tracer_cli.core.certificate import clopper_pearson
from tracer_cli.core.frontier import ACCEPT_ALL

EXAMPLES = 12
FEW_ROWS = 10
DAYS_PER_YEAR = 365
ROUNDING = 1e-6  # of the shares in a manifest
FEWEST_HANDLED = 0.02  # of all rows: with fewer, one row more or less moves the agreement too far


@dataclass(frozen=True)
class Rows:
    """The holdout, one entry per distinct text. handled: at the threshold that is shown; all False without one."""

    texts: Sequence[str]
    labels: NDArray[np.object_]
    predicted: NDArray[np.object_]
    scores: NDArray[np.float64]
    distances: NDArray[np.float64]
    handled: NDArray[np.bool_]

    @cached_property
    def agrees(self) -> NDArray[np.bool_]:
        return np.asarray(self.labels == self.predicted, bool)


def filtered(rows: Rows, distance_limit: float | None) -> dict[str, int]:
    """How many holdout texts the distance check deferred, and how many the check of labels did of the others."""
    # As the policy's graph compares: in single precision.
    far = np.zeros(len(rows.scores), bool)
    if distance_limit is not None:
        far = rows.distances.astype(np.float32) > np.float32(distance_limit)
    return {"rows": len(far), "distance": int(far.sum()), "label": int((~far & (rows.scores < ACCEPT_ALL)).sum())}


def per_label(
    rows: Rows, fit_counts: dict[str, int], confidence: float, checks: Sequence[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """One entry per label of the teacher, the most frequent first.

    coverage: share of the label's holdout texts that are handled. agreement: share of the handled inputs
    *answered with* this label on which the teacher agrees, with its exact two-sided interval: what a consumer
    of the label sees. None, with an interval of (0, 1), where nothing is answered with it. check: the label's
    entry of `checks`, the manifest's out-of-fold checks against per_label_min, or None.
    """
    entries = []
    check_of = {check["label"]: check for check in checks}
    agrees = rows.agrees
    for label in sorted({*rows.labels, *fit_counts}):
        own = rows.labels == label
        answered = rows.handled & (rows.predicted == label)
        trials, successes = int(answered.sum()), int((answered & agrees).sum())
        lower, upper = clopper_pearson(successes, trials, confidence)
        entries.append(
            {
                "label": str(label),
                "fit_rows": fit_counts.get(str(label), 0),
                "holdout_rows": int(own.sum()),
                "handled": int((own & rows.handled).sum()),
                "coverage": float((own & rows.handled).sum() / own.sum()) if own.any() else None,
                "answered": trials,
                "agreed": successes,
                "agreement": successes / trials if trials else None,
                "agreement_interval": [lower, upper],
                "little_evidence": trials < FEW_ROWS,
                "check": check_of.get(str(label)),
            }
        )
    return sorted(entries, key=lambda e: (-e["holdout_rows"], e["label"]))


def boundary_pairs(rows: Rows) -> list[dict[str, Any]]:
    """Pairs of labels that the surrogate confuses, most frequent first, and how many of them were handled."""
    wrong = ~rows.agrees
    pairs = Counter(zip(rows.labels[wrong], rows.predicted[wrong], strict=True))
    handled = Counter(zip(rows.labels[wrong & rows.handled], rows.predicted[wrong & rows.handled], strict=True))
    return [
        {"teacher": str(a), "surrogate": str(b), "rows": n, "handled": handled[(a, b)]}
        for (a, b), n in sorted(pairs.items(), key=lambda item: (-item[1], str(item[0])))[:EXAMPLES]
    ]


def examples(rows: Rows) -> dict[str, list[dict[str, Any]]]:
    """Texts that show the boundary: confident disagreements, the most doubtful handled, the nearest deferred."""
    return {
        "handled_disagreements": _pick(rows, rows.handled & ~rows.agrees, -rows.scores),
        "handled_least_sure": _pick(rows, rows.handled & rows.agrees, rows.scores),
        "deferred_most_sure": _pick(rows, ~rows.handled & (rows.scores >= ACCEPT_ALL), -rows.scores),
    }


def _pick(rows: Rows, mask: NDArray[np.bool_], order: NDArray[np.float64]) -> list[dict[str, Any]]:
    chosen = np.flatnonzero(mask)
    chosen = chosen[np.argsort(order[chosen], kind="stable")][:EXAMPLES]
    return [
        {
            "text": rows.texts[int(i)],
            "teacher": str(rows.labels[i]),
            "surrogate": str(rows.predicted[i]),
            "accept_score": round(float(rows.scores[i]), 4),
        }
        for i in chosen
    ]


def cost_projection(coverage: float, per_call: float, calls_per_day: float, currency: str) -> dict[str, Any]:
    """Calls and money a day and a year with and without the policy, at the certified coverage."""
    without = per_call * calls_per_day
    return {
        "currency": currency,
        "per_call": per_call,
        "calls_per_day": calls_per_day,
        "calls_per_day_with_policy": calls_per_day * (1 - coverage),
        "cost_per_day": without,
        "cost_per_day_with_policy": without * (1 - coverage),
        "saved_per_day": without * coverage,
        "saved_per_year": without * coverage * DAYS_PER_YEAR,
    }


def frontier_curve(scores: NDArray[np.float64], agrees: NDArray[np.bool_], points: int = 100) -> list[dict[str, float]]:
    """Coverage and agreement as the threshold falls, at `points` coverage levels; estimates, not certificates.

    What a check defers is never handled: the curve ends before it. parity: over all rows, where the deferred agree.
    """
    order = np.argsort(-scores, kind="stable")
    n, possible = len(scores), int((scores >= ACCEPT_ALL).sum())
    if possible == 0:
        return []
    hits = np.cumsum(agrees[order])
    handled = np.unique(np.linspace(1, possible, min(points, possible)).astype(int))
    ends = np.searchsorted(-scores[order], -scores[order][handled - 1], side="right")  # never split equal scores
    return [
        {
            "coverage": float(end / n),
            "agreement": float(hits[end - 1] / end),
            "parity": float(1 - (end - hits[end - 1]) / n),
        }
        for end in np.unique(ends)
    ]


def certified_shares(targets: Sequence[dict[str, Any]], scope: str, confidence: float) -> list[dict[str, Any]]:
    """The manifest's targets, each with what the scope certifies: its share of the evidence rows, and the exact
    two-sided interval of that; None where nothing is certified."""
    entries = []
    for target in targets:
        handled, agreed, rows = target["handled"], target["agreed"], target["evidence_rows"]
        successes, trials = (agreed, handled) if scope == "handled" else (rows - (handled - agreed), rows)
        share = successes / trials if target["certified"] else None
        bounds = list(clopper_pearson(successes, trials, confidence)) if target["certified"] else None
        entries.append({**target, "share": share, "share_interval": bounds})
    return entries


def frontier_table(
    curve: Sequence[dict[str, float]], targets: Sequence[dict[str, Any]], goal: float, scope: str
) -> list[dict[str, float | None]]:
    """The frontier of one revision as rows for `dvc plots`, in which each column but the coverage is a line.

    curve: of the holdout; what the scope certifies is measured there. certified: the highest of the targets that
    are certified with at least this coverage, None where none is. Never empty, because DVC cannot draw that.
    """
    height = "agreement" if scope == "handled" else "parity"
    known = [(t["target"], t["coverage"]) for t in targets if t["certified"]]
    points: list[tuple[float, float | None]] = [
        (p["coverage"], p[height]) for p in curve if p["coverage"] >= FEWEST_HANDLED
    ]
    return [
        {
            "coverage": round(coverage, 4),
            MEASURED: None if measured is None else round(measured, 4),
            CERTIFIED: max((t for t, certified in known if certified >= coverage - ROUNDING), default=None),
            TARGET: goal,
        }
        for coverage, measured in points or [(0.0, None)]
    ]
