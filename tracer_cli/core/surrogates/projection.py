"""Fewer, whitened inputs for models whose cost grows with the number of inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from tracer_cli.core.onnx_graph import GraphBuilder
from tracer_cli.core.surrogates.base import Floats


@dataclass(frozen=True)
class Projection:
    """Whitened principal components, rounded to a grid.

    Boosted trees cost time in proportion to their inputs, so they get the leading components. A tree is a
    step function: a difference of 1e-7 between two ways to multiply matrices can move a row across a
    split. Hence double precision and a grid of 1/16 standard deviations: the trees' thresholds lie halfway
    between grid points, where no rounding error reaches, and the exported graph takes the same branches.
    """

    mean: NDArray[np.float64]
    weights: NDArray[np.float64]

    GRID = 16.0

    @classmethod
    def fit(cls, vectors: Floats, components: int) -> Projection:
        centred = vectors.astype(np.float64)
        mean = centred.mean(axis=0)
        centred -= mean
        variances, axes = np.linalg.eigh(centred.T @ centred / max(len(vectors) - 1, 1))
        keep = np.argsort(variances)[::-1][: min(components, *vectors.shape)]
        keep = keep[variances[keep] > 1e-12 * max(float(variances.max()), 1e-300)]
        if len(keep) == 0:  # all rows equal: one constant input
            return cls(mean, np.zeros((vectors.shape[1], 1)))
        return cls(mean, axes[:, keep] / np.sqrt(variances[keep]))

    def __call__(self, vectors: Floats) -> Floats:
        return np.rint((vectors.astype(np.float64) - self.mean) @ self.weights * self.GRID).astype(np.float32)

    def add_to(self, graph: GraphBuilder, prefix: str) -> str:
        double = graph.node("Cast", ["vectors"], f"{prefix}double", to=onnx.TensorProto.DOUBLE)
        centred = graph.node("Sub", [double, graph.constant(f"{prefix}mean", self.mean)], f"{prefix}centred")
        scaled = graph.node(
            "MatMul", [centred, graph.constant(f"{prefix}weights", self.weights * self.GRID)], f"{prefix}scaled"
        )
        rounded = graph.node("Round", [scaled], f"{prefix}rounded")
        return graph.node("Cast", [rounded], f"{prefix}inputs", to=onnx.TensorProto.FLOAT)
