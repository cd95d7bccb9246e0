"""What lies in the cache folder, and its removal. Files that the cache did not make are left alone."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tracer_cli.artifacts import read_json, storage_errors
from tracer_cli.embedders import vector_store
from tracer_cli.embedders.cache import ASIDE, VECTORS
from tracer_cli.embedders.exported import EXPORTS, RECORD
from tracer_cli.errors import StorageError

VECTOR_FILE, EXPORT, LEFTOVER = "embeddings", "export", "leftover"

_EXPORT_NAME = re.compile(r"(onnx|openvino)-[0-9a-f]{32}")
_WORK_NAME = re.compile(r"\.(onnx|openvino)-[0-9a-f]{32}\..*\.tmp")
_UNDER_WAY = 3600.0  # seconds that a temporary folder may be in use


@dataclass(frozen=True)
class Entry:
    """One thing in the cache that can be removed by itself.

    what: VECTOR_FILE, EXPORT (a model in another backend's format) or LEFTOVER (of a run that was killed, or a
    damaged file). about: the model, url or function. last_used: seconds since 1970. problem: why it could not be
    read, or not be removed.
    """

    path: Path
    what: str
    bytes: int
    last_used: float
    kind: str = ""
    fingerprint: str = ""
    about: dict[str, str] = field(default_factory=dict)
    dim: int = 0
    texts: int = 0
    problem: str | None = None

    def is_of(self, prefix: str) -> bool:
        """Whether the embedder's kind, fingerprint, model, address or function begins with `prefix`."""
        return any(value.startswith(prefix) for value in (self.kind, self.fingerprint, *self.about.values()) if value)


def contents(root: Path) -> list[Entry]:
    """All of the cache in `root`, the last used first; StorageError when the folder cannot be read."""
    found = [*_vectors(root / VECTORS), *_exports(root / EXPORTS)]
    order = (VECTOR_FILE, EXPORT, LEFTOVER)
    return sorted(found, key=lambda entry: (order.index(entry.what), -entry.last_used, entry.path.name))


def selected(entries: Iterable[Entry], prefix: str | None, unused_days: float | None) -> list[Entry]:
    """Those of an embedder (see `Entry.is_of`), and those that were not used for so many days."""
    latest = time.time() - 86400 * (unused_days or 0)
    return [
        entry
        for entry in entries
        if (prefix is None or entry.is_of(prefix)) and (unused_days is None or entry.last_used <= latest)
    ]


def remove(entries: Iterable[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Delete them; those that are gone, and those that are still there with their problem."""
    gone, left = [], []
    for entry in entries:
        try:
            _remove(entry)
        except (OSError, sqlite3.OperationalError) as error:
            left.append(replace(entry, problem=str(error)))
        else:
            gone.append(entry)
    return gone, left


def _vectors(folder: Path) -> Iterator[Entry]:
    for path in _listed(folder):
        if path.name.endswith(vector_store.SUFFIX):
            yield from _vector_file(path)
        elif path.name.endswith(ASIDE) or _is_orphan(path):
            yield from _leftover(path)


def _is_orphan(path: Path) -> bool:
    """A journal whose file is gone."""
    ending = vector_store.SUFFIX + vector_store.JOURNAL
    return path.name.endswith(ending) and not path.with_name(path.name.removesuffix(vector_store.JOURNAL)).exists()


def _vector_file(path: Path) -> Iterator[Entry]:
    try:
        status = path.stat()
    except FileNotFoundError:  # cleared by another process
        return
    entry = Entry(path, VECTOR_FILE, status.st_size, status.st_mtime)
    try:
        said, texts = vector_store.describe(path)
        about = json.loads(said.get("about", "{}"))
        yield replace(
            entry,
            kind=said.get("kind", ""),
            fingerprint=said.get("fingerprint", ""),
            about={str(name): str(value) for name, value in about.items()},
            dim=int(said.get("dim", 0)),
            texts=texts,
        )
    except (sqlite3.Error, ValueError, AttributeError) as error:
        yield replace(entry, problem=str(error))


def _exports(folder: Path) -> Iterator[Entry]:
    for path in _listed(folder):
        if _WORK_NAME.fullmatch(path.name):
            yield from (entry for entry in _leftover(path) if entry.last_used < time.time() - _UNDER_WAY)
        elif match := _EXPORT_NAME.fullmatch(path.name):
            record = path / RECORD
            entry = Entry(path, EXPORT, _size(path), _used(record if record.exists() else path), kind=match[1])
            try:
                said = read_json(record)
                yield replace(entry, fingerprint=str(said["fingerprint"]), about={"model": str(said["model"])})
            except (StorageError, KeyError, TypeError) as error:
                yield replace(entry, problem=str(error))


def _leftover(path: Path) -> Iterator[Entry]:
    yield Entry(path, LEFTOVER, _size(path), _used(path))


def _listed(folder: Path) -> list[Path]:
    if not folder.exists() and not folder.parent.is_file():
        return []
    with storage_errors(folder, "read"):
        return sorted(folder.iterdir())


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    total = 0
    for file in files:
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:  # removed meanwhile
            continue
    return total


def _remove(entry: Entry) -> None:
    if entry.what == VECTOR_FILE:
        vector_store.remove(entry.path)
    elif entry.path.is_dir() and not entry.path.is_symlink():
        if entry.what == EXPORT:  # no one is to find half of it
            aside = entry.path.with_name(f".{entry.path.name}.removed.tmp")
            shutil.rmtree(aside, ignore_errors=True)
            shutil.rmtree(entry.path.rename(aside))
        else:
            shutil.rmtree(entry.path)
    else:
        entry.path.unlink(missing_ok=True)
