"""A policy folder is replaced as a whole: until the new one is complete, the old one is what everybody finds.

The new one is written beside the old and takes its place in one step of the file system (on Linux, where two names can
change places; elsewhere in two, between which a killed run leaves the old one aside: the next run puts it back).
A folder that is not a policy's alone, or that cannot be moved, stays: its entries are replaced one by one, the manifest
last, without which no mixture of two fits loads.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tracer_cli.artifacts import storage_errors
from tracer_cli.errors import TracerError

# What a fit leaves in a policy's folder, in the order in which one by one is replaced: `work` first, because it says
# what the policy is fitted on, and a fit that stopped halfway is then done again from the same; the manifest last.
ENTRIES = (
    "work",
    "embedder",
    "policy.onnx",
    "frontier.json",
    "qualitative_report.json",
    "report.html",
    "manifest.json",
)
_NEW, _OLD = "new", "old"


@contextlib.contextmanager
def replacing_policy(folder: Path) -> Iterator[Path]:
    """Yield an empty folder; what lies in it takes the place of `folder` when the block ends without an error.

    The caller holds the right to write `folder` (`artifacts.exclusive`). In the text of an error the yielded folder is
    called `folder`, since it is gone by then.
    """
    recover(folder)
    place = folder.resolve()
    whole = _movable(place)
    parent = place.parent if whole else place
    with storage_errors(folder):
        if parent.exists() and not parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(parent))
        parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".tmp", dir=parent))
        new = aside / _NEW
        new.mkdir()
    try:
        with _called(new, folder):
            yield new
        with storage_errors(folder):
            if whole:
                _put(new, place, aside / _OLD)
            else:
                _put_entries(new, place, aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def recover(folder: Path) -> None:
    """Put back what a killed run took away, and remove what it left. The caller holds the right to write `folder`."""
    place = folder.resolve()
    mine = re.compile(re.escape(f".{place.name}.") + r"[a-z0-9_]{8}\.tmp")
    for parent in (place.parent, place):
        if not parent.is_dir():
            continue
        with storage_errors(folder):
            for aside in [path for path in parent.iterdir() if mine.fullmatch(path.name) and path.is_dir()]:
                for old in aside.glob(f"{_OLD}*"):
                    taken = place if old.name == _OLD else place / old.name.removeprefix(_OLD)
                    if not taken.exists():
                        old.replace(taken)
                shutil.rmtree(aside, ignore_errors=True)


def _movable(place: Path) -> bool:
    """Whether the folder is a policy's alone and another can take its place."""
    if not place.exists():
        return True
    if not place.is_dir():
        return False
    here = Path.cwd()
    return (
        all(entry.name in ENTRIES for entry in place.iterdir())
        and not os.path.ismount(place)
        and place not in (here, *here.parents)  # a shell that stands in it would stay in the old one
        and os.access(place.parent, os.W_OK | os.X_OK)
    )


def _put(new: Path, place: Path, old: Path) -> None:
    """`new` for `place`; `old` is where that one goes."""
    if not place.exists():
        new.replace(place)
        return
    shutil.copymode(place, new)
    if not _exchanged(new, place):
        place.replace(old)
        new.replace(place)


def _put_entries(new: Path, place: Path, aside: Path) -> None:
    for name in ENTRIES:
        source, target = new / name, place / name
        if source.is_dir() and target.is_dir():
            _put(source, target, aside / f"{_OLD}{name}")
        elif source.exists():
            source.replace(target)


def _exchanged(one: Path, other: Path) -> bool:
    """Let two names change places at once; False where the system or the file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


@contextlib.contextmanager
def _called(new: Path, folder: Path) -> Iterator[None]:
    try:
        yield
    except TracerError as error:
        text = str(error).replace(str(new), str(folder))
        if text == str(error):
            raise
        raise type(error)(text) from error
