"""A folder that DVC tracks by one .dvc file beside it: where that is, and whether all of its files are here.

`dvc add` writes the folder down as it is: where files are missing here, it would forget them. So it is asked about
before anything is added.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from tracer_cli.errors import StorageError
from tracer_cli.programs import dvc


def repository_of(root: Path) -> Path | None:
    """The folder that holds `.dvc`, at or above `root`."""
    here = root.resolve()
    return next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), None)


def tracked(root: Path, folder: str) -> str | None:
    """The folder, or one around it, that has a .dvc file beside it; relative to `root`."""
    parts = folder.split("/")
    names = ("/".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((name for name in names if (root / f"{name}.dvc").is_file()), None)


def as_dvc_names(repository: Path, root: Path, name: str) -> str:
    """A path as seen from the repository; links below the project are not followed, as DVC does not."""
    return PurePath(os.path.relpath(root.resolve() / name, repository)).as_posix()


def require_whole(root: Path, folder: str) -> None:
    """Raises StorageError when DVC knows of files of the folder that are not here."""
    repository, name = repository_of(root), tracked(root, folder)
    if repository is None or name is None:
        return
    changes = dvc.data_status(repository, as_dvc_names(repository, root, name))
    if changes.deleted or (changes.modified and changes.not_in_cache):
        raise StorageError(
            f"{folder}: {name}.dvc names files that are not here, and tracking the folder now would forget them; get "
            f"them first: `dvc pull {name}.dvc`. Where they were removed on purpose: `dvc add {name}`"
        )


def is_clean(root: Path, name: str) -> bool:
    """Whether the folder is as its .dvc file says."""
    repository = repository_of(root)
    return repository is not None and dvc.data_status(repository, as_dvc_names(repository, root, name)).clean
