"""Requests and answers joined by a name, on disk: memory does not grow with their number."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tracer_cli.errors import StorageError
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.read.records import Record

BATCH_ROWS = 1000
BATCH_BYTES = 8_000_000

# Without a journal: the database is scratch, and nobody reads what a crash leaves of it.
_CREATE = """
pragma journal_mode = off;
pragma synchronous = off;
pragma locking_mode = exclusive;
pragma cache_size = -32768; -- in KiB
create table answers (name text, file integer, line integer, problem text, raw blob);
create table requests (name text);
"""
_INDEX = """
create index answers_by_name on answers (name);
create index requests_by_name on requests (name);
"""
# No more than two are looked up: a name that every line has must not cost the square of the lines.
_REQUESTS = "select count(*) from (select 1 from requests where name = ? limit 2)"
_ANSWERS = "select raw from answers where name = ? limit 2"
_ALONE = """
select file, line, problem, raw, name,
    (select count(*) from (select 1 from requests r where r.name = a.name limit 2)) as requests,
    (select count(*) from (select 1 from answers b where b.name = a.name limit 2)) as answers
from answers a where problem is not null or requests != 1 or answers != 1 order by a.rowid
"""


class Joined:
    """All answers and requests are added, then `ready` is called, then partners are asked for."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._answers: list[tuple[Any, ...]] = []
        self._requests: list[tuple[Any, ...]] = []
        self._bytes = 0

    def add_answer(self, file: int, record: Record, name: str | None) -> None:
        """file: a number of the caller's. name: None where there is none, which the record's problem explains."""
        self._answers.append((name, file, record.line, record.problem, record.raw))
        self._bytes += len(record.raw or b"")
        if len(self._answers) >= BATCH_ROWS or self._bytes >= BATCH_BYTES:
            self._flush()

    def add_request(self, name: str | None) -> None:
        self._requests.append((name,))
        if len(self._requests) >= BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        with _disk_errors():
            self._connection.executemany("insert into answers values (?, ?, ?, ?, ?)", self._answers)
            self._connection.executemany("insert into requests values (?)", self._requests)
        self._answers, self._requests, self._bytes = [], [], 0

    def ready(self) -> None:
        self._flush()
        with _disk_errors():
            self._connection.executescript(_INDEX)

    def partners(self, name: str) -> tuple[int, list[bytes]]:
        """How many requests have the name, and the lines of its answers; of either, two stand for more."""
        with _disk_errors():
            (requests,) = self._connection.execute(_REQUESTS, (name,)).fetchone()
            return requests, [raw for (raw,) in self._connection.execute(_ANSWERS, (name,))]

    def alone(self, files: Sequence[TraceFile]) -> Iterator[tuple[TraceFile, Record, str | None, int, int]]:
        """The answers that are not the one of one request, as they came: file, record, name, and how many requests
        and answers have the name (two stand for more)."""
        with _disk_errors():
            for file, line, problem, raw, name, requests, answers in self._connection.execute(_ALONE):
                yield files[file], Record(line, None, problem, raw), name, requests, answers


@contextlib.contextmanager
def opened_joined(folder: Path) -> Iterator[Joined]:
    """Empty, in a file of `folder`, which the caller removes."""
    path = folder / "joined.sqlite"
    with _disk_errors():
        connection = sqlite3.connect(path, isolation_level=None)
    try:
        with _disk_errors():
            connection.executescript(_CREATE)
            connection.execute("begin")
        yield Joined(connection)
    finally:
        connection.close()
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StorageError(
            "the temporary folder is full or cannot be written while requests and answers are joined "
            f"(TMPDIR chooses another one): {error}"
        ) from error
