"""A record's fields become a row, or a reason why not."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracer_cli.config.schema import TraceSource
from tracer_cli.traces.fields import FieldNames
from tracer_cli.traces.timestamps import parse_timestamp

# CSV has no types: these are how programs write the number that is none.
CSV_NAN = ("NaN", "nan")


@dataclass(frozen=True, slots=True)
class Row:
    """A usable trace. timestamp: microseconds since 1970 in UTC."""

    text: str
    label: str
    id: str | None
    timestamp: int | None
    ground_truth: str | None


class _UnusableError(Exception):
    """Its text is the reason."""


def to_row(fields: Mapping[str, Any], names: FieldNames, source: TraceSource, untyped: bool) -> Row | str:
    """The row, or the reason why it is rejected.

    untyped: the format has no types (CSV), so that a label `NaN` is taken for the number that is none.
    A label loses white space at its ends. Id, timestamp and ground truth are extras: one that is missing or
    unusable is null and the row stays.
    """
    try:
        text = _required(fields, names.text, "text", source.max_text_length, "max_text_length")
        label = _required(fields, names.label, "label", source.max_label_length, "max_label_length").strip()
    except _UnusableError as error:
        return str(error)
    if untyped and label in CSV_NAN:
        return f"the label ({names.label}) is NaN"
    timestamp = _optional(fields, names.timestamp)
    return Row(
        text,
        label,
        _optional(fields, names.id),
        None if timestamp is None else parse_timestamp(timestamp),
        _ground_truth(_optional(fields, names.ground_truth), untyped),
    )


def _required(fields: Mapping[str, Any], name: str, role: str, longest: int, setting: str) -> str:
    what = f"the {role} ({name})"
    if name not in fields:
        raise _UnusableError(f"{what} is missing")
    text = _scalar_text(fields[name], what)
    if not text or text.isspace():
        raise _UnusableError(f"{what} is empty" if not text else f"{what} is only white space")
    if len(text) > longest:
        raise _UnusableError(f"{what} has {len(text):,} characters, more than {setting}: {longest}")
    return text


def _scalar_text(value: Any, what: str) -> str:
    if isinstance(value, str):
        text = value
    elif value is None:
        raise _UnusableError(f"{what} is null")
    elif isinstance(value, bool):
        return "true" if value else "false"
    elif isinstance(value, dict | list | tuple):
        raise _UnusableError(f"{what} is {'an object' if isinstance(value, dict) else 'a list'}, not text")
    elif isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise _UnusableError(f"{what} is not UTF-8") from None
    elif isinstance(value, float) and not math.isfinite(value):
        raise _UnusableError(f"{what} is {'NaN' if math.isnan(value) else 'infinite'}")
    else:
        return str(value)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise _UnusableError(f"{what} holds half of a surrogate pair, which is no character") from None
    return text


def _optional(fields: Mapping[str, Any], name: str | None) -> str | None:
    value = None if name is None else fields.get(name)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=True, default=str)
    try:
        return _scalar_text(value, "") or None
    except _UnusableError:
        return None


def _ground_truth(value: str | None, untyped: bool) -> str | None:
    value = value.strip() if value else None
    return None if not value or (untyped and value in CSV_NAN) else value
