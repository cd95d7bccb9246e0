"""What the cache holds and what was deleted of it, as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from tracer_cli.cli._summary import console, printable
from tracer_cli.embedders.cache_contents import EXPORT, LEFTOVER, VECTOR_FILE, Entry
from tracer_cli.errors import StorageError


def show(folder: Path, entries: Sequence[Entry], as_json: bool) -> None:
    if as_json:
        found = [_data(entry) for entry in entries]
        click.echo(json.dumps({"folder": str(folder), **_totals(entries), "entries": found}, indent=2))
        return
    from rich.table import Table
    from rich.text import Text

    out = console()
    out.print(Text(printable(str(folder))))
    if entries:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for name in ("embedder", "dimension", "texts", "size", "last used"):
            right = name in ("dimension", "texts", "size")
            table.add_column(name, overflow="fold", justify="right" if right else "left")
        for entry in entries:
            counts = (str(entry.dim), f"{entry.texts:,}") if entry.what == VECTOR_FILE and entry.kind else ("", "")
            table.add_row(Text(_name(entry)), *counts, _size(entry.bytes), f"{_time(entry):%Y-%m-%d %H:%M}")
        out.print(table)
    out.print(Text(_total(entries)))


def show_cleared(folder: Path, gone: Sequence[Entry], left: Sequence[Entry], as_json: bool) -> None:
    """Say what was deleted; raise StorageError when something could not be."""
    if as_json:
        data = {"deleted": [_data(entry) for entry in gone], "left": [_data(entry) for entry in left]}
        click.echo(json.dumps({"folder": str(folder), **_totals(gone), **data}, indent=2))
    else:
        for entry in gone:
            click.echo(f"deleted {_name(entry)}: {_amount(entry)}")
        place = printable(str(folder))
        click.echo(f"deleted from {place}: {_total(gone)}" if gone else f"nothing to delete in {place}")
    if left:
        told = "; ".join(f"{entry.path} ({entry.problem})" for entry in left)
        raise StorageError(f"could not delete {told}; clear the cache again when no other process uses it")


def _name(entry: Entry) -> str:
    about = ", ".join(entry.about[name] for name in ("model", "url", "function") if name in entry.about)
    if entry.what == LEFTOVER or not entry.kind:
        name = f"{'left over' if entry.what == LEFTOVER else 'not readable'}: {entry.path.name}"
    elif entry.what == EXPORT:
        name = f"exported to {entry.kind}: {about}"
    else:
        name = f"{entry.kind} {about}"
    return printable(f"{name.rstrip()} ({entry.problem})" if entry.problem else name.rstrip())


def _amount(entry: Entry) -> str:
    return f"{_texts(entry.texts)}, {_size(entry.bytes)}" if entry.what == VECTOR_FILE else _size(entry.bytes)


def _total(entries: Sequence[Entry]) -> str:
    if not entries:
        return "empty"
    return f"{_texts(sum(entry.texts for entry in entries))}, {_size(sum(entry.bytes for entry in entries))}"


def _texts(count: int) -> str:
    return f"{count:,} text{'' if count == 1 else 's'}"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _time(entry: Entry) -> datetime:
    return datetime.fromtimestamp(entry.last_used, timezone.utc)


def _totals(entries: Sequence[Entry]) -> dict[str, int]:
    return {"texts": sum(entry.texts for entry in entries), "bytes": sum(entry.bytes for entry in entries)}


def _data(entry: Entry) -> dict[str, Any]:
    return {
        "what": entry.what,
        "path": str(entry.path),
        "kind": entry.kind or None,
        **{name: entry.about.get(name) for name in ("model", "url", "function")},
        "fingerprint": entry.fingerprint or None,
        "dim": entry.dim or None,
        "texts": entry.texts,
        "bytes": entry.bytes,
        "last_used": _time(entry).isoformat(timespec="seconds"),
        "problem": entry.problem,
    }
