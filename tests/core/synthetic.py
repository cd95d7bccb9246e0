"""What several tests of the core use: small labelled vectors, every kind of zoo member, and many walks at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer_cli.config import schema
from tracer_cli.core import surrogates
from tracer_cli.core.certificate import Scope, certify, most_errors
from tracer_cli.core.folds import assign_folds
from tracer_cli.core.surrogates import CrossFit, FitData, estimators, kernel_ridge, nearest_neighbours

FOLDS = 4
KINDS: dict[str, dict[str, Any]] = {
    "kernel_ridge": schema.KernelRidgeModel(kind="kernel_ridge").model_dump(),
    "nearest_neighbours": schema.NearestNeighboursModel(kind="nearest_neighbours").model_dump(),
    "logistic_regression": schema.LogisticRegressionModel(kind="logistic_regression").model_dump(),
    "sgd": schema.SgdModel(kind="sgd").model_dump(),
    "mlp": schema.MlpModel(kind="mlp", hidden=[32], max_iter=30).model_dump(),
    "random_forest": schema.RandomForestModel(kind="random_forest", n_estimators=12).model_dump(),
    "extra_trees": schema.ExtraTreesModel(kind="extra_trees", n_estimators=12).model_dump(),
    "lightgbm": schema.LightGBMModel(kind="lightgbm", n_estimators=10, components=8).model_dump(),
}
# With nothing left to choose on the labels.
FIXED = KINDS | {
    "kernel_ridge": {"gamma": 2.0, "penalty": 0.1},
    "nearest_neighbours": {"k": 30, "sharpness": 20.0},
    "logistic_regression": {"C": 10.0, "max_iter": 300},
}


def clusters(rows: int, labels: int, dim: int = 16, noise: float = 0.5, seed: int = 0, centres: int = 0) -> FitData:
    """Unit vectors around one centre per label, each label about as often; centres: the seed of the centres."""
    middle = np.random.default_rng(centres).standard_normal((labels, dim))
    rng = np.random.default_rng(seed)
    targets = rng.permutation(np.arange(rows) % labels)
    vectors = middle[targets] + noise * rng.standard_normal((rows, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return data(vectors, targets, labels)


def data(vectors: np.ndarray, labels: np.ndarray, n_labels: int, folds: np.ndarray | None = None) -> FitData:
    labels = labels.astype(np.int64)
    folds = assign_folds(labels, FOLDS, 0) if folds is None else folds.astype(np.int64)
    return FitData(np.ascontiguousarray(vectors, np.float32), labels, n_labels, folds)


def cross(kind: str, rows: FitData, settings: dict[str, Any] | None = None, workers: int | None = 1) -> CrossFit:
    return surrogates.cross_fit(kind, KINDS[kind] if settings is None else settings, rows, 3, workers)


def raw(kind: str, rows: FitData) -> CrossFit:
    """Before temperature scaling, with fixed settings."""
    if kind == "kernel_ridge":
        return kernel_ridge.cross_fit(FIXED[kind], rows)
    if kind == "nearest_neighbours":
        return nearest_neighbours.cross_fit(FIXED[kind], rows)
    return estimators.cross_fit(kind, FIXED[kind], rows, 3, 1)


class Walk:
    """certify's threshold for many samples of one size: the same test by table, held against certify now and then."""

    def __init__(self, thresholds: Sequence[float], rows: int, target: float, delta: float, scope: Scope) -> None:
        self.arguments = thresholds, target, delta, scope
        self.thresholds, self.scope, self.walked = np.asarray(thresholds), scope, 0
        self.limits = most_errors(np.arange(rows + 1), target, delta)

    def threshold(self, scores: np.ndarray, agrees: np.ndarray) -> float | None:
        order = np.argsort(-scores)
        handled = np.searchsorted(-scores[order], -self.thresholds, side="right")
        errors = np.concatenate([[0], np.cumsum(~agrees[order])])[handled]
        allowed = self.limits[handled] if self.scope == "handled" else self.limits[-1]
        failed = np.flatnonzero((errors > allowed) | ((handled == 0) & (self.scope == "handled")))
        passed = failed[0] if len(failed) else len(handled)
        # Under scope overall a walk passes thresholds that no row reaches, and does not end at one.
        result = None if passed == 0 or handled[passed - 1] == 0 else float(self.thresholds[passed - 1])
        if self.walked % 200 == 0:
            assert certify(scores, agrees, *self.arguments).threshold == result
        self.walked += 1
        return result
