"""The Python API: `import tracer_cli as tracer`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import ValidationError

from tracer_cli.artifacts import Layout, exclusive, read_json, write_array
from tracer_cli.config.schema import Config
from tracer_cli.embedders import checked
from tracer_cli.errors import ConfigError
from tracer_cli.progress import Progress, silent
from tracer_cli.stages import calibrate, embed, fit_rows, guard, ingest, report, train

EMBEDDINGS = "embeddings.npy"


@dataclass(frozen=True)
class FitConfig:
    """What to fit, with tracer-llm's names where it has them.

    embedder, zoo, acceptor, blend: as in tracer.yaml; None for the defaults. text_field, label_field:
    None to find them by their usual names. confidence: the certificate fails with at most 1 - confidence.
    """

    target_teacher_agreement: float = 0.95
    frontier_targets: Sequence[float] = (0.85, 0.90, 0.95, 0.98)
    min_deploy_coverage: float = 0.05
    seed: int = 0
    confidence: float = 0.95
    evidence: Literal["holdout", "crossfit"] = "holdout"
    scope: Literal["handled", "overall"] = "handled"
    method: Literal["auto", "global", "l2d", "rsb"] = "auto"
    per_label_min: float | None = None
    acceptor: dict[str, Any] | None = None
    blend: int | None = None
    embedder: dict[str, Any] | None = None
    zoo: dict[str, dict[str, Any]] | None = None
    text_field: str | None = None
    label_field: str | None = None
    project: str = "tracer"


@dataclass(frozen=True)
class FitResult:
    """The outcome of a fit.

    deploy: whether the guard passed. coverage: certified share of the holdout that is handled; agreement: of
    the handled, the share that agrees (None when nothing is certified). notes: what a person should know.
    """

    deploy: bool
    verdict: str
    coverage: float
    agreement: float | None
    manifest: dict[str, Any]
    path: Path
    notes: list[str] = field(default_factory=list)


def fit(
    traces: str | Path,
    artifact_dir: str | Path = ".tracer",
    embeddings: ArrayLike | None = None,
    config: FitConfig | None = None,
    progress: Progress = silent,
) -> FitResult:
    """Fit and certify a routing policy from a trace file, all stages in this process, without DVC.

    traces: a JSONL, CSV or Parquet file, or a glob. artifact_dir: where the policy goes; what the stages pass
    to each other is kept in its folder `work`, which a router does not need. embeddings: (rows, dim), one vector
    for each row of the file in its order; None for the configured embedder.

    Returns a FitResult whatever the verdict. Raises a TracerError when the input cannot be used.
    """
    settings = config or FitConfig()
    folder = Path(artifact_dir)
    layout = Layout.of_folder(Path(), folder)
    with exclusive(folder):
        embedder = settings.embedder
        if embeddings is not None:
            embedder = {"kind": "precomputed", "path": str(_store(layout, embeddings))}
        checked_config = project_config(settings, os.fspath(traces), embedder)
        # What an earlier fit with another zoo left would otherwise lie beside this one's.
        shutil.rmtree(layout.work / "artifacts", ignore_errors=True)
        run_all(layout, checked_config, progress)
    return result_of(layout)


def run_all(layout: Layout, config: Config, progress: Progress = silent) -> None:
    """Every stage in order, as `dvc repro` runs them."""
    ingest.run(layout, config)
    embed.run(layout, config, progress)
    rows = fit_rows.read(layout, config)
    for slug in config.slugs():
        train.run(layout, config, slug, progress, rows)
    calibrate.run(layout, config, rows)
    guard.run(layout, config)
    report.run(layout, config)


def result_of(layout: Layout) -> FitResult:
    """The outcome that the guard wrote."""
    manifest = read_json(layout.manifest)
    deployed = next(t for t in manifest["targets"] if t["target"] == manifest["target"])
    return FitResult(
        deploy=manifest["verdict"]["deploy"],
        verdict=manifest["verdict"]["reason"],
        coverage=deployed["coverage"],
        agreement=deployed["agreement"],
        manifest=manifest,
        path=layout.policy,
        notes=_notes(layout, manifest),
    )


def project_config(settings: FitConfig, traces: str, embedder: dict[str, Any] | None) -> Config:
    """What tracer.yaml would say. Raises ConfigError when the settings are not valid."""
    values: dict[str, Any] = {
        "project": settings.project,
        "seed": settings.seed,
        "traces": [{"path": traces, "text": settings.text_field, "label": settings.label_field}],
        "targets": {
            "agreement": settings.target_teacher_agreement,
            "frontier": list(settings.frontier_targets),
            "min_coverage": settings.min_deploy_coverage,
            "confidence": settings.confidence,
            "evidence": settings.evidence,
            "scope": settings.scope,
            "method": settings.method,
            "per_label_min": settings.per_label_min,
        },
    }
    optional = {"embedder": embedder, "zoo": settings.zoo, "acceptor": settings.acceptor, "blend": settings.blend}
    values |= {key: value for key, value in optional.items() if value is not None}
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in (*e['loc'], *e.get('ctx', {}).get('at', ())))}: {e['msg']}"
            for e in error.errors(include_url=False)
        ]
        raise ConfigError("the settings are not valid:\n" + "\n".join(f"  {line}" for line in lines)) from error


def _store(layout: Layout, embeddings: ArrayLike) -> Path:
    matrix = np.asarray(embeddings)
    path = layout.work / EMBEDDINGS
    write_array(path, checked(matrix, len(matrix), what="embeddings"))
    return path


def _notes(layout: Layout, manifest: dict[str, Any]) -> list[str]:
    traces = read_json(layout.traces_metrics)
    labels = read_json(layout.qualitative_report)["labels"]
    notes = []
    if traces["rows_rejected"]:
        notes.append(f"{traces['rows_rejected']} of {traces['rows_read']} rows were unusable: see {layout.rejected}")
    if traces["conflicting_texts"]:
        notes.append(
            f"the teacher labelled {traces['conflicting_texts']} of {traces['texts_seen_twice']} repeated texts "
            f"inconsistently; no surrogate can agree with it on all of them"
        )
    unseen = [entry["label"] for entry in labels if entry["fit_rows"] == 0]
    if unseen:
        notes.append(f"only the holdout has the labels {', '.join(unseen)}: the surrogate cannot answer with them")
    return notes
