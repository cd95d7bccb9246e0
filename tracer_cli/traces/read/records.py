"""Records out of files: one reader for each format, all with the same result.

A record is a row as it was read. Whether its text and label are usable is decided in `traces.rows`.
"""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tracer_cli.errors import DataError
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.read.lines import MAX_LINE_BYTES, Line, read_lines
from tracer_cli.traces.read.parquet import column_names, read_columns

SAMPLE = 1000


class Number(str):
    """A JSON number as it is written: a label 1.0 or 0.10 is a name, not a quantity."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One row. line: its first line in the file (Parquet: the row's number), from 1.

    fields: what was found, or None with `problem` saying why there is nothing; raw: the row as it stands in the
    file, None for Parquet.
    """

    line: int
    fields: Mapping[str, Any] | None
    problem: str | None = None
    raw: bytes | None = None


def header(file: TraceFile, scratch: Path) -> list[str] | None:
    """The columns that the file says it has: None for JSONL, which says nothing; [] for a CSV without a line."""
    if file.format == "parquet":
        return column_names(file, scratch)
    if file.format == "csv":
        found = _csv_header(file, _CsvLines(file))
        return found[1] if found else []
    return None


def sample_fields(file: TraceFile, scratch: Path) -> list[str]:
    """The columns, or for JSONL the fields of the first rows, in the order in which they turn up."""
    names = header(file, scratch)
    if names is not None:
        return names
    found: dict[str, None] = {}
    for record in islice(read_records(file, None, scratch), SAMPLE):
        found.update(dict.fromkeys(record.fields or ()))
    return list(found)


def read_records(file: TraceFile, columns: Collection[str] | None, scratch: Path) -> Iterator[Record]:
    """Every row of the file in its order; blank lines are no rows.

    columns: the ones that are wanted (None: all); only Parquet is read faster for it. scratch: a folder for
    temporary files. Memory is bounded by the longest row.
    """
    if file.format == "jsonl":
        yield from _read_jsonl(file)
    elif file.format == "csv":
        yield from _read_csv(file)
    else:
        for number, fields in enumerate(read_columns(file, columns, scratch), 1):
            yield Record(number, fields)


# --- JSONL ----------------------------------------------------------------------------------------

_decoder = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=float)


def _read_jsonl(file: TraceFile) -> Iterator[Record]:
    for line in read_lines(file):
        if line.content and not line.content.isspace():
            yield _json_record(line)


def _json_record(line: Line) -> Record:
    problem = line.problem
    if problem is None:
        try:
            value = _decoder.decode(line.content.decode("utf-8"))
        except json.JSONDecodeError as error:
            problem = f"not valid JSON: {error.msg} (column {error.colno})"
        except RecursionError:
            problem = "not usable JSON: nested too deeply"
        else:
            if isinstance(value, dict):
                return Record(line.number, value, raw=line.content)
            problem = "not a JSON object with named fields"
    return Record(line.number, None, problem, line.content)


# --- CSV ------------------------------------------------------------------------------------------

DELIMITERS = (",", ";", "\t", "|")


class _CsvLines:
    """The lines of a file as text for csv.reader, remembering those that the current row is made of.

    After a row that cannot be parsed, all its lines but the first are read again: an unclosed quote costs one
    line, not the rest of the file.
    """

    def __init__(self, file: TraceFile) -> None:
        self._source = read_lines(file)
        self._again: deque[Line] = deque()
        self.row: list[Line] = []

    def __iter__(self) -> _CsvLines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._source)
        self.row.append(line)
        return line.content.decode("utf-8", "surrogateescape") + "\n"

    def retry(self) -> None:
        self._again.extendleft(reversed(self.row[1:]))
        del self.row[1:]

    def blank(self) -> bool:
        return all(not line.content or line.content.isspace() for line in self.row)

    def problem(self) -> str | None:
        if any(b"\0" in line.content for line in self.row):
            return "not CSV: the line holds a NUL byte"
        return next((problem for line in self.row if (problem := line.problem)), None)


def _csv_header(file: TraceFile, lines: _CsvLines) -> tuple[str, list[str]] | None:
    """(delimiter, names) from the first line that is not blank; None if there is none. The rest stays unread."""
    # The limit is the interpreter's; it only ever grows. The default of 128 KB would call a long text an error.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
    text = next(lines, None)
    while text is not None and lines.blank():
        lines.row.clear()
        text = next(lines, None)
    if text is None:
        return None
    problem = lines.problem()
    candidates: dict[str, list[str]] = {}
    try:
        candidates = {mark: next(csv.reader([text], delimiter=mark), []) for mark in DELIMITERS}
    except csv.Error:
        problem = problem or "it holds a lone carriage return; lines must end with a newline"
    if problem is not None:
        raise DataError(f"{file.name}, line {lines.row[0].number}: the header cannot be read: {problem}")
    delimiter = max(DELIMITERS, key=lambda mark: len(candidates[mark]))
    return delimiter, [name.strip() for name in candidates[delimiter]]


def _read_csv(file: TraceFile) -> Iterator[Record]:
    lines = _CsvLines(file)
    found = _csv_header(file, lines)
    if found is None:
        return
    delimiter, names = found
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.row.clear()
        problem, values = None, []
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = lines.problem() or f"not valid CSV: {error}"
            lines.retry()
        if lines.blank():
            continue
        yield _csv_record(lines, names, values, problem)


def _csv_record(lines: _CsvLines, names: list[str], values: list[str], problem: str | None) -> Record:
    first = lines.row[0].number
    raw = b"\n".join(line.content for line in lines.row)
    problem = problem or lines.problem()
    if problem is None and len(values) != len(names):
        problem = f"not valid CSV: {len(values)} fields, the header has {len(names)}"
    if problem is not None:
        return Record(first, None, problem, raw)
    return Record(first, dict(zip(names, values, strict=True)), raw=raw)
