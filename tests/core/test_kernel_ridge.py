"""Kernel ridge in closed form is what scikit-learn's gives when it is really fitted fold by fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge

from core.synthetic import clusters, data
from tracer_cli.core import neighbours, surrogates
from tracer_cli.core.surrogates import FitData, kernel_ridge


def float64_kernel(a: np.ndarray, b: np.ndarray, gamma: float) -> np.ndarray:
    a, b = (neighbours.unit_rows(rows.astype(np.float32)).astype(np.float64) for rows in (a, b))
    return np.asarray(np.exp(gamma * (a @ b.T - 1)))


def centred(rows: FitData) -> np.ndarray:
    return np.eye(rows.n_labels)[rows.labels] - 1 / rows.n_labels


Fit = Callable[[np.ndarray], np.ndarray]


def fold_by_fold(rows: FitData, landmarks: np.ndarray, gamma: float, fit: Fit) -> tuple[np.ndarray, ...]:
    """Scores out of fold, coefficients of the model on all rows, mean of those of the fold models.

    fit: rows to learn from -> a coefficient for each landmark and label.
    """
    scores, total = np.empty((len(rows.labels), rows.n_labels)), np.zeros((len(landmarks), rows.n_labels))
    folds = np.unique(rows.folds)
    for fold in folds:
        coefficients = fit(np.flatnonzero(rows.folds != fold))
        held = rows.folds == fold
        scores[held] = float64_kernel(rows.vectors[held], rows.vectors[landmarks], gamma) @ coefficients
        total += coefficients
    return scores, fit(np.arange(len(rows.labels))), total / len(folds)


def scikit_learns(rows: FitData, gamma: float, penalty: float) -> tuple[np.ndarray, ...]:
    kernel, targets = float64_kernel(rows.vectors, rows.vectors, gamma), centred(rows)

    def fit(part: np.ndarray) -> np.ndarray:
        model = KernelRidge(alpha=penalty, kernel="precomputed").fit(kernel[np.ix_(part, part)], targets[part])
        coefficients = np.zeros_like(targets)
        coefficients[part] = model.dual_coef_
        return coefficients

    return fold_by_fold(rows, np.arange(len(targets)), gamma, fit)


def nystroem(rows: FitData, landmarks: np.ndarray, gamma: float, penalty: float) -> tuple[np.ndarray, ...]:
    """min |Y - K_nm a|^2 + penalty a' K_mm a, solved directly."""
    kernel, targets = float64_kernel(rows.vectors, rows.vectors[landmarks], gamma), centred(rows)

    def fit(part: np.ndarray) -> np.ndarray:
        left = kernel[part].T @ kernel[part] + penalty * kernel[landmarks]
        return scipy.linalg.solve(left, kernel[part].T @ targets[part], assume_a="pos")

    return fold_by_fold(rows, landmarks, gamma, fit)


def assert_same(solved: kernel_ridge.Solved, expected: tuple[np.ndarray, ...], rows: FitData, tolerance: float) -> None:
    """Coefficients are compared by what they predict on other vectors: among similar rows they are hardly determined."""
    scores, coefficients, average = expected
    assert solved.scores == pytest.approx(scores, abs=tolerance)
    queries = np.random.default_rng(7).standard_normal((50, rows.vectors.shape[1]))
    kernel = float64_kernel(queries, rows.vectors[: len(coefficients)], 1.0)
    for found, wanted in ((solved.coefficients, coefficients), (solved.average, average)):
        assert kernel @ found == pytest.approx(kernel @ wanted, abs=tolerance)


@given(
    st.integers(8, 60), st.integers(2, 5), st.integers(2, 6), st.sampled_from([0.5, 2.0, 4.0]),
    st.sampled_from([0.03, 0.3, 1.0]), st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=40)
def test_the_closed_form_is_scikit_learns_fitted_fold_by_fold(
    n: int, labels: int, folds: int, gamma: float, penalty: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, folds, n) * 2  # of uneven size, and not numbered in a row
    numbers[:2] = 0, 2
    rows = data(rng.standard_normal((n, 6)), rng.integers(0, labels, n), labels, numbers)
    solved = kernel_ridge._solve_exact(rows, gamma, penalty)
    scores, coefficients, average = scikit_learns(rows, gamma, penalty)
    assert solved.scores == pytest.approx(scores, abs=1e-4)
    assert solved.coefficients == pytest.approx(coefficients, rel=1e-3, abs=1e-3)
    assert solved.average == pytest.approx(average, rel=1e-3, abs=1e-3)


def test_many_rows_that_are_nearly_the_same() -> None:
    """The matrix is then ill conditioned: in single precision the scores must still be right."""
    rows = clusters(600, 6, noise=0.01)
    solved = kernel_ridge._solve_exact(rows, 1.0, 0.03)
    assert_same(solved, scikit_learns(rows, 1.0, 0.03), rows, 2e-3)


def test_what_is_given_back_is_what_was_solved() -> None:
    rows = clusters(150, 3, noise=0.8)
    result = kernel_ridge.cross_fit({"gamma": 2.0, "penalty": 0.1}, rows)
    scores, coefficients, average = scikit_learns(rows, 2.0, 0.1)

    def softmax(values: np.ndarray) -> np.ndarray:
        return np.asarray(scipy.special.softmax(kernel_ridge.SCALE * values, axis=1))

    assert result.out_of_fold == pytest.approx(softmax(scores), abs=1e-3)
    queries = clusters(40, 3, seed=4).vectors
    kernel = float64_kernel(queries, rows.vectors, 2.0)
    assert surrogates.predict(result.final, rows, queries) == pytest.approx(softmax(kernel @ coefficients), abs=1e-3)
    assert surrogates.predict(result.average, rows, queries) == pytest.approx(softmax(kernel @ average), abs=1e-3)
    assert result.settings == {"gamma": 2.0, "penalty": 0.1}


