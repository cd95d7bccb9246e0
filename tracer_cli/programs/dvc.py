"""DVC, in the environment that tracer itself runs in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tracer_cli.errors import ProgramError
from tracer_cli.programs.run import Done, call


def dvc(root: Path, *arguments: str) -> Done:
    # Safe path: a dvc.py in the project must not stand in for DVC.
    return call([sys.executable, "-m", "dvc", *arguments], root, DVC_NO_ANALYTICS="1", PYTHONSAFEPATH="1")


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
