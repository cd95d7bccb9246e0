"""The zoo members that a library fits on the vectors: one thread per fit, the folds side by side."""

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

from tracer_cli.core.neighbours import Neighbours
from tracer_cli.core.onnx_graph import ML_OPSET, OPSET, GraphBuilder, from_lightgbm, normalised
from tracer_cli.core.surrogates import linear
from tracer_cli.core.surrogates.base import Average, CrossFit, FitData, Floats, Inputs, Surrogate
from tracer_cli.core.surrogates.projection import Projection
from tracer_cli.core.surrogates.search import best, some_rows

PENALTIES = (3.0, 10.0, 30.0)  # of C
SEARCH_FOLDS = 2

# scikit-learn runs these through its own Parallel, which replaces the process's warning filters while it works:
# two at once would restore each other's.
ONE_AT_A_TIME = frozenset({"sgd", "random_forest", "extra_trees"})


@dataclass(frozen=True)
class Estimator:
    """A fitted library classifier.

    estimator: anything with predict_proba; classes: (c,) the label index of each of its columns;
    n_labels: size of the label space; width: inputs of the estimator; projection: applied to the vectors first.
    """

    estimator: Any
    classes: NDArray[np.int64]
    n_labels: int
    width: int
    projection: Projection | None = None

    reads = ("vectors",)

    def predict_proba(self, inputs: Inputs) -> Floats:
        """(n, n_labels); a label that the fit rows lack has probability 0."""
        rows = inputs.vectors if self.projection is None else self.projection(inputs.vectors)
        result = np.zeros((len(rows), self.n_labels), np.float32)
        if len(rows):
            result[:, self.classes] = self.estimator.predict_proba(rows)
        return result

    def add_to(self, graph: GraphBuilder, prefix: str) -> str:
        source = "vectors" if self.projection is None else self.projection.add_to(graph, f"{prefix}projection_")
        model = _convert(self.estimator, self.width)
        probabilities = graph.splice(model, f"{prefix}estimator_", {"vectors": source}, "probabilities")
        if len(self.classes) == self.n_labels:
            return probabilities
        columns = np.zeros((len(self.classes), self.n_labels), np.float32)
        columns[np.arange(len(self.classes)), self.classes] = 1
        return graph.node(
            "MatMul", [probabilities, graph.constant(f"{prefix}columns", columns)], f"{prefix}probabilities"
        )


# --- kinds ----------------------------------------------------------------------------------------


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
    "sgd": _sgd,
    "mlp": _mlp,
    "random_forest": _forest("RandomForestClassifier"),
    "extra_trees": _forest("ExtraTreesClassifier"),
    "lightgbm": _lightgbm,
}


# --- fitting --------------------------------------------------------------------------------------


def fit(kind: str, settings: Mapping[str, Any], data: FitData, seed: int) -> tuple[Surrogate, bool]:
    """Fit one surrogate on one thread, and whether its optimiser converged; the same arguments give the same model.

    settings: the kind's keys in tracer.yaml, with numbers for "auto".
    """
    classes, targets = np.unique(data.labels, return_inverse=True)
    if len(classes) == 1:
        return linear.Linear.constant(int(classes[0]), data.vectors.shape[1], data.n_labels), True
    if kind == "logistic_regression":
        return linear.fit(settings["C"], settings["max_iter"], data.vectors, data.labels, data.n_labels, data.weights)
    projection = Projection.fit(data.vectors, settings["components"]) if kind == "lightgbm" else None
    inputs = data.vectors if projection is None else projection(data.vectors)
    estimator = _KINDS[kind](settings, len(inputs), seed)
    estimator.fit(np.ascontiguousarray(inputs), targets, sample_weight=_sample_weight(kind, data.weights))
    converged = bool(np.max(getattr(estimator, "n_iter_", 0)) < settings.get("max_iter", np.inf))
    return Estimator(estimator, classes.astype(np.int64), data.n_labels, inputs.shape[1], projection), converged


