"""The policy graph is, row by row, the computation in numpy."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.synthetic import FIXED, clusters, cross, data
from tracer_cli.core import acceptor, calibration, cascade, neighbours, policy, policy_graph, selection, surrogates
from tracer_cli.core.acceptor import MIN_SCORE
from tracer_cli.core.cascade import SECOND
from tracer_cli.core.frontier import Proposal
from tracer_cli.core.neighbours import Neighbours
from tracer_cli.core.onnx_session import session
from tracer_cli.core.policy import Decisions
from tracer_cli.core.policy_graph import Policy
from tracer_cli.core.selection import Blend, Filters, Rows
from tracer_cli.core.surrogates import CrossFit, FitData


@cache
def member(kind: str, rows: int, labels: int, dim: int, noise: float) -> CrossFit:
    settings = FIXED[kind] | ({"n_estimators": 6} if "n_estimators" in FIXED[kind] else {})
    return cross(kind, fit_rows(rows, labels, dim, noise), settings)


@cache
def fit_rows(rows: int, labels: int, dim: int, noise: float) -> FitData:
    return clusters(rows, labels, dim, noise)


@dataclass(frozen=True)
class Built:
    data: FitData
    policy: Policy
    zoo: Mapping[str, CrossFit]
    models: Mapping[str, bytes]

    def graph(self) -> bytes:
        return policy_graph.build(self.policy, self.models)

    def members(self, queries: np.ndarray) -> dict[str, np.ndarray]:
        return {name: surrogates.predict(item.final, self.data, queries) for name, item in self.zoo.items()}


def build(
    rows: FitData,
    zoo: dict[str, CrossFit],
    blend: Blend,
    kind: acceptor.Kind = "logistic_regression",
    filters: Filters | None = None,
    stages: int = 1,
) -> Built:
    """A policy as calibrate makes it; with two stages the first hands over about its less sure half."""
    filters = filters or Filters(None, np.zeros(rows.n_labels, bool))
    first = selection.candidate(blend, Rows.of(rows, {name: item.out_of_fold for name, item in zoo.items()}), kind)
    two = None
    if stages == 2:
        middle = np.array([float(np.median(first.scores))])
        proposal = Proposal(0.9, middle, np.array([0.5]), np.array([1.0]), 0.5, 1.0)
        two = cascade.build(first, proposal, rows, 0, kind)
        assert two is not None
        zoo = {**zoo, SECOND: two.fitted}
    made = calibration._policy(rows, first, two, filters, kind)
    used = {name: item for name, item in zoo.items() if name in blend or name == SECOND}
    return Built(rows, made, used, {name: surrogates.export(item.final, rows) for name, item in used.items()})


def near(built: Built, queries: np.ndarray) -> tuple[Neighbours, np.ndarray]:
    """Neighbours, and where no rounding decides who they are."""
    reference = built.policy.reference
    similarity = neighbours.unit_rows(queries) @ neighbours.unit_rows(reference.vectors).T
    ordered = -np.sort(-similarity, axis=1)
    clear = np.ones(len(queries), bool)
    for place in {min(15, reference.k), reference.k}:
        if place < ordered.shape[1]:
            clear &= ordered[:, place - 1] - ordered[:, place] > 1e-5
    return neighbours.nearest(similarity, reference.labels, reference.k), clear


def sure(probabilities: np.ndarray) -> np.ndarray:
    """Where the order of summation does not decide which label is first."""
    top = np.sort(probabilities, axis=1)
    return np.asarray(top[:, -1] - top[:, -2] > 1e-4)


def not_on_an_edge(trees: acceptor.Trees, values: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Where rounding moves no feature across the edge of a grid cell at which the trees branch."""
    scores, clear = trees.score(values), np.ones(len(values), bool)
    for by in (-2e-7, 2e-7):
        moved = values + 10 * by
        near_one = np.clip(top + by, acceptor.MIN_PROBABILITY, 1 - acceptor.MIN_PROBABILITY)
        moved[:, 0] = np.log(near_one / (1 - near_one))  # magnifies the last bit of a probability
        clear &= np.abs(trees.score(moved) - scores) < 1e-9
    return clear


