"""What `tracer pull` does with each source, and how it shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tracer_cli.cli._summary import printable
from tracer_cli.config.load import FILE_NAME, load_config
from tracer_cli.programs.tracked import require_whole
from tracer_cli.traces.pull.pull import NewPart, Pulled, pull
from tracer_cli.traces.pull.source import pull_sources
from tracer_cli.traces.pull.track import CHANGED, IN_GIT, OUTSIDE, Tracking, track

NAMES = 5


def pull_and_show(wanted: str | None, folder: Path, *, tracked: bool, as_json: bool) -> None:
    """Pull one source after the other; what one brought is tracked and told before the next is asked."""
    done: list[dict[str, Any]] = []
    for source in pull_sources(folder, load_config(folder / FILE_NAME), wanted):
        if tracked:
            require_whole(source.root, source.folder_name)
        pulled = pull(source)
        tracking = track(source) if tracked else None
        done.append(pulled.data() | {"tracked": tracking.file if tracking else None})
        if not as_json:
            _show(pulled, tracking)
    if as_json:
        click.echo(json.dumps({"sources": done}, indent=2, ensure_ascii=False))
    elif any(one["parts"] for one in done):
        click.echo("next: dvc repro")


def _show(pulled: Pulled, tracking: Tracking | None) -> None:
    source = pulled.source
    click.echo(printable(f"traces[{source.index}] {source.path} from {source.shown}: {_outcome(pulled)}"))
    for part in pulled.new:
        rows = "" if part.rows is None else f"{_counted(part.rows, 'row')}, "
        click.echo(printable(f"  {part.path}: {rows}{part.size:,} bytes"))
    if pulled.empty:
        click.echo(printable(f"  without content, left out: {_several(pulled.empty)}"))
    if pulled.gone:
        click.echo(
            printable(
                f"warning: {_several(pulled.gone)}: no object of the source (any more); kept, and read by ingest. "
                "Where an object has only grown, its rows are now in two parts: remove the older one"
            ),
            err=True,
        )
    if tracking:
        _show_tracking(tracking, pulled.new, source.folder_name)


def _outcome(pulled: Pulled) -> str:
    unit = pulled.unit.removesuffix("s")
    if not pulled.new:
        return f"nothing new, {_counted(pulled.read, unit)} read"
    if pulled.unit == "rows":
        return f"{_counted(sum(part.rows or 0 for part in pulled.new), 'new row')}, {_counted(pulled.read, unit)} read"
    return f"{_counted(len(pulled.new), f'new {unit}')}, {_counted(pulled.read, unit)} read"


def _show_tracking(tracking: Tracking, new: tuple[NewPart, ...], folder: str) -> None:
    if tracking.state == CHANGED:
        click.echo(f"  tracked by {tracking.file}: commit it, and `dvc push` shares the parts")
    elif tracking.state == IN_GIT and new:
        click.echo(f"  {folder} is in git: commit the new part there")
    elif tracking.state == OUTSIDE and new:
        click.echo(f"  {folder} lies outside of the DVC repository: nothing tracks the part")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _several(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return ", ".join(names[:NAMES]) + more
