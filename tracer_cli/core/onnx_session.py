"""One way to open an ONNX graph: single thread, no optimisation that depends on the machine."""

from __future__ import annotations

from typing import Any


def session(data: bytes) -> Any:
    """An onnxruntime session on one thread, so that results do not depend on the number of cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
