"""What surrogates are fitted on, what they are given to predict, and what they must offer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from tracer_cli.core import neighbours
from tracer_cli.core.neighbours import Neighbours
from tracer_cli.core.onnx_graph import GraphBuilder, float_output, vectors_input

Floats = NDArray[np.float32]
BLOCK = 1024

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True)
class FitData:
    """The fit rows.

    vectors: (n, dim) float32; labels: (n,) indices into a label space of n_labels; folds: (n,) fold numbers.
    weights: (n,) positive, as how many rows each counts in training and in votes; None: each as one.
    evidence: (n,) which rows are a sample of the traffic; the others train, and nothing is measured on them. None: all.
    """

    vectors: Floats
    labels: NDArray[np.int64]
    n_labels: int
    folds: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None
    evidence: NDArray[np.bool_] | None = None

    @cached_property
    def unit(self) -> Floats:
        """(n, dim) vectors of length 1."""
        return neighbours.unit_rows(self.vectors)

    @cached_property
    def reference(self) -> NDArray[np.intp]:
        """(r,) the rows that a policy compares an input with."""
        return neighbours.reference_rows(len(self.labels))

    @cached_property
    def k(self) -> int:
        return neighbours.neighbour_count(self.folds)

    @cached_property
    def votes(self) -> Floats | None:
        """(n,) the weights as a graph holds them."""
        return None if self.weights is None else self.weights.astype(np.float32)

    @cached_property
    def out_of_fold_neighbours(self) -> Neighbours:
        return neighbours.out_of_fold(self.unit, self.labels, self.folds, self.k, self.votes)

    def at(self, rows: NDArray[np.intp]) -> FitData:
        """These rows alone, with the same label space."""
        weights = None if self.weights is None else self.weights[rows]
        evidence = None if self.evidence is None else self.evidence[rows]
        return FitData(self.vectors[rows], self.labels[rows], self.n_labels, self.folds[rows], weights, evidence)

    def judged(self, values: NDArray[Number]) -> NDArray[Number]:
        """Of `values` (n, ...) those of the rows that are evidence."""
        return values if self.evidence is None else values[self.evidence]

    def inputs(self, vectors: Floats) -> Iterator[Inputs]:
        """`vectors` (m, dim) in blocks, with what lies near them among the reference rows."""
        reference, labels = self.unit[self.reference], self.labels[self.reference]
        votes = None if self.votes is None else self.votes[self.reference]
        for start in range(0, len(vectors), BLOCK):
            rows = np.ascontiguousarray(vectors[start : start + BLOCK])
            similarity = neighbours.unit_rows(rows) @ reference.T
            yield Inputs(rows, similarity, neighbours.nearest(similarity, labels, self.k, votes))


def telling(weights: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """`weights`, or None where all are equal: what all rows have says nothing of any."""
    return None if len(weights) == 0 or (weights == weights[0]).all() else weights


@dataclass(frozen=True)
class Inputs:
    """What a surrogate may look at, each with the name of the ONNX tensor that holds the same.

    vectors: (n, dim) `vectors`; similarity: (n, r) `similarity`, cosine to each reference row;
    neighbours: (n, k) `neighbour_similarity` and `neighbour_labels`, the nearest of them, and where rows have weights
    `neighbour_weights`.
    """

    vectors: Floats
    similarity: Floats
    neighbours: Neighbours

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        tensors: dict[str, NDArray[np.generic]] = {
            "vectors": self.vectors,
            "similarity": self.similarity,
            "neighbour_similarity": self.neighbours.similarities,
            "neighbour_labels": self.neighbours.labels,
        }
        if self.neighbours.weights is not None:
            tensors["neighbour_weights"] = self.neighbours.weights
        return tensors


def onnx_inputs(names: Sequence[str], dim: int, reference_rows: int, k: int) -> list[onnx.ValueInfoProto]:
    """The graph inputs called `names`, a part of those of `Inputs`."""
    number = onnx.TensorProto.FLOAT
    known = {
        "vectors": vectors_input(dim),
        "similarity": onnx.helper.make_tensor_value_info("similarity", number, ["rows", reference_rows]),
        "neighbour_similarity": onnx.helper.make_tensor_value_info("neighbour_similarity", number, ["rows", k]),
        "neighbour_weights": onnx.helper.make_tensor_value_info("neighbour_weights", number, ["rows", k]),
        "neighbour_labels": onnx.helper.make_tensor_value_info("neighbour_labels", onnx.TensorProto.INT64, ["rows", k]),
    }
    return [known[name] for name in names]


class Surrogate(Protocol):
    """A fitted classifier over the whole label space."""

    def predict_proba(self, inputs: Inputs) -> Floats:
        """(n, n_labels) probabilities."""
        ...

    def add_to(self, graph: GraphBuilder, prefix: str) -> str:
        """Add the computation to `graph`, whose tensors are named as in `Inputs`; returns the probabilities' name."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """The tensors of `Inputs` that the computation starts from."""
        ...


@dataclass(frozen=True)
class CrossFit:
    """One zoo member.

    out_of_fold: (n, n_labels) probabilities, each row's by a model that was fitted on the other folds;
    final: fitted on all rows; average: the mean of the fold models; settings: the numbers that it was
    fitted with; converged: False when an optimiser stopped at its iteration limit.
    """

    out_of_fold: Floats
    final: Surrogate
    average: Surrogate
    settings: dict[str, float]
    converged: bool = True


@dataclass(frozen=True)
class Average:
    """The mean of the probabilities of several surrogates."""

    members: tuple[Surrogate, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for member in self.members for name in member.reads))

    def predict_proba(self, inputs: Inputs) -> Floats:
        total = np.mean([member.predict_proba(inputs) for member in self.members], axis=0, dtype=np.float32)
        return np.asarray(total, np.float32)

    def add_to(self, graph: GraphBuilder, prefix: str) -> str:
        parts = [member.add_to(graph, f"{prefix}{i}_") for i, member in enumerate(self.members)]
        return graph.node("Mean", parts, f"{prefix}mean")


def to_onnx(surrogate: Surrogate, dim: int, reference_rows: int, k: int, n_labels: int) -> onnx.ModelProto:
    """A graph of its own: the tensors that the surrogate reads -> `probabilities` (rows, n_labels)."""
    graph = GraphBuilder("surrogate")
    graph.node("Identity", [surrogate.add_to(graph, "model_")], "probabilities")
    inputs = onnx_inputs(surrogate.reads, dim, reference_rows, k)
    return graph.model(inputs, [float_output("probabilities", ["rows", n_labels])])
