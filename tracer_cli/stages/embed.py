"""embed: a vector for each fit and holdout text, and the embedder that made them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tracer_cli import embedders
from tracer_cli.artifacts import Layout, replacing_folder, storage_errors, writing_array
from tracer_cli.config.schema import Config
from tracer_cli.embedders import Cache, Embedder, checked
from tracer_cli.embedders.cache import CachedEmbedder
from tracer_cli.embedders.precomputed import PrecomputedEmbedder, check_rows
from tracer_cli.errors import StorageError
from tracer_cli.progress import Advance, Progress, silent
from tracer_cli.traces.table import read_fit_meta

logger = logging.getLogger("tracer")

BATCH = 1024

# An embedder that is fitted sees at most this many texts, evenly spaced over the fit rows: enough to know the
# vocabulary, and memory and time stay bounded however many traces there are.
FIT_TEXTS = 20_000

Vectorise = Callable[[pa.RecordBatch], NDArray[np.float32]]


def run(layout: Layout, config: Config, progress: Progress = silent, embedder: Embedder | None = None) -> None:
    """Write vectors/fit.npy, vectors/holdout.npy and the embedder's folder.

    The embedder is fitted on fit texts alone; one that is given is used as it is, instead of the configuration's.
    No label is read. Raises EmbedderError, DataError, StorageError.
    """
    fit_rows, holdout_rows = _count(layout.fit), _count(layout.holdout)
    settings = config.embedder.model_dump()
    cache = Cache()
    if embedder is None:
        embedder = embedders.fit(settings, _sample(layout.fit, fit_rows), config.seed, layout.root, cache)
    elif embedder.cacheable:
        embedder = CachedEmbedder(embedder, cache)
    vectorise = _vectorise(layout, settings, embedder)
    with progress("embed", fit_rows + holdout_rows) as advance:
        _write(layout.fit, layout.fit_vectors, (fit_rows, embedder.dim), vectorise, advance)
        _write(layout.holdout, layout.holdout_vectors, (holdout_rows, embedder.dim), vectorise, advance)
    with replacing_folder(layout.embedder) as folder:
        embedder.save(folder)
    if cache.embedded or cache.found:
        logger.info("embed: %d texts embedded, %d from the cache", cache.embedded, cache.found)


def _vectorise(layout: Layout, settings: dict[str, Any], embedder: Embedder) -> Vectorise:
    if not isinstance(embedder, PrecomputedEmbedder):
        return lambda batch: checked(embedder.embed(batch["text"].to_pylist()), batch.num_rows, embedder.dim)
    matrix = embedder.matrix
    assert matrix is not None, "fit opens the vector file"
    check_rows(matrix, settings["path"], read_fit_meta(layout.fit)["rows_read"])
    return lambda batch: checked(matrix[batch["row"].to_numpy()], batch.num_rows, embedder.dim)


def _write(table: Path, path: Path, shape: tuple[int, int], vectorise: Vectorise, advance: Advance) -> None:
    with writing_array(path, shape) as vectors:
        start = 0
        for batch in _batches(table, ["row", "text"]):
            vectors[start : start + batch.num_rows] = vectorise(batch)
            start += batch.num_rows
            advance(batch.num_rows)


def _sample(table: Path, rows: int) -> list[str]:
    """The fit texts, or FIT_TEXTS of them at even distances."""
    texts: list[str] = []
    start = 0
    for batch in _batches(table, ["text"]):
        numbers = np.arange(start, start + batch.num_rows, dtype=np.int64)
        share = min(rows, FIT_TEXTS)
        kept = np.flatnonzero(numbers * share // rows < (numbers + 1) * share // rows)
        texts += batch["text"].take(pa.array(kept)).to_pylist()
        start += batch.num_rows
    return texts


def _count(table: Path) -> int:
    with _open(table) as file:
        return int(file.metadata.num_rows)


def _batches(table: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with _open(table) as file:
        yield from file.iter_batches(BATCH, columns=columns)


def _open(table: Path) -> pq.ParquetFile:
    with storage_errors(table, "read"):
        try:
            return pq.ParquetFile(table)
        except pa.ArrowInvalid as error:
            raise StorageError(f"cannot read {table}: it is not a Parquet table ({error}); run ingest again") from error
