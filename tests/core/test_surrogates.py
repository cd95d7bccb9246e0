"""Surrogates: every kind learns, never from its own fold, is reproducible byte for byte, and is its ONNX export."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from core.synthetic import FIXED, FOLDS, KINDS, clusters, cross, data, raw
from tracer_cli.core import surrogates
from tracer_cli.core.onnx_graph import GraphBuilder
from tracer_cli.core.onnx_session import session
from tracer_cli.core.surrogates import CrossFit, FitData, Surrogate, estimators, kernel_ridge, nearest_neighbours
from tracer_cli.core.surrogates.base import Average, Floats, Inputs
from tracer_cli.core.surrogates.temperature import Scaled
from tracer_cli.errors import ModelError

EASY = clusters(400, 5)


@cache
def easy(kind: str) -> CrossFit:
    return cross(kind, EASY)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns(kind: str) -> None:
    result = easy(kind)
    assert (result.out_of_fold.argmax(axis=1) == EASY.labels).mean() > 0.85
    unseen = clusters(300, 5, seed=1)
    for model in (result.final, result.average):
        probabilities = surrogates.predict(model, EASY, unseen.vectors)
        assert (probabilities.argmax(axis=1) == unseen.labels).mean() > 0.85
    for rows in (result.out_of_fold, probabilities):
        assert rows.dtype == np.float32
        assert rows.min() >= 0
        assert rows.sum(axis=1) == pytest.approx(np.ones(len(rows)), abs=1e-4)


@pytest.mark.parametrize("which", ["final", "average"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_export_is_the_same_function(kind: str, which: str) -> None:
    model: Surrogate = getattr(easy(kind), which)
    exported = surrogates.export(model, EASY)
    unseen = clusters(300, 5, seed=1).vectors
    assert surrogates.export_difference(exported, model, EASY, unseen) <= 1e-5
    odd = np.concatenate([np.zeros((1, 16)), np.full((1, 16), 1e6), -unseen[:3], EASY.vectors[:3]]).astype(np.float32)
    assert surrogates.export_difference(exported, model, EASY, odd) <= 1e-4
    at_once = surrogates.predict(model, EASY, unseen[:20])
    one_by_one = np.concatenate([surrogates.predict(model, EASY, unseen[i : i + 1]) for i in range(20)])
    assert one_by_one == pytest.approx(at_once, abs=1e-5)
    assert surrogates.predict(model, EASY, unseen[:0]).shape == (0, 5)


@pytest.mark.parametrize("kind", ["sgd", "mlp", "lightgbm", "kernel_ridge"])
@pytest.mark.parametrize("labels", [2, 3])
def test_a_noisy_teacher_and_a_high_temperature_do_not_spoil_the_export(kind: str, labels: int) -> None:
    """A sure model and a teacher that errs: the temperature magnifies what rounding does to small probabilities."""
    clean = clusters(300, labels, noise=0.8)
    rng = np.random.default_rng(1)
    noisy = np.where(rng.random(300) < 0.2, rng.integers(0, labels, 300), clean.labels)
    rows = data(clean.vectors, noisy, labels)
    result = cross(kind, rows)
    for model in (result.final, result.average):
        exported = surrogates.export(model, rows)
        assert surrogates.export_difference(exported, model, rows, clusters(500, labels, seed=5).vectors) <= 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_runs_in_a_plain_onnxruntime_with_any_number_of_rows(kind: str) -> None:
    model = easy(kind).final
    opened = session(surrogates.export(model, EASY))
    assert {item.name for item in opened.get_inputs()} == set(model.reads)
    (inputs,) = EASY.inputs(EASY.vectors[:7])
    for rows in (0, 1, 7):
        feed = {name: inputs.tensors()[name][:rows] for name in model.reads}
        assert opened.run(["probabilities"], feed)[0].shape == (rows, 5)


def test_rows_beyond_a_block_are_predicted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = surrogates.predict(easy("kernel_ridge").final, EASY, EASY.vectors)
    monkeypatch.setattr("tracer_cli.core.surrogates.base.BLOCK", 64)
    assert surrogates.predict(easy("kernel_ridge").final, EASY, EASY.vectors) == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rows_give_the_same_bytes_whatever_the_workers(kind: str) -> None:
    rows, digests = clusters(150, 3), set()
    for workers in (1, 3):
        result = cross(kind, rows, workers=workers)
        exports = [surrogates.export(model, rows) for model in (result.final, result.average)]
        digests.add(hashlib.sha256(b"".join([*exports, result.out_of_fold.tobytes()])).digest())
    assert len(digests) == 1


# --- out of fold ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_random_labels_cannot_be_predicted_out_of_fold(kind: str) -> None:
    """A model that saw its own rows would predict them: the vectors are all different and the kinds remember."""
    rng = np.random.default_rng(5)
    rows = data(rng.standard_normal((400, 48)), rng.integers(0, 4, 400), 4)
    result = cross(kind, rows)
    assert (result.out_of_fold.argmax(axis=1) == rows.labels).mean() < 0.25 + 4 * np.sqrt(0.25 * 0.75 / 400)
    if kind in ("kernel_ridge", "nearest_neighbours", "random_forest", "extra_trees"):
        seen = surrogates.predict(result.final, rows, rows.vectors).argmax(axis=1)
        assert (seen == rows.labels).mean() > 0.9, "the final model should remember: the test could not fail"


@pytest.mark.parametrize("kind", KINDS)
def test_a_folds_probabilities_do_not_depend_on_its_labels(kind: str) -> None:
    """Nothing is chosen here on the labels of all folds together: so exactly not."""
    rows = clusters(160, 3, noise=0.9)
    held = rows.folds == 1
    labels = rows.labels.copy()
    labels[held] = (labels[held] + 1) % 3
    before, after = raw(kind, rows).out_of_fold, raw(kind, replace(rows, labels=labels)).out_of_fold
    assert after[held] == pytest.approx(before[held], abs=2e-5)
    assert np.abs(after[~held] - before[~held]).max() > 0.01, "the other folds should have learnt from them"


@pytest.mark.parametrize("kind", KINDS)
def test_out_of_fold_rows_are_those_of_the_fold_models(kind: str) -> None:
    """Each fold's model, fitted on the other folds as data of its own, gives the same; the average is of these."""
    rows = clusters(120, 3, noise=0.9)
    result, models = raw(kind, rows), []
    for fold in range(FOLDS):
        others, held = np.flatnonzero(rows.folds != fold), np.flatnonzero(rows.folds == fold)
        part = rows.at(others)
        if kind == "kernel_ridge":
            model: Surrogate = kernel_ridge.cross_fit(FIXED[kind], part).final
        elif kind == "nearest_neighbours":
            model = nearest_neighbours.cross_fit(FIXED[kind], part).final
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model = estimators.fit(kind, FIXED[kind], part, 3)[0]
        own = surrogates.predict(model, part, rows.vectors[held])
        assert result.out_of_fold[held] == pytest.approx(own, abs=1e-4)
        models.append(model)
    if isinstance(result.average, Average):
        queries = clusters(30, 3, seed=9).vectors
        mean = np.mean([surrogates.predict(model, rows, queries) for model in models], axis=0)
        assert surrogates.predict(result.average, rows, queries) == pytest.approx(mean, abs=1e-6)


