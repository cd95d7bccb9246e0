"""A call of the teacher, whatever the shape in which it was logged: what every preset makes of a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ORIGINS = ("organic", "audit", "deferred")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """arguments: a JSON text, or the object itself."""

    name: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice of the teacher's. content: text, or whatever the field held."""

    content: Any = None
    tools: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """What the teacher was told beside the input: equal for two calls exactly when both had the same instructions.

    system: the system and developer messages; tools: the names of the tools on offer. sha256 is of the whole, the
    tools' descriptions and parameters too.
    """

    sha256: str
    system: str
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """text, id, timestamp, ground_truth, origin: as they were found, unchecked; None: not there.

    answers: one for each choice. model: the teacher's name. context: None where the record does not tell it.
    """

    text: Any
    answers: tuple[Answer, ...]
    id: Any = None
    timestamp: Any = None
    ground_truth: Any = None
    origin: Any = None
    model: str | None = None
    context: Context | None = None


class UnusableError(Exception):
    """The record is quarantined; its text is the reason."""


class NoCallError(Exception):
    """The record is no call of the teacher, and is left out; its text says what it is."""
