"""`tracer fit`: all stages in one process, without DVC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tracer_cli.cli._options import as_json


@click.command()
@click.argument("traces", type=click.Path(path_type=Path))
@click.option("--target", type=float, default=0.95, show_default=True, help="Parity with the teacher to deploy at.")
@click.option("--confidence", type=float, default=0.95, show_default=True, help="Confidence of the certificate.")
@click.option(
    "--scope",
    type=click.Choice(["handled", "overall"]),
    default="handled",
    show_default=True,
    help="Parity among handled inputs, or over all traffic.",
)
@click.option(
    "--evidence",
    type=click.Choice(["holdout", "crossfit"]),
    default="holdout",
    show_default=True,
    help="holdout: texts that nothing was fitted on, for any number of them. crossfit: the out-of-fold texts too, "
    "valid for many texts; needs --embedder or --embeddings.",
)
@click.option(
    "--method",
    type=click.Choice(["auto", "global", "l2d", "rsb"]),
    default="auto",
    show_default=True,
    help="global: answer everything. l2d: answer where an acceptor is sure enough. rsb: l2d, with a second surrogate "
    "for what the first defers. auto: chosen before the holdout's labels are seen.",
)
@click.option(
    "--per-label-min",
    type=float,
    help="Defer a label whose out-of-fold agreement among handled inputs is below this; default: none is.",
)
@click.option(
    "--artifact-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".tracer"),
    show_default=True,
    help="Folder of the policy.",
)
@click.option(
    "--embeddings",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A .npy matrix with one vector for each row of the trace file, in its order.",
)
@click.option("--embedder", metavar="MODEL", help="A sentence-transformers model or its folder; default: tf-idf.")
@click.option("--text", "text_field", metavar="FIELD", help="Field with the input text.")
@click.option("--label", "label_field", metavar="FIELD", help="Field with the teacher's label.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of split, folds and models.")
@click.option("--check", is_flag=True, help="Exit 3 when the guard does not pass.")
@as_json
def command(
    traces: Path,
    target: float,
    artifact_dir: Path,
    embeddings: Path | None,
    embedder: str | None,
    check: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Fit and certify a routing policy from a trace file, without DVC.

    TRACES is a JSONL, CSV or Parquet file (also .gz, .zst), or a glob in quotes.

    \b
    Examples:
      tracer fit traces.jsonl --target 0.95
      tracer fit traces.csv --text question --label category --check
      tracer fit traces.jsonl --embeddings X.npy --evidence crossfit
      tracer fit traces.jsonl --scope overall --per-label-min 0.9
    """
    from tracer_cli.api import FitConfig, fit
    from tracer_cli.cli._outcome import show
    from tracer_cli.progress import automatic

    spec = None
    if embedder is not None and embeddings is not None:
        raise click.UsageError("--embedder and --embeddings exclude each other")
    if embedder is not None:
        spec = {"kind": "sentence-transformers", "model": embedder}
    if embeddings is not None:
        spec = {"kind": "precomputed", "path": str(embeddings)}
    project = traces.name.split(".")[0] or "tracer"
    # The other options have the names of the settings.
    config = FitConfig(target_teacher_agreement=target, embedder=spec, project=project, **settings)
    result = fit(traces, artifact_dir, config=config, progress=automatic())
    show(result.path, as_json, check, notes=[*result.notes, f"policy: {result.path}"])
