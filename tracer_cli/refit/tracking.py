"""The folder of an update's parts: what keeps it, and what is left to do for people."""

from __future__ import annotations

from pathlib import Path

from tracer_cli.errors import StorageError
from tracer_cli.programs import dvc, git
from tracer_cli.programs.tracked import is_clean, repository_of, tracked


def require_repository(root: Path) -> Path:
    """The folder that holds `.dvc`. Raises StorageError when the project is in no DVC repository."""
    found = repository_of(root)
    if found is None:
        raise StorageError(f"{root.resolve()} is not in a DVC repository: run `dvc init` (see `tracer init`)")
    return found


def track(root: Path, folder: str) -> str:
    """Have DVC write the folder down again where it tracks it; what is left to do, for people."""
    name = tracked(root, folder)
    if name is not None:
        if not is_clean(root, name):
            dvc.add(root, name)
        return f"commit {name}.dvc with the refit, and `dvc push`"
    if git.is_repository(root):
        return f"the new parts in {folder} are left to git: `git add {folder}` with the refit"
    return ""
