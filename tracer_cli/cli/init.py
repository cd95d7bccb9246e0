"""`tracer init`: scaffold a project."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracer_cli.cli._options import project_folder

if TYPE_CHECKING:
    from tracer_cli.compile.ci import Service
    from tracer_cli.compile.scaffold import Scaffold


@click.command()
@click.argument("traces", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@click.option("--name", help="Name of the project.  [default: the folder's name]")
@click.option(
    "--ci",
    "service",
    type=click.Choice(["github", "gitlab"]),
    help="Also write the CI job that reruns and judges a refit; makes a git and a DVC repository where there is none.",
)
@click.option(
    "--pre-commit", "hook", is_flag=True, help="Also write a pre-commit hook that refuses stale compiled files."
)
@project_folder
def command(traces: Path | None, name: str | None, service: Service | None, hook: bool, folder: Path) -> None:
    """Write tracer.yaml and the files around it.

    With TRACES, a JSONL, CSV or Parquet file, the fields of that file are filled in.
    A file that exists is never overwritten. A traces file inside the project is used where it lies; another one is
    copied to data/traces/.

    \b
    Examples:
      tracer init traces.jsonl
      tracer init traces.jsonl --ci github
      tracer init --pre-commit                # in a project that exists: adds what is missing
      tracer init ~/logs/calls.csv --dir routing --name support-intents
    """
    from tracer_cli.compile.scaffold import next_steps, scaffold

    found = None
    if traces:
        from tracer_cli.traces.inspect import inspect

        found = inspect(traces)
    done = scaffold(folder, name, traces, found, service, hook)
    if traces and "tracer.yaml" in done.kept:
        click.echo(f"warning: tracer.yaml was there already; name {traces} in it under traces:", err=True)
    _show(done, folder)
    click.echo("\nNext:\n" + "\n".join(f"  {step}" for step in next_steps(folder, service is not None, hook)))


def _show(done: Scaffold, folder: Path) -> None:
    for word, names in (("wrote", done.written), ("kept ", done.kept)):
        for file in names:
            click.echo(f"{word} {os.path.normpath(folder / file)}")
    for command_line in done.ran:
        click.echo(f"ran   {command_line}")
    for advice in done.advice:
        click.echo(f"warning: {advice}", err=True)
