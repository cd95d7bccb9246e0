"""Everything that is decided before the guard: surrogate, acceptor, method, filters, and the order of the tests.

Reads out-of-fold predictions of the fit rows and nothing else; what is decided is decided on those that are evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracer_cli.core import acceptor, cascade, selection
from tracer_cli.core.cascade import Cascade
from tracer_cli.core.certificate import Scope
from tracer_cli.core.frontier import STEP, Planner, Proposal
from tracer_cli.core.policy_graph import Policy, Reference, Stage
from tracer_cli.core.selection import Candidate, Filters, LabelCheck, Rows, Tried
from tracer_cli.core.surrogates import FitData

# Blends are compared on at most this many rows.
SELECTION_ROWS = 20_000


@dataclass(frozen=True)
class Settings:
    """target: the deployed one, which decides every choice; targets: all that get a sequence.

    confidence: 1 - the level of the guard's tests. evidence_rows: how many rows it will test on. method: "auto",
    "global", "l2d" or "rsb". blend: most picks. distance_quantile: of the fit rows' distances to their nearest row, or
    None. per_label_min: or None.
    """

    target: float
    targets: Sequence[float]
    confidence: float
    scope: Scope
    evidence_rows: int
    method: str
    blend: int
    acceptor: acceptor.Kind
    distance_quantile: float | None
    per_label_min: float | None
    seed: int


@dataclass(frozen=True)
class Planned:
    """The sequence for one target, and the method that walks it."""

    method: str
    proposal: Proposal


@dataclass(frozen=True)
class Calibration:
    """policy: what the graph is built from; method: at the deployed target; figures: of the evidence out of fold,
    filters applied; distances: of the same rows; cascade: the second stage, for method rsb; planned: for each target,
    ascending; tried: the blends, the chosen one first; label_checks: where per_label_min is set."""

    policy: Policy
    method: str
    figures: Candidate
    distances: NDArray[np.float64]
    cascade: Cascade | None
    planned: list[Planned]
    tried: list[Tried]
    label_checks: list[LabelCheck]
    expected: dict[str, float]


def calibrate(data: FitData, probabilities: Mapping[str, NDArray[np.float32]], settings: Settings) -> Calibration:
    """probabilities: each zoo member's, out of fold, (n, n_labels), temperature-scaled."""
    everything = Rows.of(data, probabilities)
    rows = everything if data.evidence is None else everything.at(np.flatnonzero(data.evidence))
    delta = 1 - settings.confidence

    def planner_for(some: Rows) -> Planner:
        return Planner(len(some.labels), settings.evidence_rows, delta, settings.scope, settings.seed)

    some, planner = rows.thinned(SELECTION_ROWS), planner_for(rows)
    tried = selection.choose_blend(some, planner_for(some), settings.target, settings.blend)
    distances = _distances(rows)
    filters = Filters(_limit(distances, settings.distance_quantile), np.zeros(data.n_labels, bool))
    first = selection.filtered(selection.candidate(tried[0].blend, rows, settings.acceptor), filters, distances)
    method, proposal = selection.choose_method(first, planner, settings.target, settings.method)
    expected = {method: proposal.expected_coverage}
    figures, two = first, None
    if settings.method in ("auto", "rsb"):
        others = None
        if data.evidence is not None:
            unjudged = everything.at(np.flatnonzero(~data.evidence))
            others = selection.applied(first, unjudged, settings.acceptor)
            others = selection.filtered(others, filters, _distances(unjudged))
        two = cascade.build(first, proposal, data, settings.seed, settings.acceptor, others)
        if two is not None:
            combined = selection.filtered(two.combined, filters, distances)
            walk = planner.propose(combined.scores, combined.agrees, settings.target)
            expected["rsb"] = walk.expected_coverage
            # A second model must earn its keep: a gain below one step of the walk is not told from chance.
            if settings.method == "rsb" or walk.expected_coverage > proposal.expected_coverage + STEP:
                method, proposal, figures = "rsb", walk, combined
            else:
                two = None
    checks = []
    if settings.per_label_min is not None:
        checks = selection.check_labels(
            figures, proposal.expected_threshold, settings.per_label_min, settings.confidence, data.n_labels
        )
        blocked = np.array([check.outcome == "deferred" for check in checks])
        filters = Filters(filters.distance_limit, blocked)
        figures = selection.filtered(figures, filters, distances)
    policy = _policy(data, first, two, filters, settings.acceptor)
    allowed = "l2d" if method == "rsb" else settings.method
    planned = []
    for target in settings.targets:
        name, walk = selection.choose_method(figures, planner, target, allowed)
        planned.append(Planned("rsb" if method == "rsb" else name, walk))
    return Calibration(policy, method, figures, distances, two, planned, tried, checks, expected)


def _distances(rows: Rows) -> NDArray[np.float64]:
    return 1.0 - rows.neighbours.similarities[:, 0].astype(np.float64)


def _limit(distances: NDArray[np.float64], quantile: float | None) -> float | None:
    """The distance beyond which an input is unlike the fit rows; rounded up, so that a rounding error defers nobody."""
    return None if quantile is None else float(np.quantile(distances, quantile, method="higher")) + 1e-6


def _policy(data: FitData, first: Candidate, two: Cascade | None, filters: Filters, kind: acceptor.Kind) -> Policy:
    votes = None if data.votes is None else data.votes[data.reference]
    reference = Reference(data.vectors[data.reference], data.labels[data.reference], data.k, votes)
    stages = [_stage(first, kind)]
    if two is not None:
        stages.append(_stage(two.second, kind))
    return Policy(reference, filters, tuple(stages), None if two is None else two.switch)


def _stage(item: Candidate, kind: acceptor.Kind) -> Stage:
    return Stage(item.blend, acceptor.fit(item.features, item.agrees, kind), item.history)
