"""The folder of the parts in DVC: one .dvc file beside it, its content in the cache.

`dvc add` writes down the folder as it is: where parts are missing here, it would forget them. So a folder that DVC
tracks is asked about before anything is added to it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePath

from tracer_cli.errors import StorageError
from tracer_cli.programs import dvc, git
from tracer_cli.traces.pull.source import PullSource

# What keeps a folder: DVC, as it was or as it is since now; git; nothing, because it lies outside of the repository,
# because there is none, or because there is no part yet.
TRACKED, CHANGED, IN_GIT, OUTSIDE, NO_DVC, EMPTY = "tracked", "changed", "in git", "outside", "no dvc", "empty"


@dataclass(frozen=True)
class Tracking:
    """state: one of the above; file: the .dvc file, relative to tracer.yaml."""

    state: str
    file: str | None = None


def require_whole(source: PullSource) -> None:
    """Raises StorageError when DVC knows of files of the folder that are not here."""
    repository, name = _repository(source), _tracked(source)
    if repository is None or name is None:
        return
    changes = dvc.data_status(repository, _from(repository, source.root, name))
    if changes.deleted or (changes.modified and changes.not_in_cache):
        raise StorageError(
            f"{source.folder_name}: {name}.dvc names files that are not here, and tracking the folder now would forget "
            f"them; get them first: `dvc pull {name}.dvc`. Where they were removed on purpose: `dvc add {name}`"
        )


def track(source: PullSource) -> Tracking:
    """Have DVC track the folder as it is now, unless git keeps it or it lies elsewhere. Raises ProgramError."""
    if not source.folder.is_dir() or not any(source.folder.iterdir()):
        return Tracking(EMPTY)
    repository, name = _repository(source), _tracked(source)
    if repository is None:
        return Tracking(NO_DVC)
    if _from(repository, source.root, source.folder_name).startswith("../"):
        return Tracking(OUTSIDE)
    if git.holds(source.root, source.folder_name):
        return Tracking(IN_GIT)
    if name is not None and dvc.data_status(repository, _from(repository, source.root, name)).clean:
        return Tracking(TRACKED, f"{name}.dvc")
    name = name or source.folder_name
    dvc.add(source.root, name)
    return Tracking(CHANGED, f"{name}.dvc")


def _tracked(source: PullSource) -> str | None:
    """The folder, or one around it, that has a .dvc file beside it."""
    parts = source.folder_name.split("/")
    names = ("/".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((name for name in names if (source.root / f"{name}.dvc").is_file()), None)


def _repository(source: PullSource) -> Path | None:
    here = source.root.resolve()
    return next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), None)


def _from(repository: Path, root: Path, name: str) -> str:
    """A path as seen from the repository; links below the project are not followed, as DVC does not."""
    return PurePath(os.path.relpath(root.resolve() / name, repository)).as_posix()
