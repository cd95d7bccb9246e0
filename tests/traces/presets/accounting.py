"""What becomes of every line of a source, held against what the ingest of the same source counts."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb

from tracer_cli.config.schema import TraceSource
from tracer_cli.traces.calls import NoCallError, UnusableError
from tracer_cli.traces.collect import Collected, collect
from tracer_cli.traces.presets import Preset
from tracer_cli.traces.read.files import TraceFile, find_files
from tracer_cli.traces.read.records import Record
from tracer_cli.traces.rejects import Rejects
from tracer_cli.traces.rows import RowMaker
from tracer_cli.traces.store import Store
from traces.presets.reading import Outcome, outcomes


def accounted(folder: Path, **source: Any) -> list[Outcome]:
    """In the order of the file. Ingest must count the same: accepted + skipped + rejected = read."""
    found = outcomes(folder, **source)
    collected, accepted, rejected = ingested(folder, **source)
    assert (collected.read, accepted) == (len(found), sum(one.row is not None for one in found))
    assert collected.read == accepted + collected.skipped + collected.rejected
    assert [f"{line['source']}:{line['line']}" for line in rejected] == [
        one.place for one in found if one.rejected is not None
    ]
    assert [line["reason"] for line in rejected] == [one.rejected for one in found if one.rejected is not None]
    return found


def ingested(folder: Path, **source: Any) -> tuple[Collected, int, list[dict[str, Any]]]:
    """What was collected, how many rows are in the store, and the lines of rejected.jsonl."""
    settings = TraceSource.model_validate(source)
    quarantine = io.StringIO()
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as connection:
        store = Store(connection, Path(scratch, "texts.arrow"), 0)
        collected = collect(folder, [settings], 0, store, Rejects(quarantine), Path(scratch))
        counts = store.merge()
    return collected, counts["rows_accepted"], [json.loads(line) for line in quarantine.getvalue().splitlines()]


def reasons(found: list[Outcome]) -> list[tuple[str, Any]]:
    """(line, (text, label) or the reason) of each."""
    return [(one.place.rpartition(":")[2], one.short) for one in found]


def lines(path: Path) -> list[Mapping[str, Any]]:
    """The records of a JSONL file as the reader gives them: numbers are text."""
    decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=float)
    found = []
    for text in path.read_text(encoding="utf-8").split("\n"):
        try:
            found.append(decoder.decode(text))
        except ValueError:
            continue
    return found


def survives(preset: Preset, source: TraceSource, records: Iterator[Record], file: TraceFile) -> None:
    """Whatever the records hold: each is a call, none at all, or unusable."""
    maker = RowMaker(source, 0)
    for record in records:
        if record.fields is None:
            assert record.problem
            continue
        try:
            call = preset.call(file, record.fields)
            maker.row(call, preset.text_place, preset.label_place, False)
        except (UnusableError, NoCallError) as error:
            assert str(error)


def file_of(path: Path) -> TraceFile:
    return find_files(path.parent, path.name)[0]
