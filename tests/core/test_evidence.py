"""Rows that are no evidence train the surrogate, and nothing that is decided or measured looks at them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.synthetic import FIXED, FOLDS, KINDS, clusters, cross, data
from core.test_calibration import graph, settings
from tracer_cli.core import cascade, policy, policy_graph, surrogates
from tracer_cli.core.calibration import Calibration, calibrate
from tracer_cli.core.folds import assign_folds
from tracer_cli.core.onnx_session import session
from tracer_cli.core.surrogates import FitData, estimators, kernel_ridge, search

EVIDENCE, OTHERS = 400, 300


def together(evidence: FitData, others: FitData, mixed: bool = True) -> FitData:
    """Both, the others among the rows of the evidence (or after them)."""
    vectors = np.concatenate([evidence.vectors, others.vectors])
    labels = np.concatenate([evidence.labels, others.labels])
    judged = np.arange(len(labels)) < len(evidence.labels)
    order = np.random.default_rng(4).permutation(len(labels)) if mixed else np.arange(len(labels))
    order[np.sort(np.flatnonzero(judged[order]))] = np.flatnonzero(judged)  # the evidence in its own order
    folds = assign_folds(labels[order], FOLDS, 0, judged[order])
    return replace(data(vectors[order], labels[order], evidence.n_labels, folds), evidence=judged[order])


def far(rows: FitData) -> FitData:
    """The same rows in dimensions of their own: neighbours of nobody else."""
    return replace(rows, vectors=np.concatenate([0 * rows.vectors, rows.vectors], axis=1))


def wide(rows: FitData) -> FitData:
    return replace(rows, vectors=np.concatenate([rows.vectors, 0 * rows.vectors], axis=1))


# --- they train -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_they_train_the_surrogate(kind: str) -> None:
    """Few rows of evidence and many others of the same kind: what is known of the evidence out of fold grows."""
    few, many = clusters(72, 12, noise=1.3), clusters(900, 12, noise=1.3, seed=1)
    both = together(few, many)
    alone = cross(kind, few, FIXED[kind]).out_of_fold.argmax(axis=1) == few.labels
    agrees = cross(kind, both, FIXED[kind]).out_of_fold.argmax(axis=1) == both.labels
    assert both.judged(agrees).mean() > alone.mean() + 0.08


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_that_the_evidence_lacks_is_learnt(kind: str) -> None:
    """A new label is first seen where the policy before was not sure: it may be said, and is no error."""
    labels = clusters(300, 3, noise=0.3)
    new = labels.labels == 2
    both = together(labels.at(np.flatnonzero(~new)), labels.at(np.flatnonzero(new)))
    result = cross(kind, both, FIXED[kind])
    said = surrogates.predict(result.final, both, both.vectors).argmax(axis=1)
    assert (said == both.labels).mean() > 0.9
    decided = calibrate(both, {"a": result.out_of_fold}, settings(per_label_min=0.9, blend=1))
    assert decided.label_checks[2].outcome == "too little evidence"


def test_they_are_out_of_fold_themselves_and_among_the_neighbours() -> None:
    both = together(clusters(80, 4), clusters(120, 4, seed=1))
    assert len(both.reference) == 200
    similarity = both.unit @ both.unit.T
    near = both.out_of_fold_neighbours
    for i in (0, 77, 199):
        others = np.flatnonzero(both.folds != both.folds[i])
        order = others[np.argsort(-similarity[i, others], kind="stable")[: both.k]]
        assert (near.labels[i] == both.labels[order]).all()


# --- nothing is measured on them ----------------------------------------------------------------------


def decided(rows: FitData, probabilities: np.ndarray, **changes: object) -> Calibration:
    return calibrate(rows, {"a": probabilities}, settings(**{"blend": 1, "per_label_min": 0.8, **changes}))


def assert_same_decisions(one: Calibration, other: Calibration) -> None:
    assert (one.figures.scores == other.figures.scores).all()
    assert (one.figures.history == other.figures.history).all()
    assert one.policy.filters.distance_limit == other.policy.filters.distance_limit
    assert (one.policy.filters.blocked == other.policy.filters.blocked).all()
    assert one.label_checks == other.label_checks
    assert one.tried == other.tried and one.expected == other.expected
    for mine, its in zip(one.policy.stages, other.policy.stages, strict=True):
        values = one.figures.features
        assert (mine.acceptor.score(values) == its.acceptor.score(values)).all()
    for a, b in zip(one.planned, other.planned, strict=True):
        assert (a.proposal.thresholds == b.proposal.thresholds).all()
        assert (a.proposal.coverage == b.proposal.coverage).all()
        assert (a.method, a.proposal.expected_coverage, a.proposal.certain) == (
            b.method,
            b.proposal.expected_coverage,
            b.proposal.certain,
        )


@pytest.mark.parametrize("kind", ["logistic_regression", "lightgbm"])
@pytest.mark.parametrize("method", ["l2d", "global"])
def test_with_the_probabilities_held_fixed_their_labels_decide_nothing(method: str, kind: str) -> None:
    """Labels and probabilities of the others are replaced by nonsense; they lie where they are nobody's neighbours."""
    own = clusters(EVIDENCE, 4, noise=0.9)
    both = together(wide(own), far(clusters(OTHERS, 4, seed=1)))
    assert both.evidence is not None
    probabilities = cross("kernel_ridge", both, FIXED["kernel_ridge"]).out_of_fold
    rng = np.random.default_rng(0)
    labels, nonsense = both.labels.copy(), probabilities.copy()
    labels[~both.evidence] = rng.permutation(labels[~both.evidence])
    nonsense[~both.evidence] = rng.dirichlet(np.ones(4), OTHERS)
    first = decided(both, probabilities, method=method, acceptor=kind)
    second = decided(replace(both, labels=labels), nonsense, method=method, acceptor=kind)
    assert_same_decisions(first, second)
    assert len(first.figures.scores) == len(first.distances) == EVIDENCE
    # Nor does it matter that they are there.
    alone = decided(wide(own), probabilities[both.evidence], method=method, acceptor=kind)
    assert_same_decisions(first, alone)
    # As evidence they would have changed everything: the test can fail.
    pooled = decided(replace(both, labels=labels, evidence=None), nonsense, method=method, acceptor=kind)
    assert pooled.planned[1].proposal.expected_coverage < first.planned[1].proposal.expected_coverage - 0.1