# --- labels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_without_rows_is_never_said(kind: str) -> None:
    """The same rows in a label space of 7, of which 2, 3 and 5 occur: a column is a label, not a place in a list."""
    few = clusters(150, 3, noise=0.7)
    places = np.array([2, 3, 5])
    many = replace(few, labels=places[few.labels], n_labels=7)
    narrow, wide = cross(kind, few, FIXED[kind]), cross(kind, many, FIXED[kind])
    assert wide.out_of_fold.shape == (150, 7)
    assert (wide.out_of_fold.argmax(axis=1) == places[narrow.out_of_fold.argmax(axis=1)]).mean() > 0.98
    for which in ("final", "average"):
        model: Surrogate = getattr(wide, which)
        probabilities = surrogates.predict(model, many, many.vectors)
        assert set(probabilities.argmax(axis=1)) <= {2, 3, 5}
        assert (probabilities.argmax(axis=1) == many.labels).mean() > 0.8
        exported = surrogates.export(model, many)
        assert surrogates.export_difference(exported, model, many, many.vectors) <= 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_two_labels_a_label_with_one_row_and_a_label_in_one_fold(kind: str) -> None:
    two = clusters(90, 2)
    assert surrogates.predict(cross(kind, two).final, two, two.vectors).shape == (90, 2)
    labels, held = two.labels.copy(), np.flatnonzero(two.folds == 2)
    labels[held[0]], labels[held[1::2]] = 2, 3  # the model that holds these rows out has never seen either label
    rows = replace(two, labels=labels, n_labels=4)
    result = cross(kind, rows)
    lonely = np.flatnonzero(labels >= 2)
    assert (result.out_of_fold[held].argmax(axis=1) < 2).all()
    # Nothing of it was known, so of the labels that were not known either it is none the surer.
    assert (result.out_of_fold[lonely, labels[lonely]] <= 0.25).all()
    for model in (result.final, result.average):
        exported = surrogates.export(model, rows)
        assert surrogates.export_difference(exported, model, rows, rows.vectors) <= 1e-3


