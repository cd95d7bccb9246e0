"""The residual cascade (rsb): what the first surrogate defers is given to a second one that learnt on such rows alone.

The first stage handles scores of at least `switch`; every other input gets the second surrogate's label and
score. One score orders both: (1 + s1) / 2 in the first stage and s2 / 2 in the second, so that a walk towards more
coverage takes in the second stage's surest inputs after all of the first's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tracer_cli.core import acceptor, surrogates
from tracer_cli.core.acceptor import Kind
from tracer_cli.core.frontier import Proposal
from tracer_cli.core.selection import Candidate, Rows, candidate
from tracer_cli.core.surrogates import CrossFit, FitData

SETTINGS = {"C": "auto", "max_iter": 300}
FEWEST_ROWS = 50
# No zoo member has this name: a slug holds no dot.
SECOND = "rsb.second"


@dataclass(frozen=True)
class Cascade:
    """switch: the first stage's threshold; fitted: the second surrogate; second: its figures on the residual rows;
    combined: label, agreement and score of all rows; both of the evidence."""

    switch: float
    fitted: CrossFit
    second: Candidate
    combined: Candidate


def build(
    first: Candidate,
    proposal: Proposal,
    data: FitData,
    seed: int,
    kind: Kind = "logistic_regression",
    others: Candidate | None = None,
) -> Cascade | None:
    """Fit the second stage on the rows that the first defers out of fold; None where they are too few to learn from.

    first: of the evidence; others: of the rows of `data` that are none, which the second stage learns from too.
    proposal: the first stage's walk at the deployed target; the switch is its threshold nearest to the coverage that
    it is expected to certify. The residual may lack labels: the second surrogate never says those.
    """
    switch = proposal.expected_threshold
    residual = np.flatnonzero(first.scores < switch)
    judged = data.judged(np.arange(len(data.labels)))[residual]
    learnt = judged
    if others is not None:
        assert data.evidence is not None, "rows that are no evidence are told by `data`"
        learnt = np.union1d(judged, np.flatnonzero(~data.evidence)[others.scores < switch])
    part = data.at(learnt)
    if len(residual) < FEWEST_ROWS or len(np.unique(part.labels)) < 2 or len(np.unique(data.folds[judged])) < 2:
        return None
    fitted = surrogates.cross_fit("logistic_regression", SETTINGS, part, seed)
    own = {SECOND: part.judged(fitted.out_of_fold)}
    second = candidate({SECOND: 1}, replace(Rows.of(data, {}).at(judged), probabilities=own), kind)
    return Cascade(switch, fitted, second, _combined(first, second, residual))


def _combined(first: Candidate, second: Candidate, residual: NDArray[np.intp]) -> Candidate:
    predicted, agrees, scores = first.predicted.copy(), first.agrees.copy(), (1 + first.scores) / 2
    predicted[residual], agrees[residual] = second.predicted, second.agrees
    scores[residual] = np.maximum(second.scores / 2, acceptor.MIN_SCORE)
    return replace(first, predicted=predicted, agrees=agrees, scores=scores)
