"""A look at a traces file that nobody has described yet: which field holds what."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tracer_cli.artifacts import storage_errors
from tracer_cli.errors import DataError
from tracer_cli.traces.fields import LABEL_ALIASES, TEXT_ALIASES, shown_fields
from tracer_cli.traces.read.files import TraceFile, trace_file
from tracer_cli.traces.read.records import read_records, sample_fields
from tracer_cli.traces.recognise import declared

SAMPLE_ROWS = 2000

ID_ALIASES = ("id", "uuid", "trace_id", "request_id", "custom_id")
TIMESTAMP_ALIASES = ("timestamp", "created_at", "created", "start_time", "time", "date", "ts")
TRUTH_ALIASES = ("ground_truth", "gold", "gold_label", "human_label", "true_label")

# A label repeats: in a sample it has at most this share of distinct values, and it is short.
LABEL_SHARE = 0.5
LABEL_CHARACTERS = 60


@dataclass(frozen=True)
class Guess:
    """What a file seems to hold. fields: all names found; id, timestamp, ground_truth: None when there is none.

    text, label: None where a preset knows where they are. preset, parse: as in tracer.yaml; parse {}: the default.
    rows: how many were looked at, at most SAMPLE_ROWS.
    """

    path: Path
    format: str
    fields: tuple[str, ...]
    text: str | None
    label: str | None
    id: str | None
    timestamp: str | None
    ground_truth: str | None
    rows: int
    preset: str = "fields"
    parse: dict[str, Any] = field(default_factory=dict)


def inspect(path: Path) -> Guess:
    """Guess by name, and where no name is known, by content.

    Raises DataError when the file is empty or broken, when no field looks like a text or a label, and when a CSV
    file has no header.
    """
    with storage_errors(path, "read"):
        path.stat()
    if path.is_dir():
        raise DataError(f"{path} is a folder; give one of the files in it")
    file = trace_file(path, path.parent)
    with tempfile.TemporaryDirectory(prefix="tracer-inspect-") as folder:
        fields = sample_fields(file, Path(folder))
        records = list(islice(read_records(file, None, Path(folder)), SAMPLE_ROWS))
    rows = [record.fields for record in records if record.fields is not None]
    if not rows:
        reason = f"line {records[0].line}: {records[0].problem}" if records else "it is empty"
        raise DataError(f"{path}: no row can be read ({reason})")
    if file.format == "csv":
        _require_header(file, fields, rows)
    shape = declared(file)
    if shape:
        return Guess(path, file.format, tuple(fields), None, None, None, None, None, len(records), **shape)
    ground_truth = _known(TRUTH_ALIASES, fields)
    id, timestamp = _known(ID_ALIASES, fields), _known(TIMESTAMP_ALIASES, fields)
    texts = {field: _texts(rows, field) for field in fields if field not in (ground_truth, id, timestamp)}
    text, label = _text_and_label(file, fields, texts)
    return Guess(
        path=path,
        format=file.format,
        fields=tuple(fields),
        text=text,
        label=label,
        id=id,
        timestamp=timestamp,
        ground_truth=ground_truth,
        rows=len(records),
    )


def _known(aliases: Sequence[str], fields: Sequence[str]) -> str | None:
    return next((alias for alias in aliases if alias in fields), None)


def _texts(rows: Sequence[Mapping[str, Any]], field: str) -> list[str]:
    return [value for row in rows if isinstance(value := row.get(field), str) and value.strip()]


def _text_and_label(file: TraceFile, fields: Sequence[str], texts: dict[str, list[str]]) -> tuple[str, str]:
    usable = [field for field, values in texts.items() if values]
    text = _known(TEXT_ALIASES, usable)
    label = _known(LABEL_ALIASES, usable)
    if text is None:
        others = [field for field in usable if field != label]
        text = max(others, key=lambda field: _mean_length(texts[field]), default=None)
    if label is None:
        repeated = [field for field in usable if field != text and _repeats(texts[field])]
        label = min(repeated, key=lambda field: len(set(texts[field])), default=None)
    for role, found in (("text", text), ("label", label)):
        if found is None:
            raise DataError(
                f"{file.path}: no field looks like a {role}; {shown_fields(fields)}. "
                f"Run `tracer init` without the file and name the fields in tracer.yaml"
            )
    assert text is not None and label is not None
    return text, label


def _mean_length(values: Sequence[str]) -> float:
    return sum(map(len, values)) / len(values)


def _repeats(values: Sequence[str]) -> bool:
    distinct = len(set(values))
    return 1 < distinct <= LABEL_SHARE * len(values) and max(map(len, values)) <= LABEL_CHARACTERS


def _require_header(file: TraceFile, fields: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """A name that occurs as a value in its own column is a value: the first line is data."""
    for name in fields:
        if name and any(row[name] == name for row in rows):
            raise DataError(
                f"{file.path}: the file seems to have no header: its first line holds {name!r}, which is a value of "
                "later lines too. Put a line with the names above it, for example `input,teacher`"
            )
