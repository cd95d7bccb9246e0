"""`tracer run STAGE`: what the compiled dvc.yaml calls (the module is not called `run`: the console script is)."""

from __future__ import annotations

from pathlib import Path

import click

from tracer_cli.artifacts import STAGES
from tracer_cli.cli._complete import models
from tracer_cli.cli._options import project_folder


@click.command()
@click.argument("stage", type=click.Choice(STAGES), metavar="STAGE")
@click.option(
    "--model",
    metavar="SLUG",
    shell_complete=models,
    help="Short name of the zoo member; for the stage train, and only there.",
)
@project_folder
def command(stage: str, model: str | None, folder: Path) -> None:
    """Run one stage, as DVC does.

    STAGE is resolve, ingest, embed, train, calibrate, guard or report. All but the first read params.yaml.
    `dvc repro` calls this command in order, and only where something changed.

    \b
    Examples:
      tracer run ingest
      tracer run train --model logreg
    """
    from tracer_cli.progress import automatic
    from tracer_cli.review.plan.last_run import noted
    from tracer_cli.stages import run_stage

    with noted(folder, stage, model):
        run_stage(folder, stage, model, automatic())
