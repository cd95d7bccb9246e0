"""Kernel ridge regression on one-hot labels with a Gaussian kernel of the cosine, in closed form.

The kernel is exp(gamma * (cos - 1)), the Gaussian of the distance between unit vectors. One factorisation gives the
model on all rows and all fold models: with G = (K + penalty I)^-1 and A = G Y, the out-of-fold scores of the
rows of fold k are Y_k - E_k, where G_kk E_k = A_k, and the coefficients of that fold's model are
A_j - G_jk E_k on the other rows (the block form of the leave-one-out identity, e.g. Rifkin and Lippert 2007).

A row's weight w multiplies its squared error: the penalty on its place of the diagonal is then penalty / w, in G as in
every G_kk, and the identities hold as they are.

Beyond neighbours.EXACT rows the model is restricted to landmarks (the Nystrom method, Williams and Seeger 2001):
time then grows linearly with the rows and memory not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from tracer_cli.core.neighbours import landmark_count
from tracer_cli.core.onnx_graph import GraphBuilder
from tracer_cli.core.surrogates.base import BLOCK, CrossFit, FitData, Floats, Inputs
from tracer_cli.core.surrogates.search import best, some_rows

GAMMAS = (1.0, 2.0)
PENALTIES = (0.03, 0.1, 0.3, 1.0)
# Scores lie between 0 and 1: this makes them logits of a usual size, before temperature scaling.
SCALE = 8.0
# Above the rounding errors of a kernel in float32, also where landmarks are near copies of each other.
JITTER = 1e-4

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class KernelRidge:
    """softmax(SCALE * kernel @ coefficients).

    coefficients: (landmarks, n_labels); the landmarks are the first reference rows.
    """

    gamma: float
    coefficients: Floats

    reads = ("similarity",)

    def predict_proba(self, inputs: Inputs) -> Floats:
        return self.probabilities(kernel(inputs.similarity[:, : len(self.coefficients)], self.gamma))

    def probabilities(self, kernel_rows: Floats) -> Floats:
        return softmax(kernel_rows @ self.coefficients)

    def add_to(self, graph: GraphBuilder, prefix: str) -> str:
        landmarks = len(self.coefficients)
        axis = graph.constant(f"{prefix}axis", [1])
        bounds = [graph.constant(f"{prefix}{end}", [value]) for end, value in (("from", 0), ("to", landmarks))]
        similarity = graph.node("Slice", ["similarity", *bounds, axis], f"{prefix}similarity")
        below = graph.node("Sub", [similarity, graph.constant(f"{prefix}one", 1.0)], f"{prefix}below")
        logs = graph.node("Mul", [below, graph.constant(f"{prefix}gamma", self.gamma)], f"{prefix}logs")
        values = graph.node("Exp", [logs], f"{prefix}kernel")
        scores = graph.node(
            "MatMul",
            [values, graph.constant(f"{prefix}coefficients", self.coefficients * np.float32(SCALE))],
            f"{prefix}scores",
        )
        return graph.node("Softmax", [scores], f"{prefix}probabilities", axis=1)


def kernel(similarity: Floats, gamma: float) -> Floats:
    """exp(gamma * (similarity - 1)), (n, r), in a new array."""
    values = similarity - np.float32(1)
    values *= np.float32(gamma)
    return np.asarray(np.exp(values, out=values), np.float32)


def softmax(scores: Floats) -> Floats:
    values = np.exp((scores - scores.max(axis=1, keepdims=True)) * np.float32(SCALE))
    return np.asarray(values / values.sum(axis=1, keepdims=True), np.float32)


def one_hot(labels: NDArray[np.int64], n_labels: int) -> Floats:
    """(n, n_labels), centred so that knowing nothing is all labels alike."""
    return np.eye(n_labels, dtype=np.float32)[labels] - np.float32(1 / n_labels)


@dataclass(frozen=True)
class Solved:
    """scores: (n, n_labels) out of fold; coefficients: of the model on all rows; average: of the fold models' mean."""

    scores: Floats
    coefficients: Floats
    average: Floats


def cross_fit(settings: Mapping[str, float | str], data: FitData) -> CrossFit:
    """settings: gamma and penalty, numbers or "auto" (chosen on at most SEARCH_ROWS rows)."""
    gamma, penalty = _search(settings, data)
    exact = landmark_count(len(data.labels)) == len(data.labels)
    solved = _solve_exact(data, gamma, penalty) if exact else _solve_landmarks(data, gamma, penalty)
    return CrossFit(
        softmax(solved.scores),
        KernelRidge(gamma, solved.coefficients),
        KernelRidge(gamma, solved.average),
        {"gamma": gamma, "penalty": penalty},
    )


def _search(settings: Mapping[str, float | str], data: FitData) -> tuple[float, float]:
    gammas = GAMMAS if settings["gamma"] == "auto" else (float(settings["gamma"]),)
    penalties = PENALTIES if settings["penalty"] == "auto" else (float(settings["penalty"]),)
    if len(gammas) * len(penalties) == 1:
        return gammas[0], penalties[0]
    part = data.at(some_rows(data))
    candidates = {(g, p): softmax(_solve_exact(part, g, p).scores) for g in gammas for p in penalties}
    return best(candidates, part.labels, part.evidence)


