"""Which surrogate and which method, on out-of-fold evidence alone: the ones that would certify the most coverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tracer_cli.core import acceptor
from tracer_cli.core.acceptor import Kind
from tracer_cli.core.certificate import lower_bound
from tracer_cli.core.frontier import STEP, Planner, Proposal
from tracer_cli.core.neighbours import Neighbours, thinned
from tracer_cli.core.surrogates import FitData

Floats = NDArray[np.float32]
Blend = dict[str, int]


@dataclass(frozen=True)
class Rows:
    """Out-of-fold rows; candidates are judged on those that are evidence.

    probabilities: of each zoo member, (n, n_labels); neighbours: of the same rows, out of fold; labels, folds: (n,).
    """

    probabilities: Mapping[str, Floats]
    neighbours: Neighbours
    labels: NDArray[np.int64]
    folds: NDArray[np.int64]
    n_labels: int

    @classmethod
    def of(cls, data: FitData, probabilities: Mapping[str, Floats]) -> Rows:
        return cls(probabilities, data.out_of_fold_neighbours, data.labels, data.folds, data.n_labels)

    def thinned(self, most: int) -> Rows:
        """At most `most` rows, evenly spaced."""
        return self if len(self.labels) <= most else self.at(thinned(np.arange(len(self.labels)), most))

    def at(self, rows: NDArray[np.intp]) -> Rows:
        near = Neighbours(self.neighbours.similarities[rows], self.neighbours.labels[rows])
        members = {name: values[rows] for name, values in self.probabilities.items()}
        return Rows(members, near, self.labels[rows], self.folds[rows], self.n_labels)


@dataclass(frozen=True)
class Candidate:
    """A surrogate with the out-of-fold figures of the policy it would make.

    blend: zoo member -> weight; predicted, agrees, scores: (n,); features: (n, features) of the acceptor;
    history: (n_labels,) label_history of all rows, for inputs to come.
    """

    blend: Blend
    predicted: NDArray[np.int64]
    agrees: NDArray[np.bool_]
    features: NDArray[np.float64]
    scores: NDArray[np.float64]
    history: NDArray[np.float64]


def blended(probabilities: Mapping[str, Floats], blend: Blend) -> Floats:
    """(n, labels) weighted mean."""
    total = sum(weight * probabilities[name] for name, weight in blend.items())
    return np.asarray(total / np.float32(sum(blend.values())), np.float32)


def candidate(blend: Blend, rows: Rows, kind: Kind = "logistic_regression") -> Candidate:
    """Score a blend of zoo members out of fold; kind: of the acceptor."""
    probabilities, predicted, alone = _said(blend, rows)
    agrees = predicted == rows.labels
    past = acceptor.out_of_fold_history(predicted, agrees, rows.folds, rows.n_labels)
    values = acceptor.features(probabilities, rows.neighbours, alone, past)
    scores = acceptor.out_of_fold_scores(values, agrees, rows.folds, kind)
    history = acceptor.label_history(predicted, agrees, rows.n_labels)
    return Candidate(blend, predicted, agrees, values, scores, history)


def applied(item: Candidate, rows: Rows, kind: Kind = "logistic_regression") -> Candidate:
    """The same blend on other rows, which had no part in its acceptor: scored as inputs to come will be."""
    probabilities, predicted, alone = _said(item.blend, rows)
    values = acceptor.features(probabilities, rows.neighbours, alone, item.history[predicted])
    scores = acceptor.fit(item.features, item.agrees, kind).score(values)
    scores = np.maximum(scores, acceptor.MIN_SCORE)
    return Candidate(item.blend, predicted, predicted == rows.labels, values, scores, item.history)


def _said(blend: Blend, rows: Rows) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """The blend's probabilities and labels, and (n, members) the labels that each member would give alone."""
    probabilities = blended(rows.probabilities, blend)
    alone = np.column_stack([rows.probabilities[name].argmax(axis=1) for name in blend])
    return probabilities, probabilities.argmax(axis=1).astype(np.int64), alone


@dataclass(frozen=True)
class Tried:
    """A blend that was considered, and what it would certify at the deployed target."""

    blend: Blend
    agreement: float
    expected_coverage: float

    @property
    def merit(self) -> tuple[float, float]:
        """Where no blend would certify anything there is nothing to choose by but agreement over all rows."""
        return self.expected_coverage, self.agreement


