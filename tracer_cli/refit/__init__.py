"""`tracer update`: new traces for a policy that is there, which is then fitted again.

The package is not called `update`, because `tracer_cli.update` is the function.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from tracer_cli.api import FitResult
from tracer_cli.config.load import FILE_NAME, load_config
from tracer_cli.config.paths import normal
from tracer_cli.embedders import Embedder
from tracer_cli.errors import ConfigError
from tracer_cli.progress import Progress, silent
from tracer_cli.refit.folder import update_folder
from tracer_cli.refit.outcome import Update
from tracer_cli.refit.project import update_project

__all__ = ["Update", "project_of", "update", "update_folder", "update_project"]


def update(
    traces: str | Path | Sequence[str | Path],
    artifact_dir: str | Path = ".tracer",
    embeddings: ArrayLike | None = None,
    embedder: Embedder | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> FitResult:
    """Add new traces to those that a policy was fitted on, and fit it again.

    traces: a JSONL, CSV or Parquet file, or several. artifact_dir: the policy's folder. Where it is the output of the
    tracer.yaml beside it, the file goes into the folder of its source and `dvc repro` refits; otherwise `fit` made it,
    and it is fitted again with the settings of that fit. Only then: embeddings: one vector for each new row, for a
    policy that was fitted on precomputed ones; embedder: the object that `fit` was given; settings: fields of FitConfig
    that replace those of the first fit from now on.

    Traces that are there already are not added again. Returns the FitResult of the new policy, whatever its verdict.
    Raises a TracerError when the traces cannot be used; the policy is then as it was.
    """
    files = [Path(traces)] if isinstance(traces, str | Path) else [Path(file) for file in traces]
    folder = Path(artifact_dir)
    root = project_of(folder)
    if root is None:
        return update_folder(files, folder, embeddings, embedder, settings, progress).result
    if embeddings is not None or embedder is not None or settings:
        raise ConfigError(f"{root / FILE_NAME} says how this policy is fitted: change it there")
    return update_project(root, files).result


def project_of(folder: Path) -> Path | None:
    """The folder of the tracer.yaml whose policy lies in `folder`: the nearest one around it, if it says so."""
    root = next((around for around in folder.resolve().parents if (around / FILE_NAME).is_file()), None)
    if root is None:
        return None
    policy = (root / normal(load_config(root / FILE_NAME).outputs.policy)).resolve()
    return root if policy == folder.resolve() else None