def check(built: Built, queries: np.ndarray, enough: float = 0.9) -> Decisions:
    """Graph against numpy, on all rows but those where the last bit decides."""
    got = policy.run(session(built.graph()), queries)
    members, (found, clear) = built.members(queries), near(built, queries)
    expected = policy_graph.reference_outputs(built.policy, members, found)
    single = policy_graph.reference_outputs(Policy(*_first(built.policy)), members, found)
    for stage in built.policy.stages:
        mixed = selection.blended(members, stage.blend)
        clear &= sure(mixed)
        for name in stage.blend:
            clear &= sure(members[name])
        if isinstance(stage.acceptor, acceptor.Trees):
            alone = np.column_stack([members[name].argmax(axis=1) for name in stage.blend])
            values = acceptor.features(mixed, found, alone, stage.history[mixed.argmax(axis=1)])
            clear &= not_on_an_edge(stage.acceptor, values, mixed.max(axis=1).astype(np.float64))
    if built.policy.switch is not None:
        trees = isinstance(built.policy.stages[0].acceptor, acceptor.Trees)
        clear &= np.abs(single.accept_scores - built.policy.switch) > (2e-6 if trees else 5e-4)
    limit = built.policy.filters.distance_limit
    if limit is not None:
        clear &= np.abs(expected.distances - limit) > 1e-5
    assert clear.mean() >= enough
    assert (got.labels == expected.labels)[clear].all()
    assert got.accept_scores[clear] == pytest.approx(expected.accept_scores[clear], abs=5e-4)
    assert ((got.accept_scores == 0) == (expected.accept_scores == 0))[clear].all()
    assert got.distances == pytest.approx(expected.distances, abs=1e-5)
    assert (got.accept_scores <= 1).all()
    assert ((got.accept_scores == 0) | (got.accept_scores >= np.float32(MIN_SCORE))).all()
    return got


def _first(whole: Policy) -> tuple:
    return whole.reference, Filters(None, np.zeros_like(whole.filters.blocked)), whole.stages[:1], None


