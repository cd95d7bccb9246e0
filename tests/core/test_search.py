"""What a setting is chosen by: the coverage that its out-of-fold predictions certify, not its accuracy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from tracer_cli.core.surrogates import search


def by_brute_force(probabilities: np.ndarray, labels: np.ndarray) -> float:
    order = sorted(range(len(labels)), key=lambda i: -probabilities[i].max())
    agrees = [probabilities[i].argmax() == labels[i] for i in order]
    total = 0.0
    for target in search.TARGETS:
        passed = [
            n
            for n in range(1, len(labels) + 1)
            if binomtest(int(sum(agrees[:n])), n, target, alternative="greater").pvalue <= search.DELTA
        ]
        total += max(passed, default=0) / len(labels)
    return total / len(search.TARGETS)


@given(st.integers(1, 90), st.floats(0, 1), st.integers(0, 999))
@settings(max_examples=25)
def test_merit_is_certifiable_coverage(n: int, signal: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(3, 0.5), n).astype(np.float32)
    labels = np.where(rng.random(n) < signal, probabilities.argmax(axis=1), rng.integers(0, 3, n))
    coverage, agreement = search.merit(probabilities, labels)
    assert coverage == pytest.approx(by_brute_force(probabilities, labels))
    assert agreement == (probabilities.argmax(axis=1) == labels).mean()


def ranked(sure: np.ndarray, agrees: np.ndarray) -> np.ndarray:
    """Two columns; label 0 is said with probability `sure` where it agrees, else label 1."""
    return np.where(agrees[:, None], np.column_stack([sure, 1 - sure]), np.column_stack([1 - sure, sure])).astype(
        np.float32
    )


def test_knowing_when_it_is_wrong_beats_being_right_a_little_more_often() -> None:
    labels, place = np.zeros(1000, np.int64), np.linspace(0.99, 0.51, 1000)
    knows = ranked(place, np.arange(1000) < 700)  # 70 % right, and the rest are its least sure
    vague = ranked(place, np.arange(1000) % 4 > 0)  # 75 % right, anywhere
    assert search.merit(knows, labels)[0] > 0.5 and search.merit(vague, labels)[0] == 0
    assert search.best({"vague": vague, "knows": knows}, labels) == "knows"


def test_without_certifiable_coverage_agreement_decides_and_of_equals_the_first() -> None:
    labels, place = np.zeros(40, np.int64), np.linspace(0.99, 0.51, 40)
    poor, poorer = ranked(place, np.arange(40) % 2 > 0), ranked(place, np.arange(40) % 4 == 1)
    assert search.best({"poorer": poorer, "poor": poor}, labels) == "poor"
    assert search.best({"first": poor, "second": poor.copy()}, labels) == "first"
    assert search.best({"only": poor}, labels) == "only"
