"""Vectors that exist already, in a .npy matrix or a Parquet column: row i belongs to row i of the traces."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tracer_cli.artifacts import storage_errors, write_json
from tracer_cli.embedders.base import SPEC, Embedder, Floats, first_not_finite, spec_of
from tracer_cli.errors import DataError, EmbedderError

BLOCK = 4096

Matrix = NDArray[np.floating[Any]]


class PrecomputedEmbedder(Embedder):
    """Knows the dimension, and where it was fitted the matrix (rows, dim): it cannot embed a new text."""

    kind = "precomputed"

    def __init__(self, dim: int, matrix: Matrix | None = None) -> None:
        self._dim = dim
        self.matrix = matrix

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def fingerprint(self) -> str:
        return f"precomputed:{self._dim}"

    def embed(self, texts: Sequence[str]) -> Floats:
        raise EmbedderError(
            "this policy was fitted on precomputed vectors and cannot embed a text: pass vectors, "
            "or give an embedder (load_router(..., embedder=...))"
        )

    def save(self, folder: Path) -> None:
        write_json(folder / SPEC, spec_of(self, {}))


def fit(settings: dict[str, Any], texts: Sequence[str], seed: int, root: Path) -> PrecomputedEmbedder:
    matrix = read_vectors(settings, root)
    return PrecomputedEmbedder(matrix.shape[1], matrix)


def load(folder: Path, spec: dict[str, Any], root: Path) -> PrecomputedEmbedder:
    return PrecomputedEmbedder(spec["dim"])


def read_vectors(settings: dict[str, Any], root: Path) -> Matrix:
    """The whole matrix (rows, dim) of any float type, memory-mapped; DataError when the file holds none."""
    path = root / settings["path"]
    if not path.is_file():
        raise DataError(f"embedder.path: no such file: {path}")
    if path.suffix == ".npy":
        return _from_npy(path)
    if path.suffix == ".parquet":
        return _from_parquet(path, settings["column"])
    raise DataError(f"embedder.path: {path} must be a .npy or a .parquet file")


def check_rows(matrix: Matrix, path: str, rows_read: int) -> None:
    """DataError unless the matrix has one finite row for every row of the traces, in blocks of bounded memory."""
    if len(matrix) != rows_read:
        raise DataError(
            f"{path} has {len(matrix)} vectors, but {rows_read} trace rows were read: there must be one vector "
            "for each row, in the order of the trace files, rejected rows included"
        )
    for start in range(0, len(matrix), BLOCK):
        bad = first_not_finite(matrix[start : start + BLOCK])
        if bad is not None:
            raise DataError(
                f"{path}: row {start + bad} (counted from 0) has NaN, an infinite value, or one too large for float32"
            )


def _from_npy(path: Path) -> Matrix:
    with storage_errors(path, "read"):
        try:
            matrix = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise DataError(
                f"{path} is not a .npy matrix of numbers: {error}; write it with numpy.save(path, matrix), where "
                "matrix is a float array of shape (rows, dim)"
            ) from error
    if not isinstance(matrix, np.ndarray):
        raise DataError(f"{path} is an archive of arrays (.npz), not one .npy matrix")
    if matrix.ndim != 2 or matrix.shape[1] == 0 or matrix.dtype.kind != "f":
        raise DataError(
            f"{path} must hold a matrix of floats (rows, dim), not an array of {matrix.dtype} of shape {matrix.shape}"
        )
    return np.asarray(matrix)


def _from_parquet(path: Path, column: str) -> Matrix:
    """Copy the column into a nameless temporary file and map that: Parquet cannot be read row by row."""
    with storage_errors(path, "read"):
        try:
            file = pq.ParquetFile(path)
        except pa.ArrowInvalid as error:
            raise DataError(f"{path} is not a Parquet file: {error}") from error
        with file, tempfile.TemporaryFile() as copy:
            if column not in file.schema_arrow.names:
                raise DataError(f"{path} has no column {column!r}; it has: {', '.join(file.schema_arrow.names)}")
            _require_floats(path, file.schema_arrow.field(column))
            rows = dim = 0
            for batch in file.iter_batches(BLOCK, columns=[column]):
                block = _block(path, column, batch.column(0), rows, dim)
                rows, dim = rows + len(block), block.shape[1]
                copy.write(block.data)
            if rows == 0:
                raise DataError(f"{path} has no rows")
            copy.flush()
            return np.asarray(np.memmap(copy, np.float64, "r", shape=(rows, dim)))


def _require_floats(path: Path, field: pa.Field) -> None:
    kind = field.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not pa.types.is_floating(kind.value_type):
        raise DataError(f"{path}: column {field.name!r} must hold lists of floats, not {kind}")


def _block(path: Path, column: str, vectors: pa.Array, first: int, dim: int) -> NDArray[np.float64]:
    """(rows, dim) of the rows from `first` on; dim: of the rows before, 0 when there were none."""
    lengths = pc.fill_null(pc.list_value_length(vectors), 0).to_numpy(zero_copy_only=False)
    dim = dim or int(lengths[0])
    odd = np.flatnonzero((lengths != dim) | (lengths == 0))
    if len(odd):
        length = lengths[odd[0]]
        wrong = f"has a vector of length {length}, the rows before have {dim}" if length else "has no vector"
        raise DataError(f"{path}: row {first + odd[0]} (counted from 0) {wrong} in column {column!r}")
    values = vectors.flatten().to_numpy(zero_copy_only=False)  # null inside a vector becomes NaN
    return np.ascontiguousarray(values, np.float64).reshape(len(lengths), dim)
