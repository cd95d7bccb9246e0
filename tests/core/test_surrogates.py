"""Surrogates: every kind learns, is reproducible byte for byte, and its ONNX export is the same function."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tracer_cli.config import schema
from tracer_cli.core import surrogates
from tracer_cli.core.folds import assign_folds
from tracer_cli.core.onnx_session import session
from tracer_cli.errors import ModelError

KINDS = {
    "logistic_regression": schema.LogisticRegressionModel(kind="logistic_regression"),
    "sgd": schema.SgdModel(kind="sgd"),
    "mlp": schema.MlpModel(kind="mlp", hidden=[32]),
    "random_forest": schema.RandomForestModel(kind="random_forest", n_estimators=25),
    "extra_trees": schema.ExtraTreesModel(kind="extra_trees", n_estimators=25),
    "lightgbm": schema.LightGBMModel(kind="lightgbm", n_estimators=20, components=8),
}


def clusters(rows: int, labels: int, dim: int = 24, noise: float = 0.6, seed: int = 0):
    """Unit vectors around one centre per label."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((labels, dim))
    targets = rng.integers(0, labels, rows)
    vectors = centres[targets] + noise * rng.standard_normal((rows, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), targets.astype(np.int64)


def cross(kind: str, vectors, labels, n_labels: int, workers: int | None = None) -> surrogates.CrossFit:
    folds = assign_folds(labels, 4, 0)
    return surrogates.cross_fit(kind, KINDS[kind].model_dump(), vectors, labels, n_labels, folds, 3, workers)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_and_exports_the_same_function(kind: str) -> None:
    vectors, labels = clusters(400, 5)
    result = cross(kind, vectors, labels, 5)
    assert (result.out_of_fold.argmax(axis=1) == labels).mean() > 0.8
    assert result.out_of_fold.sum(axis=1) == pytest.approx(np.ones(400), abs=1e-3)
    data = surrogates.export(result.final, vectors)
    unseen, _ = clusters(300, 5, seed=1)
    assert surrogates.export_difference(data, result.final, unseen) <= surrogates.EXPORT_TOLERANCE
    one_by_one = surrogates.export_difference(data, result.final, unseen[:50], block=1)
    assert one_by_one <= surrogates.EXPORT_TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rows_give_the_same_bytes_whatever_the_threads(kind: str) -> None:
    vectors, labels = clusters(200, 3)
    digests = []
    for workers in (1, 2):
        result = cross(kind, vectors, labels, 3, workers)
        digests.append(hashlib.sha256(surrogates.export(result.final, vectors) + result.out_of_fold.tobytes()).digest())
    assert digests[0] == digests[1]


@pytest.mark.parametrize("kind", KINDS)
def test_two_labels_and_a_label_with_one_row(kind: str) -> None:
    vectors, labels = clusters(120, 2)
    assert cross(kind, vectors, labels, 2).final.predict_proba(vectors).shape == (120, 2)
    labels[7] = 2  # in the fold that holds row 7 out, no model has ever seen label 2
    result = cross(kind, vectors, labels, 3)
    assert result.out_of_fold[7, 2] == 0.0
    assert surrogates.export_difference(surrogates.export(result.final, vectors), result.final, vectors) <= 1e-4


def test_a_fold_that_sees_one_label_only_predicts_it() -> None:
    vectors, _ = clusters(40, 2)
    labels = np.zeros(40, np.int64)
    labels[3] = 1
    folds = np.zeros(40, np.int64)
    folds[3] = 1
    settings = KINDS["logistic_regression"].model_dump()
    result = surrogates.cross_fit("logistic_regression", settings, vectors, labels, 2, folds, 0)
    assert result.out_of_fold[3].tolist() == [1.0, 0.0]


def test_the_callers_arrays_are_left_alone() -> None:
    vectors, labels = clusters(120, 3)
    before = vectors.copy()
    vectors.setflags(write=False)
    cross("lightgbm", vectors, labels, 3)
    assert (vectors == before).all()


def test_out_of_fold_rows_were_not_trained_on() -> None:
    """Random labels cannot be predicted; a model that saw its own rows would predict them."""
    vectors, _ = clusters(300, 4)
    labels = np.random.default_rng(5).integers(0, 4, 300)
    result = cross("random_forest", vectors, labels, 4)
    assert (result.out_of_fold.argmax(axis=1) == labels).mean() < 0.36
    assert (result.final.predict_proba(vectors).argmax(axis=1) == labels).mean() > 0.9


def test_an_export_that_differs_is_refused() -> None:
    vectors, labels = clusters(100, 3)
    fitted = cross("logistic_regression", vectors, labels, 3).final

    class Other:
        coef_, classes_ = fitted.estimator.coef_, fitted.estimator.classes_

        def predict_proba(self, inputs):
            return np.full((len(inputs), 3), 1 / 3)

    lying = surrogates.Surrogate(Other(), fitted.classes, 3, fitted.dim)
    data = surrogates.export(fitted, vectors)
    assert surrogates.export_difference(data, lying, vectors) > 1e-4
    original, surrogates.Surrogate.to_onnx = surrogates.Surrogate.to_onnx, lambda self: original(fitted)
    try:
        with pytest.raises(ModelError, match=r"differs from the model by .* leave this model out of the zoo"):
            surrogates.export(lying, vectors)
    finally:
        surrogates.Surrogate.to_onnx = original


def test_a_model_runs_in_a_plain_onnxruntime_with_any_number_of_rows() -> None:
    vectors, labels = clusters(100, 3)
    data = surrogates.export(cross("mlp", vectors, labels, 3).final, vectors)
    for rows in (0, 1, 7):
        assert session(data).run(["probabilities"], {"vectors": vectors[:rows]})[0].shape == (rows, 3)


def test_constant_vectors_are_no_special_case() -> None:
    vectors = np.ones((60, 4), np.float32)
    labels = np.arange(60) % 3
    for kind in KINDS:
        result = cross(kind, vectors, labels, 3)
        assert np.isfinite(result.out_of_fold).all()
        surrogates.export(result.final, vectors)
