"""`table`: the table of a results file, without running anything."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks import records, summary, tables


@click.command("table")
@click.option(
    "--results",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="JSONL file that compare or validity wrote.",
)
@click.option("--validity", is_flag=True, help="The table of the validity study, not the comparison.")
def command(results: Path, validity: bool) -> None:
    """Print the table of a results file again."""
    found = summary.summarise(records.latest(results))
    click.echo(tables.validity_table(found) if validity else tables.compare_table(found))
