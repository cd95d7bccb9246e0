"""What a router answers with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from tracer_cli.core.policy import Decisions

HANDLED, DEFERRED = "handled", "deferred"


class Prediction(TypedDict):
    """label: the surrogate's when handled, the fallback's (or None without one) when deferred.

    stage: of the policy, which handled the input: 0, or 1 for the second of a cascade (method rsb); -1: none did.
    distance: 1 - cosine similarity to the nearest fit row.
    """

    label: Any
    decision: str
    accept_score: float
    target: float
    stage: int
    distance: float


class BatchPrediction(TypedDict):
    """Lists and arrays of one length; the label of a deferred input is the fallback's, or None."""

    labels: list[Any]
    decisions: list[str]
    handled: NDArray[np.bool_]
    accept_scores: NDArray[np.float64]
    stages: NDArray[np.int64]
    distances: NDArray[np.float64]


@dataclass(frozen=True)
class Routed(Decisions):
    """The decisions of one policy at one target; complete by itself, whatever policy is loaded afterwards.

    handled: (n,) bool; stages: (n,) as in Prediction; names: the labels that `labels` are indices of.
    """

    handled: NDArray[np.bool_]
    stages: NDArray[np.int64]
    names: Sequence[str]
    target: float
    policy_id: str

    def one(self, row: int = 0) -> Prediction:
        handled = bool(self.handled[row])
        return {
            "label": self.names[int(self.labels[row])] if handled else None,
            "decision": HANDLED if handled else DEFERRED,
            "accept_score": float(self.accept_scores[row]),
            "target": self.target,
            "stage": int(self.stages[row]),
            "distance": float(self.distances[row]),
        }

    def all(self) -> BatchPrediction:
        return {
            "labels": [self.names[i] if ok else None for i, ok in zip(self.labels, self.handled, strict=True)],
            "decisions": [HANDLED if ok else DEFERRED for ok in self.handled],
            "handled": self.handled,
            "accept_scores": self.accept_scores,
            "stages": self.stages,
            "distances": self.distances,
        }
