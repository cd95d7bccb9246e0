"""`tracer compile`: tracer.yaml -> dvc.yaml and params.yaml."""

from __future__ import annotations

from pathlib import Path

import click

from tracer_cli.cli._options import project_folder


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; print a diff and exit 2 when a compiled file is stale.")
@project_folder
def command(check: bool, folder: Path) -> None:
    """Write dvc.yaml and params.yaml from tracer.yaml.

    A file is written only when its content differs. Stages that were frozen with `dvc freeze`, and stages and
    sections that were added to dvc.yaml, stay.

    \b
    Examples:
      tracer compile
      tracer compile --check       # in CI: exit 2 when dvc.yaml or params.yaml is stale
    """
    from tracer_cli.compile import write
    from tracer_cli.errors import ConfigError

    outcome = write(folder, check)
    for note in outcome.notes:
        click.echo(f"warning: {note}", err=True)
    if check and outcome.stale:
        click.echo(outcome.diff, nl=False)
        raise ConfigError(f"stale: {', '.join(outcome.stale)}; run `tracer compile`")
    for name in outcome.stale:
        click.echo(f"wrote {folder / name}")
    if not outcome.stale:
        click.echo("dvc.yaml and params.yaml are up to date")
