"""Drift: tests that hold however often one looks, on populations whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from tracer_cli.core.drift import (
    below_p_value,
    distinct,
    gap_p_value,
    holm,
    largest_gap,
    over_looks,
    reference,
)

numbers = st.lists(st.floats(0, 1), min_size=1, max_size=60)


def distribution(values: list[float], at: float) -> float:
    return sum(value <= at for value in values) / len(values)


@given(numbers, numbers)
def test_the_gap_is_at_most_that_of_kolmogorov_and_smirnov(old: list[float], new: list[float]) -> None:
    old, new = ([float(f"{value:.7g}") for value in side] for side in (old, new))
    kept, whole = reference(old, points=5), reference(old, points=1000)
    assert kept is not None and whole is not None
    exact = max(abs(distribution(old, at) - distribution(new, at)) for at in (*old, *new))
    assert largest_gap(kept, new) <= exact + 1e-12
    assert largest_gap(whole, new) == pytest.approx(exact)
    assert len(kept.values) <= 6 and kept.values[0] == min(old) and kept.values[-1] == max(old)
    assert kept.at_most[-1] == kept.rows == len(old)
    for value, below, at_most in zip(kept.values, kept.below, kept.at_most, strict=True):
        assert (below, at_most) == (sum(one < value for one in old), sum(one <= value for one in old))


def test_quantiles_are_those_of_the_kept_values() -> None:
    base = reference(np.arange(1, 1001) / 1000)
    assert base is not None
    assert base.quantile(0.5) == pytest.approx(0.5, abs=0.02)
    assert (base.quantile(0), base.quantile(1)) == (0.001, 1.0)
    assert reference([]) is None and largest_gap(base, []) == 0


def test_the_p_value_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    old, new = rng.random(900), rng.random(400) ** 1.1
    exact = ks_2samp(old, new, method="asymp")
    assert gap_p_value(exact.statistic, 900, 400) == pytest.approx(exact.pvalue)
    assert gap_p_value(0.0, 900, 400) == 1 and 0 <= gap_p_value(1.0, 900, 400) < 1e-9


def test_the_tests_are_made_at_fixed_sizes_and_share_the_error() -> None:
    asked: list[int] = []
    found = over_looks(799, lambda size: asked.append(size) or 0.001 * size)  # type: ignore[func-returns-value]
    assert asked == [50, 100, 200, 400]
    assert found is not None and (found.p, found.size, found.tests) == (pytest.approx(0.1), 50, 4)
    later = over_looks(800, lambda size: 0.0001 if size == 800 else 1.0)
    assert later is not None and (later.p, later.size, later.tests) == (pytest.approx(0.003), 800, 5)
    assert over_looks(49, lambda size: 0.0) is None
    certain = over_looks(60, lambda size: 1.0)
    assert certain is not None and certain.p == 1


@pytest.mark.slow
def test_looking_at_every_size_finds_what_is_not_there_and_this_does_not() -> None:
    """300 logs of 1,600 scores from the distribution of the reference, which is itself a sample of 1,500."""
    rng = np.random.default_rng(1)
    repetitions, naive, alarms, moved = 300, 0, 0, 0
    for _ in range(repetitions):
        base = reference(rng.beta(5, 1, 1500))
        assert base is not None
        scores = rng.beta(5, 1, 1600)

        def p_value(size: int, scores: np.ndarray = scores, base=base) -> float:  # type: ignore[no-untyped-def]
            return gap_p_value(largest_gap(base, scores[:size]), 1500, size)

        found = over_looks(1600, p_value)
        assert found is not None
        alarms += found.p <= 0.05
        naive += any(p_value(size) <= 0.05 for size in range(50, 1601, 50))
        other = rng.beta(4, 1, 1600)
        told = over_looks(1600, lambda size, other=other: p_value(size, other))  # type: ignore[misc]
        assert told is not None
        moved += told.p <= 0.05
    assert alarms / repetitions <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / repetitions)
    assert naive / repetitions > 0.1
    assert moved / repetitions > 0.9


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_monotone_and_between_each_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for before, after in zip(p_values, adjusted, strict=True):
        assert before <= after <= min(1.0, before * len(p_values)) + 1e-12 or after == max(
            min(1.0, (len(p_values) - rank) * p) for rank, p in enumerate(sorted(p_values)) if p <= before
        )
    order = np.argsort(p_values, kind="stable")
    assert all(np.diff([adjusted[i] for i in order]) >= 0)


def test_holm_on_a_known_case() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_below_and_distinct() -> None:
    assert below_p_value(3, 4, 0.9) == pytest.approx(1 - 0.9**4)
    assert below_p_value(0, 0, 0.9) == 1
    assert distinct(["b", "a", "b", "c", "a"]).tolist() == [0, 1, 3]
    assert distinct([]).tolist() == []
