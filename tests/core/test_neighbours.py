"""Neighbours: exact, never from the own fold, ties as in ONNX, and a bounded set of rows to look among."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neighbors import NearestNeighbors

from core.synthetic import clusters, data
from tracer_cli.core import neighbours
from tracer_cli.core.onnx_graph import GraphBuilder, to_bytes
from tracer_cli.core.onnx_session import session


def test_neighbours_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    reference = neighbours.unit_rows(rng.standard_normal((500, 8)).astype(np.float32))
    queries = neighbours.unit_rows(rng.standard_normal((77, 8)).astype(np.float32))
    labels = rng.integers(0, 5, 500)
    found = neighbours.find(queries, reference, labels, 15, block=10)
    distances, rows = NearestNeighbors(n_neighbors=15, metric="cosine").fit(reference).kneighbors(queries)
    assert found.similarities == pytest.approx(1 - distances, abs=1e-5)
    assert (found.labels == labels[rows]).mean() > 0.99  # equal similarities may come in another order


def test_unit_rows_have_length_one_and_the_direction_of_the_vectors() -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 64)).astype(np.float32)
    before = vectors.copy()
    for scale in (1e-20, 1.0, 1e20):
        unit = neighbours.unit_rows(vectors * np.float32(scale))
        assert unit.dtype == np.float32
        assert np.linalg.norm(unit, axis=1) == pytest.approx(np.ones(50), abs=1e-5)
        cosine = (unit * vectors).sum(axis=1) / np.linalg.norm(vectors, axis=1)
        assert cosine.min() > 0.999
    assert (vectors == before).all()
    assert (neighbours.unit_rows(np.zeros((2, 3), np.float32)) == 0).all()
    assert neighbours.unit_rows(np.zeros((0, 3), np.float32)).shape == (0, 3)


# --- ties -------------------------------------------------------------------------------------------


def top_k(similarity: np.ndarray, k: int) -> np.ndarray:
    graph = GraphBuilder("top")
    graph.nodes.append(onnx.helper.make_node("TopK", ["x", graph.constant("k", [k])], ["v", "i"], axis=1))
    columns = similarity.shape[1]
    model = graph.model(
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["rows", columns])],
        [onnx.helper.make_tensor_value_info("i", onnx.TensorProto.INT64, ["rows", k])],
    )
    return np.asarray(session(to_bytes(model)).run(["i"], {"x": similarity})[0])


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 40)),
        elements=st.sampled_from([-0.5, 0.0, 0.25, np.float32(0.9), 1.0]),
    ),
    st.data(),
)
def test_equals_come_in_the_order_of_the_rows_as_in_onnx(similarity: np.ndarray, drawn: st.DataObject) -> None:
    k = drawn.draw(st.integers(1, similarity.shape[1]))
    places = np.arange(similarity.shape[1])
    found = neighbours.nearest(similarity, places, k)
    expected = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    assert (found.labels == expected).all()
    assert (top_k(similarity, k) == expected).all()
    assert (found.similarities == np.take_along_axis(similarity, expected, axis=1)).all()


def test_ties_across_the_last_place_go_to_the_first_rows() -> None:
    """More rows than places tie for the last place: which of them are taken must not be left to a partition."""
    similarity = np.full((3, 2000), 0.5, np.float32)
    similarity[:, 1500] = 0.9
    expected = [1500, *range(14)]
    assert (neighbours.nearest(similarity, np.arange(2000), 15).labels == expected).all()


# --- out of fold ------------------------------------------------------------------------------------


def test_out_of_fold_neighbours_never_come_from_the_own_fold() -> None:
    """Every row has an exact copy in its own fold and none elsewhere."""
    rng = np.random.default_rng(0)
    half = neighbours.unit_rows(rng.standard_normal((60, 32)).astype(np.float32))
    vectors, folds = np.concatenate([half, half]), np.tile(np.arange(60) % 3, 2)
    found = neighbours.out_of_fold(vectors, folds.astype(np.int64), folds, 5)
    assert found.similarities.max() < 0.99
    assert (found.labels != folds[:, None]).all()


def test_out_of_fold_neighbours_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = clusters(300, 4)
    monkeypatch.setattr(neighbours, "MAX_REFERENCE", 40)
    found = neighbours.out_of_fold(rows.unit, np.arange(300), rows.folds, 10)
    for fold in range(4):
        seen = np.unique(found.labels[rows.folds == fold])
        assert len(seen) <= 40 and (rows.folds[seen] != fold).all()


def test_as_many_neighbours_as_the_smallest_reference_has() -> None:
    assert neighbours.neighbour_count(np.arange(100) % 5) == neighbours.NEIGHBOURS
    assert neighbours.neighbour_count(np.arange(8) % 4) == 6
    assert neighbours.neighbour_count(np.array([0] * 90 + [1] * 4)) == 4
    rows = data(np.random.default_rng(0).standard_normal((8, 3)), np.arange(8) % 2, 2)
    assert rows.out_of_fold_neighbours.labels.shape == (8, 6) and rows.k == 6


# --- the reference rows -----------------------------------------------------------------------------


@given(st.integers(1, 900), st.integers(1, 60), st.integers(0, 200), st.integers(0, 400))
def test_reference_rows_are_bounded_unique_and_evenly_spread(rows: int, landmarks: int, more: int, rest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        exact = landmarks + more
        patch.setattr(neighbours, "LANDMARKS", landmarks)
        patch.setattr(neighbours, "EXACT", exact)
        patch.setattr(neighbours, "MAX_REFERENCE", exact + rest)
        reference = neighbours.reference_rows(rows)
        assert len(reference) == min(rows, exact + rest) == len(set(reference))
        assert reference.min() >= 0 and reference.max() < rows
        count = neighbours.landmark_count(rows)
        if rows <= exact:
            assert reference.tolist() == list(range(rows)) and count == rows
            return
        assert count == landmarks
        for part in (np.sort(reference), reference[:count]):
            steps = np.diff(part)
            assert (steps > 0).all()
            even = (rows - 1) / max(len(part) - 1, 1)
            assert len(steps) == 0 or (abs(steps - even) <= 1 + even / 2).all()
        assert (np.diff(reference[count:]) > 0).all()
        assert (reference == neighbours.reference_rows(rows)).all()


def test_the_real_limits() -> None:
    assert neighbours.LANDMARKS <= neighbours.EXACT <= neighbours.MAX_REFERENCE
    for rows in (neighbours.EXACT, neighbours.EXACT + 1, neighbours.MAX_REFERENCE + 1, 200_000):
        reference = neighbours.reference_rows(rows)
        assert len(np.unique(reference)) == len(reference) == min(rows, neighbours.MAX_REFERENCE)
        assert reference[0] == 0 and reference.max() == rows - 1


def test_thinning_keeps_order_and_both_ends() -> None:
    candidates = np.arange(1000) * 3
    kept = neighbours.thinned(candidates, 100)
    assert len(np.unique(kept)) == 100 and kept[0] == 0 and kept[-1] == 2997 and (np.diff(kept) > 0).all()
    assert (neighbours.thinned(candidates, 1000) == candidates).all()
