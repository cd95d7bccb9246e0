"""The acceptor: features that mean what they say, nothing from the own fold, and the same scores in ONNX."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from tracer_cli.core import acceptor
from tracer_cli.core.acceptor import FEATURES, Acceptor, Trees
from tracer_cli.core.neighbours import Neighbours
from tracer_cli.core.onnx_graph import GraphBuilder, float_output, to_bytes
from tracer_cli.core.onnx_session import session


def some_rows(n: int, k: int = 30, n_labels: int = 4, seed: int = 0) -> tuple[np.ndarray, Neighbours, np.ndarray]:
    """Probabilities, neighbours, and what three members of a blend say."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(n_labels, 0.4), n).astype(np.float32)
    similarities = -np.sort(-rng.uniform(-1, 1, (n, k)).astype(np.float32), axis=1)
    near = Neighbours(similarities, rng.integers(0, n_labels, (n, k)))
    return probabilities, near, rng.integers(0, n_labels, (n, 3))


@given(st.integers(1, 20), st.integers(1, 30), st.integers(2, 6), st.integers(0, 99))
@settings(max_examples=40)
def test_features_are_what_they_are_called(n: int, k: int, n_labels: int, seed: int) -> None:
    probabilities, near, members = some_rows(n, k, n_labels, seed)
    past = np.random.default_rng(seed).standard_normal(n)
    values = acceptor.features(probabilities, near, members, past)
    assert values.shape == (n, len(FEATURES)) and values.dtype == np.float64
    for i in range(n):
        ordered = np.sort(probabilities[i].astype(np.float64))
        top, said = min(ordered[-1], 1 - acceptor.MIN_PROBABILITY), probabilities[i].argmax()
        expected = {
            "top_log_odds": np.log(top / (1 - top)),
            "second_probability": ordered[-2],
            "margin": ordered[-1] - ordered[-2],
            "entropy": entropy(ordered + 1e-300),
            "similarity_nearest": near.similarities[i, 0],
            "similarity_middle": near.similarities[i, min(5, k) - 1],
            "similarity_farthest": near.similarities[i, min(15, k) - 1],
            "neighbour_vote": (near.labels[i, :15] == said).mean(),
            "member_agreement": sum(label == said for label in members[i]) / 3,
            "label_history": past[i],
        }
        assert dict(zip(FEATURES, values[i], strict=True)) == pytest.approx(expected, abs=1e-4)


def test_certainty_and_ignorance_are_finite() -> None:
    probabilities = np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]], np.float32)
    near = Neighbours(np.ones((2, 1), np.float32), np.zeros((2, 1), np.int64))
    values = acceptor.features(probabilities, near, np.zeros((2, 1), np.int64), np.zeros(2))
    assert np.isfinite(values).all()
    assert values[0, 0] > 10 and values[1, 0] == pytest.approx(np.log(0.5), abs=1e-5)


# --- label history ----------------------------------------------------------------------------------


def test_history_is_the_labels_own_share_drawn_towards_that_of_all() -> None:
    predicted = np.array([0] * 1000 + [1] * 1000 + [2])
    agrees = np.concatenate([np.arange(1000) < 900, np.arange(1000) < 500, [True]])
    shares = 1 / (1 + np.exp(-acceptor.label_history(predicted, agrees, 4)))
    overall = agrees.mean()
    assert shares[:2] == pytest.approx([0.9, 0.5], abs=0.01)
    assert overall < shares[2] < 0.8  # one row says little
    assert shares[3] == pytest.approx(overall, abs=0.01)  # never predicted


