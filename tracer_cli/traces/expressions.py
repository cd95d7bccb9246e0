"""Where in a record a value lies: a field's name, or a way through nested JSON such as `body.messages[0].content`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from tracer_cli.traces.read.records import Number

_STEP = re.compile(r"""\[(-?\d{1,9})\]|(?:^|\.)(?:"((?:[^"\\]|\\.)*)"|([^.\[\]"]+))""")


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()

# Numbers stay as they are written, as in the readers.
_decoder = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=float)


@dataclass(frozen=True)
class Expression:
    """Steps into a record: names and list positions, negative ones from the end. text: as it was written."""

    text: str
    steps: tuple[str | int, ...]

    @property
    def root(self) -> str:
        """The field in which the value lies."""
        return str(self.steps[0])

    def find(self, fields: Mapping[str, Any]) -> Any:
        """The value, or MISSING. A field that is called exactly like the whole expression comes first."""
        if self.text in fields:
            return fields[self.text]
        return self.inside(fields)

    def inside(self, value: Any) -> Any:
        """The value that the steps lead to from `value`; text on the way that is JSON itself is looked into."""
        for step in self.steps:
            if isinstance(value, str | bytes):
                value = from_json(value)
            if isinstance(step, str):
                value = value.get(step, MISSING) if isinstance(value, Mapping) else MISSING
            elif isinstance(value, list | tuple) and -len(value) <= step < len(value):
                value = value[step]
            else:
                value = MISSING
            if value is MISSING:
                break
        return value


@lru_cache(maxsize=1000)
def parse(text: str) -> Expression:
    """The expression; a text that is none is the name of a field as it stands."""
    steps: list[str | int] = []
    end = 0
    for match in _STEP.finditer(text):
        if match.start() != end:
            break
        position, quoted, name = match.groups()
        steps.append(int(position) if position else re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else name)
        end = match.end()
    if end != len(text) or not steps or not isinstance(steps[0], str) or text.startswith("."):
        return Expression(text, (text,))
    return Expression(text, tuple(steps))


def from_json(text: str | bytes) -> Any:
    """The object or list that `text` is as JSON; MISSING when it is none."""
    try:
        plain = text.decode("utf-8") if isinstance(text, bytes) else text
        if plain.lstrip()[:1] not in ("{", "["):
            return MISSING
        return _decoder.decode(plain.strip())
    except (ValueError, RecursionError):
        return MISSING
