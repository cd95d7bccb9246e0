"""`tracer plan`: what `dvc repro` would do, and why."""

from __future__ import annotations

from pathlib import Path

import click

from tracer_cli.cli._options import as_json, project_folder


@click.command()
@project_folder
@as_json
def command(folder: Path, as_json: bool) -> None:
    """Say which stages `dvc repro` would run, and why. Nothing is run or written.

    A stage runs when a value, a file, its command or one of its outputs is not that of its last run. "may run" depends
    on what a stage above it writes; "restored" takes the result of an earlier run from DVC's run cache.

    \b
    Examples:
      tracer plan
      tracer plan --json           # every reason, with its place in tracer.yaml
    """
    from tracer_cli.cli._plan import show
    from tracer_cli.review.plan.plan import plan

    show(plan(folder), as_json)
