"""From out-of-fold evidence to the ordered sequence of thresholds that the guard will walk.

Everything here is decided before the holdout's labels are seen. The walk stops at its first failure, so where it
starts decides what it certifies: with few rows handled there is too little to test on, with many the agreement is too
low. The start is chosen by letting the walk run on many samples of the size of the evidence, drawn from the
out-of-fold rows. Their shares in the population are drawn too (a Bayesian bootstrap, Rubin 1981), with less
certainty than the rows alone would give: they also chose the model, so they look better than they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracer_cli.core.certificate import Scope, most_errors

# Below every score that an input may be handled with (acceptor.MIN_SCORE), above 0, which is never handled.
ACCEPT_ALL = 1e-12
STEP = 0.005
SAMPLES = 200
# Of the Dirichlet distribution of the shares: each out-of-fold row counts for a third of a row.
CONCENTRATION = 1 / 3
# Added to the share that differs, as a part of what the target allows: where no out-of-fold row differs, a sample of
# them never does, and every start would look equally safe.
UNSEEN_ERRORS = 0.1
# The samples are drawn from at most this many rows.
MOST_ROWS = 20_000


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
        """Of the handled; 0 where none is."""
        return self.agreed / np.maximum(self.handled, 1)


def curve(scores: NDArray[np.float64], agrees: NDArray[np.bool_], step: float = STEP) -> Curve:
    """The curve at coverage levels `step` apart.

    scores: (n,) in [0, 1]; agrees: (n,). A threshold lies halfway between two neighbouring distinct scores,
    so that no rounding error moves a row across it; rows with equal scores are never split. Rows with the score 0
    are below every threshold.
    """
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.concatenate([[0], np.cumsum(agrees[order])])
    n, possible = len(scores), int((scores >= ACCEPT_ALL).sum())
    # The last row of each group of equals.
    ends = np.flatnonzero(ordered[: max(possible - 1, 0)] > ordered[1 : max(possible, 1)])
    wanted = np.arange(step, 1.0, step) * n
    chosen = np.unique(ends[np.minimum(np.searchsorted(ends + 1, wanted), len(ends) - 1)]) if len(ends) else ends
    thresholds = np.append((ordered[chosen] + ordered[chosen + 1]) / 2 if len(chosen) else [], ACCEPT_ALL)
    handled = np.append(chosen + 1, possible)
    return Curve(thresholds.astype(np.float64), handled.astype(np.int64), hits[handled].astype(np.int64), n)


@dataclass(frozen=True)
class Proposal:
    """What the guard is asked to test for one target.

    thresholds: in the order of the tests; coverage, agreement: the out-of-fold figures at each;
    expected_coverage: mean certified coverage over samples of the evidence's size, 0 where nothing was certified;
    certain: the share of the samples in which something was.
    """

    target: float
    thresholds: NDArray[np.float64]
    coverage: NDArray[np.float64]
    agreement: NDArray[np.float64]
    expected_coverage: float
    certain: float

    @property
    def expected_threshold(self) -> float:
        """The one whose coverage is nearest to the expected."""
        return float(self.thresholds[int(np.argmin(np.abs(self.coverage - self.expected_coverage)))])


class Planner:
    """Chooses sequences for evidence of a known size; the same rows are drawn for everything that it compares."""

    def __init__(self, rows: int, evidence_rows: int, delta: float, scope: Scope, seed: int) -> None:
        """rows: out-of-fold rows; evidence_rows: rows that the guard will test on."""
        self.evidence_rows, self.delta, self.scope, self._seed = evidence_rows, delta, scope, seed
        self._rows = np.linspace(0, rows - 1, min(rows, MOST_ROWS)).astype(np.intp)
        rng = np.random.default_rng(seed)
        self._draws = np.empty((SAMPLES, len(self._rows)), np.int32)
        for draws in self._draws:
            shares = rng.gamma(CONCENTRATION, size=len(self._rows)) + 1e-300
            draws[:] = rng.multinomial(evidence_rows, shares / shares.sum())
        self._limits: dict[float, NDArray[np.int64]] = {}

    def propose(self, scores: NDArray[np.float64], agrees: NDArray[np.bool_], target: float) -> Proposal:
        """The start that certifies the most on average; of equals the one with the least coverage.

        scores: (n,) out-of-fold accept scores; agrees: (n,).
        """
        points, passed = self._tested(scores, agrees, target)
        certified = _certified(passed, points.coverage)
        return _proposal(points, target, certified, int(np.argmax(certified.mean(axis=0))))

    def propose_global(self, scores: NDArray[np.float64], agrees: NDArray[np.bool_], target: float) -> Proposal:
        """The single step that accepts everything."""
        points, passed = self._tested(scores, agrees, target)
        return _proposal(points, target, _certified(passed, points.coverage), len(points.thresholds) - 1)

    def _tested(
        self, scores: NDArray[np.float64], agrees: NDArray[np.bool_], target: float
    ) -> tuple[Curve, NDArray[np.bool_]]:
        """The thresholds, and whether the test at each rejects "parity below target" in each sample."""
        points = curve(scores, agrees)
        handled, agreed = self._sampled(points, scores, agrees)
        agreed = agreed - self._unseen_errors(agreed, target)
        if target not in self._limits:
            self._limits[target] = most_errors(np.arange(self.evidence_rows + 1), target, self.delta)
        limits = self._limits[target]
        allowed = limits[handled] if self.scope == "handled" else limits[-1]
        return points, np.asarray(handled - agreed <= allowed)

    def _sampled(
        self, points: Curve, scores: NDArray[np.float64], agrees: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(samples, thresholds): rows at or above each threshold, and those that agree."""
        own, right = scores[self._rows], agrees[self._rows]
        order = np.argsort(-own, kind="stable")
        ends = np.searchsorted(-own[order], -points.thresholds, side="right")
        drawn = self._draws[:, order]
        counts = [np.cumsum(values, axis=1, dtype=np.int32) for values in (drawn, drawn * right[order])]
        counts = [np.concatenate([np.zeros((SAMPLES, 1), np.int32), c], axis=1)[:, ends] for c in counts]
        return counts[0].astype(np.int64), counts[1].astype(np.int64)

    def _unseen_errors(self, agreed: NDArray[np.int64], target: float) -> NDArray[np.int64]:
        """(samples, thresholds) rows that agree in the sample and would differ elsewhere."""
        each = np.diff(agreed, axis=1, prepend=0)
        rng = np.random.default_rng(self._seed)
        return np.asarray(np.cumsum(rng.binomial(each, UNSEEN_ERRORS * (1 - target)), axis=1), np.int64)


def _proposal(points: Curve, target: float, certified: NDArray[np.float64], start: int) -> Proposal:
    """The sequence from `start` on. certified: (samples, thresholds), by the step that a walk starts at."""
    own = certified[:, start]
    steps = slice(start, None)
    return Proposal(
        target,
        points.thresholds[steps],
        points.coverage[steps],
        points.agreement[steps],
        float(own.mean()),
        float((own > 0).mean()),
    )


def _certified(passed: NDArray[np.bool_], coverage: NDArray[np.float64]) -> NDArray[np.float64]:
    """(samples, m) coverage that a walk certifies which starts at each of the m steps."""
    m = passed.shape[1]
    failures = np.where(passed, m, np.arange(m))
    first_failure = np.minimum.accumulate(failures[:, ::-1], axis=1)[:, ::-1]
    return np.where(passed, coverage[first_failure - 1], 0.0)
