"""`tracer demo`: everything once, on generated traces, in a temporary folder."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--rows", type=click.IntRange(min=300), default=3000, show_default=True, help="Traces to generate.")
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep traces and policy in this new folder."
)
def command(rows: int, keep: Path | None) -> None:
    """Generate traces, fit and certify a policy on them, and route five live queries. No network.

    \b
    Examples:
      tracer demo
      tracer demo --keep demo      # then: tracer report-html demo/.tracer
    """
    import tempfile

    from tracer_cli.cli._demo import demo
    from tracer_cli.errors import StorageError

    if keep is not None:
        if keep.exists():
            raise StorageError(f"{keep} exists already: give --keep a new folder")
        demo(rows, keep)
        return
    with tempfile.TemporaryDirectory(prefix="tracer-demo-") as folder:
        demo(rows, Path(folder))
