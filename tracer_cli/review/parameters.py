"""Two versions of the data of params.yaml, value by value."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tracer_cli.config.document import KeyPath
from tracer_cli.config.resolve import source_key


class Absent(enum.Enum):
    """A value that one side does not have; null is a value."""

    ABSENT = "-"


ABSENT = Absent.ABSENT


@dataclass(frozen=True)
class Differing:
    """path: in params.yaml; before, after: the values, or ABSENT."""

    path: KeyPath
    before: Any
    after: Any


def differing(before: Any, after: Any, path: KeyPath = ()) -> Iterator[Differing]:
    """The innermost values that differ. What one side lacks, and what is of another kind, is one entry as a whole."""
    if isinstance(before, dict) and isinstance(after, dict) and before.get("kind") == after.get("kind"):
        for key in {**before, **after}:
            yield from differing(before.get(key, ABSENT), after.get(key, ABSENT), (*path, key))
    elif _sections(before) and _sections(after):
        for index in range(max(len(before), len(after))):
            old, new = (values[index] if index < len(values) else ABSENT for values in (before, after))
            yield from differing(old, new, (*path, index))
    elif before != after or isinstance(before, bool) != isinstance(after, bool):
        yield Differing(path, before, after)


def _sections(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


def key_of(path: KeyPath, params: dict[str, Any]) -> KeyPath:
    """The key of tracer.yaml that decides the value; its path in params.yaml where none does."""
    return source_key(path, params) or path


def value_at(params: Any, path: KeyPath, default: Any = None) -> Any:
    """What stands there; `default` when nothing does."""
    for key in path:
        if not isinstance(params, Mapping) or key not in params:
            return default
        params = params[key]
    return params


def value_text(value: Any) -> str:
    """A value as it may be written in tracer.yaml, on one line."""
    if value is ABSENT:
        return "-"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {value_text(item)}" for key, item in value.items())
    return str(value)
