"""The policy as one ONNX graph: vector in; label index, accept score and neighbour distance out.

The graph holds the surrogate, the reference rows and their labels, the acceptor's features and weights. It is
what the guard tests and what the router runs; `reference_outputs` is the same computation in numpy, which the
tests hold the graph against.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from tracer_cli.core.acceptor import MIDDLE_RANK, MIN_PROBABILITY, Acceptor, features
from tracer_cli.core.neighbours import find
from tracer_cli.core.onnx_graph import GraphBuilder, float_output, int_output, to_bytes, vectors_input
from tracer_cli.core.policy import Decisions


@dataclass(frozen=True)
class Reference:
    """The rows whose neighbourhood the acceptor looks at: unit vectors (r, dim), label indices (r,), and k."""

    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    k: int


def build(surrogate: bytes, reference: Reference, acceptor: Acceptor) -> bytes:
    """The graph's bytes.

    surrogate: ONNX bytes, `vectors` (rows, dim) -> `probabilities` (rows, labels), with at least two labels.
    """
    g = GraphBuilder("policy")
    probabilities = g.splice(onnx.load_from_string(surrogate), "surrogate_", {"vectors": "vectors"}, "probabilities")
    label = g.node("ArgMax", [probabilities], "label", axis=1, keepdims=0)
    last_axis = g.constant("last_axis", [1])

    # Features of the distribution, in the order of acceptor.FEATURES.
    g.nodes.append(
        onnx.helper.make_node(
            "TopK", [probabilities, g.constant("two", [2])], ["top_two", "top_two_labels"], name="top_two", axis=1
        )
    )
    g.nodes.append(
        onnx.helper.make_node(
            "Split", ["top_two"], ["top", "second_probability"], name="split_top_two", axis=1, num_outputs=2
        )
    )
    clipped = g.node(
        "Clip",
        ["top", g.constant("min_p", float(MIN_PROBABILITY)), g.constant("max_p", float(1 - MIN_PROBABILITY))],
        "top_clipped",
    )
    rest = g.node("Sub", [g.constant("one", 1.0), clipped], "rest")
    log_odds = g.node("Log", [g.node("Div", [clipped, rest], "odds")], "top_log_odds")
    margin = g.node("Sub", ["top", "second_probability"], "margin")
    logs = g.node("Log", [g.node("Max", [probabilities, "min_p"], "probabilities_positive")], "log_probabilities")
    products = g.node("Mul", [probabilities, logs], "entropy_terms")
    entropy = g.node("Neg", [g.node("ReduceSum", [products, last_axis], "entropy_sum")], "entropy")

    # Features of the neighbourhood.
    norm = g.node("ReduceL2", ["vectors", last_axis], "norm")
    unit = g.node("Div", ["vectors", g.node("Max", [norm, g.constant("min_norm", 1e-12)], "safe_norm")], "unit")
    transposed = g.constant("reference", reference.vectors.T.astype(np.float32))
    similarity = g.node("MatMul", [unit, transposed], "similarity")
    g.nodes.append(
        onnx.helper.make_node(
            "TopK",
            [similarity, g.constant("k", [reference.k])],
            ["neighbour_similarity", "neighbour_row"],
            name="neighbours",
            axis=1,
        )
    )
    ranks = g.constant("ranks", [0, min(MIDDLE_RANK, reference.k) - 1, reference.k - 1])
    similarities = g.node("Gather", ["neighbour_similarity", ranks], "similarities", axis=1)
    reference_labels = g.constant("reference_labels", reference.labels.astype(np.int64))
    neighbour_labels = g.node("Gather", [reference_labels, "neighbour_row"], "neighbour_labels", axis=0)
    column = g.node("Unsqueeze", [label, last_axis], "label_column")
    same = g.node(
        "Cast", [g.node("Equal", [neighbour_labels, column], "same")], "same_float", to=onnx.TensorProto.FLOAT
    )
    vote = g.node("ReduceMean", [same, last_axis], "neighbour_vote")

    # The acceptor, and the distance.
    values = g.node("Concat", [log_odds, "second_probability", margin, entropy, similarities, vote], "features", axis=1)
    weights = g.constant("acceptor_weights", acceptor.weights.astype(np.float32)[:, None])
    linear = g.node("Add", [g.node("MatMul", [values, weights], "linear"), g.constant("bias", acceptor.bias)], "logit")
    g.node("Squeeze", [g.node("Sigmoid", [linear], "score_column"), last_axis], "accept_score")
    nearest = g.node("Gather", ["neighbour_similarity", g.constant("first", np.array(0))], "nearest", axis=1)
    g.node("Sub", ["one", nearest], "distance")
    model = g.model(
        [vectors_input(reference.vectors.shape[1])],
        [int_output("label", ["rows"]), float_output("accept_score", ["rows"]), float_output("distance", ["rows"])],
    )
    return to_bytes(model)


def reference_outputs(
    probabilities: NDArray[np.float32], unit_vectors: NDArray[np.float32], reference: Reference, acceptor: Acceptor
) -> Decisions:
    """What the graph computes, in numpy, from the surrogate's probabilities (n, labels) and unit rows (n, dim)."""
    neighbours = find(unit_vectors, reference.vectors, reference.labels, reference.k)
    scores = acceptor.score(features(probabilities, neighbours))
    return Decisions(
        probabilities.argmax(axis=1).astype(np.int64), scores, 1.0 - neighbours.similarities[:, 0].astype(np.float64)
    )