# --- landmarks --------------------------------------------------------------------------------------


@pytest.fixture
def few_landmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT", 50)
    monkeypatch.setattr(neighbours, "LANDMARKS", 40)
    monkeypatch.setattr(neighbours, "MAX_REFERENCE", 120)


@pytest.mark.parametrize("gamma", [1.0, 4.0])
@pytest.mark.parametrize("penalty", [0.03, 1.0])
def test_with_all_rows_as_landmarks_the_solution_is_the_exact_one(gamma: float, penalty: float) -> None:
    rows = clusters(200, 4, noise=0.8)
    exact, found = kernel_ridge._solve_exact(rows, gamma, penalty), kernel_ridge._solve_landmarks(rows, gamma, penalty)
    assert found.scores == pytest.approx(exact.scores, abs=1e-3)
    assert_same(found, scikit_learns(rows, gamma, penalty), rows, 1e-3)


@pytest.mark.usefixtures("few_landmarks")
@pytest.mark.parametrize("gamma", [1.0, 4.0])
@pytest.mark.parametrize("penalty", [0.03, 1.0])
def test_with_some_rows_as_landmarks_it_is_nystroems(gamma: float, penalty: float) -> None:
    rows = clusters(150, 4, noise=0.8)
    landmarks = rows.reference[:40]
    assert len(rows.reference) == 120 and len(np.unique(landmarks)) == 40
    scores, coefficients, average = nystroem(rows, landmarks, gamma, penalty)
    found = kernel_ridge._solve_landmarks(rows, gamma, penalty)
    assert found.scores == pytest.approx(scores, abs=1e-3)
    queries = clusters(40, 4, seed=4).vectors
    kernel = float64_kernel(queries, rows.vectors[landmarks], gamma)
    assert kernel @ found.coefficients == pytest.approx(kernel @ coefficients, abs=1e-3)
    assert kernel @ found.average == pytest.approx(kernel @ average, abs=1e-3)
    # The block size is no part of the result, and the fit takes this way.
    result = kernel_ridge.cross_fit({"gamma": gamma, "penalty": penalty}, rows)
    assert result.final.coefficients.shape == (40, 4)
    assert surrogates.predict(result.final, rows, queries).argmax(axis=1).tolist() == (
        (kernel @ coefficients).argmax(axis=1).tolist()
    )


@pytest.mark.usefixtures("few_landmarks")
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = clusters(150, 4, noise=0.8)
    whole = kernel_ridge._solve_landmarks(rows, 2.0, 0.1)
    monkeypatch.setattr(kernel_ridge, "BLOCK", 7)
    parts = kernel_ridge._solve_landmarks(rows, 2.0, 0.1)
    assert parts.scores == pytest.approx(whole.scores, abs=1e-5)


@pytest.mark.usefixtures("few_landmarks")
def test_landmarks_do_not_leak_and_export() -> None:
    """Landmarks come from every fold, but only as vectors: the labels of a fold do not reach its scores."""
    rows = clusters(150, 3, noise=0.9)
    held = rows.folds == 1
    labels = rows.labels.copy()
    labels[held] = (labels[held] + 1) % 3
    before = kernel_ridge._solve_landmarks(rows, 2.0, 0.1)
    after = kernel_ridge._solve_landmarks(replace(rows, labels=labels), 2.0, 0.1)
    assert after.scores[held] == pytest.approx(before.scores[held], abs=1e-5)
    result = surrogates.cross_fit("kernel_ridge", {"gamma": "auto", "penalty": "auto"}, rows, 0)
    for model in (result.final, result.average):
        exported = surrogates.export(model, rows)
        queries = clusters(50, 3, seed=4).vectors
        assert surrogates.export_difference(exported, model, rows, queries) <= 1e-4


@pytest.mark.parametrize(
    "vectors",
    [
        np.random.default_rng(0).standard_normal((1300, 2)),
        np.repeat(np.random.default_rng(0).standard_normal((13, 24)), 100, axis=0),
        np.random.default_rng(0).standard_normal((1300, 3)) @ np.random.default_rng(1).standard_normal((3, 24)),
        np.repeat(np.random.default_rng(0).standard_normal((13, 24)), 100, axis=0)
        + 0.003 * np.random.default_rng(1).standard_normal((1300, 24)),
    ],
    ids=["two dimensions", "copies", "in a subspace", "near copies"],
)
def test_landmarks_whose_kernel_is_singular_but_for_rounding(
    vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few dimensions, or many near copies: what tf-idf makes of short texts."""
    monkeypatch.setattr(neighbours, "EXACT", 1250)
    monkeypatch.setattr(neighbours, "LANDMARKS", 1200)
    labels = (vectors[:, 0] > 0).astype(np.int64)
    rows = data(vectors, labels, 2)
    result = kernel_ridge.cross_fit({"gamma": 1.0, "penalty": 0.1}, rows)
    assert (result.out_of_fold.argmax(axis=1) == labels).mean() > 0.95
