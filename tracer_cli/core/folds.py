"""Folds for out-of-fold predictions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def assign_folds(labels: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Deal the rows of each label to the folds in turn, in an order shuffled by `seed`.

    labels: (n,) label indices. Returns (n,) fold numbers in [0, folds).

    Stratified like scikit-learn's StratifiedKFold, but a label with fewer rows than folds is no special
    case: its rows lie in as many folds as it has rows, and the fold sizes still differ by at most one,
    because the dealing goes on from label to label.
    """
    if folds > len(labels):
        raise ValueError(f"{folds} folds need at least {folds} rows, there are {len(labels)}")
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    result = np.empty(len(labels), np.int64)
    result[order] = np.arange(len(labels)) % folds
    return result
