"""One SQLite file with the vectors that one embedder made, by the sha256 of the text.

Each call opens the file anew, so that nothing is held between them, and each write is one transaction. The journal is
the rollback journal: unlike the write-ahead log it works on a network folder, leaves no second file, and a
read-only folder can still be read.

Whoever removes the file holds its exclusive lock (`remove`); a writer looks, under its own lock, whether the
path still leads to the file it opened. So no one writes to a file that is gone, whose journal would be taken for
the journal of the next file of that name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracer_cli.embedders.base import Floats

FORMAT = "1"
SUFFIX = ".sqlite"
JOURNAL = "-journal"

_LOOKED_UP = 500  # keys in one query; SQLite may be built to take no more than 999
_PAGE = 16384  # ten vectors of 384 dimensions on a page
_BUSY = 20.0  # seconds to wait for another process
_OPENINGS = 20  # each is lost only when someone removes the file meanwhile
_CHECKSUM = 8

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS vectors (key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL, checksum BLOB NOT NULL)",
)


class ForeignFileError(Exception):
    """The file is no store of this embedder in the format that this version knows."""


class OtherModelError(Exception):
    """The vectors in the file are of another model than the one that answers now."""


@dataclass(frozen=True)
class Identity:
    """Whose vectors a file holds. about: what people know the embedder by, without secrets.

    witness, recognises: of the embedder; see `Embedder.witness`.
    """

    fingerprint: str
    kind: str
    dim: int
    about: Mapping[str, str]
    witness: Floats | None
    recognises: Callable[[Floats], bool]

    @property
    def file_name(self) -> str:
        return hashlib.sha256(self.fingerprint.encode()).hexdigest()[:32] + SUFFIX

    def rows(self) -> list[tuple[str, str]]:
        values = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "kind": self.kind,
            "dim": str(self.dim),
            "about": json.dumps(dict(self.about), sort_keys=True),
            "created": str(int(time.time())),
        }
        if self.witness is not None:
            values["witness"] = self.witness.astype("<f4").tobytes().hex()
        return list(values.items())


def read(path: Path, identity: Identity, keys: Sequence[bytes]) -> dict[bytes, Floats]:
    """Those of `keys` that the file has, whole; a row that does not match its checksum is as good as none.

    Empty when there is no file. Raises sqlite3.Error, OSError, ForeignFileError, OtherModelError.
    """
    try:
        with _opened(path) as connection:
            return _read(connection, identity, keys)
    except sqlite3.OperationalError:
        if path.exists():
            raise
        return {}


def write(path: Path, identity: Identity, keys: Sequence[bytes], vectors: Floats) -> None:
    """Add the vectors (len(keys), dim), in one transaction.

    A key that is there gets the new vector: its row may be one that `read` did not believe.
    Raises sqlite3.Error, OSError, ForeignFileError, OtherModelError.
    """
    blobs = (row.tobytes() for row in np.ascontiguousarray(vectors, "<f4"))
    rows = [(key, blob, _checksum(key, blob)) for key, blob in zip(keys, blobs, strict=True)]
    with _writing(path) as connection:
        about = _about(connection)
        if about:
            _check(about, identity)
        else:
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.executemany("INSERT INTO about VALUES (?, ?)", identity.rows())
        connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)


def describe(path: Path) -> tuple[dict[str, str], int]:
    """What the file says of itself and how many vectors it has; {}, 0 when nothing was written yet."""
    with _opened(path) as connection:
        about = _about(connection)
        if not about:
            return {}, 0
        return about, int(connection.execute("SELECT count(*) FROM vectors").fetchone()[0])


def remove(path: Path) -> None:
    """Delete the file when no one reads or writes it; waits for them. Raises sqlite3.OperationalError, OSError."""
    try:
        with _opened(path) as connection:
            connection.execute("BEGIN EXCLUSIVE")  # what a killed writer left is rolled back, so there is no journal
            path.unlink()
    except sqlite3.OperationalError:
        if path.exists():
            raise
    except sqlite3.DatabaseError:
        discard(path)


def discard(path: Path, aside: Path | None = None) -> None:
    """Delete, or move to `aside`, a file that is no database, so that no one uses it as one."""
    path.with_name(path.name + JOURNAL).unlink(missing_ok=True)
    if aside is None:
        path.unlink(missing_ok=True)
    else:
        path.replace(aside)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, which exists; for reading alone where it may not be written."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY, isolation_level=None)
    try:
        connection.text_factory = bytes  # a damaged row may hold text that is no text
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    """A transaction on the file that `path` leads to, which is made when there is none."""
    for opening in range(_OPENINGS):
        time.sleep(0.002 * opening)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.open("ab").close()
        opened = _file(path)
        if opened is None:
            continue
        with contextlib.ExitStack() as stack:
            try:
                connection = stack.enter_context(_opened(path))
                connection.execute(f"PRAGMA page_size = {_PAGE}")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                if _file(path) == opened:
                    raise
                continue
            if _file(path) != opened:
                continue
            yield connection
            connection.execute("COMMIT")  # left early, the connection rolls back when it is closed
            return
    raise OSError(f"{path} is removed again and again")


def _file(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _read(connection: sqlite3.Connection, identity: Identity, keys: Sequence[bytes]) -> dict[bytes, Floats]:
    found: dict[bytes, Floats] = {}
    about = _about(connection)
    if not about:  # another process is making it
        return found
    _check(about, identity)
    for start in range(0, len(keys), _LOOKED_UP):
        part = keys[start : start + _LOOKED_UP]
        marks = ",".join("?" * len(part))
        rows = connection.execute(f"SELECT key, vector, checksum FROM vectors WHERE key IN ({marks})", part)
        for key, vector, checksum in rows:
            if _is_whole(key, vector, checksum, identity.dim):
                found[key] = np.frombuffer(vector, "<f4")
    return found


def _about(connection: sqlite3.Connection) -> dict[str, str]:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'about'").fetchone():
        return {}
    rows: list[tuple[Any, Any]] = connection.execute("SELECT name, value FROM about").fetchall()
    return {_text(name): _text(value) for name, value in rows}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _check(about: dict[str, str], identity: Identity) -> None:
    if about.get("format") != FORMAT:
        raise ForeignFileError(f"it is of format {about.get('format')}, this version of tracer knows {FORMAT}")
    if (about.get("fingerprint"), about.get("dim")) != (identity.fingerprint, str(identity.dim)):
        raise ForeignFileError("it says that it belongs to another embedder")
    if "witness" in about:
        try:
            witness = np.frombuffer(bytes.fromhex(about["witness"]), "<f4")
        except ValueError as error:
            raise sqlite3.DatabaseError(f"its witness is damaged: {error}") from error
        if not identity.recognises(witness):
            raise OtherModelError


def _is_whole(key: Any, vector: Any, checksum: Any, dim: int) -> bool:
    return (
        isinstance(key, bytes)
        and isinstance(vector, bytes)
        and len(vector) == 4 * dim
        and checksum == _checksum(key, vector)
    )


def _checksum(key: bytes, vector: bytes) -> bytes:
    return hashlib.blake2b(key + vector, digest_size=_CHECKSUM).digest()