def queries_for(rows: FitData, n: int = 600, seed: int = 2) -> np.ndarray:
    """Some like the fit rows, some like nothing, and some fit rows themselves."""
    dim = rows.vectors.shape[1]
    rng = np.random.default_rng(seed)
    like = clusters(n // 2, rows.n_labels, dim, 0.8, seed).vectors
    strange = (3 * rng.standard_normal((n // 2, dim))).astype(np.float32)
    return np.concatenate([like, strange, rows.vectors[:20]])


# --- every kind and shape ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 2), (60, 2), (400, 30)], ids=str)
@pytest.mark.parametrize("kind", FIXED)
def test_every_kind_of_member(kind: str, shape: tuple[int, int]) -> None:
    arguments = (*shape, 16, 0.6)
    built = build(fit_rows(*arguments), {kind: member(kind, *arguments)}, {kind: 1})
    # Of few trees many labels get equally many votes.
    check(built, queries_for(built.data), 0.5)


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("kind", ["logistic_regression", "lightgbm"])
@pytest.mark.parametrize("labels", [2, 12])
def test_blends_with_every_acceptor_and_number_of_stages(labels: int, kind: acceptor.Kind, stages: int) -> None:
    arguments = (240, labels, 16, 2.0 if labels == 2 else 0.9)
    rows = fit_rows(*arguments)
    kinds = ("kernel_ridge", "nearest_neighbours", "logistic_regression")
    zoo = {name: member(name, *arguments) for name in kinds}
    limit = float(np.quantile(1 - rows.out_of_fold_neighbours.similarities[:, 0], 0.9))
    filters = Filters(limit, np.arange(labels) == 1)
    built = build(
        rows, zoo, {"kernel_ridge": 3, "logistic_regression": 1, "nearest_neighbours": 2}, kind, filters, stages
    )
    got = check(built, queries_for(rows), 0.8)
    assert (got.accept_scores[got.labels == 1] == 0).all()
    assert (got.accept_scores[got.distances > limit + 1e-5] == 0).all()
    assert 0.02 < (got.accept_scores > 0).mean() < 0.98
    if stages == 2:  # both stages answer
        assert (got.accept_scores > 0.5).any() and ((got.accept_scores > 0) & (got.accept_scores < 0.5)).any()


@pytest.mark.parametrize("stages", [1, 2])
def test_rows_that_weigh_differently(stages: int) -> None:
    """The vote reads the neighbours' weights, which the graph then holds; without weights it holds none."""
    rng, plain = np.random.default_rng(0), fit_rows(240, 6, 16, 1.2)
    rows = replace(plain, weights=rng.choice([0.1, 1.0, 12.0], 240))
    blend = {"kernel_ridge": 1, "nearest_neighbours": 2}
    built = build(rows, {kind: cross(kind, rows, FIXED[kind]) for kind in blend}, blend, stages=stages)
    got = check(built, queries_for(rows), 0.8)
    without = build(plain, {kind: cross(kind, plain, FIXED[kind]) for kind in blend}, blend, stages=stages)
    assert (got.labels != check(without, queries_for(rows), 0.8).labels).mean() > 0.05
    assert b"neighbour_weights" in built.graph() and b"neighbour_weights" not in without.graph()


def test_150_labels() -> None:
    arguments = (300, 150, 24, 0.3)
    zoo = {name: member(name, *arguments) for name in ("kernel_ridge", "logistic_regression")}
    for stages in (1, 2):
        built = build(fit_rows(*arguments), zoo, {"kernel_ridge": 1, "logistic_regression": 1}, stages=stages)
        check(built, queries_for(built.data), 0.7)


@given(st.integers(8, 90), st.integers(2, 9), st.integers(2, 20), st.booleans(), st.integers(0, 99))
@settings(max_examples=15)
def test_any_shape(rows: int, labels: int, dim: int, limited: bool, seed: int) -> None:
    fit = clusters(rows, min(labels, rows // 4), dim, 0.7, seed, seed)
    names = ("kernel_ridge", "nearest_neighbours")
    zoo = {name: cross(name, fit, FIXED[name]) for name in names}
    filters = Filters(0.2 if limited else None, np.arange(fit.n_labels) == 0)
    built = build(fit, zoo, {"kernel_ridge": 1, "nearest_neighbours": 2}, filters=filters)
    check(built, queries_for(fit, 100, seed), 0.0)


# --- odd rows ---------------------------------------------------------------------------------------


def one_of_many() -> Built:
    arguments = (240, 12, 16, 0.9)
    zoo = {name: member(name, *arguments) for name in ("kernel_ridge", "nearest_neighbours")}
    filters = Filters(0.5, np.arange(12) == 3)
    return build(fit_rows(*arguments), zoo, {"kernel_ridge": 1, "nearest_neighbours": 1}, filters=filters, stages=2)


def test_ties_go_to_the_rows_that_come_first() -> None:
    """Nine copies of each of eight directions at right angles, the first five of which have other labels than the
    rest: similarities are 0 or 1, and who is near is nothing but the order."""
    vectors = np.tile(np.eye(8), (9, 1))
    labels = (np.arange(72) + (np.arange(72) >= 40)) % 4
    rows = data(vectors, labels, 4)
    zoo = {"nearest_neighbours": cross("nearest_neighbours", rows, {"k": 3, "sharpness": 20.0})}
    built = build(rows, zoo, {"nearest_neighbours": 1})
    queries = np.eye(8, dtype=np.float32)
    got = policy.run(session(built.graph()), queries)
    ordered = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, : rows.k]
    reference = built.policy.reference
    similarity = np.take_along_axis(queries @ vectors.T, ordered, axis=1).astype(np.float32)
    expected = policy_graph.reference_outputs(
        built.policy, built.members(queries), Neighbours(similarity, reference.labels[ordered])
    )
    votes = [np.bincount(row[:3], minlength=4).argmax() for row in reference.labels[ordered]]
    assert got.labels.tolist() == votes == expected.labels.tolist()
    assert got.accept_scores == pytest.approx(expected.accept_scores, abs=1e-5)
    assert got.distances == pytest.approx(np.zeros(8), abs=1e-6)


def test_zero_vectors_no_rows_and_vectors_of_any_length() -> None:
    built = one_of_many()
    opened = session(built.graph())
    zero = policy.run(opened, np.zeros((3, 16), np.float32))
    assert np.isfinite(zero.accept_scores).all() and zero.distances.tolist() == [1, 1, 1]
    assert zero.accept_scores.tolist() == [0, 0, 0]  # farther than the limit
    none = policy.run(opened, np.zeros((0, 16), np.float32))
    assert none.labels.shape == none.accept_scores.shape == none.distances.shape == (0,)
    # Members that look at nothing but angles give the same for vectors of any length.
    vectors = queries_for(built.data, 40)
    opened = session(replace(built, policy=Policy(*_first(built.policy))).graph())
    usual = policy.run(opened, vectors)
    for scale in (2.0**-40, 2.0**40):
        scaled = policy.run(opened, vectors * np.float32(scale))
        assert (scaled.labels == usual.labels).all() and (scaled.accept_scores == usual.accept_scores).all()


def test_a_limit_holds_whatever_the_score_and_none_is_no_limit() -> None:
    arguments = (240, 12, 16, 0.9)
    rows, zoo = fit_rows(*arguments), {"kernel_ridge": member("kernel_ridge", *arguments)}
    none, blocked = None, np.zeros(12, bool)
    queries = queries_for(rows)
    for limit in (none, 0.0, 0.3, 3.0):
        built = build(rows, zoo, {"kernel_ridge": 1}, filters=Filters(limit, blocked))
        got = policy.run(session(built.graph()), queries)
        away = np.abs(got.distances - (limit or 0)) > 1e-5
        assert ((got.accept_scores == 0) == (limit is not None and got.distances > (limit or 0)))[away].all()
    everything = build(rows, zoo, {"kernel_ridge": 1}, filters=Filters(none, ~blocked))
    assert (policy.run(session(everything.graph()), queries).accept_scores == 0).all()


@given(st.integers(0, 1000), st.integers(1, 9))
@settings(max_examples=20)
def test_one_by_one_equals_batch(seed: int, rows: int) -> None:
    opened = opened_once()
    queries = np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32)
    batch = policy.run(opened, queries)
    single = [policy.run(opened, queries[i : i + 1]) for i in range(rows)]
    assert [int(item.labels[0]) for item in single] == batch.labels.tolist()
    assert [float(item.accept_scores[0]) for item in single] == pytest.approx(batch.accept_scores.tolist(), abs=1e-5)
    assert [float(item.distances[0]) for item in single] == pytest.approx(batch.distances.tolist(), abs=1e-6)


@cache
def opened_once() -> object:
    return session(one_of_many().graph())


def test_rows_beyond_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = queries_for(one_of_many().data, 200)
    whole = policy.run(opened_once(), queries)
    monkeypatch.setattr(policy, "BLOCK", 7)
    parts = policy.run(opened_once(), queries)
    assert (parts.labels == whole.labels).all()
    assert parts.accept_scores == pytest.approx(whole.accept_scores, abs=1e-5)


@pytest.mark.parametrize("kind", ["logistic_regression", "lightgbm"])
def test_the_same_policy_is_the_same_bytes(kind: acceptor.Kind) -> None:
    rows = clusters(160, 3, noise=0.9)
    graphs = set()
    for _ in range(2):
        zoo = {name: cross(name, rows, FIXED[name]) for name in ("kernel_ridge", "mlp")}
        graphs.add(build(rows, zoo, {"mlp": 1, "kernel_ridge": 1}, kind, stages=2).graph())
    assert len(graphs) == 1


def test_names_of_members_are_free() -> None:
    """Not even the names of the graph's own tensors."""
    rows = clusters(120, 3)
    fitted = cross("logistic_regression", rows, FIXED["logistic_regression"])
    zoo = dict.fromkeys(("vectors", "stage1_", "label", "one", "0"), fitted)
    built = build(rows, zoo, dict.fromkeys(zoo, 1))
    check(built, queries_for(rows, 60), 0.8)


def test_the_policy_calibrated_on_more_rows_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Landmarks come first, so that a kernel model's coefficients belong to the rows that the graph multiplies with."""
    for name, value in (("EXACT", 90), ("LANDMARKS", 60), ("MAX_REFERENCE", 150)):
        monkeypatch.setattr(neighbours, name, value)
    rows = clusters(400, 5, noise=0.8)
    zoo = {name: cross(name, rows) for name in ("kernel_ridge", "nearest_neighbours")}
    built = build(rows, zoo, {"kernel_ridge": 2, "nearest_neighbours": 1})
    assert len(built.policy.reference.labels) == 150
    queries = queries_for(rows)
    got = check(built, queries, 0.8)
    like, wanted = got.labels[:300], clusters(300, 5, 16, 0.8, 2).labels
    assert (like == wanted).mean() > 0.8


def test_every_part_of_the_check_can_fail() -> None:
    """Each change to the policy is seen by `check`, so what `check` passes has none of them."""
    built = one_of_many()
    queries = queries_for(built.data)
    kept = built.policy
    wrong_stage = policy_graph.Stage({"kernel_ridge": 3, "nearest_neighbours": 1}, *_parts(kept.stages[0]))
    swapped = policy_graph.Stage(kept.stages[0].blend, kept.stages[0].acceptor, kept.stages[0].history[::-1].copy())
    assert kept.switch is not None
    others = [
        Policy(kept.reference, kept.filters, (wrong_stage, kept.stages[1]), kept.switch),
        Policy(kept.reference, kept.filters, (swapped, kept.stages[1]), kept.switch),
        Policy(kept.reference, kept.filters, kept.stages, kept.switch * 0.9),
        Policy(kept.reference, Filters(0.4, kept.filters.blocked), kept.stages, kept.switch),
        Policy(kept.reference, Filters(0.5, np.arange(12) == 4), kept.stages, kept.switch),
        Policy(kept.reference, kept.filters, kept.stages[::-1], kept.switch),
    ]
    graph = built.graph()
    for other in others:
        mixed = Built(built.data, other, built.zoo, built.models)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(AssertionError):
            patch.setattr(policy_graph, "build", lambda *_: graph)
            check(mixed, queries)
    check(built, queries)
    assert len(set(itertools.chain(built.models))) == 3


def _parts(stage: policy_graph.Stage) -> tuple:
    return stage.acceptor, stage.history
