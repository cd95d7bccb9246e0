"""`tracer update`: new traces, and a refit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tracer_cli.cli._options import as_json

file = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("traces", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="TRACES...")
@click.option(
    "--dir",
    "project",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="the current folder",
    help="Folder of the project: the one that holds tracer.yaml.",
)
@click.option(
    "--source", metavar="INDEX|PATH", help="The source that the files belong to; default: the first that fits."
)
@click.option("--results", type=file, help="Output file of TRACES, for a source with preset: openai-batch.")
@click.option(
    "--artifact-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of a policy that `tracer fit` made; default: .tracer, where there is no tracer.yaml.",
)
@click.option("--embeddings", type=file, help="A .npy matrix with one vector for each new row, in their order.")
@click.option("--target", type=float, help="Parity with the teacher to deploy at, from now on.")
@click.option("--confidence", type=float, help="Confidence of the certificate, from now on.")
@click.option("--scope", type=click.Choice(["handled", "overall"]), help="As for `tracer fit`, from now on.")
@click.option("--evidence", type=click.Choice(["holdout", "crossfit"]), help="As for `tracer fit`, from now on.")
@click.option("--method", type=click.Choice(["auto", "global", "l2d", "rsb"]), help="As for `tracer fit`, from now on.")
@click.option("--per-label-min", type=float, help="As for `tracer fit`, from now on.")
@click.option("--check", is_flag=True, help="Exit 3 when the guard does not pass the new policy.")
@as_json
def command(
    traces: tuple[Path, ...],
    project: Path,
    source: str | None,
    results: Path | None,
    artifact_dir: Path | None,
    embeddings: Path | None,
    check: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Add new traces, fit and certify again, and say what changed.

    In a project (tracer.yaml), each file of TRACES is checked, then copied into the folder of its source as a part that
    is named by its content, and `dvc repro` refits. Without one, the policy of `tracer fit` in --artifact-dir is fitted
    again on its traces and the new ones, with the settings of that fit; options given here replace them. Traces that
    are there already are not added again. What fails or is killed is mended by the same command.

    \b
    Examples:
      tracer update new.jsonl
      tracer update monday.jsonl tuesday.jsonl --source 1
      tracer update new.jsonl --artifact-dir .tracer --embeddings X_new.npy
    """
    from tracer_cli.cli._update import run, show

    given = {name: value for name, value in settings.items() if value is not None}
    done = run(list(traces), project, artifact_dir, source, results, embeddings, given)
    show(done, as_json, check)
