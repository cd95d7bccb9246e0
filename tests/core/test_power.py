"""How many rows a certificate needs, and what the rows at hand certify."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from tracer_cli.core import power
from tracer_cli.core.certificate import lower_bound


def needed_by_brute_force(coverage: float, agreement: float, target: float, delta: float, scope: str) -> int | None:
    for rows in range(1, 3000):
        trials = coverage * rows if scope == "handled" else rows
        wrong = (1 - agreement) * coverage * rows
        if beta.ppf(delta, trials - wrong, wrong + 1) >= target:
            return rows
    return None


@given(
    st.floats(0.05, 1), st.floats(0.5, 1), st.sampled_from([0.6, 0.8, 0.9]), st.sampled_from([0.05, 0.1]),
    st.sampled_from(["handled", "overall"]),
)  # fmt: skip
@settings(max_examples=12)
def test_the_fewest_rows_are_found(coverage: float, agreement: float, target: float, delta: float, scope: str) -> None:
    found = power.rows_needed(coverage, agreement, target, delta, scope)  # type: ignore[arg-type]
    expected = needed_by_brute_force(coverage, agreement, target, delta, scope)
    assert found == expected or (expected is None and (found is None or found >= 3000))


def test_all_rows_agreeing_is_the_textbook_number() -> None:
    """0.95^59 <= 0.05 < 0.95^58."""
    assert power.rows_needed(1.0, 1.0, 0.95, 0.05, "handled") == 59
    assert power.rows_needed(1.0, 1.0, 0.95, 0.05, "overall") == 59
    assert power.rows_needed(0.5, 1.0, 0.95, 0.05, "handled") in (117, 118)
    assert binom.sf(58, 59, 0.95) <= 0.05 < binom.sf(57, 58, 0.95)


def test_with_the_rows_it_asks_for_the_test_rejects() -> None:
    for agreement in (0.96, 0.97, 0.99):
        rows = power.rows_needed(1.0, agreement, 0.95, 0.05, "handled")
        assert rows is not None
        assert lower_bound(math.ceil(agreement * rows), rows, 0.05) >= 0.95
        assert lower_bound(math.floor(agreement * rows) - 1, rows, 0.05) < 0.95


@pytest.mark.parametrize("scope", ["handled", "overall"])
def test_no_number_would_do_where_the_figures_are_not_above_the_target(scope: str) -> None:
    assert power.rows_needed(1.0, 0.95, 0.95, 0.05, scope) is None  # type: ignore[arg-type]
    assert power.rows_needed(1.0, 0.5, 0.95, 0.05, scope) is None  # type: ignore[arg-type]
    assert power.rows_needed(1.0, 0.95 + 1e-9, 0.95, 0.05, scope) is None  # type: ignore[arg-type]


def test_nothing_handled_is_no_evidence() -> None:
    assert power.rows_needed(0.0, 0.0, 0.95, 0.05, "handled") is None
    # Overall, few handled rows hardly err, whatever their agreement.
    assert power.rows_needed(0.05, 0.5, 0.95, 0.05, "overall") is not None


def test_a_harder_target_needs_more_rows() -> None:
    needed = [power.rows_needed(0.6, 0.97, target, 0.05, "handled") for target in (0.8, 0.9, 0.95, 0.96)]
    assert None not in needed and needed == sorted(needed)  # type: ignore[type-var]


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_what_can_be_certified_is_the_lower_bound(handled: int, wrong: int, deferred: int) -> None:
    agreed, rows = max(handled - wrong, 0), handled + deferred
    assert power.certifiable(handled, agreed, rows, 0.05, "handled") == lower_bound(agreed, handled, 0.05)
    errors = handled - agreed
    assert power.certifiable(handled, agreed, rows, 0.05, "overall") == lower_bound(rows - errors, rows, 0.05)
