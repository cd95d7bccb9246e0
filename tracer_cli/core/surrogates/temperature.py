"""Temperature scaling: one number that makes probabilities as sure as they are right (Guo et al. 2017).

It changes no label. It matters where probabilities of different models are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracer_cli.core.onnx_graph import GraphBuilder
from tracer_cli.core.surrogates.base import Floats, Inputs, Surrogate

MIN_PROBABILITY = 1e-5
RANGE = (0.05, 10.0)
MOST_ROWS = 20_000


def scaled(probabilities: Floats, temperature: float) -> Floats:
    """softmax(log p / temperature) by row."""
    logits = np.log(np.maximum(probabilities, np.float32(MIN_PROBABILITY))) / np.float32(temperature)
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    return np.asarray(logits / logits.sum(axis=1, keepdims=True), np.float32)


def fit(probabilities: Floats, labels: NDArray[np.int64]) -> float:
    """The temperature with the least negative log-likelihood; (n, labels) out-of-fold probabilities, (n,) labels."""
    from scipy.optimize import minimize_scalar

    rows = np.linspace(0, len(labels) - 1, min(len(labels), MOST_ROWS)).astype(np.intp)
    logs = np.log(np.maximum(probabilities[rows], MIN_PROBABILITY)).astype(np.float32)
    own = logs[np.arange(len(rows)), labels[rows]].astype(np.float64)
    top = logs.max(axis=1)

    def loss(log_temperature: float) -> float:
        inverse = np.float32(np.exp(-log_temperature))
        normaliser = np.log(np.exp((logs - top[:, None]) * inverse).sum(axis=1)) + top * inverse
        return float(np.mean(normaliser - own * inverse))

    found = minimize_scalar(loss, bounds=tuple(np.log(RANGE)), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))


@dataclass(frozen=True)
class Scaled:
    """A surrogate at another temperature."""

    surrogate: Surrogate
    temperature: float

    @property
    def reads(self) -> tuple[str, ...]:
        return self.surrogate.reads

    def predict_proba(self, inputs: Inputs) -> Floats:
        return scaled(self.surrogate.predict_proba(inputs), self.temperature)

    def add_to(self, graph: GraphBuilder, prefix: str) -> str:
        raw = self.surrogate.add_to(graph, f"{prefix}raw_")
        positive = graph.node("Max", [raw, graph.constant(f"{prefix}floor", MIN_PROBABILITY)], f"{prefix}positive")
        logs = graph.node("Log", [positive], f"{prefix}log")
        logits = graph.node(
            "Mul", [logs, graph.constant(f"{prefix}inverse_temperature", 1.0 / self.temperature)], f"{prefix}logits"
        )
        return graph.node("Softmax", [logits], f"{prefix}probabilities", axis=1)
