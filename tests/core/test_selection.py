"""Choices on out-of-fold evidence: blends, methods, filters, labels."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.synthetic import clusters, cross, data
from tracer_cli.core import frontier, selection
from tracer_cli.core.acceptor import FEATURES
from tracer_cli.core.certificate import lower_bound
from tracer_cli.core.frontier import Planner
from tracer_cli.core.neighbours import Neighbours
from tracer_cli.core.selection import Candidate, Filters, Rows, Tried

TARGET = 0.88


@cache
def zoo() -> Rows:
    """Three members that err in different places, and one that knows nothing."""
    rows = clusters(500, 6, noise=1.1)
    rng = np.random.default_rng(0)
    members = {kind: cross(kind, rows).out_of_fold for kind in ("kernel_ridge", "logistic_regression", "extra_trees")}
    return Rows.of(rows, {"noise": rng.dirichlet(np.ones(6), 500).astype(np.float32), **members})


def planner(rows: int = 500, evidence: int = 400) -> Planner:
    return Planner(rows, evidence, 0.05, "handled", 0)


def some_candidate(scores: np.ndarray, predicted: np.ndarray, agrees: np.ndarray, n_labels: int = 3) -> Candidate:
    features = np.zeros((len(scores), len(FEATURES)))
    return Candidate({"a": 1}, predicted, agrees, features, scores, np.zeros(n_labels))


# --- blends -----------------------------------------------------------------------------------------


def test_a_blend_is_the_weighted_mean() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.dirichlet(np.ones(3), 20).astype(np.float32) for _ in range(2))
    assert selection.blended({"a": a, "b": b}, {"a": 1, "b": 3}) == pytest.approx((a + 3 * b) / 4, abs=1e-6)
    assert selection.blended({"a": a, "b": b}, {"b": 2}) == pytest.approx(b, abs=1e-7)


def test_a_candidates_figures_are_those_of_its_rows() -> None:
    rows, blend = zoo(), {"kernel_ridge": 2, "extra_trees": 1}
    item = selection.candidate(blend, rows)
    mixed = selection.blended(rows.probabilities, blend)
    assert (item.predicted == mixed.argmax(axis=1)).all()
    assert (item.agrees == (item.predicted == rows.labels)).all()
    alone = [(rows.probabilities[name].argmax(axis=1) == item.predicted) for name in blend]
    assert item.features[:, FEATURES.index("member_agreement")] == pytest.approx(np.mean(alone, axis=0))
    assert item.history.shape == (6,)
    order = np.argsort(-item.scores)
    assert item.agrees[order[:150]].mean() > item.agrees[order[-150:]].mean() + 0.2


def test_the_greedy_blend_is_never_worse_than_the_best_member() -> None:
    rows = zoo()
    tried = selection.choose_blend(rows, planner(), TARGET, 6)
    singles = {next(iter(item.blend)): item for item in tried if sum(item.blend.values()) == 1}
    assert set(singles) == set(rows.probabilities)
    assert tried[0].merit == max(item.merit for item in tried) >= max(item.merit for item in singles.values())
    assert tried[0].expected_coverage > singles["noise"].expected_coverage
    assert sum(tried[0].blend.values()) <= 6
    # What it says of the chosen one is what that one would certify.
    item = selection.candidate(tried[0].blend, rows)
    assert planner().propose(item.scores, item.agrees, TARGET).expected_coverage == tried[0].expected_coverage
    assert item.agrees.mean() == tried[0].agreement


def test_no_mixture_is_tried_twice_and_the_choice_is_deterministic() -> None:
    first, again = (selection.choose_blend(zoo(), planner(), TARGET, 4) for _ in range(2))
    assert first == again
    shares = [tuple(sorted((k, v / sum(item.blend.values())) for k, v in item.blend.items())) for item in first]
    assert len(set(shares)) == len(shares)


def test_one_pick_is_one_member() -> None:
    tried = selection.choose_blend(zoo(), planner(), TARGET, 1)
    assert len(tried) == 4 and all(list(item.blend.values()) == [1] for item in tried)
    only = Rows({"a": zoo().probabilities["kernel_ridge"]}, zoo().neighbours, zoo().labels, zoo().folds, 6)
    assert [item.blend for item in selection.choose_blend(only, planner(), TARGET, 6)] == [{"a": 1}]


def test_where_nothing_can_be_certified_agreement_decides() -> None:
    tried = selection.choose_blend(zoo(), planner(evidence=20), 0.999, 3)
    assert tried[0].expected_coverage == 0
    assert tried[0].agreement == max(item.agreement for item in tried)
    assert Tried({"a": 1}, 0.9, 0.1).merit > Tried({"a": 1}, 0.99, 0.0).merit


def test_more_rows_than_blends_are_compared_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with more than 20,000 fit rows: the same limits, smaller."""
    part = zoo().thinned(300)
    assert len(part.labels) == len(part.folds) == len(part.probabilities["noise"]) == len(part.neighbours.labels) == 300
    assert zoo().thinned(500) is zoo()
    for most in (200, 300, 400):
        monkeypatch.setattr(frontier, "MOST_ROWS", most)
        assert selection.choose_blend(part, planner(300), TARGET, 2)[0].expected_coverage > 0


# --- methods ----------------------------------------------------------------------------------------


