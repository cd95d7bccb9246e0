"""`tracer doctor`: what is wrong with a project or its surroundings, and how to mend it."""

from __future__ import annotations

from pathlib import Path

import click

from tracer_cli.cli._options import as_json, project_folder


@click.command()
@project_folder
@as_json
def command(folder: Path, as_json: bool) -> None:
    """Look at everything that a refit needs, and say what is wrong and how to mend it.

    Looks at Python, git, DVC and its remote, the disk, tracer.yaml and the files compiled from it, what git ignores
    and holds, the traces, the holdout, the embedder and the policy; changes nothing and asks no network. Exits 2 when
    something is broken; a warning is exit 0.

    \b
    Examples:
      tracer doctor
      tracer doctor --json         # for a program
    """
    from tracer_cli.cli._findings import show
    from tracer_cli.doctor.examine import examine

    show(examine(folder), as_json)