def test_settings_are_searched_for_on_the_evidence() -> None:
    """Each candidate is right on one kind of rows and wrong on the other."""
    labels, evidence = np.zeros(300, np.int64), np.arange(300) % 3 == 0
    place = np.linspace(0.99, 0.51, 300)[:, None]
    right, wrong = np.hstack([place, 1 - place]).astype(np.float32), np.hstack([1 - place, place]).astype(np.float32)
    candidates = {
        "others": np.where(evidence[:, None], wrong, right),
        "evidence": np.where(evidence[:, None], right, wrong),
    }
    assert search.best(candidates, labels) == "others"
    assert search.best(candidates, labels, evidence) == "evidence"


@pytest.mark.parametrize("kind", ["kernel_ridge", "logistic_regression", "nearest_neighbours"])
def test_every_search_and_the_temperature_look_at_the_evidence_alone(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = together(clusters(120, 3, noise=1.0), clusters(200, 3, noise=1.0, seed=1))
    seen, temperatures = [], []
    merit, fit = search.merit, surrogates.temperature.fit

    def watched_merit(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        seen.append(labels)
        return merit(probabilities, labels)

    def watched_fit(probabilities: np.ndarray, labels: np.ndarray) -> float:
        temperatures.append((probabilities, labels))
        return fit(probabilities, labels)

    monkeypatch.setattr(search, "merit", watched_merit)
    monkeypatch.setattr(surrogates.temperature, "fit", watched_fit)
    result = cross(kind, both)
    own = both.judged(both.labels)
    assert len(seen) > 1
    if kind == "logistic_regression":  # on two of the folds
        held = [own[both.judged(both.folds) == fold] for fold in range(estimators.SEARCH_FOLDS)]
        assert all((labels == np.concatenate(held)).all() for labels in seen)
    else:
        assert all((labels == own).all() for labels in seen)
    ((probabilities, labels),) = temperatures
    assert (labels == own).all() and probabilities.shape == (120, 3)
    assert len(result.out_of_fold) == 320


@given(st.integers(1, 4000), st.integers(0, 4000))
def test_a_search_gets_its_rows_from_both(evidence: int, others: int) -> None:
    judged = np.random.default_rng(evidence).permutation(np.arange(evidence + others) < evidence)
    vectors = np.zeros((evidence + others, 1), np.float32)
    rows = FitData(vectors, np.zeros(len(vectors), np.int64), 1, np.zeros(len(vectors), np.int64), None, judged)
    some = search.some_rows(rows)
    assert len(some) == min(len(vectors), search.SEARCH_ROWS) == len(np.unique(some))
    assert (np.diff(some) > 0).all()
    assert judged[some].sum() >= min(evidence, search.SEARCH_ROWS // 2)
    assert (~judged[some]).sum() <= max(search.SEARCH_ROWS // 2, search.SEARCH_ROWS - evidence)


# --- the residual cascade -------------------------------------------------------------------------------


def test_the_second_stage_learns_from_others_that_the_first_defers() -> None:
    """Labels 2 and 3 are what the first stage cannot tell; the others have more of them, and are judged nowhere."""
    own, more = clusters(EVIDENCE, 4, noise=0.7), clusters(900, 4, noise=0.7, seed=1)
    both = together(own, more)
    assert both.evidence is not None
    unsure = both.labels >= 2
    poor = np.full((1300, 4), 0.05, np.float32)
    poor[np.arange(1300), both.labels] = 0.85
    poor[unsure] = [0.31, 0.29, 0.2, 0.2]
    result = calibrate(both, {"a": poor}, settings(method="rsb", blend=1))
    alone = calibrate(own, {"a": poor[both.evidence]}, settings(method="rsb", blend=1))
    assert result.cascade is not None and alone.cascade is not None
    assert len(result.figures.scores) == EVIDENCE
    learnt, judged = len(result.cascade.fitted.out_of_fold), len(result.cascade.second.scores)
    assert judged == len(alone.cascade.second.scores) == len(alone.cascade.fitted.out_of_fold)
    assert learnt > 2 * judged
    assert (
        (result.figures.predicted == own.labels).mean()
        > 0.9
        > (poor[both.evidence].argmax(axis=1) == own.labels).mean()
    )
    models = {"a": surrogates.export(cross("kernel_ridge", both).final, both)}
    models[cascade.SECOND] = surrogates.export(result.cascade.fitted.final, both)
    got = policy.run(session(policy_graph.build(result.policy, models)), both.vectors)
    assert np.isfinite(got.accept_scores).all()


def test_too_little_evidence_in_the_residual_is_no_second_stage() -> None:
    own, more = clusters(EVIDENCE, 4), clusters(300, 4, noise=0.7, seed=1)
    both = together(own, more)
    assert both.evidence is not None
    sure = np.full((700, 4), 0.01, np.float32)
    sure[np.arange(700), both.labels] = 0.97
    sure[~both.evidence] = 0.25
    assert calibrate(both, {"a": sure}, settings(method="rsb", blend=1)).cascade is None


# --- folds, and the whole ---------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 6), min_size=20, max_size=120), st.integers(2, 10), st.integers(0, 60))
def test_the_folds_of_the_evidence_are_even_and_its_own(labels: list[int], folds: int, others: int) -> None:
    own, rng = np.array(labels), np.random.default_rng(others)
    expected = assign_folds(own, folds, 3)
    everything, judged = np.concatenate([own, rng.integers(0, 9, others)]), np.arange(len(own) + others) < len(own)
    order = rng.permutation(len(everything))
    order[np.flatnonzero(judged[order])] = np.arange(len(own))
    found = assign_folds(everything[order], folds, 3, judged[order])
    assert (found[judged[order]] == expected).all()
    sizes = np.bincount(found, minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    with pytest.raises(ValueError, match=f"{folds} folds need at least {folds} rows, there are {folds - 1}"):
        assign_folds(everything, folds, 0, np.arange(len(everything)) < folds - 1)


@pytest.mark.parametrize("kind", KINDS)
def test_where_all_rows_are_evidence_it_is_as_if_nothing_was_said(kind: str) -> None:
    rows = clusters(120, 3, noise=0.9)
    plain, told = cross(kind, rows), cross(kind, replace(rows, evidence=np.ones(120, bool)))
    assert plain.out_of_fold.tobytes() == told.out_of_fold.tobytes() and plain.settings == told.settings
    assert surrogates.export(plain.final, rows) == surrogates.export(told.final, rows)


def test_a_policy_of_both_runs_as_its_graph() -> None:
    both = together(clusters(200, 4, noise=0.8), clusters(200, 4, noise=0.8, seed=1))
    both = replace(both, weights=np.where(both.evidence, 1.0, 0.5))
    zoo = {kind: cross(kind, both, FIXED[kind]) for kind in ("kernel_ridge", "nearest_neighbours")}
    result = calibrate(both, {name: item.out_of_fold for name, item in zoo.items()}, settings(method="rsb"))
    got = policy.run(session(graph(both, result, zoo)), clusters(300, 4, noise=0.8, seed=2).vectors)
    assert (got.labels == clusters(300, 4, noise=0.8, seed=2).labels).mean() > 0.8
    assert (kernel_ridge.landmark_count(len(both.labels)), len(result.policy.reference.labels)) == (400, 400)
