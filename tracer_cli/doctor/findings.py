"""What a check says: a finding that is broken, a warning or fine, with its reason and its fix."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Grade(str, Enum):
    """broken: a command fails or a result cannot be trusted; warning: something will be missed later."""

    BROKEN = "broken"
    WARNING = "warning"
    FINE = "fine"


@dataclass(frozen=True)
class Finding:
    """check: what was looked at; kind: its name in the catalogue, None when all is well.

    found: what is there; why: what it leads to; fix: the command or edit that mends it; file, line: where it stands,
    the file relative to the project's folder.
    """

    check: str
    grade: Grade
    found: str
    kind: str | None = None
    why: str = ""
    fix: str = ""
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Kind:
    """One thing that can be wrong. `fix` is a format: the names in braces are known when it is found."""

    check: str
    name: str
    grade: Grade
    why: str
    fix: str

    def found(self, text: str, *, file: str | None = None, line: int | None = None, **values: object) -> Finding:
        return Finding(self.check, self.grade, text, self.name, self.why, self.fix.format(**values), file, line)


class NotNowError(Exception):
    """What a check needs is wrong itself and is told by another check; the text says what it is."""


def fine(check: str, text: str) -> Finding:
    return Finding(check, Grade.FINE, text)


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def several(names: list[str], most: int = 4) -> str:
    """A list for a sentence: all of it when it is short, else its beginning and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
