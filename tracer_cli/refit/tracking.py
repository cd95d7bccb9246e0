"""A folder of parts that DVC tracks: asked about before a part is added, written down again afterwards."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from tracer_cli.errors import StorageError
from tracer_cli.programs import dvc, git


def repository_of(root: Path) -> Path:
    """The folder that holds `.dvc`. Raises StorageError when the project is in no DVC repository."""
    here = root.resolve()
    found = next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), None)
    if found is None:
        raise StorageError(f"{here} is not in a DVC repository: run `dvc init` (see `tracer init`)")
    return found


def require_whole(root: Path, folder: str) -> None:
    """`dvc add` writes a folder down as it is: where files of it are missing here, it would forget them."""
    name = _tracked(root, folder)
    if name is None:
        return
    changed = _status(root, name)
    if changed.deleted or (changed.modified and changed.not_in_cache):
        raise StorageError(
            f"{folder}: {name}.dvc names files that are not here, and adding one now would forget them; get them "
            f"first: `dvc pull {name}.dvc`. Where they were removed on purpose: `dvc add {name}`"
        )


def track(root: Path, folder: str) -> str:
    """Have DVC write the folder down again where it tracks it; what is left to do, for people."""
    name = _tracked(root, folder)
    if name is not None:
        if not _status(root, name).clean:
            dvc.add(root, name)
        return f"commit {name}.dvc with the refit, and `dvc push`"
    if git.is_repository(root):
        return f"the new parts in {folder} are left to git: `git add {folder}` with the refit"
    return ""


def _tracked(root: Path, folder: str) -> str | None:
    """The folder, or one around it, that has a .dvc file beside it."""
    parts = folder.split("/")
    names = ("/".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((name for name in names if (root / f"{name}.dvc").is_file()), None)


def _status(root: Path, name: str) -> dvc.DataStatus:
    repository = repository_of(root)
    # As DVC names it: from the repository, without following links.
    return dvc.data_status(repository, PurePath(os.path.relpath(root.resolve() / name, repository)).as_posix())
