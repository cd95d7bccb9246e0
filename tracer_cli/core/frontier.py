"""From out-of-fold evidence to the ordered sequence of thresholds that the guard will walk.

Everything here is decided before the holdout's labels are seen. The sequence starts where the out-of-fold
evidence against "parity below target" would be strongest on a holdout of the known size, and goes on in
small steps towards more coverage, down to accepting everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracer_cli.core.certificate import Scope, log_p_value

ACCEPT_ALL = 0.0
STEP = 0.005


@dataclass(frozen=True)
class Curve:
    """Coverage and agreement as functions of the threshold, on out-of-fold rows.

    thresholds: (m,) descending, the last is ACCEPT_ALL; handled, agreed: (m,) rows at or above each;
    rows: all rows.
    """

    thresholds: NDArray[np.float64]
    handled: NDArray[np.int64]
    agreed: NDArray[np.int64]
    rows: int

    @property
    def coverage(self) -> NDArray[np.float64]:
        return self.handled / self.rows

    @property
    def agreement(self) -> NDArray[np.float64]:
        return self.agreed / self.handled


def curve(scores: NDArray[np.float64], agrees: NDArray[np.bool_], step: float = STEP) -> Curve:
    """The curve at coverage levels `step` apart.

    scores: (n,) in [0, 1]; agrees: (n,). A threshold lies halfway between two neighbouring distinct scores,
    so that no rounding error moves a row across it; rows with equal scores are never split.
    """
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.cumsum(agrees[order])
    n = len(scores)
    ends = np.flatnonzero(ordered[:-1] > ordered[1:])  # the last row of each group of equal scores
    wanted = np.arange(step, 1.0, step) * n
    chosen = np.unique(ends[np.minimum(np.searchsorted(ends + 1, wanted), len(ends) - 1)]) if len(ends) else ends
    thresholds = np.append((ordered[chosen] + ordered[chosen + 1]) / 2 if len(chosen) else [], ACCEPT_ALL)
    handled = np.append(chosen + 1, n)
    return Curve(thresholds.astype(np.float64), handled.astype(np.int64), hits[handled - 1].astype(np.int64), n)


@dataclass(frozen=True)
class Proposal:
    """What the guard is asked to test for one target.

    thresholds: in the order of the tests; coverage, agreement: the out-of-fold figures at each;
    predicted: index of the last one that a holdout with exactly these figures would certify, or None.
    """

    target: float
    thresholds: NDArray[np.float64]
    coverage: NDArray[np.float64]
    agreement: NDArray[np.float64]
    predicted: int | None

    @property
    def predicted_coverage(self) -> float:
        return 0.0 if self.predicted is None else float(self.coverage[self.predicted])


def propose(points: Curve, holdout_rows: int, target: float, delta: float, scope: Scope) -> Proposal:
    """Order the curve's thresholds for the walk: from the strongest evidence towards more coverage."""
    scale = holdout_rows / points.rows
    handled = np.floor(points.handled * scale).astype(np.int64)
    agreed = np.floor(points.agreement * handled + 1e-9).astype(np.int64)
    log_p = log_p_value(agreed, handled, holdout_rows, target, scope)
    # The last of equals: no weaker, and it covers more.
    start = len(log_p) - 1 - int(np.argmin(log_p[::-1]))
    passed = (log_p <= np.log(delta))[start:]
    count = int(np.argmin(passed)) if not passed.all() else len(passed)
    return Proposal(
        target=target,
        thresholds=points.thresholds[start:],
        coverage=points.coverage[start:],
        agreement=points.agreement[start:],
        predicted=count - 1 if count else None,
    )


def propose_global(points: Curve, holdout_rows: int, target: float, delta: float, scope: Scope) -> Proposal:
    """The single step that accepts everything."""
    last = Curve(points.thresholds[-1:], points.handled[-1:], points.agreed[-1:], points.rows)
    return propose(last, holdout_rows, target, delta, scope)
