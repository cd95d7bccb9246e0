"""The acceptor: estimates, for each input, whether the surrogate's label is the one the teacher would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tracer_cli.core.neighbours import Neighbours
from tracer_cli.core.onnx_graph import GraphBuilder, from_lightgbm

Kind = Literal["logistic_regression", "lightgbm"]

FEATURES = (
    "top_log_odds",
    "second_probability",
    "margin",
    "entropy",
    "similarity_nearest",
    "similarity_middle",
    "similarity_farthest",
    "neighbour_vote",
    "member_agreement",
    "label_history",
)
MIN_PROBABILITY = 1e-6
MIDDLE_RANK, FARTHEST_RANK = 5, 15
# Rows of a label's history that stand for what is known of all labels together.
PRIOR_ROWS = 5.0
# No score of an input that may be handled is below this: 0 is left for those that are deferred whatever the threshold.
MIN_SCORE = 1e-9
# Trees branch at values halfway between multiples of this, where no rounding error reaches.
GRID = 1 / 256

Doubles = NDArray[np.float64]


# --- features -------------------------------------------------------------------------------------


def features(
    probabilities: NDArray[np.float32],
    neighbours: Neighbours,
    member_labels: NDArray[np.int64],
    history: Doubles,
) -> Doubles:
    """(n, len(FEATURES)) from the surrogate's probabilities (n, labels) and the neighbours of the same rows.

    top_log_odds, second_probability, margin, entropy (nats) are of the surrogate's distribution; the
    similarities are to the 1st, 5th and 15th neighbour; neighbour_vote is the share of the 15 that have the
    predicted label. member_labels: (n, members) what each model of the blend says alone; member_agreement is the
    share that says what the blend says. history: (n,) label_history of the predicted label.
    """
    values = probabilities.astype(np.float64)
    predicted = values.argmax(axis=1)
    second, top = np.partition(values, -2, axis=1)[:, -2:].T
    clipped = np.clip(top, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    near = neighbours.similarities
    k = min(FARTHEST_RANK, near.shape[1])
    return np.column_stack(
        [
            np.log(clipped) - np.log1p(-clipped),
            second,
            top - second,
            -(values * np.log(np.maximum(values, MIN_PROBABILITY))).sum(axis=1),
            near[:, 0],
            near[:, min(MIDDLE_RANK, k) - 1],
            near[:, k - 1],
            (neighbours.labels[:, :k] == predicted[:, None]).mean(axis=1),
            (member_labels == predicted[:, None]).mean(axis=1),
            history,
        ]
    )


def label_history(predicted: NDArray[np.int64], agrees: NDArray[np.bool_], n_labels: int) -> Doubles:
    """(n_labels,) log-odds of agreement where each label was predicted, drawn towards that of all rows."""
    overall = (agrees.sum() + 1) / (len(agrees) + 2)
    right = np.bincount(predicted, agrees, n_labels) + PRIOR_ROWS * overall
    share = right / (np.bincount(predicted, minlength=n_labels) + PRIOR_ROWS)
    return np.asarray(np.log(share) - np.log1p(-share), np.float64)


def out_of_fold_history(
    predicted: NDArray[np.int64], agrees: NDArray[np.bool_], folds: NDArray[np.int64], n_labels: int
) -> Doubles:
    """(n,) the history of each row's predicted label in the other folds."""
    result = np.empty(len(predicted))
    for fold in np.unique(folds):
        held = folds == fold
        result[held] = label_history(predicted[~held], agrees[~held], n_labels)[predicted[held]]
    return result


# --- models ---------------------------------------------------------------------------------------


class Acceptor(Protocol):
    def score(self, values: Doubles) -> Doubles:
        """(n,) accept scores in [0, 1], the estimated probability of agreement, from (n, features)."""
        ...

    def add_to(self, graph: GraphBuilder, values: str, prefix: str) -> str:
        """Add the computation to `graph`; returns the name of the scores (rows, 1)."""
        ...


@dataclass(frozen=True)
class Logistic:
    """score = sigmoid(features @ weights + bias)."""

    weights: Doubles
    bias: float

    def score(self, values: Doubles) -> Doubles:
        from scipy.special import expit

        return np.asarray(expit(values @ self.weights + self.bias), np.float64)

    def add_to(self, graph: GraphBuilder, values: str, prefix: str) -> str:
        weights = graph.constant(f"{prefix}weights", self.weights.astype(np.float32)[:, None])
        product = graph.node("MatMul", [values, weights], f"{prefix}linear")
        logit = graph.node("Add", [product, graph.constant(f"{prefix}bias", self.bias)], f"{prefix}logit")
        return graph.node("Sigmoid", [logit], f"{prefix}score")


@dataclass(frozen=True)
class Trees:
    """Boosted trees (LightGBM) on features that are rounded to GRID."""

    model: Any

    def score(self, values: Doubles) -> Doubles:
        return np.asarray(self.model.predict_proba(_on_grid(values))[:, 1], np.float64)

    def add_to(self, graph: GraphBuilder, values: str, prefix: str) -> str:
        steps = graph.node("Mul", [values, graph.constant(f"{prefix}grid", 1 / GRID)], f"{prefix}steps")
        rounded = graph.node("Round", [steps], f"{prefix}rounded")
        model = from_lightgbm(self.model, "features", len(FEATURES))
        both = graph.splice(model, f"{prefix}trees_", {"features": rounded}, "probabilities")
        column = graph.constant(f"{prefix}column", [1])
        return graph.node("Gather", [both, column], f"{prefix}score", axis=1)


def fit(values: Doubles, agrees: NDArray[np.bool_], kind: Kind = "logistic_regression") -> Acceptor:
    """Fit on (n, features) and whether each row agrees (n,); a constant where all rows agree or none does."""
    if agrees.all() or not agrees.any():
        share = (agrees.sum() + 1) / (len(agrees) + 2)
        return Logistic(np.zeros(values.shape[1]), float(np.log(share / (1 - share))))
    if kind == "lightgbm":
        from lightgbm import LGBMClassifier

        trees = LGBMClassifier(
            n_estimators=60,
            learning_rate=0.1,
            num_leaves=7,
            min_child_samples=max(5, len(values) // 50),
            n_jobs=1,
            deterministic=True,
            force_row_wise=True,
            verbose=-1,
        )
        return Trees(trees.fit(_on_grid(values), agrees.astype(np.int64)))
    from sklearn.linear_model import LogisticRegression

    mean, scale = values.mean(axis=0), values.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    model = LogisticRegression(C=1.0, solver="newton-cholesky").fit((values - mean) / scale, agrees)
    weights = model.coef_[0] / scale
    return Logistic(weights, float(model.intercept_[0] - weights @ mean))


def out_of_fold_scores(
    values: Doubles, agrees: NDArray[np.bool_], folds: NDArray[np.int64], kind: Kind = "logistic_regression"
) -> Doubles:
    """(n,) scores, each from an acceptor that was fitted on the other folds' rows, none below MIN_SCORE."""
    scores = np.empty(len(values), np.float64)
    for fold in np.unique(folds):
        held = folds == fold
        scores[held] = fit(values[~held], agrees[~held], kind).score(values[held])
    return np.maximum(scores, MIN_SCORE)


def _on_grid(values: Doubles) -> Doubles:
    return np.rint(values / GRID)