def _sample_weight(kind: str, weights: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """scikit-learn's SGD takes the mean of the losses over the rows, whatever they weigh, and not over the weights."""
    return weights / weights.mean() if weights is not None and kind == "sgd" else weights


def cross_fit(
    kind: str,
    settings: Mapping[str, Any],
    data: FitData,
    seed: int,
    workers: int | None = None,
    on_fit: Callable[[], None] | None = None,
) -> CrossFit:
    """Fit one model per fold on the other folds' rows, and one on all rows.

    The fits run side by side in `workers` threads (default: one per core; the kinds in ONE_AT_A_TIME do not), each
    on a single BLAS or OpenMP thread: on small matrices several are slower than one. on_fit: called after each fit.
    """
    side_by_side = 1 if kind in ONE_AT_A_TIME else workers or os.cpu_count() or 1
    with warnings.catch_warnings(), threadpool_limits(1), ThreadPoolExecutor(side_by_side) as pool:
        # Reaching the iteration limit is told by `converged`. Set here, because the filters are not per thread.
        warnings.filterwarnings("ignore", category=_convergence_warning())
        # Many labels with few rows each are what some teachers have, not a regression.
        warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")
        settings = {**settings, **_searched(kind, settings, data, seed, pool)}

        def work(part: int | None) -> tuple[Surrogate, bool, NDArray[np.intp], Floats]:
            held = np.flatnonzero(data.folds == part)
            model, converged = fit(kind, settings, data if part is None else data.at(_others(data, part)), seed)
            predicted = _on_vectors(model, data.vectors[held])
            if on_fit is not None:
                on_fit()
            return model, converged, held, predicted

        # The largest fit first, so that no worker waits for it at the end.
        results = list(pool.map(work, [None, *(int(fold) for fold in np.unique(data.folds))]))
    out_of_fold = np.zeros((len(data.labels), data.n_labels), np.float32)
    for _, _, held, predicted in results[1:]:
        out_of_fold[held] = predicted
    numbers = {key: value for key, value in settings.items() if isinstance(value, (int, float))}
    average = Average(tuple(model for model, _, _, _ in results[1:]))
    return CrossFit(out_of_fold, results[0][0], average, numbers, all(converged for _, converged, _, _ in results))


def _searched(
    kind: str, settings: Mapping[str, Any], data: FitData, seed: int, pool: ThreadPoolExecutor
) -> dict[str, float]:
    """Numbers for the settings that are "auto": compared on SEARCH_FOLDS folds of at most search.SEARCH_ROWS rows."""
    if kind != "logistic_regression" or settings["C"] != "auto":
        return {}
    part = data.at(some_rows(data))
    folds = np.unique(part.judged(part.folds))[:SEARCH_FOLDS]

    def predict(job: tuple[float, int]) -> Floats:
        penalty, fold = job
        model, _ = fit(kind, {**settings, "C": penalty}, part.at(_others(part, fold)), seed)
        return _on_vectors(model, part.vectors[part.folds == fold])

    # The weakest penalty takes longest.
    jobs = [(penalty, int(fold)) for penalty in sorted(PENALTIES, reverse=True) for fold in folds]
    predicted = dict(zip(jobs, pool.map(predict, jobs), strict=True))
    held = part.at(np.concatenate([np.flatnonzero(part.folds == fold) for fold in folds]))
    candidates = {c: np.concatenate([predicted[(c, int(fold))] for fold in folds]) for c in PENALTIES}
    return {"C": best(candidates, held.labels, held.evidence)}


def _others(data: FitData, fold: int) -> NDArray[np.intp]:
    return np.flatnonzero(data.folds != fold)


def _on_vectors(model: Surrogate, vectors: Floats) -> Floats:
    """The probabilities of a model that reads nothing but vectors."""
    nothing = np.empty((len(vectors), 0), np.float32)
    return model.predict_proba(Inputs(vectors, nothing, Neighbours(nothing, nothing.astype(np.int64))))


def _convergence_warning() -> type[Warning]:
    from sklearn.exceptions import ConvergenceWarning

    return ConvergenceWarning  # type: ignore[no-any-return]


# --- export ---------------------------------------------------------------------------------------


def _convert(estimator: Any, width: int) -> onnx.ModelProto:
    """A library's estimator as ONNX with an output named `probabilities`."""
    if type(estimator).__name__ == "LGBMClassifier":
        return from_lightgbm(estimator, "vectors", width)
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
