"""The residual cascade: the second stage knows its labels by their index, and comes after the first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.synthetic import clusters, data
from tracer_cli.core import cascade, surrogates
from tracer_cli.core.acceptor import FEATURES, MIN_SCORE
from tracer_cli.core.frontier import Proposal
from tracer_cli.core.selection import Candidate
from tracer_cli.core.surrogates import FitData


def split_at(switch: float) -> Proposal:
    """A walk that is expected to certify up to this threshold."""
    thresholds, coverage = np.array([0.99, switch, 0.01]), np.array([0.1, 0.5, 1.0])
    return Proposal(0.9, thresholds, coverage, np.ones(3), 0.52, 1.0)


def first_stage(rows: FitData, sure: np.ndarray, seed: int = 0) -> Candidate:
    """Right and sure where `sure`, else unsure and wrong: it says label 0."""
    rng = np.random.default_rng(seed)
    predicted = np.where(sure, rows.labels, 0)
    scores = np.where(sure, rng.uniform(0.7, 1, len(sure)), rng.uniform(0.1, 0.6, len(sure)))
    features = rng.random((len(sure), len(FEATURES)))
    return Candidate({"a": 1}, predicted, predicted == rows.labels, features, scores, np.zeros(rows.n_labels))


@pytest.mark.parametrize("present", [(1, 3, 4), (4, 5), (1, 2, 5)])
def test_the_second_stage_says_the_labels_that_the_residual_has(present: tuple[int, ...]) -> None:
    """Of six labels the first stage handles all rows of the others. A column index taken for a label would be wrong
    nearly everywhere."""
    rows = clusters(480, 6, noise=0.4)
    residual = np.isin(rows.labels, present)
    first = first_stage(rows, ~residual)
    two = cascade.build(first, split_at(0.65), rows, 0)
    assert two is not None and two.switch == 0.65
    assert set(two.second.predicted) <= set(present)
    assert (two.second.predicted == rows.labels[residual]).mean() > 0.9
    assert (two.combined.predicted[residual] == two.second.predicted).all()
    for model in (two.fitted.final, two.fitted.average):
        said = surrogates.predict(model, rows, rows.vectors).argmax(axis=1)
        assert set(said) <= set(present)
        assert (said == rows.labels)[residual].mean() > 0.9
        exported = surrogates.export(model, rows)
        assert surrogates.export_difference(exported, model, rows, rows.vectors) <= 1e-4
    assert two.second.history.shape == (6,)


def test_one_order_has_the_first_stage_above_the_second() -> None:
    rows = clusters(400, 4)
    first = first_stage(rows, np.arange(400) % 2 == 0)
    first = replace(first, scores=first.scores * 0.3)  # below much of what the second stage is sure of
    two = cascade.build(first, split_at(0.2), rows, 0)
    assert two is not None
    kept = first.scores >= 0.2
    assert two.second.scores.max() / 2 > first.scores[kept].min()
    combined = two.combined
    assert combined.scores[kept].min() > combined.scores[~kept].max()
    assert ((combined.scores >= MIN_SCORE) & (combined.scores <= 1)).all()
    # Within a stage the order stays.
    assert (np.argsort(combined.scores[kept]) == np.argsort(first.scores[kept])).all()
    assert (np.argsort(combined.scores[~kept], kind="stable") == np.argsort(two.second.scores, kind="stable")).all()
    assert (combined.predicted[kept] == first.predicted[kept]).all()
    assert (combined.agrees == (combined.predicted == rows.labels)).all()
    assert combined.agrees[~kept].mean() > first.agrees[~kept].mean()
    # What the first stage was is left alone.
    assert (first.predicted[~kept] == 0).all() and first.scores.max() <= 1


def test_the_second_stage_learns_from_the_residual_alone() -> None:
    rows = clusters(400, 4, noise=0.8)
    sure = np.arange(400) % 2 == 0
    first = first_stage(rows, sure)
    two = cascade.build(first, split_at(0.65), rows, 0)
    elsewhere = replace(rows, labels=np.where(sure, (rows.labels + 1) % 4, rows.labels))
    again = cascade.build(first, split_at(0.65), elsewhere, 0)
    assert two is not None and again is not None
    queries = clusters(50, 4, seed=1).vectors
    expected = surrogates.predict(two.fitted.final, rows, queries)
    assert (surrogates.predict(again.fitted.final, rows, queries) == expected).all()


def test_the_second_stage_is_judged_out_of_fold() -> None:
    """Random labels: a second stage that had seen its rows would seem right."""
    rng = np.random.default_rng(0)
    rows = data(rng.standard_normal((400, 64)), rng.integers(0, 4, 400), 4)
    two = cascade.build(first_stage(rows, np.zeros(400, bool)), split_at(0.65), rows, 0)
    assert two is not None
    assert two.combined.agrees.mean() < 0.25 + 4 * np.sqrt(0.25 * 0.75 / 400)


def test_too_little_to_learn_from_is_no_second_stage() -> None:
    rows = clusters(300, 3)
    few = first_stage(rows, np.arange(300) >= cascade.FEWEST_ROWS - 1)
    assert cascade.build(few, split_at(0.65), rows, 0) is None
    enough = first_stage(rows, np.arange(300) >= cascade.FEWEST_ROWS)
    assert cascade.build(enough, split_at(0.65), rows, 0) is not None
    one_label = first_stage(rows, rows.labels != 1)
    assert cascade.build(one_label, split_at(0.65), rows, 0) is None
    one_fold = first_stage(rows, rows.folds != 1)
    assert (rows.folds == 1).sum() >= cascade.FEWEST_ROWS
    assert cascade.build(one_fold, split_at(0.65), rows, 0) is None


def test_a_label_with_one_residual_row_is_no_special_case() -> None:
    rows = clusters(300, 3)
    sure = rows.labels == 2
    sure[np.flatnonzero(sure)[0]] = False
    for kind in ("logistic_regression", "lightgbm"):
        two = cascade.build(first_stage(rows, sure), split_at(0.65), rows, 0, kind)  # type: ignore[arg-type]
        assert two is not None and np.isfinite(two.combined.scores).all()
