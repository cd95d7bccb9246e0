"""Which surrogate and which method, on out-of-fold evidence alone: the ones that would certify the most coverage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracer_cli.core import acceptor, frontier
from tracer_cli.core.certificate import Scope
from tracer_cli.core.frontier import Curve, Proposal
from tracer_cli.core.neighbours import Neighbours

# A method turns the out-of-fold curve into the sequence that the guard walks. Of two methods that would
# certify the same coverage the earlier wins; a walk has more ways to succeed than a single step.
METHODS: dict[str, Callable[[Curve, int, float, float, Scope], Proposal]] = {
    "l2d": frontier.propose,
    "global": frontier.propose_global,
}


@dataclass(frozen=True)
class Candidate:
    """One surrogate with the out-of-fold figures of the policy it would make.

    features: (n, features) of the acceptor; agrees, scores: (n,); curve: coverage and agreement by threshold.
    """

    model: str
    predicted: NDArray[np.int64]
    agrees: NDArray[np.bool_]
    features: NDArray[np.float64]
    scores: NDArray[np.float64]
    curve: Curve


def candidate(
    model: str,
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    neighbours: Neighbours,
    folds: NDArray[np.int64],
) -> Candidate:
    """Score one zoo member out of fold.

    probabilities: (n, labels) out of fold; neighbours: out of fold, of the same rows; labels, folds: (n,).
    """
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    agrees = predicted == labels
    values = acceptor.features(probabilities, neighbours)
    scores = acceptor.out_of_fold_scores(values, agrees, folds)
    return Candidate(model, predicted, agrees, values, scores, frontier.curve(scores, agrees))


@dataclass(frozen=True)
class Choice:
    """The sequence for one target, and the method that made it."""

    method: str
    proposal: Proposal


def choose_method(curve: Curve, holdout_rows: int, target: float, delta: float, scope: Scope) -> Choice:
    """The method that would certify the most coverage at `target`, judged on the out-of-fold curve."""
    choices = [Choice(name, make(curve, holdout_rows, target, delta, scope)) for name, make in METHODS.items()]
    best = max(choices, key=lambda choice: choice.proposal.predicted_coverage)
    if np.array_equal(best.proposal.thresholds, [frontier.ACCEPT_ALL]):
        return Choice("global", best.proposal)
    return best


def choose_surrogate(
    candidates: Sequence[Candidate], holdout_rows: int, target: float, delta: float, scope: Scope
) -> Candidate:
    """The surrogate that would certify the most coverage at the deployed target.

    Where none would certify anything there is nothing to choose by but agreement over all rows.
    """

    def merit(item: Candidate) -> tuple[float, float]:
        choice = choose_method(item.curve, holdout_rows, target, delta, scope)
        return choice.proposal.predicted_coverage, float(item.agrees.mean())

    return max(candidates, key=merit)
