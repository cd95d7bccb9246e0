"""Plain values of a record as text, or the reason why they are none."""

from __future__ import annotations

import json
import math
from typing import Any

from tracer_cli.traces.calls import UnusableError
from tracer_cli.traces.expressions import MISSING
from tracer_cli.traces.read.parquet import Unreadable


def required_text(value: Any, role: str, place: str, longest: int, setting: str) -> str:
    """A text with at least one character that is not white space. Raises UnusableError.

    role, place: what it is and where it was found, for the reason. longest: in characters, as `setting` says.
    """
    what = f"the {role} ({place})"
    if value is MISSING:
        raise UnusableError(f"{what} is missing")
    text = scalar_text(value, what)
    if not text or text.isspace():
        raise UnusableError(f"{what} is empty" if not text else f"{what} is only white space")
    if len(text) > longest:
        raise UnusableError(f"{what} has {len(text):,} characters, more than {setting}: {longest}")
    return text


def scalar_text(value: Any, what: str) -> str:
    """Text, numbers and booleans as text. Raises UnusableError for null, an object, a list, NaN, broken characters."""
    if isinstance(value, str):
        text = value
    elif value is None:
        raise UnusableError(f"{what} is null")
    elif isinstance(value, bool):
        return "true" if value else "false"
    elif isinstance(value, dict | list | tuple):
        raise UnusableError(f"{what} is {'an object' if isinstance(value, dict) else 'a list'}, not text")
    elif isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise UnusableError(f"{what} is not UTF-8") from None
    elif isinstance(value, Unreadable):
        raise UnusableError(f"{what} cannot be read: {value.reason}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise UnusableError(f"{what} is {'NaN' if math.isnan(value) else 'infinite'}")
    else:
        return str(value)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise UnusableError(f"{what} holds half of a surrogate pair, which is no character") from None
    return text


def optional_text(value: Any) -> str | None:
    """The text of a value that may be missing or unusable: then None. Objects and lists become JSON."""
    if value is None or value is MISSING:
        return None
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=True, default=str)
    try:
        return scalar_text(value, "") or None
    except UnusableError:
        return None
