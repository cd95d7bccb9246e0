"""Bounds that hold at all times: on streams whose mean is known, at the worst time, and against a library."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.exchangeability_testing.bounds import conjugate_mixture_empirical_bernstein_bound
from mapie.exchangeability_testing.risk_monitoring import RiskMonitoring
from numpy.typing import NDArray
from scipy.stats import binom

from tracer_cli.core import sequential
from tracer_cli.core.sequential import (
    Tally,
    bounds,
    evidence_below,
    first_below,
    is_below,
    lower_bound,
    upper_bound,
)

DELTA = 0.025
counted = st.integers(0, 2000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


def tally_of(values: Sequence[float]) -> Tally:
    return Tally(len(values), math.fsum(values))


def fewest_misses(steps: int, mean: float, delta: float) -> NDArray[np.int64]:
    """(steps,) for each time, the fewest misses with which the mean is told to be below `mean`: more tell it too."""
    counts = np.arange(1, steps + 1)
    low, high = np.zeros(steps, np.int64) - 1, counts + 1
    while (high - low > 1).any():
        middle = np.clip((low + high) // 2, 0, counts)
        beaten = sequential._capital((counts - middle).astype(float), middle.astype(float), mean) >= -math.log(delta)
        narrow = high - low > 1
        high, low = np.where(narrow & beaten, middle, high), np.where(narrow & ~beaten, middle, low)
    return high


def share_ever_reached(misses: NDArray[np.int64], rate: float, repetitions: int, seed: int) -> float:
    """Of streams that miss at `rate`, how many have at some time as many misses as this."""
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(repetitions // 100):
        streams = np.cumsum(rng.random((100, len(misses)), np.float32) < rate, axis=1, dtype=np.int32)
        hits += int((streams >= misses).any(axis=1).sum())
    return hits / repetitions


@pytest.mark.slow
@pytest.mark.parametrize("mean", [0.5, 0.95, 0.99])
def test_a_bound_fails_at_any_of_10000_times_with_no_more_than_its_probability(mean: float) -> None:
    repetitions, steps, delta = 2000, 10_000, 0.05
    allowed = delta + 2 * math.sqrt(delta * (1 - delta) / repetitions)
    # The mean is the one that is tested: the upper bound fails when it is told to be below itself, the lower one when
    # the same is told of the complement.
    for true, seed in ((mean, 1), (1 - mean, 2)):
        assert share_ever_reached(fewest_misses(steps, true, delta), 1 - true, repetitions, seed) <= allowed


@pytest.mark.slow
def test_looking_again_and_again_with_clopper_pearson_fails_far_more_often() -> None:
    """The test above can fail: the exact bound of a fixed number of observations, watched in the same way."""
    delta, mean = 0.05, 0.95
    counts = np.arange(1, 10_001)
    # P(Bin(n, 1 - mean) >= misses) <= delta: the upper bound at delta is below the mean.
    misses = binom.isf(delta, counts, 1 - mean).astype(np.int64) + 1
    assert share_ever_reached(misses, 1 - mean, 1000, 3) > 0.25


@settings(max_examples=30)
@given(st.integers(1, 400), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_fewest_misses_of_these_simulations_are_those_of_the_bounds(count: int, mean: float) -> None:
    misses = int(fewest_misses(400, mean, DELTA)[count - 1])
    if misses <= count:
        assert is_below(Tally(count, count - misses), mean, DELTA)
    if misses:
        assert not is_below(Tally(count, count - misses + 1), mean, DELTA)


@pytest.mark.slow
def test_the_bounds_hold_for_observations_between_0_and_1() -> None:
    """Parts of 0 and 1 and of what lies between, which are no coin: both sides, at all of 1,500 times."""
    rng = np.random.default_rng(4)
    repetitions, delta = 600, 0.05
    failed = {"below": 0, "above": 0}
    for _ in range(repetitions):
        values = np.where(rng.random(1500) < 0.5, rng.beta(4, 1, 1500), rng.random(1500) < 0.9)
        mean = 0.5 * 0.8 + 0.5 * 0.9
        failed["below"] += first_below(values, mean, delta) is not None
        failed["above"] += first_below(1 - values, 1 - mean, delta) is not None
    assert max(failed.values()) / repetitions <= delta + 2 * math.sqrt(delta * (1 - delta) / repetitions)


@pytest.mark.parametrize(("mean", "most"), [(0.90, 280), (0.80, 45), (0.93, 1600)])
def test_a_parity_below_the_target_is_told_from_it_soon(mean: float, most: int) -> None:
    """Target 0.95, each side at 2.5 %; at 0.96 it is told in no more than 2.5 % of the streams, here in none."""
    rng = np.random.default_rng(5)
    found = [first_below(rng.random(20_000) < mean, 0.95, DELTA) for _ in range(60)]
    assert None not in found
    assert np.mean([number for number in found if number]) < most
    assert all(first_below(rng.random(4000) < 0.96, 0.95, DELTA) is None for _ in range(20))


# --- what the bounds are ----------------------------------------------------------------------------


@given(counted, st.sampled_from([0.01, 0.05, 0.3]))
def test_a_bound_is_where_the_evidence_reaches_the_level(stream: tuple[int, int], delta: float) -> None:
    tally = Tally(*stream)
    lower, upper = lower_bound(tally, delta), upper_bound(tally, delta)
    assert 0 <= lower <= (0.5 if tally.mean is None else tally.mean) <= upper <= 1
    for bound, side in ((upper, tally), (1 - lower, tally.complement)):
        if 1e-9 < bound < 1 - 1e-9:
            assert evidence_below(side, bound) == pytest.approx(-math.log(delta), abs=1e-5)
    assert lower == pytest.approx(1 - upper_bound(tally.complement, delta), abs=1e-12)


@given(counted, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_the_evidence_grows_with_the_mean_and_with_each_miss(stream: tuple[int, int], a: float, b: float) -> None:
    tally = Tally(*stream)
    assert evidence_below(tally, min(a, b)) <= evidence_below(tally, max(a, b)) + 1e-9
    assert evidence_below(tally.plus(1), a) <= evidence_below(tally, a) <= evidence_below(tally.plus(0), a)


@given(st.floats(0.02, 0.98), st.floats(0.0, 1.0), counted)
def test_one_more_observation_is_no_gain_that_could_be_expected(
    mean: float, part: float, stream: tuple[int, int]
) -> None:
    """The capital is a fair game for a coin of the tested mean, a losing one for a higher mean."""
    tally = Tally(*stream)
    now = evidence_below(tally, mean)
    true = mean + part * (1 - mean)
    grown = [math.exp(evidence_below(tally.plus(value), mean) - now) for value in (1, 0)]
    assert true * grown[0] + (1 - true) * grown[1] <= 1 + 1e-9
    assert mean * grown[0] + (1 - mean) * grown[1] == pytest.approx(1, abs=1e-9)
    # Between 0 and 1: no more than the line between the two outcomes.
    between = math.exp(evidence_below(tally.plus(part), mean) - now)
    assert between <= part * grown[0] + (1 - part) * grown[1] + 1e-9


@given(st.lists(st.booleans(), max_size=200), st.integers(0, 200), st.randoms(use_true_random=False))
def test_order_and_parts_change_nothing(values: list[bool], cut: int, chance: random.Random) -> None:
    whole = tally_of(values)
    shuffled = chance.sample(values, len(values))
    assert tally_of(shuffled) == whole == tally_of(values[:cut]) + tally_of(values[cut:])
    one_by_one = Tally()
    for value in values:
        one_by_one = one_by_one.plus(value)
    assert one_by_one == whole
    assert bounds(tally_of(shuffled[:cut]) + tally_of(shuffled[cut:]), 0.95) == bounds(whole, 0.95)
    assert Tally(**json.loads(json.dumps(asdict(whole)))) == whole


@given(st.lists(st.booleans(), max_size=300))
def test_the_first_time_below_is_that_of_a_look_at_each_time(values: list[bool]) -> None:
    looks = (is_below(tally_of(values[:number]), 0.8, 0.2) for number in range(1, len(values) + 1))
    expected = next((number for number, below in enumerate(looks, 1) if below), None)
    assert first_below(values, 0.8, 0.2) == expected


def test_a_first_time_in_a_later_block_is_found() -> None:
    values = [1.0] * 9000 + [0.0] * 3000
    number = first_below(values, 0.9, DELTA)
    assert number is not None and number > 9000
    assert is_below(tally_of(values[:number]), 0.9, DELTA)
    assert not is_below(tally_of(values[: number - 1]), 0.9, DELTA)


@pytest.mark.parametrize(
    ("count", "total", "mean"),
    [(10_000_000, 9_499_000, 0.95), (10_000_000, 9_999_990, 0.99999), (10_000_000, 100, 0.0001), (7, 3, 0.6)],
)
def test_ten_million_observations_lose_no_digit(count: int, total: int, mean: float) -> None:
    """Against the same sum with fifty digits."""
    getcontext().prec = 50
    exact = Decimal(0)
    distances = [Decimal(float(distance)) for distance in sequential._DISTANCES]
    weights = [min(distance / Decimal("0.01"), Decimal(1)) for distance in distances]
    for distance, weight in zip(distances, weights, strict=True):
        kept = (1 - distance).ln() * total
        gain = (1 + distance * Decimal(mean) / (1 - Decimal(mean))).ln() * (count - total)
        exact += weight / sum(weights) * (kept + gain).exp()
    assert evidence_below(Tally(count, total), mean) == pytest.approx(float(exact.ln()), abs=1e-6)


def test_ends() -> None:
    assert bounds(Tally(), 0.95) == (0, 1)
    assert bounds(Tally(50, 50), 0.95)[1] == 1 and bounds(Tally(50, 0), 0.95)[0] == 0
    lower, upper = bounds(Tally(10**7, 9.5e6), 0.95)
    assert 0.9496 < lower < 0.95 < upper < 0.9504
    assert not is_below(Tally(), 0.95, DELTA) and first_below([], 0.95, DELTA) is None
    for value in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="must lie in"):
            Tally().plus(value)
    with pytest.raises(ValueError, match="cannot add up"):
        Tally(3, 4)
    for mean in (0.0, 1.0):
        with pytest.raises(ValueError, match="strictly between"):
            evidence_below(Tally(1, 1), mean)


# --- MAPIE ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0.98, 0.95, 0.8])
def test_the_bounds_beside_those_of_mapie_at_the_same_level(mean: float) -> None:
    """MAPIE's conjugate mixture empirical Bernstein bound on the same stream, each side at DELTA, at each of 300 times.

    It halves the level that it is given. Neither is intersected over time. The upper bound, which raises the alarm, is
    nowhere looser than MAPIE's; of the lower one, where all but a few agree, each is the better for a while.
    """
    values = (np.random.default_rng(6).random(300) < mean).astype(float)
    options = {"v_opt": 1, "alpha": 2 * DELTA, "running_intersection": False}
    upper = conjugate_mixture_empirical_bernstein_bound(values, bound_side="upper", **options)
    lower = conjugate_mixture_empirical_bernstein_bound(values, bound_side="lower", **options)
    tallies = [Tally(number, total) for number, total in enumerate(np.cumsum(values), 1)]
    our_upper = np.array([upper_bound(tally, DELTA) for tally in tallies])
    our_lower = np.array([lower_bound(tally, DELTA) for tally in tallies])
    assert (our_upper <= upper + 1e-9).all() and our_upper.mean() < upper.mean()
    assert (our_lower >= lower - 0.01).all() and (mean > 0.95 or (our_lower >= lower).all())
    assert (our_upper - our_lower).mean() < 0.95 * (upper - lower).mean()
    assert (our_lower <= upper).all() and (lower <= our_upper).all(), "two intervals that hold one mean meet"


def test_what_mapies_risk_monitoring_finds_is_found_here_earlier() -> None:
    """The class itself, on the same disagreements: its one-sided level is a quarter of `test_level`."""
    rng = np.random.default_rng(7)
    behind = []
    for _ in range(3):
        agrees = rng.random(1200) < 0.88
        number = first_below(agrees, 0.95, DELTA)
        assert number is not None
        theirs = None
        for size in range(50, 1201, 50):
            monitor = RiskMonitoring("accuracy", test_level=4 * DELTA, threshold=0.05, warn=False)
            monitor.update(np.ones(size), agrees[:size].astype(int))
            assert monitor.online_risk_sequence_history.sum() == size - agrees[:size].sum()
            if monitor.harmful_shift_detected:
                theirs = size
                break
        assert theirs is not None and number <= theirs
        behind.append(theirs - number)
    assert max(behind) > 50
