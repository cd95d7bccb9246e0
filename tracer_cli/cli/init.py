"""`tracer init`: scaffold a project."""

from __future__ import annotations

from pathlib import Path

import click

from tracer_cli.cli._options import project_folder


@click.command()
@click.argument("traces", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@click.option("--name", help="Name of the project.  [default: the folder's name]")
@project_folder
def command(traces: Path | None, name: str | None, folder: Path) -> None:
    """Write tracer.yaml and the files around it.

    With TRACES, a JSONL, CSV or Parquet file, the fields of that file are filled in.
    A file that exists is never overwritten. A traces file inside the project is used where it lies; another one is
    copied to data/traces/.

    \b
    Examples:
      tracer init traces.jsonl
      tracer init ~/logs/calls.csv --dir routing --name support-intents
    """
    from tracer_cli.compile.scaffold import next_steps, scaffold

    found = None
    if traces:
        from tracer_cli.traces.inspect import inspect

        found = inspect(traces)
    done = scaffold(folder, name, traces, found)
    if traces and "tracer.yaml" in done.kept:
        click.echo(f"warning: tracer.yaml was there already; name {traces} in it under traces:", err=True)
    for word, names in (("wrote", done.written), ("kept ", done.kept)):
        for file in names:
            click.echo(f"{word} {folder / file}")
    click.echo("\nNext:\n" + "\n".join(f"  {step}" for step in next_steps(folder)))
