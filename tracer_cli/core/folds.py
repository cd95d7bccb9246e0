"""Folds for out-of-fold predictions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def assign_folds(
    labels: NDArray[np.int64], folds: int, seed: int, evidence: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Deal the rows of each label to the folds in turn, in an order shuffled by `seed`.

    labels: (n,) label indices; evidence: (n,) the rows that are dealt first, so that each fold gets its share of them
    and the other rows have no say in it; None: all. Returns (n,) fold numbers in [0, folds).

    Stratified like scikit-learn's StratifiedKFold, but a label with fewer rows than folds is no special
    case: its rows lie in as many folds as it has rows, and the fold sizes still differ by at most one,
    because the dealing goes on from label to label.
    """
    first = np.arange(len(labels)) if evidence is None else np.flatnonzero(evidence)
    if folds > len(first):
        raise ValueError(f"{folds} folds need at least {folds} rows, there are {len(first)}")
    rng, order = np.random.default_rng(seed), []
    for rows in (first, np.setdiff1d(np.arange(len(labels)), first, assume_unique=True)):
        shuffled = rows[rng.permutation(len(rows))]
        order.append(shuffled[np.argsort(labels[shuffled], kind="stable")])
    result = np.empty(len(labels), np.int64)
    result[np.concatenate(order)] = np.arange(len(labels)) % folds
    return result
