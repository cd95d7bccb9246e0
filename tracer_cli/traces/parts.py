"""Part files: what was added to the traces once, named by its content and never changed.

A part is `part-<first 16 hex digits of its sha256>.<ext>`, so adding the same bytes twice adds nothing, and two
machines that add the same bytes add the same file.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tracer_cli.artifacts import exclusive, sha256_file, storage_errors
from tracer_cli.errors import StorageError

# Neither begins like a part nor ends like traces: no glob over trace files finds it.
_TEMPORARY = ".part."
_NAME = re.compile(r"part-([0-9a-f]{16})(\.[a-z]+(?:\.[a-z]+)?)")

Source = Path | Callable[[Path], object]


class Added(NamedTuple):
    """path: the part; new: whether it was not there before."""

    path: Path
    new: bool


def part_name(sha256: str, suffix: str) -> str:
    """`part_name("0123...", ".jsonl.gz")` is `part-0123456789abcdef.jsonl.gz`."""
    return f"part-{sha256[:16]}{suffix}"


def is_part(name: str) -> bool:
    """Whether a file of this name is a part."""
    return _NAME.fullmatch(name) is not None


def add_part(folder: Path, source: Source, suffix: str) -> Added:
    """Add one part to `folder`, which is made when it is not there.

    source: a file that is copied, or a function that writes to the path that it is given. Atomic: the part is there
    whole, with its content on the disk, or not at all. A part that is there is compared and left as it is.
    Raises StorageError when that one is damaged, when the disk is full, or when another run is adding to the folder.
    """
    with adding(folder) as add:
        return add(source, suffix)


@contextlib.contextmanager
def adding(folder: Path) -> Iterator[Callable[[Source, str], Added]]:
    """Hold the right to add to `folder` and yield what adds one part; also removes what a killed run left there."""
    with exclusive(folder):
        for left in folder.glob(f"{_TEMPORARY}*"):
            left.unlink(missing_ok=True)
        yield lambda source, suffix: _add(folder, source, suffix)


def _add(folder: Path, source: Source, suffix: str) -> Added:
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    # Not mkstemp: its file is for the owner alone, and the lock keeps the name our own.
    temporary = folder / f"{_TEMPORARY}{os.getpid()}.tmp"
    try:
        if isinstance(source, Path):
            _copy(source, temporary)
        else:
            with storage_errors(folder):
                source(temporary)
        digest = sha256_file(temporary)
        path = folder / part_name(digest, suffix)
        with storage_errors(path):
            if path.exists():
                _compare(path, digest)
                return Added(path, new=False)
            _to_disk(temporary)
            temporary.replace(path)
            _to_disk(folder)
        return Added(path, new=True)
    finally:
        temporary.unlink(missing_ok=True)


def _copy(source: Path, temporary: Path) -> None:
    with storage_errors(source, "read"):
        file = source.open("rb")
    with file, storage_errors(temporary.parent), temporary.open("wb") as target:
        shutil.copyfileobj(file, target, 1 << 20)


def _to_disk(path: Path) -> None:
    """Have the file, or the folder's list of names, on the disk now."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _compare(path: Path, digest: str) -> None:
    if sha256_file(path) != digest:
        raise StorageError(
            f"{path}: its content is not the one that it is named after: a part must never be changed; restore it "
            "(`dvc checkout`, or `git checkout`), or remove it, and run again"
        )
