"""The vote of the nearest fit rows, weighted by similarity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracer_cli.core.neighbours import Neighbours
from tracer_cli.core.onnx_graph import GraphBuilder
from tracer_cli.core.surrogates.base import CrossFit, FitData, Floats, Inputs
from tracer_cli.core.surrogates.search import best

SHARPNESS = (10.0, 20.0, 40.0)
# What every label gets before the votes are counted.
PRIOR = 1e-4


@dataclass(frozen=True)
class Vote:
    """Of the `k` nearest rows each gives its label exp(sharpness * (cosine - that of the nearest)), times its weight
    where rows have one."""

    k: int
    sharpness: float
    n_labels: int
    weighted: bool = False

    @property
    def reads(self) -> tuple[str, ...]:
        return ("neighbour_similarity", "neighbour_labels", *(["neighbour_weights"] if self.weighted else []))

    def predict_proba(self, inputs: Inputs) -> Floats:
        return self.count(inputs.neighbours)

    def count(self, neighbours: Neighbours) -> Floats:
        similarities, labels = neighbours.similarities[:, : self.k], neighbours.labels[:, : self.k]
        weights = np.exp((similarities - similarities[:, :1]) * np.float32(self.sharpness))
        if self.weighted:
            assert neighbours.weights is not None, "a weighted vote needs the neighbours' weights"
            weights *= neighbours.weights[:, : self.k]
        votes = np.full((len(labels), self.n_labels), PRIOR, np.float32)
        rows = np.arange(len(labels))
        for i in range(labels.shape[1]):  # a row's neighbours may share a label: one at a time
            votes[rows, labels[:, i]] += weights[:, i]
        return np.asarray(votes / votes.sum(axis=1, keepdims=True), np.float32)

    def add_to(self, graph: GraphBuilder, prefix: str) -> str:
        def first_k(source: str, name: str) -> str:
            bounds = [graph.constant(f"{prefix}{name}_{end}", [value]) for end, value in (("from", 0), ("to", self.k))]
            return graph.node("Slice", [source, *bounds, f"{prefix}axis"], f"{prefix}{name}")

        axis = graph.constant(f"{prefix}axis", [1])
        similarities = first_k("neighbour_similarity", "similarities")
        labels = first_k("neighbour_labels", "labels")
        top = graph.node("ReduceMax", [similarities, axis], f"{prefix}top")
        below = graph.node("Sub", [similarities, top], f"{prefix}below")
        logs = graph.node("Mul", [below, graph.constant(f"{prefix}sharpness", self.sharpness)], f"{prefix}logs")
        weights = graph.node("Exp", [logs], f"{prefix}weights")
        if self.weighted:
            weights = graph.node("Mul", [weights, first_k("neighbour_weights", "rows_count")], f"{prefix}weighted")
        depth = graph.constant(f"{prefix}depth", np.array(self.n_labels, np.int64))
        one_hot = graph.node(
            "OneHot",
            [labels, depth, graph.constant(f"{prefix}off_on", np.array([0, 1], np.float32))],
            f"{prefix}one_hot",
        )
        row = graph.node("Unsqueeze", [weights, axis], f"{prefix}row")
        counted = graph.node("MatMul", [row, one_hot], f"{prefix}counted")
        votes = graph.node(
            "Add",
            [graph.node("Squeeze", [counted, axis], f"{prefix}squeezed"), graph.constant(f"{prefix}prior", PRIOR)],
            f"{prefix}votes",
        )
        total = graph.node("ReduceSum", [votes, axis], f"{prefix}total")
        return graph.node("Div", [votes, total], f"{prefix}probabilities")


def cross_fit(settings: dict[str, float | str], data: FitData) -> CrossFit:
    """There is nothing to fit but the sharpness: the model is the reference rows themselves."""
    k = min(int(settings["k"]), data.k)
    near = data.out_of_fold_neighbours
    grid = SHARPNESS if settings["sharpness"] == "auto" else (float(settings["sharpness"]),)
    votes = {sharpness: Vote(k, sharpness, data.n_labels, data.weights is not None) for sharpness in grid}
    candidates = {sharpness: vote.count(near) for sharpness, vote in votes.items()}
    sharpness = best(candidates, data.labels, data.evidence)
    model = votes[sharpness]
    return CrossFit(candidates[sharpness], model, model, {"k": k, "sharpness": sharpness})
