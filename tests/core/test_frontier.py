"""The proposed sequence: ties never split, what is deferred stays deferred, widens to accepting everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tracer_cli.core import frontier
from tracer_cli.core.acceptor import MIN_SCORE
from tracer_cli.core.certificate import Scope, certify
from tracer_cli.core.frontier import ACCEPT_ALL, Planner, Proposal

scores_and_agrees = st.integers(1, 80).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=st.sampled_from([0.0, MIN_SCORE, 0.1, 0.5, 0.50001, 0.9, 1.0])), arrays(bool, n)
    )
)
scopes = st.sampled_from(["handled", "overall"])


def planner(rows: int, evidence_rows: int = 60, delta: float = 0.1, scope: Scope = "handled", seed: int = 0) -> Planner:
    return Planner(rows, evidence_rows, delta, scope, seed)


# --- the curve --------------------------------------------------------------------------------------


@given(scores_and_agrees, st.sampled_from([0.005, 0.1, 0.34]))
def test_curve_counts_are_those_of_its_thresholds(drawn: tuple, step: float) -> None:
    scores, agrees = drawn
    curve = frontier.curve(scores, agrees, step)
    assert curve.thresholds[-1] == ACCEPT_ALL and curve.rows == len(scores)
    assert (np.diff(curve.thresholds) < 0).all()
    for threshold, handled, agreed in zip(curve.thresholds, curve.handled, curve.agreed, strict=True):
        assert handled == (scores >= threshold).sum()
        assert agreed == agrees[scores >= threshold].sum()
        assert handled > 0 or (scores == 0).all()
        # No score lies so close that rounding to single precision could move it across.
        single = scores.astype(np.float32).astype(np.float64)
        assert ((single >= np.float32(threshold)) == (scores >= threshold)).all()
    assert (curve.coverage == curve.handled / len(scores)).all()
    assert curve.agreement * curve.handled == pytest.approx(curve.agreed)


def test_levels_are_as_far_apart_as_asked() -> None:
    scores = np.random.default_rng(0).permutation(np.linspace(0.01, 1, 2000))
    curve = frontier.curve(scores, np.ones(2000, bool), 0.05)
    assert np.diff(curve.coverage, prepend=0) == pytest.approx(np.full(20, 0.05), abs=1e-3)


def test_rows_with_score_0_are_never_handled() -> None:
    scores = np.concatenate([np.zeros(30), np.full(10, MIN_SCORE), np.linspace(0.5, 1, 60)])
    agrees = np.arange(100) >= 30
    curve = frontier.curve(scores, agrees)
    assert curve.handled[-1] == 70 and (curve.agreement == 1).all() and curve.thresholds.min() > 0
    for proposal in proposals(scores, agrees, 0.9):
        assert proposal.coverage[-1] == 0.7 and proposal.agreement[-1] == 1
        assert not (scores[:30] >= proposal.thresholds.min()).any()


@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_where_every_row_is_deferred_nothing_is_expected(n: int) -> None:
    """As where per_label_min defers every label."""
    for scope in ("handled", "overall"):
        for proposal in proposals(np.zeros(n), np.ones(n, bool), 0.9, scope):  # type: ignore[arg-type]
            assert proposal.thresholds[-1] == ACCEPT_ALL and (proposal.coverage == 0).all()
            assert proposal.expected_coverage == 0
            assert certify(np.zeros(n), np.ones(n, bool), proposal.thresholds, 0.9, 0.1, scope).threshold is None  # type: ignore[arg-type]


def proposals(scores: np.ndarray, agrees: np.ndarray, target: float, scope: Scope = "handled") -> list[Proposal]:
    made = planner(len(scores), scope=scope)
    return [made.propose(scores, agrees, target), made.propose_global(scores, agrees, target)]


# --- the sequence -----------------------------------------------------------------------------------


@given(scores_and_agrees, st.sampled_from([0.6, 0.9, 0.99]), scopes, st.integers(1, 300))
@settings(max_examples=60)
def test_every_sequence_widens_to_accepting_everything(
    drawn: tuple, target: float, scope: Scope, evidence_rows: int
) -> None:
    scores, agrees = drawn
    if not scores.any():
        return
    curve, made = frontier.curve(scores, agrees), planner(len(scores), evidence_rows, scope=scope)
    for proposal in (made.propose(scores, agrees, target), made.propose_global(scores, agrees, target)):
        assert proposal.target == target
        assert proposal.thresholds[-1] == ACCEPT_ALL
        assert (np.diff(proposal.thresholds) < 0).all() and (np.diff(proposal.coverage) > 0).all()
        assert set(proposal.thresholds) <= set(curve.thresholds)
        for threshold, coverage, agreement in zip(
            proposal.thresholds, proposal.coverage, proposal.agreement, strict=True
        ):
            handled = scores >= threshold
            assert coverage == handled.mean() and agreement == pytest.approx(agrees[handled].mean())
        assert 0 <= proposal.expected_coverage <= proposal.coverage[-1] + 1e-12
        assert 0 <= proposal.certain <= 1
        assert (proposal.expected_coverage > 0) == (proposal.certain > 0)
    assert len(made.propose_global(scores, agrees, target).thresholds) == 1


def test_deterministic_for_a_seed_and_independent_of_what_else_was_asked() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(700)
    agrees = rng.random(700) < 0.6 + 0.4 * scores
    before = scores.copy(), agrees.copy()
    first = planner(700, 500).propose(scores, agrees, 0.9)
    busy = planner(700, 500)
    busy.propose(rng.random(700), agrees, 0.9)
    busy.propose_global(scores, agrees, 0.8)
    again = busy.propose(scores, agrees, 0.9)
    assert (first.thresholds == again.thresholds).all()
    assert (first.expected_coverage, first.certain) == (again.expected_coverage, again.certain)
    other = planner(700, 500, seed=1).propose(scores, agrees, 0.9)
    assert other.expected_coverage != first.expected_coverage
    assert (scores == before[0]).all() and (agrees == before[1]).all()


def test_more_rows_than_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontier, "MOST_ROWS", 300)
    rng = np.random.default_rng(0)
    scores = rng.random(2000)
    agrees = rng.random(2000) < 0.7 + 0.3 * scores
    proposal = planner(2000, 900).propose(scores, agrees, 0.85)
    assert 0 < proposal.expected_coverage < 1 and proposal.coverage[-1] == 1


def test_evidence_decides_what_is_expected() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(4000)
    agrees = rng.random(4000) < 0.7 + 0.3 * scores
    few, many = (planner(4000, n).propose(scores, agrees, 0.9) for n in (300, 30_000))
    assert 0 < few.expected_coverage < many.expected_coverage < 0.75
    assert many.certain > few.certain
    hopeless = planner(4000, 300).propose(scores, agrees, 0.9999)
    assert hopeless.expected_coverage == 0 and hopeless.certain == 0
    assert planner(4000, 300).propose_global(scores, agrees, 0.75).expected_coverage > 0.95
    assert planner(4000, 3000).propose_global(scores, agrees, 0.9).expected_coverage == 0
    assert planner(4000, 0).propose(scores, agrees, 0.8).expected_coverage == 0


def test_the_walk_does_not_start_where_it_would_fail_at_once() -> None:
    """A few confident errors at the very top: a walk that began with the surest rows would stop there."""
    scores = np.linspace(1, 0.001, 3000)
    agrees = np.ones(3000, bool)
    agrees[:60:2] = False
    agrees[2400:] = np.arange(600) % 2 > 0
    proposal = planner(3000, 1500, 0.05).propose(scores, agrees, 0.95)
    assert proposal.coverage[0] > 0.2
    assert proposal.expected_coverage > 0.6


@pytest.mark.parametrize("scope", ["handled", "overall"])
@pytest.mark.parametrize("target", [0.85, 0.93])
def test_expected_coverage_is_near_what_fresh_evidence_certifies(scope: Scope, target: float) -> None:
    """Out-of-fold rows and evidence from one law; averaged over both."""

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        scores = rng.random(n)
        return scores, rng.random(n) < 1 - 0.5 * (1 - scores) ** 1.5

    rng, expected, got = np.random.default_rng(3), [], []
    made = planner(1500, 700, 0.05, scope)
    for _ in range(8):
        proposal = made.propose(*draw(rng, 1500), target)
        expected.append(proposal.expected_coverage)
        got += [certify(*draw(rng, 700), proposal.thresholds, target, 0.05, scope).coverage for _ in range(12)]
    assert np.mean(got) > 0.1
    assert np.mean(expected) == pytest.approx(np.mean(got), abs=0.1)
