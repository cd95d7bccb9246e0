"""What many teams do: a classifier, and the confidence above which it looked good enough on a test set."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from benchmarks.measure import measured
from benchmarks.systems.base import Outcome, Routed, Task

FIT_SHARE = 0.7


def run(task: Task) -> Outcome:
    """scikit-learn's LogisticRegression as it comes, on 70 % of the traces; the threshold on the other 30 %."""
    teacher = np.array(task.teacher, object)
    order = np.random.default_rng(task.seed).permutation(len(teacher))
    train, test = np.split(order, [int(FIT_SHARE * len(order))])
    model = LogisticRegression()
    with measured() as cost, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(task.vectors[train], teacher[train])
        probabilities = model.predict_proba(task.vectors[test])
        confidence = probabilities.max(axis=1)
        agrees = model.classes_[probabilities.argmax(axis=1)] == teacher[test]
        found = {target: lowest(confidence, agrees, target) for target in task.targets}
    probabilities = model.predict_proba(task.future)
    confidence, labels = probabilities.max(axis=1), model.classes_[probabilities.argmax(axis=1)]
    return Outcome({t: None if at is None else Routed(confidence >= at, labels) for t, at in found.items()}, cost)


def lowest(confidence: NDArray[np.float64], agrees: NDArray[np.bool_], target: float) -> float | None:
    """The lowest threshold at or above which the share that agrees is at least `target`; None without one."""
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    share = np.cumsum(agrees[order]) / np.arange(1, len(order) + 1)
    ends = np.append(ordered[:-1] > ordered[1:], True)  # equal scores are not told apart
    good = np.flatnonzero(ends & (share >= target))
    return float(ordered[good[-1]]) if len(good) else None
