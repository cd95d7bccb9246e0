"""One program, called in a folder, with what it printed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tracer_cli.errors import ProgramError


@dataclass(frozen=True)
class Done:
    """code: exit code; output: its stdout as bytes; errors: its stderr as text."""

    code: int
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        return self.output.decode("utf-8", errors="replace")


def started(command: Sequence[str], folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start it, with stdout and stderr in one stream of text. Raises ProgramError when there is no such program."""
    try:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError as error:
        raise _missing(command, folder) from error


def call(command: Sequence[str], folder: Path, **environment: str) -> Done:
    """Call it and wait. Raises ProgramError when there is no such program; any exit code is returned."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise _missing(command, folder) from error
    return Done(done.returncode, done.stdout, done.stderr.decode("utf-8", errors="replace").strip())


def _missing(command: Sequence[str], folder: Path) -> ProgramError:
    missing = command[0] if folder.is_dir() else folder
    return ProgramError(f"{missing} was not found; install it, or check the folder, and run again")