def _solve_exact(data: FitData, gamma: float, penalty: float) -> Solved:
    """All rows are landmarks. Memory: one matrix (n, n) of float32."""
    # By fold, so that each fold is a block.
    order = np.argsort(data.folds, kind="stable")
    unit, targets = data.unit[order], one_hot(data.labels[order], data.n_labels)
    inverse = kernel(unit @ unit.T, gamma)
    inverse.flat[:: len(inverse) + 1] += _diagonal(data, order, penalty)
    inverse = _inverse(inverse)
    coefficients = inverse @ targets
    scores, total = np.empty_like(targets), np.zeros_like(targets)
    ends = np.cumsum(np.unique(data.folds, return_counts=True)[1])
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        held = slice(start, end)
        errors = scipy.linalg.solve(inverse[held, held], coefficients[held], assume_a="pos", check_finite=False)
        scores[held] = targets[held] - errors
        without = coefficients - inverse[:, held] @ errors
        without[held] = 0  # zero but for rounding
        total += without
    back = np.argsort(order)
    return Solved(scores[back], coefficients[back], total[back] / np.float32(len(ends)))


def _diagonal(data: FitData, order: NDArray[np.intp], penalty: float) -> np.float32 | Floats:
    """What is added to the kernel's diagonal; not less than rounding needs, however much a row weighs."""
    if data.weights is None:
        return np.float32(penalty)
    return np.maximum(penalty / data.weights[order], min(penalty, JITTER)).astype(np.float32)


def _inverse(matrix: Floats) -> Floats:
    """Of a symmetric positive definite matrix, in its place."""
    # The transpose of a symmetric matrix in C order is the same matrix in Fortran order, as LAPACK wants it.
    factor, failed = scipy.linalg.lapack.spotrf(matrix.T, lower=1, overwrite_a=1, clean=0)
    if not failed:
        factor, failed = scipy.linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise np.linalg.LinAlgError("the kernel matrix is not positive definite")
    # Only the lower half was filled. Tile by tile: whole rows would leave the cache between two visits.
    tile = 512
    for i in range(0, len(factor), tile):
        for j in range(0, i, tile):
            factor[j : j + tile, i : i + tile] = factor[i : i + tile, j : j + tile].T
        own = factor[i : i + tile, i : i + tile]
        own[:] = np.tril(own) + np.tril(own, -1).T
    return np.asarray(factor, np.float32)


def _solve_landmarks(data: FitData, gamma: float, penalty: float) -> Solved:
    """The landmarks are the first reference rows. Memory: a (landmarks, landmarks) matrix of float64 for each fold.

    Solves (K'WK + penalty * K_landmarks) coefficients = K'WY, where K (n, landmarks) is between rows and landmarks and
    W holds the rows' weights.
    """
    landmarks = data.unit[data.reference[: landmark_count(len(data.labels))]]
    own = kernel(landmarks @ landmarks.T, gamma).astype(np.float64)
    own.flat[:: len(own) + 1] += JITTER
    own *= penalty
    folds = np.unique(data.folds)
    parts = [_products(data, np.flatnonzero(data.folds == fold), landmarks, gamma) for fold in folds]
    gram = sum((part for part, _ in parts), own)
    product = sum((part for _, part in parts[1:]), parts[0][1])

    def coefficients(left: Doubles, right: Doubles) -> Floats:
        factor = scipy.linalg.cho_factor(left, check_finite=False, overwrite_a=True)
        return np.asarray(scipy.linalg.cho_solve(factor, right, check_finite=False), np.float32)

    scores, total = np.empty((len(data.labels), data.n_labels), np.float32), np.zeros_like(product, np.float32)
    for fold, (its_gram, its_product) in zip(folds, parts, strict=True):
        without = coefficients(gram - its_gram, product - its_product)
        total += without
        held = np.flatnonzero(data.folds == fold)
        for start in range(0, len(held), BLOCK):
            rows = held[start : start + BLOCK]
            scores[rows] = kernel(data.unit[rows] @ landmarks.T, gamma) @ without
    return Solved(scores, coefficients(gram, product), total / np.float32(len(folds)))


def _products(data: FitData, rows: NDArray[np.intp], landmarks: Floats, gamma: float) -> tuple[Doubles, Doubles]:
    """K'WK (landmarks, landmarks) and K'WY (landmarks, n_labels) over `rows`, in blocks."""
    gram = np.zeros((len(landmarks), len(landmarks)))
    product = np.zeros((len(landmarks), data.n_labels))
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        values = kernel(data.unit[part] @ landmarks.T, gamma).astype(np.float64)
        left = values if data.weights is None else values * data.weights[part, None]
        gram += left.T @ values
        product += left.T @ one_hot(data.labels[part], data.n_labels)
    return gram, product
