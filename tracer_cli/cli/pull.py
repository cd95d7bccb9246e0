"""`tracer pull`: copy what is new in databases and object stores into part files."""

from __future__ import annotations

from pathlib import Path

import click

from tracer_cli.cli._options import as_json, project_folder


@click.command()
@click.argument("source", required=False, metavar="[SOURCE]")
@click.option("--no-track", is_flag=True, help="Leave DVC alone: do not run `dvc add` on the folders of the parts.")
@project_folder
@as_json
def command(source: str | None, no_track: bool, folder: Path, as_json: bool) -> None:
    """Copy what is new in databases and object stores into the files that ingest reads.

    SOURCE is the index (from 0) or the path of one source in tracer.yaml; default: every source with `pull`. What is
    new becomes an immutable part file, named by its content, in the folder of the source's `path`; where nothing is
    new, nothing is written. In a DVC repository `dvc add` then tracks the folder, unless git keeps it.

    Credentials come from the environment alone: the variable that `source_env` names, or PGUSER, PGPASSWORD and the
    variables of the store.

    \b
    Examples:
      tracer pull                       # every source
      tracer pull 0
      tracer pull 'data/traces/*.parquet' --no-track
      tracer pull --json | jq '.sources[].new_rows'
    """
    from tracer_cli.cli._pull import pull_and_show

    pull_and_show(source, folder, tracked=not no_track, as_json=as_json)
