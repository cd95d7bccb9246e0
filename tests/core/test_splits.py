"""The size of the holdout."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_cli.core.splits import HOLDOUT_ROWS, auto_holdout_share


def test_the_steps() -> None:
    shares = {
        0: 0.4, 1499: 0.4, 1500: 0.3, 4999: 0.3, 5000: 0.3, 5999: 0.3, 6000: 0.25, 7499: 0.25, 7500: 0.2, 9999: 0.2,
        10_000: 0.15, 10**9: 0.15,
    }  # fmt: skip
    assert {n: auto_holdout_share(n) for n in shares} == shares


@given(st.integers(0, 20_000), st.integers(0, 1000), st.sampled_from(["holdout", "crossfit"]))
def test_more_texts_never_raise_the_share(n: int, more: int, evidence: str) -> None:
    assert auto_holdout_share(n + more, evidence) <= auto_holdout_share(n, evidence)


@given(st.integers(5000, 10**7))
def test_from_5000_texts_on_the_holdout_is_large_enough_and_no_larger_than_it_need_be(n: int) -> None:
    share = auto_holdout_share(n)
    assert round(share * 100) * n >= 100 * HOLDOUT_ROWS
    assert share == 0.15 or round(share * 100 - 5) * n < 100 * HOLDOUT_ROWS


@pytest.mark.parametrize("n", [10, 1000, 3000, 100_000])
def test_with_crossfit_the_fit_rows_are_evidence_too(n: int) -> None:
    assert auto_holdout_share(n, "crossfit") == 0.15
