"""Which field of a file holds what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from tracer_cli.config.schema import TraceSource
from tracer_cli.errors import DataError
from tracer_cli.traces.expressions import parse
from tracer_cli.traces.read.files import TraceFile

TEXT_ALIASES = ("input", "query", "text", "prompt", "question")
LABEL_ALIASES = ("teacher", "teacher_output", "label", "intent", "output", "answer")

ORIGIN = "origin"

SHOWN_FIELDS = 30
SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class FieldNames:
    text: str
    label: str
    id: str | None = None
    timestamp: str | None = None
    ground_truth: str | None = None
    origin: str | None = None

    def columns(self) -> list[str]:
        """The columns that hold them: the names themselves, and where an expression starts."""
        names = (self.text, self.label, self.id, self.timestamp, self.ground_truth, self.origin)
        given = [name for name in names if name is not None]
        return list(dict.fromkeys([*given, *(parse(name).root for name in given)]))


def configured(source: TraceSource) -> dict[str, str]:
    """Role -> field, for the fields that tracer.yaml names."""
    named = {role: getattr(source, role) for role in ("text", "label", "id", "timestamp", "ground_truth", "origin")}
    return {role: name for role, name in named.items() if name is not None}


def resolve_fields(source: TraceSource, file: TraceFile, fields: Sequence[str]) -> FieldNames:
    """The fields to read: those that tracer.yaml names, else the first known name that the file has.

    fields: the file's columns, or the fields seen in the first rows of a JSONL file. A configured field that is
    no column is a DataError; in JSONL it may still turn up in a later row (see `require_seen`).
    """
    if file.format != "jsonl":
        for role, name in configured(source).items():
            _require_column(role, name, file, fields)
    return FieldNames(
        source.text or _first_alias("text", TEXT_ALIASES, file, fields),
        source.label or _first_alias("label", LABEL_ALIASES, file, fields),
        source.id,
        source.timestamp,
        source.ground_truth,
        source.origin or (ORIGIN if ORIGIN in fields else None),
    )


def _require_column(role: str, name: str, file: TraceFile, fields: Sequence[str]) -> None:
    if name not in fields and parse(name).root in fields:  # an expression
        name = parse(name).root
    if name not in fields:
        raise DataError(f"{file.name}: there is no column {name!r} for `{role}`{_what_there_is(name, file, fields)}")
    if fields.count(name) > 1:
        raise DataError(f"{file.name}: there are {fields.count(name)} columns called {name!r}; rename all but one")


def _first_alias(role: str, aliases: Sequence[str], file: TraceFile, fields: Sequence[str]) -> str:
    for alias in aliases:
        if alias in fields:
            if file.format != "jsonl":
                _require_column(role, alias, file, fields)
            return alias
    if not fields:  # nothing but broken lines: each is rejected with its own reason
        return aliases[0]
    raise DataError(
        f"{file.name}: no field for `{role}` is named in tracer.yaml, and none of {', '.join(aliases)} is in the file"
        f"{_what_there_is(None, file, fields)}"
    )


def require_seen(source: TraceSource, unseen: set[str], file: TraceFile, fields: Sequence[str]) -> None:
    """Raise DataError when a field that tracer.yaml names was in none of the source's rows.

    fields: those of the first rows; without any (nothing but broken lines) there is nothing to say.
    """
    for role, name in configured(source).items():
        if name in unseen and fields:
            raise DataError(
                f"traces: no row of {source.path} has a field {name!r} for `{role}`{_what_there_is(name, file, fields)}"
            )


def _what_there_is(name: str | None, file: TraceFile, fields: Sequence[str]) -> str:
    if file.format == "csv":
        told = f". Its header line is: {_shortened(','.join(fields), 200)}"
        told += ". If that line is data, the file has no header: put one above it, for example `input,teacher`"
    else:
        told = f"; {shown_fields(fields)}"
    nearest = get_close_matches(name, fields, n=1, cutoff=0.6) if name else []
    return told + (f". Did you mean {nearest[0]!r}?" if nearest else "")


def shown_fields(fields: Sequence[str]) -> str:
    """The names of the fields for an error message, as many as can be read."""
    more = f" and {len(fields) - SHOWN_FIELDS} more" if len(fields) > SHOWN_FIELDS else ""
    return "the fields are: " + ", ".join(_shortened(field) for field in fields[:SHOWN_FIELDS]) + more


def _shortened(text: str, longest: int = SHOWN_CHARACTERS) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."
