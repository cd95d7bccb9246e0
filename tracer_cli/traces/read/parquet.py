"""Rows out of Parquet files, batch by batch."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracer_cli.artifacts import storage_errors
from tracer_cli.errors import DataError
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.read.lines import BLOCK, decompressed

BATCH_ROWS = 2000


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


def read_columns(file: TraceFile, columns: Collection[str] | None, scratch: Path) -> Iterator[dict[str, Any]]:
    """Each row as a dictionary of Python values; times are ISO text in UTC, with microseconds."""
    with _opened(file, scratch) as parquet:
        names = None if columns is None else [name for name in parquet.schema_arrow.names if name in columns]
        for batch in parquet.iter_batches(BATCH_ROWS, columns=names, use_threads=False):
            plain = _plain_times(batch)
            try:
                rows = plain.to_pylist()
            except UnicodeDecodeError:
                rows = _undecoded(plain).to_pylist()
            yield from rows


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
