"""One file of a trace log: of one process, whole lines only, `.jsonl.open` until it is finished.

A file is never continued by another process, nor after a write that failed: what a crash tore is the end of a file.
Who writes it holds a lock on it, which the system gives back when the process is gone, however it went; the process id
in the name may be another process's by then, or that of another container.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

if sys.platform != "win32":
    import fcntl

FINISHED, OPEN = ".jsonl", ".jsonl.open"
_NAME = re.compile(r".+-\d{8}T\d{6}Z-\d+-\d+" + re.escape(OPEN))


class LogFile:
    """A file that this process writes. path: while it is open; size: of its whole lines, in bytes."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.size = 0
        self._descriptor = descriptor
        self._opened = time.monotonic()

    @classmethod
    def create(cls, folder: Path, name: str) -> LogFile:
        """`NAME-<utc>-<pid>-<n>.jsonl.open`, new and locked. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        start = f"{name}-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{os.getpid()}"
        number = 0
        while True:
            number += 1
            path = folder / f"{start}-{number}{OPEN}"
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
            except FileExistsError:  # of this process, or of another container with the same process id
                continue
            # Looked at in this order: a file of the same name is `.open` or finished at every moment.
            ours = _locked(descriptor) is not False and _is(path, descriptor)
            if ours and not finished(path).exists():
                return cls(path, descriptor)
            os.close(descriptor)
            if ours:
                path.unlink()

    def write(self, lines: Sequence[bytes]) -> tuple[int, OSError | None]:
        """How many of the lines are in the file now, each whole; of the others there is nothing."""
        data = b"".join(lines)
        done = 0
        try:
            while done < len(data):
                done += os.write(self._descriptor, data[done:] if done else data)
        except OSError as error:
            count = 0
            while len(lines[count]) <= done:
                done -= len(lines[count])
                self.size += len(lines[count])
                count += 1
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
            return count, error
        self.size += len(data)
        return len(lines), None

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self._opened

    @property
    def gone(self) -> bool:
        """Whether somebody has moved or removed it: what is written to it may reach nobody."""
        return not _is(self.path, self._descriptor)

    def finish(self) -> None:
        """Close it under the name that readers look for. Where that fails, the next start of a log here does it."""
        gone = self.gone
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)
        self.abandon()
        if not gone:
            with contextlib.suppress(OSError):
                _finish(self.path)

    def abandon(self) -> None:
        """Close it and leave it as it is: in a forked process it is the parent's, and so is the lock on it."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def finished(path: Path) -> Path:
    """The name of an open file when it is finished."""
    return path.with_name(path.name.removesuffix(OPEN) + FINISHED)


def finish_abandoned(folder: Path) -> list[Path]:
    """Finish the files that nobody writes any more, and return what they are called now. Raises nothing."""
    found: list[Path] = []
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            if _NAME.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    found += _finish_abandoned(path)
    return found


def _finish_abandoned(path: Path) -> list[Path]:
    descriptor = os.open(path, os.O_RDWR)
    try:
        if not _locked(descriptor) or not _is(path, descriptor):
            return []
        if sys.platform != "win32":
            return _finish(path)
    finally:
        os.close(descriptor)
    return _finish(path)  # Windows: no open file can be renamed, so that the writer's descriptor is the lock


def _finish(path: Path) -> list[Path]:
    if not path.stat().st_size:
        path.unlink()
        return []
    return [path.rename(finished(path))]


def _is(path: Path, descriptor: int) -> bool:
    """Whether the path leads to the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _locked(descriptor: int) -> bool | None:
    """Lock an open file, which lasts until it is closed. False: another holds it; None: there are no locks here."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True
