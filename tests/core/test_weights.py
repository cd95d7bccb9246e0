"""A row's weight: as if it came so many times, in training and in votes, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.synthetic import FIXED, KINDS, clusters, cross, data, raw
from core.test_calibration import settings as calibration_settings
from core.test_kernel_ridge import centred, float64_kernel
from tracer_cli.core import neighbours, surrogates
from tracer_cli.core.calibration import calibrate
from tracer_cli.core.neighbours import Neighbours
from tracer_cli.core.surrogates import CrossFit, FitData, estimators, kernel_ridge, nearest_neighbours, telling
from tracer_cli.core.surrogates.nearest_neighbours import PRIOR, Vote

ROWS = clusters(150, 3, noise=1.0)
TWICE = np.random.default_rng(1).permutation(150)[:50]
QUERIES = clusters(200, 3, noise=1.0, seed=8).vectors


def weighted(rows: FitData, heavy: np.ndarray, by: float = 2.0) -> FitData:
    weights = np.ones(len(rows.labels))
    weights[heavy] = by
    return replace(rows, weights=weights)


def repeated(rows: FitData, again: np.ndarray) -> FitData:
    """These rows once more, at the end, each in its fold; what inputs are compared with stays."""
    result = rows.at(np.concatenate([np.arange(len(rows.labels)), again]))
    result.__dict__["reference"] = rows.reference  # the cached property
    return result


def difference(one: CrossFit, other: CrossFit, rows: FitData = ROWS, queries: np.ndarray = QUERIES) -> float:
    """The largest in probability: out of fold on ROWS, and on queries of the final model and of the average."""
    n = len(rows.labels)
    parts = [np.abs(one.out_of_fold[:n] - other.out_of_fold[:n])]
    for which in ("final", "average"):
        predicted = [surrogates.predict(getattr(item, which), rows, queries) for item in (one, other)]
        parts.append(np.abs(predicted[0] - predicted[1]))
    return float(max(part.max() for part in parts))


# --- a weight of 2 is the row twice -----------------------------------------------------------------


@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("kind", ["kernel_ridge", "logistic_regression"])
def test_a_weight_of_two_is_the_row_twice(kind: str, landmarks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if landmarks:
        monkeypatch.setattr(neighbours, "EXACT", 50)
        monkeypatch.setattr(neighbours, "LANDMARKS", 150)
    found = raw(kind, weighted(ROWS, TWICE))
    again = raw(kind, repeated(ROWS, TWICE))
    if kind == "kernel_ridge" and not landmarks:  # a coefficient for each row, also for those that are there twice
        again = _summed(again, 150, TWICE)
    assert difference(found, again) < 2e-3
    assert difference(found, raw(kind, ROWS)) > 0.05, "the weights should matter"


def _summed(result: CrossFit, n: int, again: np.ndarray) -> CrossFit:
    """With the coefficients of equal rows put together: the same function of the first n rows."""

    def summed(model: object) -> kernel_ridge.KernelRidge:
        assert isinstance(model, kernel_ridge.KernelRidge)
        coefficients = model.coefficients[:n].copy()
        coefficients[again] += model.coefficients[n:]
        return kernel_ridge.KernelRidge(model.gamma, coefficients)

    return replace(result, final=summed(result.final), average=summed(result.average))


@given(st.integers(8, 40), st.integers(2, 4), st.integers(2, 5), st.integers(0, 99))
@settings(max_examples=25)
def test_kernel_ridge_minimises_the_weighted_squares(n: int, labels: int, folds: int, seed: int) -> None:
    """(K + penalty W^-1) a = Y on each fold's other rows, solved one by one in double precision."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, folds, n)
    numbers[:2] = 0, 1
    rows = replace(
        data(rng.standard_normal((n, 6)), rng.integers(0, labels, n), labels, numbers),
        weights=rng.choice([0.25, 1.0, 1.5, 7.0], n),
    )
    kernel, targets = float64_kernel(rows.vectors, rows.vectors, 2.0), centred(rows)
    assert rows.weights is not None

    def solved(part: np.ndarray) -> np.ndarray:
        result = np.zeros_like(targets)
        left = kernel[np.ix_(part, part)] + np.diag(0.3 / rows.weights[part])
        result[part] = np.linalg.solve(left, targets[part])
        return result

    found = kernel_ridge._solve_exact(rows, 2.0, 0.3)
    assert found.coefficients == pytest.approx(solved(np.arange(n)), rel=1e-3, abs=1e-3)
    total = np.zeros_like(targets)
    for fold in np.unique(numbers):
        held, without = numbers == fold, solved(np.flatnonzero(numbers != fold))
        assert found.scores[held] == pytest.approx(kernel[held] @ without, abs=1e-3)
        total += without / len(np.unique(numbers))
    assert found.average == pytest.approx(total, rel=1e-3, abs=1e-3)


def test_stochastic_gradients_come_near_the_row_twice() -> None:
    rows, queries = clusters(3000, 2, dim=4, noise=2.0), clusters(500, 2, dim=4, noise=2.0, seed=3).vectors
    heavy = np.flatnonzero(rows.labels == 1)
    settings = {"alpha": 0.1, "max_iter": 300}

    def fitted(some: FitData) -> np.ndarray:
        model = estimators.cross_fit("sgd", settings, some, 3, 1).final
        return surrogates.predict(model, some, queries)

    again = fitted(repeated(rows, np.repeat(heavy, 2)))
    assert np.abs(fitted(weighted(rows, heavy, 3.0)) - again).max() < 0.01
    assert np.abs(fitted(rows) - again).max() > 0.2


