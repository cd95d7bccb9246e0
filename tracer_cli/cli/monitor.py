"""`tracer monitor`: parity, drift and volume from trace logs."""

from __future__ import annotations

from pathlib import Path

import click

from tracer_cli.cli._options import as_json


@click.command()
@click.argument("logs", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="LOGS...")
@click.option(
    "--policy",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".tracer"),
    show_default=True,
    help="Folder of the policy.",
)
@click.option("--target", type=float, help="A target of the policy other than the deployed one.")
@click.option("--check", is_flag=True, help="Exit 3 when parity was below the target: for jobs.")
@as_json
def command(logs: tuple[Path, ...], policy: Path, target: float | None, check: bool, as_json: bool) -> None:
    """Tell from trace logs whether a policy keeps its parity, and whether its traffic drifts.

    LOGS are folders or files of a trace log, also compressed ones and the one that is being written. Their audited
    requests of this policy are what parity is measured on, with bounds that hold at all times at once, so that looking
    every day costs nothing; and the time is told at which parity was first below the target, as the running router
    finds it. Scores, distances, labels and defer rate are compared with those of the holdout. Only files are read.

    Exit code 0: parity was never found below the target. With --check 3: it was.

    \b
    Examples:
      tracer monitor traces/
      tracer monitor traces/*.jsonl.gz --policy .tracer --check
      tracer monitor traces/ --json
    """
    from tracer_cli.cli._monitor import show
    from tracer_cli.monitor.monitor import monitor

    show(monitor(logs, policy, target), as_json, check)
