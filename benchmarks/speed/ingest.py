"""The stages ingest and embed on a file of generated traces, each to be run in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.measure import measured
from tracer_cli.artifacts import Layout
from tracer_cli.config.schema import Config
from tracer_cli.stages import embed, ingest


def run_ingest(scratch: Path, project: str, source: dict[str, Any]) -> dict[str, float]:
    """From the files to fit.parquet and holdout.parquet. MB: of the files."""
    root = Path(project)
    with measured() as cost:
        ingest.run(layout_of(root), _config(source))
    size = sum((root / source[key]).stat().st_size for key in ("path", "results") if key in source)
    return {"seconds": cost.seconds, "peak_mb": cost.peak_mb, "mb": size / 1e6}


def run_embed(scratch: Path, project: str, source: dict[str, Any]) -> dict[str, float]:
    """From those to the vectors, with the default tf-idf: fitted on at most embed.FIT_TEXTS, written as they come."""
    layout = layout_of(Path(project))
    with measured() as cost:
        embed.run(layout, _config(source))
    size = sum(path.stat().st_size for path in (layout.fit_vectors, layout.holdout_vectors))
    return {"seconds": cost.seconds, "peak_mb": cost.peak_mb, "mb": size / 1e6}


def layout_of(root: Path) -> Layout:
    """Where the stages write for the project in `root`."""
    return Layout.of_folder(root, root / "out")


def _config(source: dict[str, Any]) -> Config:
    return Config.model_validate({"schema": 1, "traces": [source]})
