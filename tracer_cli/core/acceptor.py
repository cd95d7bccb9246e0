"""The acceptor: estimates, for each input, whether the surrogate's label is the one the teacher would give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracer_cli.core.neighbours import Neighbours

FEATURES = (
    "top_log_odds",
    "second_probability",
    "margin",
    "entropy",
    "similarity_nearest",
    "similarity_middle",
    "similarity_farthest",
    "neighbour_vote",
)
MIN_PROBABILITY = 1e-6
MIDDLE_RANK = 5


def features(probabilities: NDArray[np.float32], neighbours: Neighbours) -> NDArray[np.float64]:
    """(n, len(FEATURES)) from the surrogate's probabilities (n, labels) and the neighbours of the same rows.

    top_log_odds, second_probability, margin, entropy (nats) are of the surrogate's distribution; the
    similarities are to the 1st, 5th and last neighbour; neighbour_vote is the share of neighbours that
    have the predicted label.
    """
    values = probabilities.astype(np.float64)
    predicted = values.argmax(axis=1)
    second, top = np.partition(values, -2, axis=1)[:, -2:].T
    clipped = np.clip(top, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    similarities = neighbours.similarities
    k = similarities.shape[1]
    return np.column_stack(
        [
            np.log(clipped) - np.log1p(-clipped),
            second,
            top - second,
            -(values * np.log(np.maximum(values, MIN_PROBABILITY))).sum(axis=1),
            similarities[:, 0],
            similarities[:, min(MIDDLE_RANK, k) - 1],
            similarities[:, k - 1],
            (neighbours.labels == predicted[:, None]).mean(axis=1),
        ]
    )


@dataclass(frozen=True)
class Acceptor:
    """score = sigmoid(features @ weights + bias)."""

    weights: NDArray[np.float64]
    bias: float

    def score(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) accept scores in [0, 1]: the estimated probability of agreement."""
        return np.asarray(1.0 / (1.0 + np.exp(-(values @ self.weights + self.bias))), np.float64)


def fit(values: NDArray[np.float64], agrees: NDArray[np.bool_]) -> Acceptor:
    """Logistic regression on standardised features; a constant where all rows agree or none does."""
    mean, scale = values.mean(axis=0), values.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    if agrees.all() or not agrees.any():
        share = np.clip(agrees.mean(), 1 / (len(agrees) + 2), 1 - 1 / (len(agrees) + 2))
        return Acceptor(np.zeros(values.shape[1]), float(np.log(share / (1 - share))))
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=1000).fit((values - mean) / scale, agrees)
    weights = model.coef_[0] / scale
    return Acceptor(weights, float(model.intercept_[0] - weights @ mean))


def out_of_fold_scores(
    values: NDArray[np.float64], agrees: NDArray[np.bool_], folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n,) scores, each from an acceptor that was fitted on the other folds' rows."""
    scores = np.empty(len(values), np.float64)
    for fold in np.unique(folds):
        held = folds == fold
        scores[held] = fit(values[~held], agrees[~held]).score(values[held])
    return scores
