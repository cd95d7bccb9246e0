"""Temperature scaling: finds a known temperature, changes no label, and is its ONNX export."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from core.synthetic import clusters
from tracer_cli.core import surrogates
from tracer_cli.core.surrogates import temperature
from tracer_cli.core.surrogates.linear import Linear
from tracer_cli.core.surrogates.temperature import Scaled


@pytest.mark.parametrize("known", [0.3, 1.0, 2.5, 6.0])
@pytest.mark.parametrize("labels", [2, 20])
def test_a_known_temperature_is_found(known: float, labels: int) -> None:
    """The teacher's labels are drawn from softmax(log p / known)."""
    rng = np.random.default_rng(labels)
    logits = 3 * known * rng.standard_normal((30_000, labels))
    probabilities = np.maximum(softmax(logits, axis=1), 1e-4).astype(np.float32)
    drawn = softmax(np.log(probabilities) / known, axis=1)
    truth = np.minimum((drawn.cumsum(axis=1) < rng.random((30_000, 1))).sum(axis=1), labels - 1)
    assert temperature.fit(probabilities, truth) == pytest.approx(known, rel=0.06)


def test_of_many_rows_a_part_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), 5000).astype(np.float32)
    truth = rng.integers(0, 4, 5000)
    whole = temperature.fit(probabilities, truth)
    monkeypatch.setattr(temperature, "MOST_ROWS", 2500)
    assert temperature.fit(probabilities, truth) == pytest.approx(whole, rel=0.2)


@given(st.integers(2, 6), st.floats(*temperature.RANGE), st.integers(0, 1000))
@settings(max_examples=60)
def test_no_label_changes_and_rows_stay_distributions(labels: int, degree: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(labels, 0.3), 50).astype(np.float32)
    probabilities[0] = np.eye(labels)[labels - 1]
    scaled = temperature.scaled(probabilities, degree)
    assert scaled.dtype == np.float32 and np.isfinite(scaled).all()
    assert scaled.sum(axis=1) == pytest.approx(np.ones(50), abs=1e-5)
    top = np.sort(probabilities, axis=1)
    clear = top[:, -1] > top[:, -2] * (1 + 1e-4)
    assert (scaled.argmax(axis=1) == probabilities.argmax(axis=1))[clear].all()
    if degree >= 1:  # flatter; else surer
        assert (scaled.max(axis=1) <= probabilities.max(axis=1) + 1e-5).all()
    else:
        assert (scaled.max(axis=1) >= probabilities.max(axis=1) - 1e-3).all()


def test_temperature_one_is_the_identity_and_the_input_stays() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(5), 30).astype(np.float32)
    before = probabilities.copy()
    assert temperature.scaled(probabilities, 1.0) == pytest.approx(probabilities, abs=1e-6)
    assert (probabilities == before).all()


@given(st.integers(0, 500))
@settings(max_examples=25)
def test_the_likelihood_never_gets_worse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(4, rng.uniform(0.1, 3)), 80).astype(np.float32)
    truth = rng.integers(0, 4, 80)
    degree = temperature.fit(probabilities, truth)
    assert temperature.RANGE[0] <= degree <= temperature.RANGE[1]

    def loss(values: np.ndarray) -> float:
        return float(-np.log(np.maximum(values[np.arange(80), truth], 1e-7)).mean())

    assert loss(temperature.scaled(probabilities, degree)) <= loss(probabilities) + 1e-3


@pytest.mark.parametrize("degree", [0.05, 0.7, 10.0])
def test_the_export_is_the_same_function(degree: float) -> None:
    """Also where a label has probability 0, as those that the fit rows lack."""
    rows = clusters(60, 3)
    rng = np.random.default_rng(0)
    weights = 4 * rng.standard_normal((16, 3)).astype(np.float32)
    for bias in ([0, 0, 0], [0, -1e4, 0]):
        model = Scaled(Linear(weights, np.array(bias, np.float32)), degree)
        exported = surrogates.export(model, rows)
        queries = clusters(80, 3, seed=1).vectors
        assert surrogates.export_difference(exported, model, rows, queries) <= 2e-5
        raw = surrogates.predict(model.surrogate, rows, queries)
        assert (surrogates.predict(model, rows, queries).argmax(axis=1) == raw.argmax(axis=1)).all()
