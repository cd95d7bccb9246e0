"""The policy graph is, row by row, the computation in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from tracer_cli.core import acceptor, neighbours, policy, policy_graph, surrogates
from tracer_cli.core.folds import assign_folds
from tracer_cli.core.onnx_session import session


def make(rows: int, labels: int, dim: int, seed: int, kind: str = "logistic_regression"):
    rng = np.random.default_rng(seed)
    targets = np.arange(rows) % labels
    vectors = (rng.standard_normal((labels, dim))[targets] + rng.standard_normal((rows, dim))).astype(np.float32)
    folds = assign_folds(targets, 4, 0)
    specs = {
        "logistic_regression": {"C": 1.0, "max_iter": 200},
        "lightgbm": {"n_estimators": 10, "learning_rate": 0.1, "num_leaves": 4, "components": 6},
    }
    fitted = surrogates.cross_fit(kind, specs[kind], vectors, targets, labels, folds, 0)
    unit = neighbours.unit_rows(vectors)
    k = neighbours.neighbour_count(folds)
    values = acceptor.features(fitted.out_of_fold, neighbours.out_of_fold(unit, targets, folds, k))
    gate = acceptor.fit(values, fitted.out_of_fold.argmax(axis=1) == targets)
    reference = policy_graph.Reference(unit, targets, k)
    surrogate = surrogates.export(fitted.final, vectors)
    graph = policy_graph.build(surrogate, reference, gate)
    return session(surrogate), reference, gate, graph


@pytest.mark.parametrize("kind", ["logistic_regression", "lightgbm"])
@pytest.mark.parametrize(("rows", "labels"), [(8, 2), (60, 2), (400, 30), (300, 150)])
def test_graph_equals_reference(kind: str, rows: int, labels: int) -> None:
    surrogate, reference, gate, graph = make(rows, labels, 16, 1, kind)
    queries = np.random.default_rng(2).standard_normal((1100, 16)).astype(np.float32) * 3
    got = policy.run(session(graph), queries)
    # The surrogate's own export is tested elsewhere; here it is the input of both.
    probabilities = surrogate.run(["probabilities"], {"vectors": queries})[0]
    expected = policy_graph.reference_outputs(probabilities, neighbours.unit_rows(queries), reference, gate)
    top_two = np.sort(probabilities, axis=1)[:, -2:]
    clear = top_two[:, 1] - top_two[:, 0] > 1e-6  # elsewhere the order of summation decides which label is first
    assert clear.mean() > 0.95
    assert (got.labels == expected.labels)[clear].all()
    assert got.accept_scores[clear] == pytest.approx(expected.accept_scores[clear], abs=1e-4)
    assert got.distances == pytest.approx(expected.distances, abs=1e-5)
    assert ((got.accept_scores >= 0) & (got.accept_scores <= 1)).all()


@given(st.integers(0, 1000), st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_one_by_one_equals_batch(seed: int, rows: int) -> None:
    graph = test_one_by_one_equals_batch.graph  # type: ignore[attr-defined]
    queries = np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32)
    batch = policy.run(graph, queries)
    single = [policy.run(graph, queries[i : i + 1]) for i in range(rows)]
    assert [int(s.labels[0]) for s in single] == batch.labels.tolist()
    assert [float(s.accept_scores[0]) for s in single] == pytest.approx(batch.accept_scores.tolist(), abs=1e-5)


test_one_by_one_equals_batch.graph = session(make(200, 6, 16, 3)[3])  # type: ignore[attr-defined]


def test_a_zero_vector_and_no_rows_are_no_special_case() -> None:
    run_session = session(make(60, 3, 16, 1)[3])
    assert np.isfinite(policy.run(run_session, np.zeros((1, 16), np.float32)).accept_scores).all()
    assert policy.run(run_session, np.zeros((0, 16), np.float32)).labels.shape == (0,)


def test_the_same_parts_give_the_same_bytes() -> None:
    assert make(60, 3, 16, 1)[3] == make(60, 3, 16, 1)[3]


def test_neighbours_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    reference = neighbours.unit_rows(rng.standard_normal((500, 8)).astype(np.float32))
    queries = neighbours.unit_rows(rng.standard_normal((77, 8)).astype(np.float32))
    labels = rng.integers(0, 5, 500)
    found = neighbours.find(queries, reference, labels, 15, block=10)
    distances, rows = NearestNeighbors(n_neighbors=15, metric="cosine").fit(reference).kneighbors(queries)
    assert found.similarities == pytest.approx(1 - distances, abs=1e-5)
    assert (found.labels == labels[rows]).mean() > 0.999  # equal similarities may come in another order


def test_out_of_fold_neighbours_never_come_from_the_own_fold() -> None:
    """Every row has an exact copy in its own fold and none elsewhere."""
    rng = np.random.default_rng(0)
    half = neighbours.unit_rows(rng.standard_normal((60, 32)).astype(np.float32))
    vectors, folds = np.concatenate([half, half]), np.tile(np.arange(60) % 3, 2)
    found = neighbours.out_of_fold(vectors, np.zeros(120, np.int64), folds, 5)
    assert found.similarities.max() < 0.99


def test_beyond_the_limit_the_reference_is_thinned_evenly() -> None:
    rows = neighbours.reference_rows(np.arange(1000), limit=100)
    assert len(np.unique(rows)) == 100 and rows[0] == 0 and rows[-1] == 999
    assert neighbours.reference_rows(np.arange(50), limit=100).tolist() == list(range(50))


def test_the_acceptor_is_constant_where_there_is_nothing_to_learn() -> None:
    values = np.random.default_rng(0).standard_normal((50, len(acceptor.FEATURES)))
    for agrees in (np.ones(50, bool), np.zeros(50, bool)):
        scores = acceptor.out_of_fold_scores(values, agrees, np.arange(50) % 5)
        assert len(set(scores)) == 1
        assert (scores[0] > 0.9) == agrees[0]
