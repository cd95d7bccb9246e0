"""The proposed sequence: ties never split, order fixed by evidence, ends by accepting everything."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tracer_cli.core import frontier
from tracer_cli.core.certificate import log_p_value

scores_and_agrees = st.integers(1, 80).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=st.sampled_from([0.0, 0.1, 0.5, 0.50001, 0.9, 1.0])), arrays(bool, n)
    )
)


@given(scores_and_agrees, st.sampled_from([0.005, 0.1, 0.34]))
def test_curve_counts_are_those_of_its_thresholds(drawn: tuple, step: float) -> None:
    scores, agrees = drawn
    curve = frontier.curve(scores, agrees, step)
    assert curve.thresholds[-1] == frontier.ACCEPT_ALL
    assert (np.diff(curve.thresholds) < 0).all()
    for threshold, handled, agreed in zip(curve.thresholds, curve.handled, curve.agreed, strict=True):
        assert handled == (scores >= threshold).sum() > 0
        assert agreed == agrees[scores >= threshold].sum()
        # No score lies so close that rounding could move it across.
        assert threshold == 0 or np.abs(scores - threshold).min() > 1e-6


@given(scores_and_agrees, st.sampled_from([0.6, 0.9, 0.99]), st.sampled_from(["handled", "overall"]))
@settings(max_examples=60)
def test_the_sequence_starts_at_the_strongest_evidence_and_widens(drawn: tuple, target: float, scope: str) -> None:
    scores, agrees = drawn
    curve = frontier.curve(scores, agrees, 0.1)
    proposal = frontier.propose(curve, len(scores), target, 0.1, scope)  # type: ignore[arg-type]
    assert proposal.thresholds[-1] == frontier.ACCEPT_ALL
    assert (np.diff(proposal.coverage) > 0).all()
    log_p = log_p_value(curve.agreed, curve.handled, curve.rows, target, scope)  # type: ignore[arg-type]
    at = int(np.flatnonzero(curve.thresholds == proposal.thresholds[0])[0])
    assert log_p[at] == log_p.min()


def test_predicted_coverage_is_what_such_a_holdout_would_certify() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(4000)
    agrees = rng.random(4000) < 0.7 + 0.3 * scores
    curve = frontier.curve(scores, agrees)
    few, many = (frontier.propose(curve, n, 0.9, 0.05, "handled").predicted_coverage for n in (1000, 30_000))
    assert 0 < few < many < 1
    assert frontier.propose(curve, 300, 0.999, 0.05, "handled").predicted is None
    assert frontier.propose_global(curve, 300, 0.8, 0.05, "handled").predicted_coverage == 1.0
    assert frontier.propose_global(curve, 300, 0.9, 0.05, "handled").predicted_coverage == 0.0
