"""The folder of the parts in DVC: one .dvc file beside it, its content in the cache."""

from __future__ import annotations

from dataclasses import dataclass

from tracer_cli.programs import dvc, git
from tracer_cli.programs.tracked import as_dvc_names, is_clean, repository_of, tracked
from tracer_cli.traces.pull.source import PullSource

# What keeps a folder: DVC, as it was or as it is since now; git; nothing, because it lies outside of the repository,
# because there is none, or because there is no part yet.
TRACKED, CHANGED, IN_GIT, OUTSIDE, NO_DVC, EMPTY = "tracked", "changed", "in git", "outside", "no dvc", "empty"


@dataclass(frozen=True)
class Tracking:
    """state: one of the above; file: the .dvc file, relative to tracer.yaml."""

    state: str
    file: str | None = None


def track(source: PullSource) -> Tracking:
    """Have DVC track the folder as it is now, unless git keeps it or it lies elsewhere. Raises ProgramError."""
    if not source.folder.is_dir() or not any(source.folder.iterdir()):
        return Tracking(EMPTY)
    repository, name = repository_of(source.root), tracked(source.root, source.folder_name)
    if repository is None:
        return Tracking(NO_DVC)
    if as_dvc_names(repository, source.root, source.folder_name).startswith("../"):
        return Tracking(OUTSIDE)
    if git.holds(source.root, source.folder_name):
        return Tracking(IN_GIT)
    if name is not None and is_clean(source.root, name):
        return Tracking(TRACKED, f"{name}.dvc")
    name = name or source.folder_name
    dvc.add(source.root, name)
    return Tracking(CHANGED, f"{name}.dvc")