def choose_blend(rows: Rows, planner: Planner, target: float, most: int) -> list[Tried]:
    """Greedy ensemble selection with replacement (Caruana et al. 2004), by expected certified coverage at `target`.

    Starts from the best single member and adds, at most until `most` members were picked, the one that helps most;
    stops when none helps. Returns everything that was tried, the chosen blend first.
    """

    def attempt(blend: Blend) -> Tried:
        item = candidate(blend, rows)
        proposal = planner.propose(item.scores, item.agrees, target)
        return Tried(blend, float(item.agrees.mean()), proposal.expected_coverage)

    tried = [attempt({name: 1}) for name in rows.probabilities]
    best = max(tried, key=lambda item: item.merit)
    while sum(best.blend.values()) < most:
        wider = [_with(best.blend, name) for name in rows.probabilities]
        known = [_shares(item.blend) for item in tried]
        attempts = [attempt(blend) for blend in wider if _shares(blend) not in known]
        tried += attempts
        leader = max(attempts, key=lambda item: item.merit, default=best)
        if leader.merit <= best.merit:
            break
        best = leader
    return [best, *(item for item in tried if item is not best)]


def _with(blend: Blend, name: str) -> Blend:
    return {**blend, name: blend.get(name, 0) + 1}


def _shares(blend: Blend) -> dict[str, float]:
    total = sum(blend.values())
    return {name: round(weight / total, 9) for name, weight in blend.items()}


@dataclass(frozen=True)
class Filters:
    """What defers an input whatever its score; inside the certificate, because it acts before the guard's tests.

    distance_limit: 1 - cosine similarity to the nearest fit row above which an input is deferred; None: no limit.
    blocked: (n_labels,) labels that are never answered with.
    """

    distance_limit: float | None
    blocked: NDArray[np.bool_]

    def apply(
        self, scores: NDArray[np.float64], predicted: NDArray[np.int64], distances: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(n,) scores, 0 where the input is deferred."""
        deferred = self.blocked[predicted]
        if self.distance_limit is not None:
            deferred = deferred | (distances > self.distance_limit)
        return np.where(deferred, 0.0, scores)


def filtered(item: Candidate, filters: Filters, distances: NDArray[np.float64]) -> Candidate:
    return replace(item, scores=filters.apply(item.scores, item.predicted, distances))


def choose_method(item: Candidate, planner: Planner, target: float, allowed: str) -> tuple[str, Proposal]:
    """The method that would certify the most coverage at `target` with this surrogate, and its sequence.

    allowed: "auto", or the one method to take. A walk ends by accepting everything too and certifies less where that
    fails, so the single step must promise at least one step of the walk more.
    """
    if allowed != "global":
        walk = planner.propose(item.scores, item.agrees, target)
        if allowed in ("l2d", "rsb"):  # the cascade's first stage is one too
            return "l2d", walk
    single = planner.propose_global(item.scores, item.agrees, target)
    if allowed == "global" or single.expected_coverage > walk.expected_coverage + STEP:
        return "global", single
    return ("global" if len(walk.thresholds) == 1 else "l2d"), walk


# --- labels ---------------------------------------------------------------------------------------

ENOUGH_ROWS = 10


@dataclass(frozen=True)
class LabelCheck:
    """Out-of-fold agreement where one label was the answer, among rows that would be handled."""

    label: int
    handled: int
    agreed: int
    outcome: str  # "reached", "deferred" or "too little evidence"


def check_labels(
    item: Candidate, threshold: float, minimum: float, confidence: float, n_labels: int
) -> list[LabelCheck]:
    """Which labels reach an agreement of `minimum` out of fold among rows with scores of at least `threshold`.

    reached: the exact lower bound at `confidence` is at least `minimum`. deferred: at least ENOUGH_ROWS rows agree in
    a smaller share than `minimum`. Otherwise the rows are too few to tell.
    """
    handled = item.scores >= threshold
    checks = []
    for label in range(n_labels):
        answered = handled & (item.predicted == label)
        trials, agreed = int(answered.sum()), int((answered & item.agrees).sum())
        if lower_bound(agreed, trials, 1 - confidence) >= minimum:
            outcome = "reached"
        elif trials >= ENOUGH_ROWS and agreed < minimum * trials:
            outcome = "deferred"
        else:
            outcome = "too little evidence"
        checks.append(LabelCheck(label, trials, agreed, outcome))
    return checks
