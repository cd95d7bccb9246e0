"""Why a stage runs, in words: the value with its place in tracer.yaml, the file, the version, the output."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tracer_cli.compile.existing import differences
from tracer_cli.config.document import Document, KeyPath, key_path
from tracer_cli.config.resolve import source_key

MISSING = object()

_CHANGES = {"new": "is new", "modified": "changed", "deleted": "was removed"}
_LONGEST = 40


@dataclass(frozen=True)
class Reason:
    """kind: value, version, command, file, output, first run, upstream; details: of the kind, for programs."""

    kind: str
    text: str
    details: dict[str, Any] = field(default_factory=dict)


class Values:
    """Differences between values of params.yaml, told as keys of tracer.yaml.

    zoo: every member of the old and the new zoo by its slug, for their names.
    """

    def __init__(self, document: Document, zoo: Mapping[str, Any]) -> None:
        self.document = document
        self.params = {"train": {"zoo": dict(zoo)}}

    def reasons(self, old: Any, new: Any, at: KeyPath = ()) -> Iterator[Reason]:
        """old: MISSING when the last run did not know the value."""
        if old is MISSING:
            key = key_path(self._source(at))
            yield Reason("value", f"{key} was no value of the last run", self._details(at, None, new))
            return
        for place, before, now in differences(_tree(old), _tree(new), at):
            yield self._version(place, before, now) or self._value(place, before, now)

    def _version(self, at: KeyPath, old: Any, new: Any) -> Reason | None:
        if at[0] != "stage_version":
            return None
        text = f"tracer's {at[-1]} stage itself changed: version {_short(old)} -> {_short(new)}"
        return Reason("version", text, {"stage": at[-1], "old": old, "new": new})

    def _value(self, at: KeyPath, old: Any, new: Any) -> Reason:
        key, details = key_path(self._source(at)), self._details(at, old, new)
        if old is None and isinstance(new, dict):
            text = f"{key} is new"
        elif new is None and isinstance(old, dict):
            return Reason("value", f"{key} was taken out", details)
        else:
            text = f"{key} {_short(old)} -> {_short(new)}"
        where = f"{details['file']}:{details['line']}" if details["line"] else "the default"
        return Reason("value", f"{text} ({where})", details)

    def _details(self, at: KeyPath, old: Any, new: Any) -> dict[str, Any]:
        source = self._source(at)
        line = self.document.place(source, key=True).line if self.document.has(source) else None
        return {"key": key_path(source), "file": self.document.name, "line": line, "old": old, "new": new}

    def _source(self, at: KeyPath) -> KeyPath:
        return source_key(at, self.params) or at


def file_reason(path: str, change: str) -> Reason:
    """change: new, modified or deleted."""
    return Reason("file", f"{path} {_CHANGES[change]}", {"path": path, "change": change})


def output_reason(path: str, change: str) -> Reason:
    words = {
        "new": "is a new output",
        "deleted": "is missing",
        "modified": "was edited",
        "not in cache": "is not cached",
    }
    return Reason("output", f"{path} {words[change]}", {"path": path, "change": change})


def once(reasons: Iterable[Reason]) -> list[Reason]:
    """Each once: several groups of params.yaml hold one value of tracer.yaml."""
    return list({reason.text: reason for reason in reasons}.values())


def _tree(value: Any) -> Any:
    """With lists of mappings as mappings, so that their differences have places."""
    if isinstance(value, dict):
        return {key: _tree(item) for key, item in value.items()}
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return {index: _tree(item) for index, item in enumerate(value)}
    return value


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
