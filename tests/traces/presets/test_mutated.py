"""Fixtures with bytes changed, cut out and doubled: no crash, and every line is a row, left out, or has a reason."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import pytest

from traces.presets.reading import FIXTURES, outcomes

SOURCES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "openai-chat": (("openai_chat_nasty.jsonl",), {"turns": "all"}),
    "openai-chat, tools": (("openai_chat_tools.jsonl",), {"parse": {"kind": "tool", "argument": "intent"}}),
    "openai-batch": (
        ("openai_batch_nasty_input.jsonl", "openai_batch_nasty_output.jsonl"),
        {"turns": "last"},
    ),
    "fields": (("openai_chunks.jsonl",), {"text": "input", "label": "chunks"}),
}
PIECES = (b"null", b"[]", b"{}", b'""', b"0", b"true", b'"x"', b"\\ud800", b"\xff", b"\x00", b"\n", b",", b'"', b"}")


def mutated(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data))
        end = min(len(data), start + rng.choice((0, 1, 1, 2, 8, 40)))
        kind = rng.randrange(4)
        piece = rng.choice(PIECES) if kind else data[start:end] * 2
        if kind == 3:  # a whole JSON value becomes another one
            value = data.find(b": ", start)
            stop = min((at for at in (data.find(mark, value) for mark in (b", ", b"}", b"]")) if at > 0), default=-1)
            start, end = (value + 2, stop) if 0 <= value < stop else (start, end)
        data = data[:start] + piece + data[end:]
    return data


def lines(path: Path) -> set[str]:
    numbered = enumerate(path.read_bytes().split(b"\n"), 1)
    return {f"{path.name}:{number}" for number, line in numbered if line and not line.isspace()}


@pytest.mark.parametrize("name", SOURCES)
def test_no_line_of_a_mutated_file_is_lost(name: str) -> None:
    files, settings = SOURCES[name]
    rng = random.Random(name)
    reasons: set[str] = set()
    usable = 0
    for _ in range(60):
        with tempfile.TemporaryDirectory() as folder:
            for file in files:
                (Path(folder) / file).write_bytes(mutated((FIXTURES / file).read_bytes(), rng))
            source = {"path": files[0], "preset": name.split(",")[0], **settings}
            found = outcomes(Path(folder), **source, **({"results": files[1]} if len(files) > 1 else {}))
            places = [one.place for one in found]
            assert len(set(places)) == len(places)
            everything = set().union(*(lines(Path(folder) / file) for file in files))
            assert set(places) <= everything
            # An output line is a record of its own only when it went into none.
            missing = everything - set(places)
            assert all(place.startswith(files[-1]) for place in missing) and (len(files) > 1 or not missing)
            assert len(missing) <= len([place for place in places if place.startswith(files[0])])
            assert all(bool(one.row) + bool(one.rejected) + bool(one.skipped) == 1 for one in found)
            reasons |= {one.rejected.split(":")[0] for one in found if one.rejected}
            usable += len([one for one in found if one.row])
    assert usable > 30
    assert len(reasons) > 5, reasons
