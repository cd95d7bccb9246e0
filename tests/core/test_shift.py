"""Labels that moved: on populations whose answer is known, and against exact counting."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_cli.core.shift import absent, shift

counts = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 60), min_size=1)


def drawn(rng: np.random.Generator, shares: np.ndarray, size: int) -> Counter[str]:
    return Counter(f"label {i}" for i in rng.choice(len(shares), size, p=shares))


@given(counts, counts)
def test_the_chance_of_an_absence_is_counted_exactly(old: dict[str, int], new: dict[str, int]) -> None:
    n, m = sum(old.values()), sum(new.values())
    labels = sum(count > 0 for count in old.values())
    expected = {}
    for label, count in old.items():
        if count and not new.get(label):
            chance = Fraction(comb(n + m - count, m), comb(n + m, m))
            if chance * labels < Fraction(1, 100):
                expected[label] = float(chance)
    assert {a.label: a.chance for a in absent(old, new)} == pytest.approx(expected)


@given(counts, counts)
def test_a_distance_is_symmetric_and_between_0_and_1(old: dict[str, int], new: dict[str, int]) -> None:
    found, other = shift(old, new), shift(new, old)
    if not sum(old.values()) or not sum(new.values()):
        assert found is None and other is None
        return
    assert found is not None and other is not None
    assert found.distance == pytest.approx(other.distance) and -1e-12 <= found.distance <= 1 + 1e-12
    assert found.p == pytest.approx(other.p) and 0 <= found.p <= 1


def test_equal_populations_are_seldom_called_different() -> None:
    """30 labels of very unequal shares, 1,000 old and 200 new texts: at most 5 % and two standard errors alarms."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(30, 0.5))
    repetitions = 400
    alarms = labels = missing = 0
    distances = []
    for _ in range(repetitions):
        old, new = drawn(rng, shares, 1000), drawn(rng, shares, 200)
        found = shift(old, new)
        assert found is not None
        alarms += found.beyond
        labels += bool(found.labels)
        missing += bool(absent(old, new))
        distances.append((found.distance, found.by_chance))
    allowed = 0.05 + 2 * np.sqrt(0.05 * 0.95 / repetitions)
    assert alarms / repetitions <= allowed and labels / repetitions <= allowed
    assert missing / repetitions <= 0.01 + 2 * np.sqrt(0.01 * 0.99 / repetitions)
    measured, told = np.mean(distances, axis=0)
    assert measured == pytest.approx(told, rel=0.1)


def test_a_real_move_is_found_with_its_label() -> None:
    rng = np.random.default_rng(1)
    shares = np.full(10, 0.1)
    other = shares + np.array([0.1, -0.1, *np.zeros(8)])
    found = shift(drawn(rng, shares, 1000), drawn(rng, other, 400))
    assert found is not None and found.beyond and found.p < 1e-6
    assert {entry.label for entry in found.labels} == {"label 0", "label 1"}
    assert found.distance > 2 * found.by_chance
    assert [a.label for a in absent(drawn(rng, shares, 1000), drawn(rng, other, 400))] == ["label 1"]


def test_a_small_file_does_not_lose_labels() -> None:
    """Ten new texts of 20 labels: half of the labels are missing, which means nothing."""
    old = {f"label {i}": 50 for i in range(20)}
    assert absent(old, {f"label {i}": 1 for i in range(10)}) == []
    assert [a.label for a in absent(old, {f"label {i}": 20 for i in range(19)})] == ["label 19"]


def test_one_label_alone_cannot_move() -> None:
    found = shift({"a": 100}, {"a": 50})
    assert found is not None and found.p == 1 and found.distance == 0 and found.labels == ()
