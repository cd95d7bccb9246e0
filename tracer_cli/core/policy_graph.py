"""The policy as one ONNX graph: vector in; label index, accept score and neighbour distance out.

The graph holds the surrogates, the reference rows and their labels, the acceptors and the filters. It is what the
guard tests and what the router runs; `reference_outputs` is the same computation in numpy, which the tests hold the
graph against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from tracer_cli.core.acceptor import (
    FARTHEST_RANK,
    MIDDLE_RANK,
    MIN_PROBABILITY,
    MIN_SCORE,
    Acceptor,
    features,
)
from tracer_cli.core.neighbours import LEVELS, SMALLEST, Neighbours, inverse_norms, levels
from tracer_cli.core.onnx_graph import GraphBuilder, float_output, int_output, to_bytes, vectors_input
from tracer_cli.core.policy import Decisions
from tracer_cli.core.selection import Blend, Filters, blended


@dataclass(frozen=True)
class Reference:
    """The rows whose neighbourhood is looked at: vectors (r, dim), label indices (r,), and k; votes: (r,) what each
    counts in a weighted vote, None: all alike."""

    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    k: int
    votes: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Stage:
    """One surrogate and its acceptor.

    blend: member -> weight; history: (n_labels,) the acceptor's label history.
    """

    blend: Blend
    acceptor: Acceptor
    history: NDArray[np.float64]


@dataclass(frozen=True)
class Policy:
    """One stage, or two with the threshold at which the first hands over to the second (see core.cascade)."""

    reference: Reference
    filters: Filters
    stages: tuple[Stage, ...]
    switch: float | None = None


def build(policy: Policy, models: Mapping[str, bytes]) -> bytes:
    """The graph's bytes.

    models: for each member of each stage ONNX bytes, tensors of `surrogates.Inputs` -> `probabilities` (rows, labels),
    with at least two labels.
    """
    g = GraphBuilder("policy")
    _neighbourhood(g, policy.reference)
    parts = [_stage(g, stage, models, f"stage{i}_") for i, stage in enumerate(policy.stages, 1)]
    label, score = parts[0] if len(parts) == 1 else _cascade(g, parts, policy.switch)
    _filters(g, label, score, policy.filters)
    g.node("Identity", [label], "label")
    model = g.model(
        [vectors_input(policy.reference.vectors.shape[1])],
        [int_output("label", ["rows"]), float_output("accept_score", ["rows"]), float_output("distance", ["rows"])],
    )
    return to_bytes(model)


def _neighbourhood(g: GraphBuilder, reference: Reference) -> None:
    """`similarity`, `neighbour_similarity`, `neighbour_labels` and, where rows have weights, `neighbour_weights`; what
    the acceptors read of them, and `distance`."""
    last_axis = g.constant("last_axis", [1])
    g.constant("one", 1.0)
    g.constant("least_probability", float(MIN_PROBABILITY))
    g.constant("most_probability", float(1 - MIN_PROBABILITY))
    _similarity(g, reference.vectors)
    g.nodes.append(
        onnx.helper.make_node(
            "TopK",
            ["similarity", g.constant("k", [reference.k])],
            ["neighbour_similarity", "neighbour_row"],
            name="neighbours",
            axis=1,
        )
    )
    reference_labels = g.constant("reference_labels", reference.labels.astype(np.int64))
    g.node("Gather", [reference_labels, "neighbour_row"], "neighbour_labels", axis=0)
    if reference.votes is not None:
        reference_votes = g.constant("reference_votes", reference.votes)
        g.node("Gather", [reference_votes, "neighbour_row"], "neighbour_weights", axis=0)
    k = min(FARTHEST_RANK, reference.k)
    ranks = g.constant("ranks", [0, min(MIDDLE_RANK, k) - 1, k - 1])
    g.node("Gather", ["neighbour_similarity", ranks], "similarities", axis=1)
    bounds = [g.constant("voters_from", [0]), g.constant("voters_to", [k])]
    g.node("Slice", ["neighbour_labels", *bounds, last_axis], "voters")
    nearest = g.node("Gather", ["neighbour_similarity", g.constant("first", np.array(0))], "nearest", axis=1)
    g.node("Sub", ["one", nearest], "distance")


def _similarity(g: GraphBuilder, reference: NDArray[np.float32]) -> None:
    """`similarity` (rows, r) to the reference rows, as neighbours.levels has it, in 8-bit whole numbers."""
    largest = g.node("ReduceMax", [g.node("Abs", ["vectors"], "sizes"), "last_axis"], "largest")
    safe = g.node("Max", [largest, g.constant("smallest", SMALLEST)], "safe_largest")
    scaled = g.node(
        "Mul", [g.node("Div", ["vectors", safe], "relative"), g.constant("levels", float(LEVELS))], "scaled"
    )
    whole = g.node("Round", [scaled], "whole")
    # Unsigned, because the fast 8-bit products want one unsigned side.
    shifted = g.node("Add", [whole, g.constant("middle", 128.0)], "shifted")
    code = g.node("Cast", [shifted], "code", to=onnx.TensorProto.UINT8)
    own = levels(reference)
    table = g.constant("reference", np.ascontiguousarray(own.T.astype(np.int8)))
    products = g.node("MatMulInteger", [code, table, g.constant("code_middle", np.array(128, np.uint8))], "products")
    numbers = g.node("Cast", [products], "product_numbers", to=onnx.TensorProto.FLOAT)
    squares = g.node("ReduceSum", [g.node("Mul", [whole, whole], "squared"), "last_axis"], "squares")
    length = g.node("Max", [g.node("Sqrt", [squares], "root"), "one"], "length")
    relative = g.node("Mul", [numbers, g.node("Div", ["one", length], "inverse_length")], "relative_products")
    g.node("Mul", [relative, g.constant("reference_inverse_lengths", inverse_norms(own).T)], "similarity")


def _stage(g: GraphBuilder, stage: Stage, models: Mapping[str, bytes], prefix: str) -> tuple[str, str]:
    """The names of the label and the score (rows,)."""
    shares = {name: weight / sum(stage.blend.values()) for name, weight in stage.blend.items()}
    alone, parts = [], []
    for i, (name, share) in enumerate(shares.items()):
        model = onnx.load_from_string(models[name])
        tensors = {item.name: item.name for item in model.graph.input}
        own = g.splice(model, f"{prefix}member{i}_", tensors, "probabilities")
        alone.append(g.node("ArgMax", [own], f"{prefix}alone{i}", axis=1, keepdims=1))
        parts.append(g.node("Mul", [own, g.constant(f"{prefix}share{i}", share)], f"{prefix}part{i}"))
    probabilities = g.node("Sum", parts, f"{prefix}probabilities")
    label = g.node("ArgMax", [probabilities], f"{prefix}label", axis=1, keepdims=0)
    column = g.node("Unsqueeze", [label, "last_axis"], f"{prefix}label_column")

    def share_equal(labels: str, name: str) -> str:
        same = g.node("Equal", [labels, column], f"{prefix}{name}_same")
        numbers = g.node("Cast", [same], f"{prefix}{name}_number", to=onnx.TensorProto.FLOAT)
        return g.node("ReduceMean", [numbers, "last_axis"], f"{prefix}{name}")

    # In the order of acceptor.FEATURES.
    top, second = f"{prefix}top", f"{prefix}second_probability"
    two = g.constant(f"{prefix}two", [2])
    outputs = [f"{prefix}top_two", f"{prefix}top_two_labels"]
    g.nodes.append(onnx.helper.make_node("TopK", [probabilities, two], outputs, name=outputs[0], axis=1))
    g.nodes.append(
        onnx.helper.make_node("Split", [outputs[0]], [top, second], name=f"{prefix}split", axis=1, num_outputs=2)
    )
    clipped = g.node("Clip", [top, "least_probability", "most_probability"], f"{prefix}clipped")
    rest = g.node("Sub", ["one", clipped], f"{prefix}rest")
    log_odds = g.node("Log", [g.node("Div", [clipped, rest], f"{prefix}odds")], f"{prefix}top_log_odds")
    margin = g.node("Sub", [top, second], f"{prefix}margin")
    positive = g.node("Max", [probabilities, "least_probability"], f"{prefix}positive")
    terms = g.node("Mul", [probabilities, g.node("Log", [positive], f"{prefix}logs")], f"{prefix}entropy_terms")
    entropy = g.node("Neg", [g.node("ReduceSum", [terms, "last_axis"], f"{prefix}entropy_sum")], f"{prefix}entropy")
    vote = share_equal("voters", "vote")
    agreement = share_equal(g.node("Concat", alone, f"{prefix}alone", axis=1), "member_agreement")
    table = g.constant(f"{prefix}history_table", stage.history.astype(np.float32))
    history = g.node("Gather", [table, column], f"{prefix}history", axis=0)
    values = [log_odds, second, margin, entropy, "similarities", vote, agreement, history]
    joined = g.node("Concat", values, f"{prefix}features", axis=1)
    score = stage.acceptor.add_to(g, joined, f"{prefix}acceptor_")
    floor = g.constant(f"{prefix}least_score", MIN_SCORE)
    return label, g.node("Squeeze", [g.node("Max", [score, floor], f"{prefix}raised"), "last_axis"], f"{prefix}score")


def _cascade(g: GraphBuilder, parts: list[tuple[str, str]], switch: float | None) -> tuple[str, str]:
    assert switch is not None, "two stages need a switch"
    (label1, score1), (label2, score2) = parts
    below = g.node("Less", [score1, g.constant("switch", switch)], "handed_over")
    half = g.constant("half", 0.5)
    upper = g.node("Add", [g.node("Mul", [score1, half], "score1_half"), half], "upper_score")
    lower = g.node("Max", [g.node("Mul", [score2, half], "score2_half"), "stage1_least_score"], "lower_score")
    return (
        g.node("Where", ["handed_over", label2, label1], "cascade_label"),
        g.node("Where", [below, lower, upper], "cascade_score"),
    )


def _filters(g: GraphBuilder, label: str, score: str, filters: Filters) -> None:
    """`accept_score`: 0 where a filter defers the input."""
    deferred = g.node("Gather", [g.constant("blocked", filters.blocked), label], "deferred_label", axis=0)
    if filters.distance_limit is not None:
        far = g.node("Greater", ["distance", g.constant("distance_limit", filters.distance_limit)], "far")
        deferred = g.node("Or", [deferred, far], "deferred")
    g.node("Where", [deferred, g.constant("zero", 0.0), score], "accept_score")


def reference_outputs(policy: Policy, members: Mapping[str, NDArray[np.float32]], near: Neighbours) -> Decisions:
    """What the graph computes, in numpy, from every member's probabilities (n, labels) and the neighbours."""
    labels, scores = [], []
    for stage in policy.stages:
        probabilities = blended(members, stage.blend)
        predicted = probabilities.argmax(axis=1).astype(np.int64)
        alone = np.column_stack([members[name].argmax(axis=1) for name in stage.blend])
        values = features(probabilities, near, alone, stage.history[predicted])
        labels.append(predicted)
        scores.append(np.maximum(stage.acceptor.score(values), MIN_SCORE))
    label, score = labels[0], scores[0]
    if policy.switch is not None:
        below = score < policy.switch
        label = np.where(below, labels[1], label)
        score = np.where(below, np.maximum(scores[1] / 2, MIN_SCORE), (1 + score) / 2)
    distances = 1.0 - near.similarities[:, 0].astype(np.float64)
    return Decisions(label, policy.filters.apply(score, label, distances), distances)
