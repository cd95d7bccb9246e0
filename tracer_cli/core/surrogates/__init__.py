"""Surrogates: small classifiers that imitate the teacher, their out-of-fold probabilities and ONNX export.

What a library offers is the library's (`estimators`, `linear`); in closed form are `kernel_ridge` and
`nearest_neighbours`. Every kind gives probabilities over all labels although a fold may lack some, gets its
temperature from its out-of-fold probabilities, and has its export checked before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tracer_cli.core.onnx_graph import to_bytes
from tracer_cli.core.surrogates import estimators, kernel_ridge, nearest_neighbours, temperature
from tracer_cli.core.surrogates.base import CrossFit, FitData, Floats, Inputs, Surrogate, telling, to_onnx
from tracer_cli.errors import ModelError

__all__ = [
    "CrossFit",
    "FitData",
    "Inputs",
    "Surrogate",
    "cross_fit",
    "export",
    "export_difference",
    "predict",
    "telling",
]

EXPORT_TOLERANCE = 1e-3
# The export is compared with the model on at most this many rows.
CHECK_ROWS = 4096


def cross_fit(
    kind: str,
    settings: Mapping[str, Any],
    data: FitData,
    seed: int,
    workers: int | None = None,
    on_fit: Callable[[], None] | None = None,
) -> CrossFit:
    """Fit one zoo member: out-of-fold probabilities, the model on all rows, the average of the fold models.

    settings: the kind's keys in tracer.yaml. The same arguments give the same result, whatever `workers`, the number
    of fits side by side. on_fit: called after each of the folds + 1 fits (once where there is a closed form).
    """
    if kind in ("kernel_ridge", "nearest_neighbours"):
        module = kernel_ridge if kind == "kernel_ridge" else nearest_neighbours
        try:
            with threadpool_limits(1):  # a second thread changes the order of summation, and so the bytes
                result = module.cross_fit(settings, data)
        except np.linalg.LinAlgError as error:
            raise ModelError(f"{kind} cannot be solved on these vectors ({error}): raise its penalty") from error
        if on_fit is not None:
            on_fit()
    else:
        result = estimators.cross_fit(kind, settings, data, seed, workers, on_fit)
    # A temperature says how often probabilities are right on the traffic: of the evidence, each row once.
    degree = temperature.fit(data.judged(result.out_of_fold), data.judged(data.labels))
    return CrossFit(
        temperature.scaled(result.out_of_fold, degree),
        temperature.Scaled(result.final, degree),
        temperature.Scaled(result.average, degree),
        {**result.settings, "temperature": degree},
        result.converged,
    )


def predict(surrogate: Surrogate, data: FitData, vectors: Floats) -> Floats:
    """(m, n_labels) probabilities for `vectors` (m, dim), whose neighbours are looked for among the fit rows."""
    parts = [surrogate.predict_proba(inputs) for inputs in data.inputs(vectors)]
    return np.concatenate(parts) if parts else np.empty((0, data.n_labels), np.float32)


def export(surrogate: Surrogate, data: FitData) -> bytes:
    """The surrogate as ONNX bytes, checked on fit rows against its own probabilities.

    The inputs are those of `Inputs` that it reads. Raises ModelError when any probability differs by more than
    EXPORT_TOLERANCE.
    """
    model = to_onnx(surrogate, data.vectors.shape[1], len(data.reference), data.k, data.n_labels)
    exported = to_bytes(model)
    rows = np.linspace(0, len(data.labels) - 1, min(len(data.labels), CHECK_ROWS)).astype(np.intp)
    difference = export_difference(exported, surrogate, data, data.vectors[rows])
    if not difference <= EXPORT_TOLERANCE:
        raise ModelError(
            f"the ONNX export differs from the model by {difference:.2g} in probability "
            f"(allowed: {EXPORT_TOLERANCE:g}); leave this model out of the zoo"
        )
    return exported


def export_difference(exported: bytes, surrogate: Surrogate, data: FitData, vectors: Floats) -> float:
    """Largest absolute difference in probability between the ONNX bytes and `surrogate` over `vectors`."""
    from tracer_cli.core.onnx_session import session

    onnx_session = session(exported)
    worst = 0.0
    for inputs in data.inputs(vectors):
        tensors = inputs.tensors()
        feed = {name: tensors[name] for name in surrogate.reads}
        theirs = onnx_session.run(["probabilities"], feed)[0]
        difference = np.abs(theirs - surrogate.predict_proba(inputs))
        worst = max(worst, float(np.max(difference, initial=0.0)) if np.isfinite(difference).all() else float("inf"))
    return worst
