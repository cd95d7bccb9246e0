"""DVC's own lock after a kill: `.dvc/tmp/rwlock` names who reads or writes what, and may be left behind.

DVC forgets a holder that is gone. Two things it leaves to people: half a file, after which every command of it fails,
and a holder that was killed a moment ago and is not gone yet.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import psutil

PAUSE = 0.1
SECONDS_TO_WRITE = 1.0  # DVC writes the file at once; it is a few hundred bytes
SECONDS_TO_DIE = 5.0


def settle(repository: Path) -> bool:
    """Remove half a lock, as DVC says to do, and give a killed holder time to end; whether half a lock was there.

    A DVC that runs keeps its lock: what it is just writing is another text a moment later, and what it holds it still
    holds after the wait, so the next command of DVC says who that is.
    """
    path = repository / ".dvc" / "tmp" / "rwlock"
    broken = _broken(path)
    if broken is not None:
        time.sleep(SECONDS_TO_WRITE)
        if _broken(path) == broken:
            path.unlink(missing_ok=True)
            return True
    end = time.monotonic() + SECONDS_TO_DIE
    while any(map(psutil.pid_exists, _holders(path))) and time.monotonic() < end:
        time.sleep(PAUSE)
    return False


def _broken(path: Path) -> bytes | None:
    """The contents of a file that is there and is no JSON."""
    contents = _contents(path)
    try:
        json.loads(contents if contents is not None else b"null")
    except ValueError:
        return contents
    return None


def _holders(path: Path) -> set[int]:
    """The processes that {write: {path: info}, read: {path: [info]}} names."""
    try:
        lock: Any = json.loads(_contents(path) or b"{}")
        infos = [info for info in lock.get("write", {}).values() if info]
        infos += [info for several in lock.get("read", {}).values() for info in several]
        return {int(info["pid"]) for info in infos}
    except (ValueError, TypeError, KeyError, AttributeError):  # DVC itself says what is wrong with it
        return set()


def _contents(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
