"""Markdown for a pull request or a job summary, in which a stranger's label stays a label.

A name is put into a code span: there a mention pings nobody, and no reference is linked. A name with more than letters,
digits and a few signs is written with character references inside `<code>`, which no Markdown rule and no table's
column reads; GitHub and GitLab show both alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tracer_cli.review.diff.page import Page, Section, cell_parts
from tracer_cli.review.sentences import Name, Words, visible

_TAME = re.compile(r"""[\w%+.,:;/()=~^"'!?#*{}\[\]-]+(?: [\w%+.,:;/()=~^"'!?#*{}\[\]-]+)*""")
_MARKUP = re.compile(r"([\\`*_\[\]<>|@#&!~])")


def markdown(page: Page) -> str:
    lines = [f"## Refit: {text(page.sides)}", "", f"**{text(page.headline)}**", ""]
    if page.warnings:
        lines += ["**Attention:**", "", *(f"- {text(warning)}" for warning in page.warnings), ""]
    for section in page.sections:
        lines += [*_section(section), ""]
    if page.unchanged:
        lines += [f"Unchanged: {', '.join(page.unchanged)}.", ""]
    lines += [line for note in page.notes for line in (f"<sub>{text(note)}</sub>", "")]
    return "\n".join(lines[:-1]) + "\n"


def _section(section: Section) -> list[str]:
    lines = [f"### {escape(section.title)}", ""]
    if section.columns:
        rule = ["---:" if column.right else "---" for column in section.columns]
        rows = [[text(cell_parts(cell)) for cell in row] for row in section.rows]
        lines += table([escape(column.name) for column in section.columns], rule, rows)
        lines.append("")
    lines += [f"- {text(note)}" for note in section.notes]
    return lines if section.notes else lines[:-1]


def table(columns: Sequence[str], rule: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; every cell is Markdown without a bare `|` or line break already."""
    return [f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows)]


def text(words: Words | Sequence[str]) -> str:
    """A sentence as Markdown on one line."""
    return "".join(code(part) if isinstance(part, Name) else escape(part) for part in words)


def escape(part: str) -> str:
    """This project's own wording: its signs are meant as they are."""
    return _MARKUP.sub(r"\\\1", part).replace("-\\>", "→")


def code(name: str) -> str:
    """A name of somebody else's as code, whatever is in it."""
    name = visible(name)
    if _TAME.fullmatch(name):
        return f"`{name}`"
    return f"<code>{''.join(c if c.isalnum() or c == ' ' else f'&#{ord(c)};' for c in name)}</code>"
