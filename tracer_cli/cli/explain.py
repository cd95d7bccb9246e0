"""`tracer explain`: what each key of tracer.yaml is worth, why, and what it means."""

from __future__ import annotations

from pathlib import Path

import click

from tracer_cli.cli._complete import keys
from tracer_cli.cli._options import as_json, project_folder


@click.command()
@click.argument("key", required=False, shell_complete=keys)
@project_folder
@as_json
def command(key: str | None, folder: Path, as_json: bool) -> None:
    """Show every value of tracer.yaml, its place and its meaning.

    Defaults are shown too. With KEY, all about one key or section: what it may be, its default, where to write it, and
    which stages run again when it changes. KEY is a path in tracer.yaml, or one in params.yaml as `dvc params diff`
    shows it.

    \b
    Examples:
      tracer explain
      tracer explain targets.agreement
      tracer explain calibrate.targets.evidence    # as params.yaml has it
      tracer explain "traces[0].path" --json
    """
    from tracer_cli.cli import _explain

    explainer = _explain.explainer(folder)
    click.echo(_explain.shown(explainer, explainer.find(key) if key else None, as_json), nl=False)