def test_the_method_that_certifies_most_is_taken() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(1000)
    sloped, flat = rng.random(1000) < 0.7 + 0.3 * scores, rng.random(1000) < 0.97
    labels, made = np.zeros(1000, np.int64), planner(1000, 800)
    useful, easy = some_candidate(scores, labels, sloped), some_candidate(scores, labels, flat)
    assert selection.choose_method(useful, made, 0.9, "auto")[0] == "l2d"
    method, proposal = selection.choose_method(easy, made, 0.9, "auto")
    assert len(proposal.thresholds) == 1 if method == "global" else proposal.coverage[0] < 1
    assert proposal.expected_coverage > 0.99
    for item in (useful, easy):
        method, proposal = selection.choose_method(item, made, 0.9, "global")
        assert method == "global" and proposal.thresholds.tolist() == [frontier.ACCEPT_ALL]
        method, walk = selection.choose_method(item, made, 0.9, "l2d")
        assert method == "l2d"
        best = selection.choose_method(item, made, 0.9, "auto")[1]
        assert best.expected_coverage >= max(walk.expected_coverage, proposal.expected_coverage) - frontier.STEP


def test_constant_scores_leave_all_or_nothing() -> None:
    agrees = np.arange(500) % 50 > 0
    item = some_candidate(np.full(500, 0.98), np.zeros(500, np.int64), agrees)
    method, proposal = selection.choose_method(item, planner(), 0.9, "auto")
    assert method == "global" and len(proposal.thresholds) == 1


# --- filters ----------------------------------------------------------------------------------------


@given(
    arrays(np.float64, 12, elements=st.floats(1e-9, 1)),
    arrays(np.int64, 12, elements=st.integers(0, 3)),
    arrays(np.float64, 12, elements=st.sampled_from([0.0, 0.2, 0.5, 0.9])),
    arrays(bool, 4),
    st.one_of(st.none(), st.sampled_from([0.1, 0.5, 2.0])),
)
def test_filters_defer_exactly_what_they_say(
    scores: np.ndarray, predicted: np.ndarray, distances: np.ndarray, blocked: np.ndarray, limit: float | None
) -> None:
    before = scores.copy()
    result = Filters(limit, blocked).apply(scores, predicted, distances)
    for i in range(12):
        deferred = blocked[predicted[i]] or (limit is not None and distances[i] > limit)
        assert result[i] == (0 if deferred else scores[i])
    assert (scores == before).all()
    item = some_candidate(scores, predicted, np.ones(12, bool), 4)
    kept = selection.filtered(item, Filters(limit, blocked), distances)
    assert (kept.scores == result).all() and kept.predicted is item.predicted


# --- labels -----------------------------------------------------------------------------------------


def test_each_outcome_of_a_label() -> None:
    """Label 0: 200 of 200; 1: 60 of 100; 2: 9 of 9; 3: none handled; 4: 90 of 100; 5: 5 of 9; 6: never predicted."""
    counts = {0: (200, 200), 1: (60, 100), 2: (9, 9), 3: (0, 40), 4: (90, 100), 5: (5, 9)}
    predicted = np.concatenate([np.full(n, label) for label, (_, n) in counts.items()])
    agrees = np.concatenate([np.arange(n) < right for right, n in counts.values()])
    scores = np.where(predicted == 3, 0.2, 0.8)
    checks = selection.check_labels(some_candidate(scores, predicted, agrees), 0.5, 0.9, 0.95, 7)
    outcomes = {check.label: check.outcome for check in checks}
    assert outcomes == {
        0: "reached",
        1: "deferred",
        2: "too little evidence",
        3: "too little evidence",
        4: "too little evidence",  # 0.9 observed, not shown
        5: "too little evidence",
        6: "too little evidence",
    }
    assert [(check.handled, check.agreed) for check in checks[:3]] == [(200, 200), (100, 60), (9, 9)]
    assert (checks[3].handled, checks[6].handled) == (0, 0)
    lower = selection.check_labels(some_candidate(scores, predicted, agrees), 0.1, 0.9, 0.95, 7)
    assert lower[3].outcome == "deferred"


@given(st.integers(0, 200), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.99]))
@settings(max_examples=60)
def test_outcomes_are_by_the_exact_bound_and_the_observed_share(n: int, share: float, minimum: float) -> None:
    agrees = np.arange(n) < round(share * n)
    item = some_candidate(np.ones(n), np.zeros(n, np.int64), agrees, 1)
    (check,) = selection.check_labels(item, 0.5, minimum, 0.95, 1)
    if lower_bound(int(agrees.sum()), n, 0.05) >= minimum:
        assert check.outcome == "reached"
    elif n >= selection.ENOUGH_ROWS and agrees.mean() < minimum:
        assert check.outcome == "deferred"
    else:
        assert check.outcome == "too little evidence"


def test_rows_are_taken_together() -> None:
    rows = data(np.random.default_rng(0).standard_normal((30, 4)), np.arange(30) % 3, 3)
    whole = Rows.of(rows, {"a": np.eye(3, dtype=np.float32)[rows.labels]})
    part = whole.at(np.array([4, 20]))
    assert isinstance(part.neighbours, Neighbours) and part.neighbours.labels.shape == (2, rows.k)
    assert (part.probabilities["a"].argmax(axis=1) == part.labels).all() and part.n_labels == 3
    assert (part.folds == rows.folds[[4, 20]]).all()
