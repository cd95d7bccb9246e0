"""Figures and tables from results made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.summary import Future, Summary, summarise
from benchmarks.tables import compare_table, markdown, validity_table


def record(seed: int, handled: int, agreed: int, system: str = "tracer", certified: bool = True) -> dict[str, Any]:
    """One split with 1,000 rows of future at target 0.9."""
    return {
        "system": system,
        "data": "d",
        "digest": "x",
        "n": 500,
        "seed": seed,
        "targets": [0.9],
        "delta": 0.1,
        "settings": {},
        "future": 1000,
        "seconds": float(seed),
        "peak_mb": 100.0 + seed,
        "outcomes": [{"target": 0.9, "certified": certified, "handled": handled, "agreed": agreed}],
    }


NONE = {"handled": 0, "agreed": 0, "certified": False}


def one(records: list[dict[str, Any]]) -> Summary:
    (found,) = summarise(records)
    return found


def test_handled() -> None:
    """0.95, 0.90 (not a violation), 0.85 (one, beyond two standard errors), and a split without a certificate."""
    found = one([record(1, 800, 760), record(2, 500, 450), record(3, 400, 340), record(4, **NONE)])
    assert (found.splits, found.certified, found.none_rate) == (4, 3, 0.25)
    assert found.coverage == pytest.approx((0.8 + 0.5 + 0.4 + 0) / 4)
    assert found.parity == pytest.approx(0.90)
    assert (found.violations, found.clear_violations, found.violation_rate) == (1, 1, 0.25)
    assert (found.seconds, found.peak_mb) == (2.5, 104.0)


def test_overall() -> None:
    """Of 1,000 rows 100 may differ: 100 do (not a violation), 101 do (one, not a clear one), 140 do (a clear one)."""
    found = one([record(i, 900, 900 - wrong, "tracer-overall") for i, wrong in enumerate((100, 101, 140))])
    assert found.parity == pytest.approx(1 - (0.1 + 0.101 + 0.14) / 3)
    assert (found.violations, found.clear_violations) == (2, 1)


def test_the_same_counts_differ_by_scope() -> None:
    """100 of 300 handled rows differ: parity 0.67 among them, 0.9 over all traffic."""
    assert Future(1000, 300, 200, "handled", 0.9).violated
    assert not Future(1000, 300, 200, "overall", 0.9).violated


def test_a_policy_that_handles_nothing_violates_nothing() -> None:
    found = one([record(1, 0, 0)])
    assert (found.parity, found.violations, found.certified) == (None, 0, 1)


def test_nothing_certified() -> None:
    found = one([record(1, **NONE), record(2, **NONE)])
    assert (found.coverage, found.parity, found.none_rate, found.violations) == (0.0, None, 1.0, 0)
    cells = [cell.strip() for cell in compare_table([found]).splitlines()[-1].strip("|").split("|")]
    assert cells == ["d", "500", "0.90", "tracer, holdout", "2", "0.000", "-", "0/0", "100%", "1.5", "102"]


@pytest.mark.parametrize(("violations", "verdict"), [(16, "ok"), (17, "FAIL")])
def test_the_limit_is_two_binomial_standard_errors_above_delta(violations: int, verdict: str) -> None:
    """0.1 + 2 sqrt(0.1 0.9 / 100) = 0.16 of 100 splits."""
    found = one([record(i, 500, 400 if i < violations else 490) for i in range(100)])
    assert found.limit == pytest.approx(0.16)
    assert found.violations == violations
    assert validity_table([found]).splitlines()[-1].endswith(f"| {verdict:7} |")


def test_systems_fits_and_files_are_kept_apart() -> None:
    records = [
        record(1, 800, 760),
        record(1, 800, 760, "threshold"),
        record(1, 800, 760) | {"settings": {"zoo": {"m": {"kind": "mlp"}}}},
        record(1, 800, 760) | {"digest": "y"},
        record(1, 800, 760) | {"targets": [0.85, 0.9]},
    ]
    found = summarise(records)
    assert len(found) == 5 and all(s.splits == 1 for s in found)
    assert [s.title for s in found][-2:] == ["tracer, holdout; zoo m", "plain confidence threshold"]


def test_markdown() -> None:
    assert markdown(("name", "n"), [("a", "1"), ("long name", "20")]).splitlines() == [
        "| name      |   n |",
        "| --------- | --: |",
        "| a         |   1 |",
        "| long name |  20 |",
    ]
