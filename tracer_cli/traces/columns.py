"""What the fields of a record are to SQL: the types that DuckDB finds, widened as later records need it.

A type is DuckDB's JSON structure: a type's name, a dictionary for an object, a list of one for a list. NULL: nothing
but null was seen. JSON: values of several types were, or empty objects.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tracer_cli.traces.conditions import Path
from tracer_cli.traces.read.records import Number

Type = Any

# Of an object whose keys are data (names of users, say) not more are kept than this, beside those that are asked for.
MOST_KEYS = 200
DEEPEST = 100


class Fields:
    """The types of the fields that some paths ask for, as far as the records that came so far tell."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._wanted = frozenset(step for path in paths for step in path if step is not None)
        self._known: dict[str, Type] = {}

    @property
    def names(self) -> list[str]:
        return list(self._known)

    def add(self, found: Type) -> None:
        """The structure of some more records; only what is asked for is kept in full."""
        found = self._normal(found)
        for name, type in found.items() if isinstance(found, dict) else ():
            if any(path[0] is not None and path[0].casefold() == name.casefold() for path in self._paths):
                self._known[name] = self._merged(self._known.get(name, "NULL"), type)
            elif len(self._known) < MOST_KEYS:
                self._known.setdefault(name, "NULL")

    def missing(self) -> list[Path]:
        """The paths that no record had."""
        return [path for path in self._paths if not _has(self._known, path)]

    def selected(self) -> dict[str, Type]:
        """The fields that are asked for, each with a type; null where no record had it."""
        result: dict[str, Type] = {}
        for root, *rest in self._paths:
            name = key_of(result, str(root)) or key_of(self._known, str(root)) or str(root)
            result[name] = _with_path(result.get(name, self._known.get(name, "NULL")), tuple(rest))
        return {name: _readable(type) for name, type in result.items()}

    def _normal(self, found: Type) -> Type:
        """One kind of integer, and no names that SQL cannot tell apart."""
        if isinstance(found, str):
            return "BIGINT" if "INT" in found else found
        if isinstance(found, list):
            return [self._normal(found[0])]
        kept: dict[str, Type] = {}
        taken: set[str] = set()
        for name in sorted(found, key=lambda name: name not in self._wanted):
            if name and name.casefold() not in taken and (name in self._wanted or len(kept) < MOST_KEYS):
                taken.add(name.casefold())
                kept[name] = self._normal(found[name])
        return kept or "JSON"

    def _merged(self, known: Type, new: Type) -> Type:
        """What is known and what later records add. Types that do not go together: the one that came first."""
        if known == new or new == "NULL":
            return known
        if known == "NULL" or (known == "JSON" and not isinstance(new, str)):
            return new
        if isinstance(known, dict) and isinstance(new, dict):
            result = dict(known)
            for name, type in new.items():
                old = key_of(result, name)
                if old is not None:
                    result[old] = self._merged(result[old], type)
                elif name in self._wanted or len(result) < MOST_KEYS:
                    result[name] = type
            return result
        if isinstance(known, list) and isinstance(new, list):
            return [self._merged(known[0], new[0])]
        return "DOUBLE" if (known, new) in (("BIGINT", "DOUBLE"), ("DOUBLE", "BIGINT")) else known


def key_of(names: Iterable[str], wanted: str) -> str | None:
    """The name that SQL takes `wanted` for: exactly it, else one that differs in the case of letters."""
    given = list(names)
    if wanted in given:
        return wanted
    return next((name for name in given if name.casefold() == wanted.casefold()), None)


def _has(known: Type, path: Path) -> bool:
    """Whether the path leads to something, as far as the types can tell."""
    if not path or isinstance(known, str):
        return True
    step, rest = path[0], path[1:]
    if isinstance(known, list):
        return _has(known[0], rest) if step is None else True
    name = key_of(known, step) if step is not None else None
    return name is not None and _has(known[name], rest)


def _with_path(known: Type, path: Path) -> Type:
    """`known`, with null in the places that `path` asks for and that no record had so far."""
    if not path:
        return known
    step, rest = path[0], path[1:]
    if known in ("NULL", "JSON"):
        inner = _with_path(known, rest)
        return [inner] if step is None else {step: inner}
    if isinstance(known, list) and step is None:
        return [_with_path(known[0], rest)]
    if isinstance(known, dict) and step is not None:
        name = key_of(known, step) or step
        return {**known, name: _with_path(known.get(name, "NULL"), rest)}
    return known  # DuckDB says what is wrong


def _readable(known: Type) -> Type:
    """As `from_json` takes it: values of several types are text."""
    if isinstance(known, list):
        return [_readable(known[0])]
    if isinstance(known, dict):
        return {name: _readable(inner) for name, inner in known.items()}
    return "VARCHAR" if known == "JSON" else known


def json_line(fields: Mapping[str, Any]) -> str:
    """A record as JSON text that DuckDB takes; what is nested deeper than DEEPEST is null."""
    return _json(fields, 0)


def _json(value: Any, depth: int) -> str:
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value.encode("utf-8", "replace").decode("utf-8"))  # half of a surrogate pair is no character
    if value is None or isinstance(value, bool | int):
        return json.dumps(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "null"
    if isinstance(value, Mapping | list | tuple) and depth > DEEPEST:
        return "null"
    if isinstance(value, Mapping):
        return "{" + ",".join([f"{_json(str(key), 0)}:{_json(inner, depth + 1)}" for key, inner in value.items()]) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join([_json(inner, depth + 1) for inner in value]) + "]"
    return _json(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value), 0)
