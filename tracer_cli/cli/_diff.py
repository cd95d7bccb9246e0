"""What `tracer diff` finds, and how it shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracer_cli.review import facts
from tracer_cli.review.diff.changes import Changes, between
from tracer_cli.review.diff.page import Page, Section, cell_parts, data, page
from tracer_cli.review.markdown import markdown
from tracer_cli.review.sentences import plain, visible

WHOLE = 30

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def compare(root: Path, base: str, other: str | None) -> Changes:
    """`base` against `other`, or against the working tree."""
    after = facts.of_working_tree(root) if other is None else facts.of_revision(root, other)
    missing = facts.missing_at(root, base)
    if len(missing) == len(facts.RESULTS):
        click.echo(f"note: {base} holds no refit yet: nothing to compare with", err=True)
        return between(None, after)
    return between(facts.of_revision(root, base), after)


def show(changes: Changes, as_markdown: bool, as_json: bool) -> None:
    if as_json:
        # ASCII: a label's control characters reach no terminal.
        click.echo(json.dumps(data(changes), indent=2, allow_nan=False))
    elif as_markdown:
        click.echo(markdown(page(changes)), nl=False)
    else:
        from tracer_cli.cli._summary import console

        print_page(page(changes), console())


def print_page(page: Page, out: Console) -> None:
    from rich.text import Text

    out.print(Text(f"Refit: {plain(page.sides)}"), style="dim")
    out.print(Text(plain(page.headline), style="bold green" if page.passed else "bold red"))
    if page.warnings:
        out.print(Text("\nAttention", style="bold yellow"))
        for warning in page.warnings:
            out.print(_item(plain(warning)))
    for section in page.sections:
        out.print()
        _print_section(section, out)
    if page.unchanged:
        out.print(Text(f"\nUnchanged: {', '.join(page.unchanged)}"))
    for note in page.notes:
        out.print(Text(f"\n{plain(note)}", style="dim"))


def _item(text: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    grid.add_row("-", Text(text))
    return grid


def _print_section(section: Section, out: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    out.print(Text(section.title, style="bold"))
    if section.rows:
        rows = [["".join(map(visible, cell_parts(cell))) for cell in row] for row in section.rows]
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for index, column in enumerate(section.columns):
            width = min(max(len(row[index]) for row in rows), WHOLE) if column.whole else None
            table.add_column(column.name, justify="right" if column.right else "left", overflow="fold", min_width=width)
        for row in rows:
            table.add_row(*map(Text, row))
        out.print(table)
    for note in section.notes:
        out.print(Text(plain(note)))
