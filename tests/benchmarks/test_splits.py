"""The protocol: the traces that a system is given, and a future that shares no text with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.data import trace_file
from benchmarks.splits import split
from support import write_jsonl
from tracer_cli.traces.text import normalise


def test_traces_and_future_are_all_rows_once() -> None:
    drawn = split(50, 20, seed=3)
    assert len(drawn.traces) == 20
    assert sorted([*drawn.traces, *drawn.future]) == list(range(50))


def test_the_seed_decides() -> None:
    first, again, other = split(50, 20, seed=3), split(50, 20, seed=3), split(50, 20, seed=4)
    assert np.array_equal(first.traces, again.traces) and np.array_equal(first.future, again.future)
    assert not np.array_equal(first.traces, other.traces)


@pytest.mark.parametrize("n", [0, 50, 51])
def test_both_sides_have_rows(n: int) -> None:
    with pytest.raises(ValueError, match=f"{n} of 50 rows"):
        split(50, n, seed=0)


def test_no_text_of_the_future_is_among_the_traces(tmp_path: Path) -> None:
    """Each text comes three times, twice in another spelling of the same text."""
    texts = [spelling for i in range(40) for spelling in (f"text {i}", f"  text   {i} ", f"text {i}\n")]
    path = write_jsonl(tmp_path / "t.jsonl", [{"input": text, "teacher": "a"} for text in texts])
    found = trace_file(path)
    assert len(found.texts) == 40
    drawn = split(40, 15, seed=0)
    traces, future = ({normalise(found.texts[i]) for i in side} for side in (drawn.traces, drawn.future))
    assert len(traces) == 15 and len(future) == 25 and not traces & future