def test_a_fold_that_sees_one_label_only_predicts_it() -> None:
    vectors = clusters(40, 2).vectors
    labels, folds = np.zeros(40, np.int64), np.zeros(40, np.int64)
    labels[3] = folds[3] = 1
    for kind in KINDS:
        rows = data(vectors, labels, 2, folds)
        assert raw(kind, rows).out_of_fold[3].argmax() == 0, kind
        assert np.isfinite(cross(kind, rows).out_of_fold).all(), kind


@pytest.mark.parametrize("kind", ["kernel_ridge", "nearest_neighbours", "logistic_regression", "extra_trees"])
def test_150_labels_with_two_rows_each(kind: str) -> None:
    rows = clusters(300, 150, dim=32, noise=0.2)
    result = cross(kind, rows)
    assert (result.out_of_fold.argmax(axis=1) == rows.labels).mean() > 0.5
    exported = surrogates.export(result.final, rows)
    assert surrogates.export_difference(exported, result.final, rows, rows.vectors) <= 1e-4


# --- odd rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1.0, 0.0])
@pytest.mark.parametrize("kind", KINDS)
def test_constant_vectors_are_no_special_case(kind: str, value: float) -> None:
    rows = data(np.full((60, 4), value), np.arange(60) % 3, 3)
    result = cross(kind, rows)
    assert np.isfinite(result.out_of_fold).all()
    for model in (result.final, result.average):
        surrogates.export(model, rows)


@pytest.mark.parametrize("scale", [1e-3, 1e4])
@pytest.mark.parametrize("kind", KINDS)
def test_vectors_of_any_length_are_fitted_and_exported(kind: str, scale: float) -> None:
    rows = clusters(120, 4)
    rows = data(rows.vectors * np.float32(scale), rows.labels, 4)
    result = cross(kind, rows)
    assert np.isfinite(result.out_of_fold).all()
    surrogates.export(result.final, rows)


@pytest.mark.parametrize("kind", KINDS)
def test_the_callers_arrays_are_left_alone(kind: str) -> None:
    rows = clusters(100, 3)
    before = [array.copy() for array in (rows.vectors, rows.labels, rows.folds)]
    for array in (rows.vectors, rows.labels, rows.folds):
        array.setflags(write=False)
    result = cross(kind, rows)
    surrogates.export(result.average, rows)
    for array, copy in zip((rows.vectors, rows.labels, rows.folds), before, strict=True):
        assert (array == copy).all()


