"""MAPIE's Learn-then-Test controller in the place of tracer's guard: the same policy, the same holdout scores.

`BinaryClassificationController` controls, of the rows with an accept score at or above a threshold, the share whose
labels differ: 1 - parity among handled rows. Of the thresholds that pass it takes the one with the largest recall.
The candidates are the scores at 1 %, 2 %, ... 100 % coverage of the holdout, which no label enters. Two ways to
control the error over the candidates:

- bonferroni_holm, MAPIE's default;
- split_fixed_sequence, whose order MAPIE learns on rows of its own: it gets tracer's out-of-fold rows for that.

The risk is spelled out rather than MAPIE's own "precision", which is the same thing from above: MAPIE computes its
p-value from ceil(n (1 - k / n)), which rounding raises by one in about 40 % of all counts k of n, and it would
certify less.
"""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from mapie.risk_control import BinaryClassificationController, BinaryRisk, recall
from numpy.typing import NDArray

from benchmarks.measure import measured
from benchmarks.systems import tracer
from benchmarks.systems.base import Outcome, Task
from benchmarks.systems.tracer import Scored

FwerMethod = Literal["bonferroni_holm", "split_fixed_sequence"]
CANDIDATES = 100

# y is whether the labels agree, a prediction is whether the row is handled.
differs_when_handled = BinaryRisk(
    risk_occurrence=lambda agrees, handled: agrees == 0,
    risk_condition=lambda agrees, handled: handled == 1,
    higher_is_better=False,
)


def run(task: Task, fwer_method: FwerMethod) -> Outcome:
    fit = tracer.fitted(task, "holdout")
    policies = tracer.deployed(task, "holdout", "handled")
    with measured() as cost:
        found = {
            target: threshold(item.holdout, item.out_of_fold, target, task.delta, fwer_method)
            for target, item in policies.items()
        }
    routed = {target: None if at is None else policies[target].routed(at) for target, at in found.items()}
    return Outcome(routed, fit.cost + cost)


def threshold(
    holdout: Scored, out_of_fold: Scored, target: float, delta: float, fwer_method: FwerMethod
) -> float | None:
    """The threshold that MAPIE chooses, or None when it finds none."""
    controller = BinaryClassificationController(
        predict_function=lambda scores: np.column_stack([1 - scores, scores]),
        risk=differs_when_handled,
        target_level=1 - target,
        confidence_level=1 - delta,
        best_predict_param_choice=recall,
        list_predict_params=candidates(holdout.scores),
        fwer_method=fwer_method,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where no threshold passes; that is the answer None
        if fwer_method == "split_fixed_sequence":
            controller.learn_fixed_sequence_order(out_of_fold.scores, out_of_fold.agrees, binary=True)
        controller.calibrate(holdout.scores, holdout.agrees)
    best = controller.best_predict_param
    return None if best is None else float(best)


def candidates(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ascending scores at even steps of coverage, each once."""
    ordered = np.sort(scores)[::-1]
    counts = -(-np.arange(1, CANDIDATES + 1) * len(ordered) // CANDIDATES)  # rounded up, in whole numbers
    return np.unique(ordered[counts - 1])
