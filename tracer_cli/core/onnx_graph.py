"""Small helpers to build ONNX graphs: one place for versions, names and how models are spliced together.

Versions are fixed so that the same policy is the same bytes whatever the installed exporter prefers, and so
that every onnxruntime this project supports can run it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

OPSET, ML_OPSET, IR_VERSION = 18, 3, 9


class GraphBuilder:
    """Collects nodes and initialisers; `model()` closes the graph."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.generic] | Sequence[int] | float) -> str:
        """An initialiser; Python floats become float32, sequences of int become int64."""
        if isinstance(value, float):
            value = np.array(value, np.float32)
        elif not isinstance(value, np.ndarray):
            value = np.array(value, np.int64)
        self.initializers.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def splice(self, model: onnx.ModelProto, prefix: str, inputs: dict[str, str], output: str) -> str:
        """Insert what `model` needs for `output`, names prefixed; `inputs` maps its inputs to names here.

        Returns the output's name here. What only the model's other outputs need is left out.
        """
        graph = compose.add_prefix_graph(model.graph, prefix)
        renamed = {prefix + theirs: ours for theirs, ours in inputs.items()}
        for node in graph.node:
            for i, name in enumerate(node.input):
                node.input[i] = renamed.get(name, name)
        needed, kept = {prefix + output}, []
        for node in reversed(graph.node):
            if needed.intersection(node.output):
                needed.update(node.input)
                kept.append(node)
        self.nodes.extend(reversed(kept))
        self.initializers.extend(tensor for tensor in graph.initializer if tensor.name in needed)
        return prefix + output

    def model(self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, self.name, list(inputs), list(outputs), self.initializers)
        return normalised(helper.make_model(graph))


def vectors_input(dim: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["rows", dim])


def float_output(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def int_output(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64, list(shape))


def normalised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model under this project's fixed versions, without the exporter's name, and checked.

    Some converters list a domain twice or leave their own version in the header.
    """
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.doc_string = "tracer", "", ""
    model.domain = ""
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)])
    onnx.checker.check_model(model)
    return model


def from_lightgbm(classifier: Any, source: str, width: int) -> onnx.ModelProto:
    """A LightGBM classifier as a graph: `source` (rows, width) -> `probabilities` (rows, classes)."""
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    converted: onnx.ModelProto = convert_lightgbm(
        classifier,
        name="trees",
        initial_types=[(source, FloatTensorType([None, width]))],
        target_opset=15,  # the converter's newest; it emits a tree ensemble only, which reads the same under OPSET
        zipmap=False,
    )
    return converted


def to_bytes(model: onnx.ModelProto) -> bytes:
    """Deterministic bytes."""
    return bytes(model.SerializeToString(deterministic=True))