def test_any_weight_however_large_or_small_is_fitted() -> None:
    for by in (1e-6, 1e6):
        rows = weighted(ROWS, TWICE, by)
        for kind in ("kernel_ridge", "nearest_neighbours", "logistic_regression"):
            result = cross(kind, rows, FIXED[kind])
            assert np.isfinite(result.out_of_fold).all(), kind
            surrogates.export(result.final, rows)


# --- every kind ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_where_two_teachers_contradict_each_other_the_heavier_one_is_learnt(kind: str) -> None:
    """Every place has both labels, equally often; only the weights tell which one counts."""
    one = clusters(120, 2, noise=0.3)
    labels = np.concatenate([one.labels, 1 - one.labels])
    both = data(np.concatenate([one.vectors, one.vectors]), labels, 2, np.concatenate([one.folds, one.folds]))
    first = np.arange(240) < 120
    for heavy, said in ((first, one.labels), (~first, 1 - one.labels)):
        rows = weighted(both, heavy, 9.0)
        result = cross(kind, rows, FIXED[kind])
        for predicted in (
            result.out_of_fold[:120],
            surrogates.predict(result.final, rows, one.vectors),
            surrogates.predict(result.average, rows, one.vectors),
        ):
            assert (predicted.argmax(axis=1) == said).mean() > 0.9
        for model in (result.final, result.average):
            exported = surrogates.export(model, rows)
            assert surrogates.export_difference(exported, model, rows, one.vectors) <= 1e-3


def test_a_temperature_is_of_the_rows_and_not_of_their_weights() -> None:
    """It says how often probabilities are right: the same probabilities give the same one, whatever the weights."""
    rows = clusters(300, 3, noise=1.2)
    result = raw("kernel_ridge", rows)
    heavy = weighted(rows, np.flatnonzero(result.out_of_fold.argmax(axis=1) != rows.labels), 50.0)
    own = raw("kernel_ridge", heavy)
    degree = surrogates.temperature.fit(own.out_of_fold, rows.labels)
    found = cross("kernel_ridge", heavy, FIXED["kernel_ridge"]).settings["temperature"]
    assert found == pytest.approx(degree, abs=1e-3)
    wrong = own.out_of_fold.argmax(axis=1) != rows.labels
    again = np.concatenate([np.arange(300), *[np.flatnonzero(wrong)] * 9])
    assert abs(surrogates.temperature.fit(own.out_of_fold[again], rows.labels[again]) - degree) > 0.1


# --- votes --------------------------------------------------------------------------------------------


@given(st.integers(1, 12), st.floats(0.5, 60), st.integers(2, 6), st.integers(0, 999))
@settings(max_examples=25)
def test_a_neighbours_vote_counts_its_weight(k: int, sharpness: float, n_labels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    similarities = -np.sort(-rng.uniform(-1, 1, (5, 12)).astype(np.float32), axis=1)
    labels, weights = rng.integers(0, n_labels, (5, 12)), rng.uniform(0.1, 9, (5, 12)).astype(np.float32)
    found = Vote(k, sharpness, n_labels, True).count(Neighbours(similarities, labels, weights))
    for row in range(5):
        votes = np.full(n_labels, PRIOR)
        for place in range(k):
            near = np.exp(sharpness * (float(similarities[row, place]) - similarities[row, 0]))
            votes[labels[row, place]] += near * weights[row, place]
        assert found[row] == pytest.approx(votes / votes.sum(), abs=1e-5)


def test_the_weights_are_those_of_the_neighbours() -> None:
    """Out of fold and for inputs to come, also beyond a block and where the reference rows are thinned."""
    rows = weighted(clusters(90, 3), np.arange(0, 90, 7), 4.0)
    assert rows.weights is not None
    near = rows.out_of_fold_neighbours
    similarity = rows.unit @ rows.unit.T
    for i in (0, 41, 89):
        others = np.flatnonzero(rows.folds != rows.folds[i])
        nearest = others[np.argsort(-similarity[i, others], kind="stable")[: rows.k]]
        assert near.weights is not None and (near.weights[i] == rows.weights[nearest]).all()
    (inputs,) = rows.inputs(rows.vectors[:5])
    assert inputs.neighbours.weights is not None and (inputs.neighbours.weights[:, 0] == rows.weights[:5]).all()
    result = nearest_neighbours.cross_fit({"k": 30, "sharpness": 20.0}, rows)
    assert result.final.reads[-1] == "neighbour_weights"
    plain = nearest_neighbours.cross_fit({"k": 30, "sharpness": 20.0}, replace(rows, weights=None))
    assert "neighbour_weights" not in plain.final.reads


# --- weights that say nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1.0, 2.0, 0.3, 1e9])
def test_what_all_rows_weigh_says_nothing_of_any(value: float) -> None:
    assert telling(np.full(5, value)) is None
    assert telling(np.empty(0)) is None
    some = np.array([value, value, 2 * value])
    assert telling(some) is some


def test_the_thresholds_count_every_row_once() -> None:
    """The same probabilities, with weights and without."""
    rows = clusters(400, 4, noise=0.9)
    probabilities = {"a": cross("kernel_ridge", rows, FIXED["kernel_ridge"]).out_of_fold}
    heavy = weighted(rows, np.flatnonzero(probabilities["a"].argmax(axis=1) == rows.labels), 20.0)
    plain, found = (
        calibrate(item, probabilities, calibration_settings(method="l2d", per_label_min=0.8)) for item in (rows, heavy)
    )
    assert (plain.figures.scores == found.figures.scores).all()
    assert plain.label_checks == found.label_checks
    for one, other in zip(plain.planned, found.planned, strict=True):
        assert (one.proposal.thresholds == other.proposal.thresholds).all()
        assert one.proposal.expected_coverage == other.proposal.expected_coverage
