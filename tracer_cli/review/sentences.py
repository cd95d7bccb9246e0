"""Sentences for people that hold words of strangers: labels, names of models, revisions, values.

A sentence is its parts in order. What is not this project's own wording is a `Name`, so that each way of showing a
sentence can keep it from being taken for markup, a command of the terminal, or part of the sentence.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence


class Name(str):
    """A word of somebody else's, quoted within a sentence."""


class Code(Name):
    """A command, a key, a file or a revision."""


Words = tuple[str, ...]

# Controls of the text's direction, and characters without width: a name must not look like another one.
_UNSEEN = re.compile("[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]")


def visible(text: str) -> str:
    """The text with every character that a terminal or a page would obey instead of show written as an escape."""
    return "".join(_escape(c) if unicodedata.category(c) in ("Cc", "Cs") else c for c in _UNSEEN.sub(_match, text))


def _match(found: re.Match[str]) -> str:
    return _escape(found[0])


def _escape(character: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character) or (
        f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"
    )


def plain(words: Iterable[str]) -> str:
    """The sentence as text for a terminal."""
    return "".join(_plain(part) for part in words)


def _plain(part: str) -> str:
    if isinstance(part, Code):
        return f"`{visible(part)}`"
    return f"'{visible(part)}'" if isinstance(part, Name) else part


def listed(names: Sequence[str], most: int = 8) -> Words:
    """Names with commas between them; at most so many, and how many more there are."""
    words: list[str] = []
    for name in names[:most]:
        words += [", ", Name(name)] if words else [Name(name)]
    if len(names) > most:
        words.append(f" and {len(names) - most} more")
    return tuple(words)


def joined(parts: Sequence[Words], between: str = "; ") -> Words:
    words: list[str] = []
    for part in parts:
        words += [between, *part] if words else part
    return tuple(words)


def number(count: int, one: str, many: str | None = None) -> str:
    """`1 label`, `2 labels`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
