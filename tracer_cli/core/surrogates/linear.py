"""Multinomial logistic regression, and the classifier that always gives one label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracer_cli.core.onnx_graph import GraphBuilder
from tracer_cli.core.surrogates.base import Floats, Inputs

# The logit of a label that the fit rows lack.
NEVER = -1e4


@dataclass(frozen=True)
class Linear:
    """softmax(vectors @ weights + bias); weights: (dim, n_labels), bias: (n_labels,)."""

    weights: Floats
    bias: Floats

    reads = ("vectors",)

    @classmethod
    def constant(cls, label: int, dim: int, n_labels: int) -> Linear:
        bias = np.full(n_labels, NEVER, np.float32)
        bias[label] = 0
        return cls(np.zeros((dim, n_labels), np.float32), bias)

    def predict_proba(self, inputs: Inputs) -> Floats:
        logits = inputs.vectors @ self.weights + self.bias
        values = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(values / values.sum(axis=1, keepdims=True), np.float32)

    def add_to(self, graph: GraphBuilder, prefix: str) -> str:
        product = graph.node("MatMul", ["vectors", graph.constant(f"{prefix}weights", self.weights)], f"{prefix}dot")
        logits = graph.node("Add", [product, graph.constant(f"{prefix}bias", self.bias)], f"{prefix}logits")
        return graph.node("Softmax", [logits], f"{prefix}probabilities", axis=1)


def fit(
    C: float,
    max_iter: int,
    vectors: Floats,
    labels: NDArray[np.int64],
    n_labels: int,
    weights: NDArray[np.float64] | None = None,
) -> tuple[Linear, bool]:
    """Logistic regression by L-BFGS, on labels of at least two kinds, and whether it converged.

    vectors: (n, dim) float32; labels: (n,) indices below n_labels; weights: (n,) of the rows' losses.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=C, max_iter=max_iter).fit(vectors, labels, weights)
    slopes, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one logit, of the second label
        slopes, bias = np.concatenate([0 * slopes, slopes]), np.concatenate([0 * bias, bias])
    everything = np.zeros((vectors.shape[1], n_labels), np.float32)
    offsets = np.full(n_labels, NEVER, np.float32)
    everything[:, model.classes_], offsets[model.classes_] = slopes.T, bias
    return Linear(everything, offsets), bool(np.max(model.n_iter_) < max_iter)
