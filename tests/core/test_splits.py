"""The size of the holdout."""

from hypothesis import given
from hypothesis import strategies as st

from tracer_cli.core.splits import auto_holdout_share


def test_the_steps() -> None:
    shares = {0: 0.4, 3749: 0.4, 3750: 0.4, 4286: 0.35, 5000: 0.3, 6000: 0.25, 7500: 0.2, 9999: 0.2, 10000: 0.15}
    assert {n: auto_holdout_share(n) for n in shares} == shares
    assert auto_holdout_share(10**9) == 0.15


@given(st.integers(0, 20_000), st.integers(0, 1000))
def test_more_texts_never_raise_the_share(n: int, more: int) -> None:
    assert auto_holdout_share(n + more) <= auto_holdout_share(n)
