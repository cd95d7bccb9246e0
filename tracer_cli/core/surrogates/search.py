"""Which of a few settings a zoo member gets: the one whose out-of-fold predictions certify the most coverage.

The parity target is not known here, on purpose: a changed target must not train anything again. So the
coverage is averaged over a range of targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tracer_cli.core.certificate import log_p_value
from tracer_cli.core.neighbours import thinned
from tracer_cli.core.surrogates.base import FitData, Floats

TARGETS = (0.80, 0.85, 0.90, 0.95, 0.98)
DELTA = 0.05
# Settings are compared on at most this many rows.
SEARCH_ROWS = 1500

Setting = TypeVar("Setting")


def merit(probabilities: Floats, labels: NDArray[np.int64]) -> tuple[float, float]:
    """(mean certifiable coverage over TARGETS, share of rows that agree), of (n, labels) out-of-fold probabilities.

    Certifiable at a target: the most rows, surest first, whose agreement clears the exact binomial test.
    """
    agrees = probabilities.argmax(axis=1) == labels
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    agreed, handled = np.cumsum(agrees[order]), np.arange(1, len(labels) + 1)
    coverage = []
    for target in TARGETS:
        passed = np.flatnonzero(log_p_value(agreed, handled, len(labels), target, "handled") <= np.log(DELTA))
        coverage.append((passed[-1] + 1) / len(labels) if len(passed) else 0.0)
    return float(np.mean(coverage)), float(agrees.mean())


def best(
    candidates: Mapping[Setting, Floats], labels: NDArray[np.int64], evidence: NDArray[np.bool_] | None = None
) -> Setting:
    """The setting with the greatest merit on the evidence; of equals the first.

    candidates: setting -> (n, n_labels) out-of-fold probabilities; labels: (n,); evidence: (n,), None: all rows.
    """
    if len(candidates) == 1:
        return next(iter(candidates))
    if evidence is None:
        return max(candidates, key=lambda setting: merit(candidates[setting], labels))
    return max(candidates, key=lambda setting: merit(candidates[setting][evidence], labels[evidence]))


def some_rows(data: FitData) -> NDArray[np.intp]:
    """At most SEARCH_ROWS to compare settings on, evenly spaced.

    At least half of them are evidence, where there is so much: the settings are judged on it alone.
    """
    everything = np.arange(len(data.labels))
    if data.evidence is None:
        return thinned(everything, SEARCH_ROWS)
    judged, others = everything[data.evidence], everything[~data.evidence]
    share = max(round(SEARCH_ROWS * data.evidence.mean()), SEARCH_ROWS // 2, SEARCH_ROWS - len(others))
    kept = thinned(judged, min(share, SEARCH_ROWS))
    return np.sort(np.concatenate([kept, thinned(others, SEARCH_ROWS - len(kept))]))
