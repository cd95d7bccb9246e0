"""`tracer schema`: the JSON Schema of tracer.yaml."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file, not to stdout."
)
def command(output: Path | None) -> None:
    """Print the JSON Schema of tracer.yaml.

    Editors complete and check the file with it.

    \b
    Examples:
      tracer schema
      tracer schema -o tracer.schema.json
    """
    from tracer_cli.artifacts import write_text
    from tracer_cli.config.json_schema import json_schema_text

    if output is None:
        click.echo(json_schema_text(), nl=False)
    else:
        write_text(output, json_schema_text())
