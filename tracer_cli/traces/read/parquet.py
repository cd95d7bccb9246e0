"""Rows out of Parquet files, batch by batch."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracer_cli.artifacts import storage_errors
from tracer_cli.errors import DataError
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.read.lines import BLOCK, decompressed

BATCH_ROWS = 2000

# What Arrow raises for a value that Python cannot hold: text that is not UTF-8, a year beyond 9999.
_UNREADABLE = (ValueError, OverflowError, pa.ArrowException)


@dataclass(frozen=True)
class Unreadable:
    """Stands for a value that is in the file and that Python cannot hold."""

    reason: str


@contextlib.contextmanager
def _opened(file: TraceFile, scratch: Path) -> Iterator[pq.ParquetFile]:
    path = file.path if file.compression is None else _unpacked(file, scratch)
    try:
        with storage_errors(path, "read"):
            source = path.open("rb")
        with source, pq.ParquetFile(source, pre_buffer=False) as parquet:
            yield parquet
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.name}: cannot be read as Parquet ({error})") from error
    finally:
        if path != file.path:
            path.unlink()


def _unpacked(file: TraceFile, scratch: Path) -> Path:
    """The archive's contents as a file in `scratch`: Parquet is read from its end."""
    handle, name = tempfile.mkstemp(suffix=".parquet", dir=scratch)
    with os.fdopen(handle, "wb") as target, decompressed(file) as stream:
        while block := stream.read(BLOCK):
            with storage_errors(scratch):
                target.write(block)
    return Path(name)


def column_names(file: TraceFile, scratch: Path) -> list[str]:
    """The top-level columns, in their order."""
    with _opened(file, scratch) as parquet:
        return list(parquet.schema_arrow.names)


def read_batches(file: TraceFile, columns: Collection[str] | None, scratch: Path) -> Iterator[pa.RecordBatch]:
    """The rows with the file's own types; strings that are not UTF-8 have replacement characters."""
    for batch in _batches(file, columns, scratch):
        try:
            batch.validate(full=True)
        except pa.ArrowInvalid:
            batch = _undecoded(batch)
            arrays = [_replaced(array) if pa.types.is_large_binary(array.type) else array for array in batch.columns]
            batch = pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
        yield batch


def read_columns(file: TraceFile, columns: Collection[str] | None, scratch: Path) -> Iterator[dict[str, Any]]:
    """Each row as a dictionary of Python values; times are ISO text in UTC, with microseconds."""
    for batch in _batches(file, columns, scratch):
        plain = _plain_times(batch)
        try:
            rows = plain.to_pylist()
        except _UNREADABLE:
            rows = _cell_by_cell(_undecoded(plain))
        yield from rows


def _batches(file: TraceFile, columns: Collection[str] | None, scratch: Path) -> Iterator[pa.RecordBatch]:
    with _opened(file, scratch) as parquet:
        names = None if columns is None else [name for name in parquet.schema_arrow.names if name in columns]
        yield from parquet.iter_batches(BATCH_ROWS, columns=names, use_threads=False)


def _cell_by_cell(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """One bad value must not cost the batch, nor its row when nobody needs it."""
    for i in range(batch.num_rows):
        yield {name: _cell(array[i]) for name, array in zip(batch.schema.names, batch.columns, strict=True)}


def _cell(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except _UNREADABLE as error:
        return Unreadable(str(error))


def _replaced(array: pa.Array) -> pa.Array:
    values = [None if value is None else value.decode("utf-8", "replace") for value in array.to_pylist()]
    return pa.array(values, pa.large_string())


def _plain_times(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Times as ISO text in UTC: Python's datetime knows neither nanoseconds nor the years that Arrow knows."""
    arrays = [_iso(array) if pa.types.is_temporal(array.type) else array for array in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _iso(array: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(array.type):
        return array.cast(pa.timestamp("us", array.type.tz), safe=False).view(pa.timestamp("us")).cast(pa.string())
    if pa.types.is_duration(array.type):
        return array.view(pa.int64())
    return array.cast(pa.string())


def _undecoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Strings as bytes: Parquet does not check that they are UTF-8, and one bad row must not cost the batch."""
    arrays = []
    for array in batch.columns:
        plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
        text = pa.types.is_string(plain.type) or pa.types.is_large_string(plain.type)
        arrays.append(plain.cast(pa.large_binary()) if text else plain)
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
