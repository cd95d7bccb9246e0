"""What the parts hold already: the greatest value of the cursor, and which rows.

No other record of past pulls is kept, so what was pulled and what is known to be pulled can never differ. Rows are
compared by a digest of all their values, and counted: a pull adds the rows of the query less those of the parts, in
whatever order the database gives them. 32 bytes of memory for each row that may come again.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracer_cli.artifacts import storage_errors
from tracer_cli.errors import DataError
from tracer_cli.traces.parts import is_part

# In the metadata of a part: that a query made it, and the digest of the query.
QUERY_KEY = b"tracer.query"

_DIGEST_BYTES = 16
_MARSHAL_VERSION = 2  # the last that writes equal values alike, whether or not they are one object
_BATCH_ROWS = 8192


@dataclass(frozen=True)
class KnownPart:
    """A part that a query made. query: its digest."""

    path: Path
    schema: pa.Schema
    query: bytes

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        with _readable(self.path), pq.ParquetFile(self.path, pre_buffer=False) as file:
            yield from file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False)

    def batches_from(self, cursor: str, least: pa.Scalar) -> Iterator[pa.RecordBatch]:
        """The rows whose cursor is not below `least`; row groups without one are not read."""
        with _readable(self.path), pq.ParquetFile(self.path, pre_buffer=False) as file:
            for group in range(file.num_row_groups):
                values = file.read_row_group(group, columns=[cursor], use_threads=False).column(0)
                if pc.any(pc.greater_equal(values, least)).as_py():
                    for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], use_threads=False):
                        yield batch.filter(pc.greater_equal(batch.column(cursor), least))


@dataclass(frozen=True)
class Greatest:
    """The greatest value of the cursor in the parts, and a part that holds it."""

    value: pa.Scalar
    part: KnownPart


def known_parts(folder: Path) -> list[KnownPart]:
    """The parts of queries in a folder, sorted by name; parts that came another way are none of them."""
    found = []
    for path in sorted(folder.glob("part-*.parquet")):
        if is_part(path.name):
            with _readable(path):
                schema = pq.read_schema(path)
            if QUERY_KEY in (schema.metadata or {}):
                found.append(KnownPart(path, schema.remove_metadata(), schema.metadata[QUERY_KEY]))
    return found


def greatest(parts: list[KnownPart], cursor: str, key: str) -> Greatest | None:
    """None when no part has that column. key: of tracer.yaml, for an error."""
    found: Greatest | None = None
    for part in parts:
        if cursor not in part.schema.names:
            continue
        for batch in part.batches([cursor]):
            value = pc.max(batch.column(0))
            if not value.is_valid:
                continue
            if found is not None and found.value.type != value.type:
                raise DataError(
                    f"{key}.cursor: the column {cursor!r} is {found.value.type} in {found.part.path.name} and "
                    f"{value.type} in {part.path.name}, so a pull cannot tell where to go on; cast it in the query, "
                    "remove the parts of the other type and pull again"
                )
            if found is None or pc.greater(value, found.value).as_py():
                found = Greatest(value, part)
    return found


class Known:
    """The rows of the parts, each as often as it is there; `new` takes away what it meets."""

    def __init__(self, parts: Iterable[KnownPart], cursor: str | None, least: pa.Scalar | None) -> None:
        """Only rows whose cursor is not below `least` count, when there is one: no other can come again."""
        digests = []
        for part in parts:
            if cursor is None or least is None:
                digests += [row_digests(batch) for batch in part.batches()]
            elif cursor in part.schema.names:
                digests += [row_digests(batch) for batch in part.batches_from(cursor, least)]
        every = np.concatenate(digests) if digests else np.empty(0, f"S{_DIGEST_BYTES}")
        self._digests, self._left = np.unique(every, return_counts=True)

    def new(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Those rows of the batch that the parts do not hold."""
        if not len(self._digests) or not batch.num_rows:
            return batch
        digests = row_digests(batch)
        places = np.minimum(np.searchsorted(self._digests, digests), len(self._digests) - 1)
        keep = self._digests[places] != digests
        for row in np.flatnonzero(~keep):
            if self._left[places[row]]:
                self._left[places[row]] -= 1
            else:
                keep[row] = True
        return batch.filter(pa.array(keep))


def row_digests(batch: pa.RecordBatch) -> np.ndarray[Any, Any]:
    """(rows,) of bytes: equal for rows with the same names and values, whatever the order of the columns."""
    names = sorted(batch.schema.names)
    start = hashlib.blake2b(repr(names).encode(), digest_size=_DIGEST_BYTES)
    values = [_comparable(batch.column(name)).to_pylist() for name in names]
    found = []
    for row in zip(*values, strict=True):
        digest = start.copy()
        digest.update(marshal.dumps(row, _MARSHAL_VERSION))
        found.append(digest.digest())
    return np.array(found, dtype=f"S{_DIGEST_BYTES}")


def _comparable(array: pa.Array) -> pa.Array:
    """Exact values that Python can hold: it knows no text that is no UTF-8, and no time beyond the year 9999.

    Numbers are their text, so that a column keeps its rows when it becomes text, as in SQLite with one value.
    """
    kind = array.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return array.cast(pa.string()).cast(pa.large_binary())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return array.cast(pa.large_binary())
    if pa.types.is_date32(kind) or pa.types.is_time32(kind):
        return array.view(pa.int32())
    if pa.types.is_temporal(kind):
        return array.view(pa.int64())
    return array


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        with storage_errors(path, "read"):
            yield
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{path}: cannot be read as Parquet ({error}); restore it (`dvc checkout`, or `git checkout`), or remove "
            "it, and pull again"
        ) from error
