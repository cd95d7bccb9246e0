"""The three tables that ingest writes: one row per distinct text, in order of first appearance.

key            sha256 (hex) of the normalised text; the same text has the same key in every table
row            0-based place of the text's first occurrence among all rows that were read: sources in their
               order, the files of a glob sorted, rejected rows counted, blank lines not
id, text       of the first occurrence, as written
label          the label that the teacher gave most often, each occurrence counting as much as its source's weight;
               between equals, the one that came first
count          occurrences; label_count: those of them with that label
timestamp      of the earliest occurrence, in UTC
ground_truth   the first one that is not null
origin         the first of organic, audit and deferred that an occurrence had
weight         mean weight of the occurrences that have the label
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracer_cli.artifacts import replacing, storage_errors
from tracer_cli.errors import StorageError

TYPES = {
    "key": pa.string(),
    "row": pa.int64(),
    "id": pa.string(),
    "text": pa.string(),
    "label": pa.string(),
    "count": pa.int64(),
    "label_count": pa.int64(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "ground_truth": pa.string(),
    "origin": pa.string(),
    "weight": pa.float64(),
}
FIT = tuple(TYPES)
HOLDOUT = ("key", "row", "id", "text", "count", "timestamp", "origin")
HOLDOUT_LABELS = ("key", "label", "label_count", "ground_truth")

META = b"tracer"


def write_rows(
    path: Path, columns: Sequence[str], groups: Iterable[list[tuple[Any, ...]]], meta: dict[str, int] | None = None
) -> None:
    """Write the rows, each list as one row group: memory is one group, and equal rows are equal bytes.

    meta: numbers that travel in the file's schema metadata; `read_fit_meta` reads them back.
    """
    schema = pa.schema([pa.field(name, TYPES[name]) for name in columns])
    if meta is not None:
        schema = schema.with_metadata({META: json.dumps(meta, sort_keys=True).encode()})
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for rows in groups:
            arrays = [
                pa.array(values, TYPES[name]) for name, values in zip(columns, zip(*rows, strict=True), strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=len(rows))


def read_fit_meta(path: Path) -> dict[str, int]:
    """What fit.parquet says of the whole: `holdout_rows` and `rows_read`. It tells nothing of any label.

    `rows_read` is the number of rows that precomputed vectors must have, since `row` counts all of them.
    """
    with storage_errors(path, "read"):
        try:
            metadata = pq.read_schema(path).metadata or {}
        except pa.ArrowInvalid as error:
            raise StorageError(f"cannot read {path}: it is not a Parquet table ({error})") from error
    if META not in metadata:
        raise StorageError(f"cannot read {path}: it is not a table of ingest; run ingest again")
    return {name: int(value) for name, value in json.loads(metadata[META]).items()}
