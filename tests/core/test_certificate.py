"""The certificate: exact formulas against scipy, and its validity by simulation with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from core.synthetic import Walk
from tracer_cli.core.certificate import (
    certify,
    clopper_pearson,
    level_of,
    log_p_value,
    lower_bound,
    most_errors,
    upper_bound,
)
from tracer_cli.core.frontier import Planner

REPETITIONS, HOLDOUTS = 2000, 40  # in all, and for each sequence


@given(n=st.integers(1, 400), share=st.floats(0, 1), level=st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_intervals_are_scipys(n: int, share: float, level: float) -> None:
    k = round(share * n)
    expected = binomtest(k, n).proportion_ci(level, method="exact")
    assert clopper_pearson(k, n, level) == pytest.approx((expected.low, expected.high), abs=1e-9)
    one_sided = binomtest(k, n, alternative="greater").proportion_ci(level, method="exact")
    assert lower_bound(k, n, 1 - level) == pytest.approx(one_sided.low, abs=1e-9)
    one_sided = binomtest(k, n, alternative="less").proportion_ci(level, method="exact")
    assert upper_bound(k, n, 1 - level) == pytest.approx(one_sided.high, abs=1e-9)


@given(n=st.integers(1, 400), share=st.floats(0, 1), target=st.floats(0.01, 0.99))
def test_the_test_rejects_exactly_when_the_lower_bound_reaches_the_target(n: int, share: float, target: float) -> None:
    k = round(share * n)
    p = math.exp(log_p_value(np.array([k]), np.array([n]), n, target, "handled")[0])
    assert p == pytest.approx(binomtest(k, n, target, alternative="greater").pvalue, abs=1e-9)
    bound = lower_bound(k, n, 0.05)
    if abs(p - 0.05) > 1e-9:
        assert (p <= 0.05) == (bound >= target)


@given(
    trials=st.lists(st.integers(0, 300), min_size=1, max_size=8),
    target=st.floats(0.05, 0.995),
    delta=st.sampled_from([0.001, 0.05, 0.1, 0.5]),
)
def test_the_most_errors_are_those_with_which_the_test_still_rejects(
    trials: list[int], target: float, delta: float
) -> None:
    limits = most_errors(np.array(trials), target, delta)
    for n, limit in zip(trials, limits, strict=True):
        agreed = np.arange(n, -1, -1)
        p = log_p_value(agreed, np.full(n + 1, n), n, target, "handled")
        if np.abs(p - math.log(delta)).min() < 1e-9:
            continue  # which side of the level it falls is a matter of the last bit
        rejected = np.flatnonzero(p <= math.log(delta)) if n else np.array([])
        assert limit == max(rejected, default=-1)


def test_no_trials_say_nothing() -> None:
    assert clopper_pearson(0, 0, 0.95) == (0.0, 1.0)
    assert lower_bound(0, 0, 0.1) == 0.0
    assert log_p_value(np.array([0]), np.array([0]), 10, 0.9, "handled")[0] == 0.0
    result = certify(np.empty(0), np.empty(0, bool), [0.5], 0.9, 0.1)
    assert result.threshold is None and result.coverage == 0.0 and result.agreement is None


def test_the_walk_stops_at_the_first_failure() -> None:
    """60 agreeing rows at the top, then 10 that differ, then 2,000 that agree: the last are never reached."""
    scores = np.concatenate([np.full(60, 0.9), np.full(10, 0.8), np.full(2000, 0.1)])
    agrees = np.concatenate([np.ones(60, bool), np.zeros(10, bool), np.ones(2000, bool)])
    result = certify(scores, agrees, [0.9, 0.8, 0.1], 0.95, 0.05)
    assert result.threshold == 0.9
    assert [step.rejected for step in result.steps] == [True, False]
    assert (result.handled, result.agreed, result.rows) == (60, 60, 2070)
    # Alone, the last threshold would be certified: the order is what forbids it.
    assert certify(scores, agrees, [0.1], 0.95, 0.05).threshold == 0.1


def test_a_threshold_handles_scores_equal_to_it() -> None:
    result = certify(np.full(100, 0.7), np.ones(100, bool), [0.7], 0.9, 0.05)
    assert result.handled == 100


def test_overall_scope_counts_deferred_rows_as_agreeing() -> None:
    scores = np.concatenate([np.ones(50), np.zeros(950)])
    agrees = np.concatenate([np.zeros(20, bool), np.ones(30, bool), np.zeros(950, bool)])
    assert certify(scores, agrees, [1.0], 0.95, 0.05, "handled").threshold is None
    overall = certify(scores, agrees, [1.0], 0.95, 0.05, "overall")
    assert overall.threshold == 1.0
    assert overall.steps[0].p_value == pytest.approx(binom.sf(979, 1000, 0.95))
    assert overall.lower == pytest.approx(lower_bound(980, 1000, 0.05))


@pytest.mark.parametrize(
    ("scores", "agrees", "target", "delta"),
    [
        (np.zeros(3), np.zeros(2, bool), 0.9, 0.1),
        (np.array([0.1, np.nan]), np.zeros(2, bool), 0.9, 0.1),
        (np.zeros(2), np.zeros(2, bool), 1.0, 0.1),
        (np.zeros(2), np.zeros(2, bool), 0.9, 0.0),
    ],
)
def test_senseless_input_is_refused(scores: np.ndarray, agrees: np.ndarray, target: float, delta: float) -> None:
    with pytest.raises(ValueError):
        certify(scores, agrees, [0.5], target, delta)


# --- validity: P(certified threshold has parity below target) <= delta ------------------------------
#
# Each case draws scores and agreements from a law whose parity at every threshold is known, proposes the
# sequence from one sample (as out of fold), certifies on others, and looks the truth up.


class Law:
    """parity(u): chance of agreement at score u; scores are uniform on [0, 1] unless `ties`."""

    def __init__(self, parity, ties: int | None = None) -> None:
        self.parity, self.ties = parity, ties
        grid = (np.arange(200_000) + 0.5) / 200_000
        self._grid = self._tied(grid)
        self._tail = np.cumsum(parity(self._grid)[::-1])[::-1]

    def _tied(self, u: np.ndarray) -> np.ndarray:
        return u if self.ties is None else (np.floor(u * self.ties) + 0.5) / self.ties

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        scores = self._tied(rng.random(n))
        return scores, rng.random(n) < self.parity(scores)

    def truth(self, threshold: float, scope: str) -> float:
        start = int(np.searchsorted(self._grid, threshold))
        count = len(self._grid) - start
        if scope == "handled":
            return float(self._tail[start] / count)
        return 1 - (count - float(self._tail[start])) / len(self._grid)


LAWS = {
    "useless scores, parity just under target": Law(lambda u: np.full_like(u, 0.899)),
    "useless scores, parity well under target": Law(lambda u: np.full_like(u, 0.85)),
    "a slope through the target": Law(lambda u: 0.75 + 0.23 * u),
    "a few confident errors at the very top": Law(lambda u: np.where(u > 0.97, 0.6, np.where(u > 0.4, 0.92, 0.7))),
    "better at the bottom": Law(lambda u: np.where(u > 0.5, 0.88, 0.93)),
    "all scores tied": Law(lambda u: np.full_like(u, 0.895), ties=1),
    "five tied groups": Law(lambda u: 0.82 + 0.12 * u, ties=5),
}


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["handled", "overall"])
@pytest.mark.parametrize("name", LAWS)
def test_violations_stay_within_the_level(name: str, scope: str) -> None:
    target, delta, rows, law = 0.90, 0.10, 600, LAWS[name]
    rng = np.random.default_rng(abs(hash_of(name + scope)))
    violations, planner = 0, Planner(900, rows, delta, scope, 0)  # type: ignore[arg-type]
    for _ in range(REPETITIONS // HOLDOUTS):
        proposal = planner.propose(*law.draw(rng, 900), target)
        walk = Walk(proposal.thresholds, rows, target, delta, scope)  # type: ignore[arg-type]
        for _ in range(HOLDOUTS):
            threshold = walk.threshold(*law.draw(rng, rows))
            violations += threshold is not None and law.truth(threshold, scope) < target
    limit = delta + 2 * math.sqrt(delta * (1 - delta) / REPETITIONS)
    assert violations / REPETITIONS <= limit


def hash_of(text: str) -> int:
    """A seed that is the same in every process."""
    return sum(ord(c) * 31**i for i, c in enumerate(text)) % 2**32


def test_the_simulation_can_fail() -> None:
    """Scanning every threshold at the same level, as tracer-llm 0.1 did, violates far more often than it may."""
    law, rng = LAWS["useless scores, parity just under target"], np.random.default_rng(1)
    violations = 0
    for _ in range(300):
        scores, agrees = law.draw(rng, 600)
        thresholds = np.quantile(scores, np.linspace(0, 0.95, 20))
        violations += any(certify(scores, agrees, [t], 0.90, 0.10).threshold is not None for t in thresholds)
    assert violations / 300 > 0.2


def test_crossfit_is_tested_at_half_the_level() -> None:
    assert level_of(0.95, "holdout") == pytest.approx(0.05)
    assert level_of(0.95, "crossfit") == pytest.approx(0.025)
