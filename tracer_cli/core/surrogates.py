"""Surrogates: small classifiers that imitate the teacher, their out-of-fold probabilities and ONNX export.

Every kind is a library's model. What is added here: probabilities over all labels although a fold may lack
some, one thread per fit with the folds side by side, and an export that is checked before it is used.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tracer_cli.core.onnx_graph import ML_OPSET, OPSET, GraphBuilder, float_output, normalised, to_bytes, vectors_input
from tracer_cli.errors import ModelError

Floats = NDArray[np.float32]
EXPORT_TOLERANCE = 1e-4

# scikit-learn runs these through its own Parallel, which replaces the process's warning filters while it works:
# two at once would restore each other's.
ONE_AT_A_TIME = frozenset({"sgd", "random_forest", "extra_trees"})


@dataclass(frozen=True)
class Surrogate:
    """A fitted classifier.

    estimator: anything with predict_proba; classes: (c,) the label index of each of its columns;
    n_labels: size of the label space; projection: applied to the vectors first, or None;
    converged: False when the optimiser stopped at its iteration limit.
    """

    estimator: Any
    classes: NDArray[np.int64]
    n_labels: int
    dim: int
    projection: Projection | None = None
    converged: bool = True

    def predict_proba(self, vectors: Floats) -> Floats:
        """(n, n_labels) probabilities; a label that the fit rows lack has probability 0."""
        inputs = vectors if self.projection is None else self.projection(vectors)
        result = np.zeros((len(vectors), self.n_labels), np.float32)
        if len(vectors):
            result[:, self.classes] = self.estimator.predict_proba(inputs)
        return result

    def to_onnx(self) -> onnx.ModelProto:
        """`vectors` (rows, dim) float32 -> `probabilities` (rows, n_labels) float32, for a fit that saw all labels."""
        if len(self.classes) != self.n_labels:
            raise ValueError("only a surrogate that was fitted on every label can be exported")
        graph = GraphBuilder("surrogate")
        source = "vectors" if self.projection is None else self.projection.add_to(graph)
        width = self.dim if self.projection is None else self.projection.weights.shape[1]
        probabilities = graph.splice(_convert(self.estimator, width), "model_", {"vectors": source}, "probabilities")
        graph.node("Identity", [probabilities], "probabilities")
        return graph.model([vectors_input(self.dim)], [float_output("probabilities", ["rows", self.n_labels])])


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

    def add_to(self, graph: GraphBuilder) -> str:
        double = graph.node("Cast", ["vectors"], "projection_double", to=onnx.TensorProto.DOUBLE)
        centred = graph.node("Sub", [double, graph.constant("projection_mean", self.mean)], "projection_centred")
        scaled = graph.node(
            "MatMul", [centred, graph.constant("projection_weights", self.weights * self.GRID)], "projection_scaled"
        )
        rounded = graph.node("Round", [scaled], "projection_rounded")
        return graph.node("Cast", [rounded], "projection_inputs", to=onnx.TensorProto.FLOAT)


class _Constant:
    """The only label that a fold has."""

    def predict_proba(self, inputs: Floats) -> Floats:
        return np.ones((len(inputs), 1), np.float32)


# --- kinds ----------------------------------------------------------------------------------------


def _logistic_regression(settings: Mapping[str, Any], rows: int, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=settings["C"], max_iter=settings["max_iter"])


def _sgd(settings: Mapping[str, Any], rows: int, seed: int) -> Any:
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(
        loss="log_loss", alpha=settings["alpha"], max_iter=settings["max_iter"], random_state=seed, n_jobs=1
    )


def _mlp(settings: Mapping[str, Any], rows: int, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        hidden_layer_sizes=tuple(settings["hidden"]),
        alpha=settings["alpha"],
        learning_rate_init=settings["learning_rate"],
        max_iter=settings["max_iter"],
        batch_size=min(128, rows),
        random_state=seed,
    )


def _forest(name: str) -> Callable[[Mapping[str, Any], int, int], Any]:
    def make(settings: Mapping[str, Any], rows: int, seed: int) -> Any:
        from sklearn import ensemble

        return getattr(ensemble, name)(
            n_estimators=settings["n_estimators"],
            max_depth=settings["max_depth"],
            min_samples_leaf=settings["min_samples_leaf"],
            random_state=seed,
            n_jobs=1,
        )

    return make


def _lightgbm(settings: Mapping[str, Any], rows: int, seed: int) -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        n_estimators=settings["n_estimators"],
        learning_rate=settings["learning_rate"],
        num_leaves=settings["num_leaves"],
        min_child_samples=max(2, min(20, rows // 100)),
        random_state=seed,
        n_jobs=1,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
    )


_KINDS: dict[str, Callable[[Mapping[str, Any], int, int], Any]] = {
    "logistic_regression": _logistic_regression,
    "sgd": _sgd,
    "mlp": _mlp,
    "random_forest": _forest("RandomForestClassifier"),
    "extra_trees": _forest("ExtraTreesClassifier"),
    "lightgbm": _lightgbm,
}


# --- fitting --------------------------------------------------------------------------------------


def fit(
    kind: str, settings: Mapping[str, Any], vectors: Floats, labels: NDArray[np.int64], n_labels: int, seed: int
) -> Surrogate:
    """Fit one surrogate on one thread.

    vectors: (n, dim) float32; labels: (n,) indices into the label space; settings: the kind's keys in
    tracer.yaml. The same arguments give the same model.
    """
    classes, targets = np.unique(labels, return_inverse=True)
    if len(classes) == 1:
        return Surrogate(_Constant(), classes, n_labels, vectors.shape[1])
    projection = Projection.fit(vectors, settings["components"]) if kind == "lightgbm" else None
    inputs = vectors if projection is None else projection(vectors)
    estimator = _KINDS[kind](settings, len(vectors), seed)
    estimator.fit(np.ascontiguousarray(inputs), targets)
    converged = bool(np.max(getattr(estimator, "n_iter_", 0)) < settings.get("max_iter", np.inf))
    return Surrogate(estimator, classes.astype(np.int64), n_labels, vectors.shape[1], projection, converged)


def _convergence_warning() -> type[Warning]:
    from sklearn.exceptions import ConvergenceWarning

    return ConvergenceWarning  # type: ignore[no-any-return]


@dataclass(frozen=True)
class CrossFit:
    """One zoo member: out-of-fold probabilities (n, n_labels) and the model on all rows."""

    out_of_fold: Floats
    final: Surrogate


def cross_fit(
    kind: str,
    settings: Mapping[str, Any],
    vectors: Floats,
    labels: NDArray[np.int64],
    n_labels: int,
    folds: NDArray[np.int64],
    seed: int,
    workers: int | None = None,
    on_fit: Callable[[], None] | None = None,
) -> CrossFit:
    """Fit one model per fold on the other folds' rows, and one on all rows.

    folds: (n,) fold numbers. The fits run side by side in `workers` threads (default: one per core; the kinds in
    ONE_AT_A_TIME do not), each on a single BLAS or OpenMP thread: on small matrices several are slower than one.
    on_fit: called after each of the folds + 1 fits.
    """
    # The largest fit first, so that no worker waits for it at the end.
    parts: list[int | None] = [None, *sorted(int(k) for k in np.unique(folds))]

    def work(part: int | None) -> tuple[Surrogate, NDArray[np.intp], Floats]:
        train = np.arange(len(labels)) if part is None else np.flatnonzero(folds != part)
        held = np.flatnonzero(folds == part) if part is not None else np.empty(0, np.intp)
        model = fit(kind, settings, vectors[train], labels[train], n_labels, seed)
        predicted = model.predict_proba(vectors[held])
        if on_fit is not None:
            on_fit()
        return model, held, predicted

    with warnings.catch_warnings():
        # Reaching the iteration limit is told by `converged`. Set here, because the filters are not per thread.
        warnings.filterwarnings("ignore", category=_convergence_warning())
        # Many labels with few rows each are what some teachers have, not a regression.
        warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")
        side_by_side = 1 if kind in ONE_AT_A_TIME else workers or os.cpu_count() or 1
        with threadpool_limits(1), ThreadPoolExecutor(side_by_side) as pool:
            results = list(pool.map(work, parts))
    out_of_fold = np.zeros((len(labels), n_labels), np.float32)
    for _, held, predicted in results[1:]:
        out_of_fold[held] = predicted
    return CrossFit(out_of_fold, results[0][0])


# --- export ---------------------------------------------------------------------------------------


def export(surrogate: Surrogate, vectors: Floats) -> bytes:
    """The surrogate as ONNX bytes, checked on `vectors` against its own probabilities.

    Raises ModelError when any probability differs by more than EXPORT_TOLERANCE.
    """
    data = to_bytes(surrogate.to_onnx())
    difference = export_difference(data, surrogate, vectors)
    if not difference <= EXPORT_TOLERANCE:
        raise ModelError(
            f"the ONNX export of {type(surrogate.estimator).__name__} differs from the model by {difference:.2g} in "
            f"probability (allowed: {EXPORT_TOLERANCE:g}); leave this model out of the zoo"
        )
    return data


def export_difference(data: bytes, surrogate: Surrogate, vectors: Floats, block: int = 2048) -> float:
    """Largest absolute difference in probability between ONNX `data` and `surrogate` over `vectors`."""
    from tracer_cli.core.onnx_session import session

    onnx_session = session(data)
    worst = 0.0
    for start in range(0, len(vectors), block):
        rows = np.ascontiguousarray(vectors[start : start + block])
        theirs = onnx_session.run(["probabilities"], {"vectors": rows})[0]
        difference = np.abs(theirs - surrogate.predict_proba(rows))
        worst = max(worst, float(np.max(difference, initial=0.0)) if np.isfinite(difference).all() else float("inf"))
    return worst


def _convert(estimator: Any, width: int) -> onnx.ModelProto:
    """A library's estimator as ONNX with an output named `probabilities`."""
    if type(estimator).__name__ == "LGBMClassifier":
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType

        converted: onnx.ModelProto = convert_lightgbm(
            estimator,
            name="surrogate",
            initial_types=[("vectors", FloatTensorType([None, width]))],
            target_opset=15,  # the converter's newest; it emits a tree ensemble only, which reads the same under OPSET
            zipmap=False,
        )
        return converted
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    return normalised(
        to_onnx(
            estimator,
            initial_types=[("vectors", FloatTensorType([None, width]))],
            options={id(estimator): {"zipmap": False}},
            target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
            name="surrogate",
        )
    )
