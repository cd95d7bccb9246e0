"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

project_folder = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="the current folder",
    help="Folder of the project: the one that holds tracer.yaml.",
)

policy_folder = click.argument(
    "policy", type=click.Path(path_type=Path, file_okay=False), default=Path(".tracer"), metavar="[POLICY]"
)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