# --- what a caller is told --------------------------------------------------------------------------


@dataclass(frozen=True)
class Lying:
    """Says something else in ONNX than in numpy."""

    wrong: float
    reads = ("vectors",)

    def predict_proba(self, inputs: Inputs) -> Floats:
        return np.full((len(inputs.vectors), 2), self.wrong, np.float32)

    def add_to(self, graph: GraphBuilder, prefix: str) -> str:
        weights = graph.constant(f"{prefix}weights", np.zeros((16, 2), np.float32))
        return graph.node("Softmax", [graph.node("MatMul", ["vectors", weights], f"{prefix}dot")], f"{prefix}p", axis=1)


@pytest.mark.parametrize("wrong", [0.502, float("nan")])
def test_an_export_that_differs_is_refused(wrong: float) -> None:
    rows = clusters(50, 2)
    surrogates.export(Lying(0.5), rows)
    with pytest.raises(ModelError, match=r"differs from the model by .* leave this model out of the zoo"):
        surrogates.export(Lying(wrong), rows)


def test_what_auto_chose_is_told() -> None:
    chosen = easy("kernel_ridge").settings
    assert chosen["gamma"] in kernel_ridge.GAMMAS and chosen["penalty"] in kernel_ridge.PENALTIES
    assert easy("nearest_neighbours").settings["sharpness"] in nearest_neighbours.SHARPNESS
    assert easy("logistic_regression").settings["C"] in estimators.PENALTIES
    for kind in KINDS:
        final = easy(kind).final
        assert isinstance(final, Scaled) and final.temperature == easy(kind).settings["temperature"]


def test_a_number_is_taken_as_it_is() -> None:
    rows = clusters(120, 3)
    assert cross("kernel_ridge", rows, {"gamma": 0.7, "penalty": 0.02}).settings["gamma"] == 0.7
    assert cross("logistic_regression", rows, {"C": 0.5, "max_iter": 100}).settings["C"] == 0.5
    assert cross("nearest_neighbours", rows, {"k": 5, "sharpness": 3.0}).settings.items() >= {"k": 5}.items()
    # One number is given, the other is searched for.
    assert cross("kernel_ridge", rows, {"gamma": 0.7, "penalty": "auto"}).settings["gamma"] == 0.7


def test_reaching_the_iteration_limit_is_told_without_a_warning() -> None:
    rows = clusters(200, 4, noise=1.0)
    assert easy("logistic_regression").converged
    for kind, settings in (
        ("logistic_regression", {"C": 10.0, "max_iter": 2}),
        ("sgd", KINDS["sgd"] | {"max_iter": 1}),
        ("mlp", KINDS["mlp"] | {"max_iter": 1}),
    ):
        assert not cross(kind, rows, settings).converged, kind


@pytest.mark.parametrize("kind", KINDS)
def test_progress_is_told(kind: str) -> None:
    rows, calls = clusters(60, 2), []
    surrogates.cross_fit(kind, KINDS[kind], rows, 0, 1, lambda: calls.append(1))
    assert len(calls) == (1 if kind in ("kernel_ridge", "nearest_neighbours") else FOLDS + 1)


def test_the_seed_matters_to_what_draws() -> None:
    for kind in ("sgd", "mlp", "random_forest", "extra_trees"):
        rows = clusters(100, 3, noise=1.0)
        first, second = (surrogates.cross_fit(kind, KINDS[kind], rows, seed, 1).out_of_fold for seed in (0, 1))
        assert (first != second).any(), kind


def test_part_of_the_rows_keeps_the_label_space() -> None:
    part: FitData = EASY.at(np.flatnonzero(EASY.labels < 2))
    assert part.n_labels == 5 and set(part.labels) == {0, 1} and len(part.vectors) == len(part.folds) == 160
