"""Rows of a query -> one Parquet part with those that are new, in bounded memory."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracer_cli.errors import DataError
from tracer_cli.progress import SECONDS_BETWEEN_LINES
from tracer_cli.traces.pull.known import QUERY_KEY, Greatest, Known, KnownPart
from tracer_cli.traces.pull.source import PullSource

logger = logging.getLogger("tracer")

# A row group: as many rows, or as many bytes, as keep both the writer and a reader of one group small.
_GROUP_ROWS = 50_000
_GROUP_BYTES = 32 << 20


@dataclass(frozen=True)
class Rows:
    """What a database answers: batches of this schema, of types that Parquet keeps."""

    schema: pa.Schema
    batches: Iterable[pa.RecordBatch]


class NothingNewError(Exception):
    """The query gave no row that is not here already. Not an error of anybody."""


class PartOfRows:
    """Writes what is new of some rows to a path; afterwards `read` and `new` tell how many."""

    def __init__(self, rows: Rows, known: Known, source: PullSource) -> None:
        self._rows = rows
        self._known = known
        self._cursor = source.pull.cursor
        self._key = source.key
        self._schema = rows.schema.with_metadata({QUERY_KEY: query_digest(str(source.pull.query))})
        self.read = 0
        self.new = 0

    def __call__(self, path: Path) -> None:
        """Raises NothingNewError when there is nothing to write, and DataError for an unusable cursor."""
        groups = _groups(self._new_batches())
        first = next(groups, None)
        if first is None:
            raise NothingNewError
        with path.open("wb") as file, pq.ParquetWriter(file, self._schema, compression="zstd") as writer:
            table: pa.Table | None = first
            while table is not None:
                # Without the metadata of the table's own schema, which is that of the driver.
                writer.write_table(table.replace_schema_metadata(self._schema.metadata))
                table = next(groups, None)

    def _new_batches(self) -> Iterator[pa.RecordBatch]:
        last = time.monotonic()
        for batch in self._rows.batches:
            self._check_cursor(batch)
            self.read += batch.num_rows
            new = self._known.new(batch)
            self.new += new.num_rows
            if new.num_rows:
                yield new
            if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                logger.info("%s: %s rows so far, %s of them new", self._key, f"{self.read:,}", f"{self.new:,}")

    def _check_cursor(self, batch: pa.RecordBatch) -> None:
        if self._cursor is None:
            return
        values = batch.column(self._cursor)
        missing = values.null_count
        if pa.types.is_floating(values.type):
            missing += pc.sum(pc.is_nan(values)).as_py() or 0
        if missing:
            raise DataError(
                f"{self._key}.cursor: the column {self._cursor!r} has rows without a value, and a later pull could not "
                f"tell whether they are here; leave them out in the query (where {self._cursor} is not null), or take "
                "another column"
            )


def query_digest(query: str) -> bytes:
    """The same for a query that is only laid out in another way."""
    return hashlib.sha256(" ".join(query.split()).encode()).hexdigest()[:16].encode()


def warn_of_changes(key: str, schema: pa.Schema, parts: list[KnownPart]) -> None:
    """A query that gives other columns than before gives every row anew."""
    other = [part for part in parts if set(part.schema.names) != set(schema.names)]
    if other:
        logger.warning(
            "%s: %s %s other columns than the query gives now, so their rows come again beside them; where that is not "
            "meant, take the change back, or remove the older parts and pull again",
            key,
            _several([part.path.name for part in other]),
            "has" if len(other) == 1 else "have",
        )


def warn_of_query(key: str, query: str, greatest: Greatest | None) -> None:
    """Another query may mean older rows as well, which nothing will ask for."""
    if greatest is not None and greatest.part.query != query_digest(query):
        logger.warning(
            "%s: the query is another one than that of %s, and only rows from %s on are asked for; to have older rows "
            "that the new query finds, remove the parts and pull again",
            key,
            greatest.part.path.name,
            greatest.value,
        )


def _several(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The batches put together to row groups, so that a part does not consist of the driver's small change."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)
