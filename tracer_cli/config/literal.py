"""Values that must be written out: nothing in tracer.yaml is filled in from the machine that reads it."""

from __future__ import annotations

import re
from typing import NamedTuple

# What people write for an environment variable: ${X}, which DVC would read as a variable of its own, $X and %X%.
VARIABLE = re.compile(r"\$\{[^}]*\}?|\$[A-Za-z_]\w*|%[A-Z_]{2,}%")


class Wrong(NamedTuple):
    """A value that cannot be used: the path of its key, and what to say about it; secret: the value is not shown."""

    at: tuple[str | int, ...]
    message: str
    secret: bool = False


def not_literal(value: str, instead: str = "write the value out") -> str | None:
    """What is wrong with a value that holds a variable or a control character. instead: what to do."""
    variable = VARIABLE.search(value)
    if variable:
        return (
            f"{value!r} holds {variable[0]!r}, but environment variables are not filled in: a refit must not depend on "
            f"whose machine runs it; {instead}"
        )
    if any(ord(character) < 32 for character in value):
        return f"{value!r} holds a control character; rename the file or folder"
    return None