@given(st.integers(1, 60), st.integers(1, 5), st.floats(0, 1), st.integers(0, 99))
def test_history_is_always_finite(n: int, n_labels: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = acceptor.label_history(rng.integers(0, n_labels, n), rng.random(n) < share, n_labels)
    assert found.shape == (n_labels,) and np.isfinite(found).all()


@given(st.integers(0, 99), st.integers(0, 2))
@settings(max_examples=30)
def test_history_never_uses_the_own_fold(seed: int, fold: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, agrees, folds = rng.integers(0, 4, 60), rng.random(60) < 0.7, rng.permutation(np.arange(60) % 3)
    before = acceptor.out_of_fold_history(predicted, agrees, folds, 4)
    held = folds == fold
    after = acceptor.out_of_fold_history(predicted, agrees ^ held, folds, 4)
    assert (before[held] == after[held]).all()
    assert (before[~held] != after[~held]).any()
    others = acceptor.label_history(predicted[~held], agrees[~held], 4)
    assert (before[held] == others[predicted[held]]).all()


# --- scores -----------------------------------------------------------------------------------------


def learnable(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Feature values, agreement that depends on them, folds."""
    probabilities, near, members = some_rows(n, seed=seed)
    values = acceptor.features(probabilities, near, members, np.zeros(n))
    rng = np.random.default_rng(seed + 1)
    return values, rng.random(n) < 1 / (1 + np.exp(-values[:, 0])), rng.permutation(np.arange(n) % 4)


@pytest.mark.parametrize("kind", ["logistic_regression", "lightgbm"])
def test_scores_learn_and_never_from_the_own_fold(kind: acceptor.Kind) -> None:
    values, agrees, folds = learnable(400)
    scores = acceptor.out_of_fold_scores(values, agrees, folds, kind)
    assert scores[agrees].mean() > scores[~agrees].mean() + 0.1
    assert ((scores >= acceptor.MIN_SCORE) & (scores <= 1)).all()
    held = folds == 2
    again = acceptor.out_of_fold_scores(values, agrees ^ held, folds, kind)
    assert (again[held] == scores[held]).all()
    assert (again[~held] != scores[~held]).any()


@pytest.mark.parametrize("kind", ["logistic_regression", "lightgbm"])
def test_noise_cannot_be_scored_out_of_fold(kind: acceptor.Kind) -> None:
    values, _, folds = learnable(2000)
    agrees = np.random.default_rng(9).random(2000) < 0.5
    scores = acceptor.out_of_fold_scores(values, agrees, folds, kind)
    assert abs(agrees[scores > np.median(scores)].mean() - 0.5) < 4 * np.sqrt(0.25 / 1000)


@pytest.mark.parametrize("kind", ["logistic_regression", "lightgbm"])
@pytest.mark.parametrize("constant", [True, False])
def test_the_acceptor_is_constant_where_there_is_nothing_to_learn(kind: acceptor.Kind, constant: bool) -> None:
    values = np.random.default_rng(0).standard_normal((50, len(FEATURES)))
    for share in (0, 1):
        scores = acceptor.out_of_fold_scores(values, np.full(50, bool(share)), np.arange(50) % 5, kind)
        assert len(set(scores)) == 1 and (scores[0] > 0.9) == bool(share)
    if constant:  # equal features, mixed agreement
        scores = acceptor.fit(np.ones((50, len(FEATURES))), np.arange(50) % 5 > 0, kind).score(values * 0 + 1)
        assert scores == pytest.approx(np.full(50, 0.8), abs=0.05)


def test_an_input_unlike_all_others_is_scored_without_a_warning() -> None:
    """All similarities equal but for rounding, and one row far away: its logit is huge, which is no accident."""
    rng = np.random.default_rng(0)
    values, agrees, folds = learnable(200)
    nearest = FEATURES.index("similarity_nearest")
    values[:, nearest] = 1 + 6e-8 * rng.integers(-1, 2, 200)
    values[7, nearest] = 0.0
    agrees |= values[:, nearest] > 1
    scores = acceptor.out_of_fold_scores(values, agrees, folds)
    assert ((scores >= acceptor.MIN_SCORE) & (scores <= 1)).all()


# --- export -----------------------------------------------------------------------------------------


def exported(model: Acceptor) -> bytes:
    graph = GraphBuilder("acceptor")
    graph.node("Identity", [model.add_to(graph, "values", "a_")], "scores")
    values = onnx.helper.make_tensor_value_info("values", onnx.TensorProto.FLOAT, ["rows", len(FEATURES)])
    return to_bytes(graph.model([values], [float_output("scores", ["rows", 1])]))


def off_the_edges(values: np.ndarray) -> np.ndarray:
    """Where rounding to the trees' grid is not decided by the last bit."""
    steps = values.astype(np.float32).astype(np.float64) / acceptor.GRID
    return np.asarray((np.abs(steps - np.floor(steps) - 0.5) > 1e-3).all(axis=1))


@pytest.mark.parametrize("kind", ["logistic_regression", "lightgbm"])
@pytest.mark.parametrize("n", [8, 30, 400])
def test_the_export_gives_the_same_scores(kind: acceptor.Kind, n: int) -> None:
    values, agrees, _ = learnable(n)
    agrees[:2] = True, False
    model = acceptor.fit(values, agrees, kind)
    assert isinstance(model, Trees) == (kind == "lightgbm")
    queries = np.concatenate([learnable(500, seed=3)[0], values])
    queries = queries[off_the_edges(queries)]
    assert len(queries) > 0.9 * (500 + n)
    opened, expected = session(exported(model)), model.score(queries)
    for rows in (0, 1, len(queries)):
        scores = opened.run(["scores"], {"values": queries[:rows].astype(np.float32)})[0]
        assert scores.shape == (rows, 1)
        assert scores[:, 0] == pytest.approx(expected[:rows], abs=1e-5)
    assert exported(model) == exported(acceptor.fit(values, agrees, kind))
