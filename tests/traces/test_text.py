"""Which texts are the same text, and where the split puts them."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from tracer_cli.traces.text import normalise, split_bound, split_position, text_key


def test_white_space_and_composition_do_not_make_another_text() -> None:
    same = ["caf\u00e9 now", "cafe\u0301 now", "  caf\u00e9\u00a0\n\tnow\u3000"]
    assert {normalise(text) for text in same} == {"caf\u00e9 now"}


def test_case_does() -> None:
    assert normalise("Card") != normalise("card")


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_the_position_is_the_documented_hash() -> None:
    digest = hashlib.sha256("tracer.split.v1:7:caf\u00e9 now".encode()).hexdigest()
    assert split_position("caf\u00e9 now", 7) == int(digest[:16], 16)
    assert split_position("caf\u00e9 now", 8) != split_position("caf\u00e9 now", 7)
    assert text_key("a") == hashlib.sha256(b"a").hexdigest()


@given(st.integers(0, 2**64 - 1), st.floats(1e-9, 1, exclude_max=True))
def test_the_bound_is_exact(position: int, share: float) -> None:
    exact = position < share * 2.0**64  # Python compares an integer and a float exactly
    assert (position < split_bound(share)) == exact
