"""DVC, in the environment that tracer itself runs in."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer_cli.errors import ProgramError
from tracer_cli.programs.run import Done, call, started

# Safe path: a dvc.py in the project must not stand in for DVC.
_ENVIRONMENT = {"DVC_NO_ANALYTICS": "1", "PYTHONSAFEPATH": "1"}


def dvc(root: Path, *arguments: str) -> Done:
    return call(_command(*arguments), root, **_ENVIRONMENT)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def version(root: Path) -> str:
    return dvc(root, "--version").text.strip()


def status(root: Path) -> dict[str, list[Any]]:
    """`dvc status --json`: stage -> what changed in it; empty when nothing has to run.

    Raises ProgramError with DVC's own words when it fails.
    """
    done = dvc(root, "status", "--json")
    if done.code:
        raise ProgramError(f"dvc status failed: {done.errors or done.text.strip()}")
    found: dict[str, list[Any]] = json.loads(done.text or "{}")
    return found


@dataclass(frozen=True)
class DataStatus:
    """How a tracked folder differs from what its .dvc file says; names as DVC gives them."""

    added: tuple[str, ...]
    modified: tuple[str, ...]
    deleted: tuple[str, ...]
    not_in_cache: tuple[str, ...]

    @property
    def clean(self) -> bool:
        return not (self.added or self.modified or self.deleted)


def data_status(repository: Path, path: str) -> DataStatus:
    """What `dvc data status` says of a tracked file or folder, file by file; the path is relative to the repository.

    From elsewhere DVC would take the path for another one. Raises ProgramError with DVC's own words.
    """
    done = dvc(repository, "data", "status", "--granular", "--json", "--", path)
    if done.code:
        raise ProgramError(f"dvc data status failed: {done.errors or done.text.strip()}")
    found = json.loads(done.text or "{}")
    workspace = found.get("uncommitted", {})
    added, modified, deleted = (tuple(workspace.get(kind, ())) for kind in ("added", "modified", "deleted"))
    return DataStatus(added, modified, deleted, tuple(found.get("not_in_cache", ())))


def add(root: Path, path: str) -> None:
    """Have DVC track a file or folder as it is now. Raises ProgramError with DVC's own words."""
    done = dvc(root, "add", "--", path)
    if done.code:
        raise ProgramError(
            f"{path} could not be tracked: `dvc add` says: {done.errors or done.text.strip()}\nThe files are there; "
            f"run `dvc add {path}` when that is mended"
        )


def repro(root: Path, tell: Callable[[str], None]) -> None:
    """Run what has changed; `tell` gets each line that DVC and the stages print, as it comes.

    Raises ProgramError with their last words when it fails.
    """
    last: deque[str] = deque(maxlen=20)
    # Unbuffered, so that a stage is told when it starts and not when it ends.
    with started(_command("repro"), root, **_ENVIRONMENT, PYTHONUNBUFFERED="1") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                last.append(line.rstrip())
                tell(last[-1])
    if process.returncode:
        raise ProgramError("dvc repro failed:\n" + "\n".join(f"  {line}" for line in last))
