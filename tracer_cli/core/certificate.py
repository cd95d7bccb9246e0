"""The certificate: exact binomial tests along a sequence of thresholds that was fixed beforehand.

A policy handles an input when its accept score s is at least t. Two quantities can be certified:

- scope `handled`: parity P(label agrees | s >= t) >= a;
- scope `overall`: P(s >= t and label differs) <= 1 - a, over all traffic.

Both are tested with the exact binomial tail (Clopper and Pearson 1934) at level d on rows that nothing was
fitted on. The thresholds are tried in an order that was fixed without those rows, and the walk stops at the
first that fails to reject. Fixed-sequence testing controls the family-wise error at d without a correction
for the number of thresholds (Learn then Test: Angelopoulos, Bates, Candes, Jordan, Lei 2021), so

    P(certified threshold has parity < a) <= d,

for any model, any distribution and any sample size. The thresholds are score values, not coverage levels:
given the number of rows at or above a fixed t, their agreements are independent with the tested parity, so
the binomial is exact whatever the shape of parity as a function of t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom

Scope = Literal["handled", "overall"]
Evidence = Literal["holdout", "crossfit"]

# Out-of-fold rows also chose the settings, the blend and the start of the walk, which makes them look better than new
# rows: by about a third of a standard error in the validity study of benchmarks/. Half the level pays for it.
CROSSFIT_LEVEL = 0.5


def level_of(confidence: float, evidence: Evidence) -> float:
    """The level of the tests behind a certificate of this confidence."""
    return (1 - confidence) * (CROSSFIT_LEVEL if evidence == "crossfit" else 1.0)


def clopper_pearson(successes: int, trials: int, level: float) -> tuple[float, float]:
    """Exact two-sided confidence interval for a proportion at confidence `level` (Clopper and Pearson 1934).

    No trials say nothing: (0, 1).
    """
    if trials == 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    lower = float(beta.ppf(tail, successes, trials - successes + 1)) if successes > 0 else 0.0
    upper = float(beta.ppf(1 - tail, successes + 1, trials - successes)) if successes < trials else 1.0
    return lower, upper


def lower_bound(successes: int, trials: int, delta: float) -> float:
    """Exact one-sided lower confidence bound for a proportion: it exceeds the truth with probability <= delta."""
    if trials == 0 or successes == 0:
        return 0.0
    return float(beta.ppf(delta, successes, trials - successes + 1))


def upper_bound(successes: int, trials: int, delta: float) -> float:
    """Exact one-sided upper confidence bound for a proportion: it falls below the truth with probability <= delta."""
    return 1.0 - lower_bound(trials - successes, trials, delta)


def log_p_value(
    agreed: NDArray[np.int64], handled: NDArray[np.int64], rows: int, target: float, scope: Scope
) -> NDArray[np.float64]:
    """Natural logarithm of the exact p-value of "the parity is below target", for each threshold.

    agreed, handled: (thresholds,) rows at or above the threshold whose labels agree, and all of them;
    rows: all rows. `handled` tests with P(Bin(handled, target) >= agreed), `overall` with
    P(Bin(rows, target) >= rows - disagreements). Without a handled row there is no evidence: p = 1.
    """
    if scope == "handled":
        value = binom.logsf(agreed - 1, handled, target)
        return np.asarray(np.where(handled > 0, value, 0.0), np.float64)
    return np.asarray(binom.logsf(rows - (handled - agreed) - 1, rows, target), np.float64)


def most_errors(trials: NDArray[np.int64], target: float, delta: float) -> NDArray[np.int64]:
    """The most disagreements among `trials` (m,) rows with which "the parity is below target" is still rejected.

    -1 where no sample of that size could reject it.
    """
    errors = binom.ppf(delta, trials, 1 - target).astype(np.int64)
    return np.asarray(np.where(binom.cdf(errors, trials, 1 - target) <= delta, errors, errors - 1), np.int64)


@dataclass(frozen=True)
class Step:
    """One threshold of the walk and what the evidence says of it."""

    threshold: float
    handled: int
    agreed: int
    p_value: float
    rejected: bool


@dataclass(frozen=True)
class Certificate:
    """The outcome of one walk.

    threshold: the certified threshold, or None when nothing could be certified (defer everything).
    rows, handled, agreed: counts of the evidence at that threshold.
    lower: exact one-sided lower bound, at confidence 1 - delta, of what the scope certifies.
    steps: every threshold that was tested, in order.
    """

    target: float
    delta: float
    scope: Scope
    rows: int
    threshold: float | None
    handled: int
    agreed: int
    lower: float | None
    steps: tuple[Step, ...]

    @property
    def coverage(self) -> float:
        """Share of the evidence rows that the certified threshold handles."""
        return self.handled / self.rows if self.rows else 0.0

    @property
    def agreement(self) -> float | None:
        """Share of the handled evidence rows whose labels agree."""
        return self.agreed / self.handled if self.handled else None


def certify(
    scores: NDArray[np.float64],
    agrees: NDArray[np.bool_],
    thresholds: Sequence[float],
    target: float,
    delta: float,
    scope: Scope = "handled",
) -> Certificate:
    """Walk `thresholds` in the order given; certify the last one before the first failure.

    scores: (n,) accept scores, none NaN; agrees: (n,) whether the policy's label equals the teacher's.
    The order and values of `thresholds` must not depend on `agrees`: that is what makes the level exact.
    """
    scores, agrees = np.asarray(scores, np.float64), np.asarray(agrees, bool)
    if scores.shape != agrees.shape or scores.ndim != 1:
        raise ValueError(f"scores {scores.shape} and agreements {agrees.shape} must be two vectors of one length")
    if np.isnan(scores).any():
        raise ValueError("an accept score is NaN")
    if not 0 < delta < 1 or not 0 < target < 1:
        raise ValueError("target and delta must lie strictly between 0 and 1")
    steps: list[Step] = []
    certified: Step | None = None
    for threshold in thresholds:
        mask = scores >= threshold
        handled, agreed = int(mask.sum()), int(agrees[mask].sum())
        log_p = log_p_value(np.array([agreed]), np.array([handled]), len(scores), target, scope)[0]
        rejected = bool(log_p <= np.log(delta))
        steps.append(Step(float(threshold), handled, agreed, float(np.exp(log_p)), rejected))
        if not rejected:
            break
        # Scope overall may reject at a threshold that no row reaches, where nothing is handled wrongly: the walk goes
        # on from there, but to deploy it would be to defer everything.
        if handled:
            certified = steps[-1]
    lower: float | None = None
    if certified is not None:
        if scope == "handled":
            lower = lower_bound(certified.agreed, certified.handled, delta)
        else:
            lower = lower_bound(len(scores) - (certified.handled - certified.agreed), len(scores), delta)
    return Certificate(
        target=target,
        delta=delta,
        scope=scope,
        rows=len(scores),
        threshold=None if certified is None else certified.threshold,
        handled=0 if certified is None else certified.handled,
        agreed=0 if certified is None else certified.agreed,
        lower=lower,
        steps=tuple(steps),
    )
