"""Precomputed vectors: what the file must hold, each error with its message, and no embedding of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tracer_cli import embedders
from tracer_cli.config.schema import PrecomputedEmbedder as Spec
from tracer_cli.embedders import precomputed
from tracer_cli.errors import DataError, EmbedderError

MATRIX = np.random.default_rng(0).normal(size=(7, 3))


def _settings(path: str, column: str = "embedding") -> dict[str, Any]:
    return Spec(kind="precomputed", path=path, column=column).model_dump()


def _read(folder: Path, path: str, column: str = "embedding") -> np.ndarray:
    return precomputed.read_vectors(_settings(path, column), folder)


def _parquet(folder: Path, vectors: Any, row_group_size: int = 1000) -> None:
    pq.write_table(pa.table({"id": range(len(vectors)), "embedding": vectors}), folder / "v.parquet", row_group_size)


# --- what can be read -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_a_npy_matrix_of_any_float_type_is_mapped_not_read(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "v.npy", MATRIX.astype(dtype))
    matrix = _read(tmp_path, "v.npy")
    assert isinstance(matrix.base, np.memmap)
    np.testing.assert_array_equal(matrix, MATRIX.astype(dtype))


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 3)])
def test_a_parquet_column_of_lists_is_a_matrix(tmp_path: Path, kind: pa.DataType) -> None:
    _parquet(tmp_path, pa.array(MATRIX.tolist(), kind), row_group_size=2)
    np.testing.assert_allclose(_read(tmp_path, "v.parquet"), MATRIX, rtol=1e-6)


def test_a_parquet_column_is_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precomputed, "BLOCK", 2)
    _parquet(tmp_path, pa.array(MATRIX.tolist()))
    np.testing.assert_array_equal(_read(tmp_path, "v.parquet"), MATRIX)


# --- what cannot ----------------------------------------------------------------------------------


def _refused(folder: Path, path: str, message: str, column: str = "embedding") -> None:
    with pytest.raises(DataError, match=message):
        _read(folder, path, column)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    _refused(tmp_path, "none.npy", r"embedder\.path: no such file: .*none\.npy")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("1,2\n")
    _refused(tmp_path, "v.csv", r"v\.csv must be a \.npy or a \.parquet file")


@pytest.mark.parametrize("contents", [b"", b"no array", b"\x93NUMPY\x01\x00garbage"])
def test_a_npy_file_that_is_none_is_refused(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "v.npy").write_bytes(contents)
    _refused(tmp_path, "v.npy", r"v\.npy is not a \.npy matrix of numbers")


def test_a_truncated_npy_file_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", MATRIX)
    whole = (tmp_path / "v.npy").read_bytes()
    (tmp_path / "v.npy").write_bytes(whole[:-8])
    _refused(tmp_path, "v.npy", r"v\.npy is not a \.npy matrix of numbers")


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path("exploded").touch, ()


def test_an_array_of_objects_is_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "v.npy", np.array([[Bomb()]], dtype=object), allow_pickle=True)
    _refused(tmp_path, "v.npy", r"v\.npy is not a \.npy matrix of numbers")
    assert not Path("exploded").exists()


def test_an_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", MATRIX)
    (tmp_path / "v.npz").rename(tmp_path / "v.npy")
    _refused(tmp_path, "v.npy", r"is an archive of arrays")


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (MATRIX[0], r"float64 of shape \(3,\)"),
        (MATRIX[None], r"float64 of shape \(1, 7, 3\)"),
        (MATRIX[:, :0], r"float64 of shape \(7, 0\)"),
        (np.ones((7, 3), np.int64), r"int64 of shape \(7, 3\)"),
        (np.full((7, 3), "a"), r"<U1 of shape \(7, 3\)"),
    ],
)
def test_an_array_that_is_no_matrix_of_floats_is_refused(tmp_path: Path, array: np.ndarray, found: str) -> None:
    np.save(tmp_path / "v.npy", array)
    _refused(tmp_path, "v.npy", rf"must hold a matrix of floats \(rows, dim\), not an array of {found}")


def test_a_parquet_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v.parquet").write_bytes(b"nothing")
    _refused(tmp_path, "v.parquet", r"v\.parquet is not a Parquet file")


def test_a_missing_column_is_named_with_those_that_exist(tmp_path: Path) -> None:
    _parquet(tmp_path, pa.array(MATRIX.tolist()))
    _refused(tmp_path, "v.parquet", "has no column 'vector'; it has: id, embedding", "vector")


@pytest.mark.parametrize("column", [["a"] * 7, list(range(7)), [["a"]] * 7, [[1]] * 7])
def test_a_column_of_something_else_is_refused(tmp_path: Path, column: list[Any]) -> None:
    _parquet(tmp_path, pa.array(column))
    _refused(tmp_path, "v.parquet", "column 'embedding' must hold lists of floats, not ")


@pytest.mark.parametrize(
    ("row", "wrong"),
    [([1.0], "has a vector of length 1, the rows before have 3"), ([], "has no vector"), (None, "has no vector")],
)
@pytest.mark.parametrize("block", [2, 4096])
def test_a_vector_of_another_length_is_named_by_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Any, wrong: str, block: int
) -> None:
    monkeypatch.setattr(precomputed, "BLOCK", block)
    vectors = MATRIX.tolist()
    vectors[4] = row
    _parquet(tmp_path, pa.array(vectors))
    _refused(tmp_path, "v.parquet", rf"row 4 \(counted from 0\) {wrong} in column 'embedding'")


def test_an_empty_parquet_file_is_refused(tmp_path: Path) -> None:
    _parquet(tmp_path, pa.array([], pa.list_(pa.float32())))
    _refused(tmp_path, "v.parquet", "has no rows")


def test_as_many_vectors_as_trace_rows() -> None:
    precomputed.check_rows(MATRIX, "v.npy", 7)
    with pytest.raises(DataError, match=r"v\.npy has 7 vectors, but 8 trace rows were read: .*rejected rows included"):
        precomputed.check_rows(MATRIX, "v.npy", 8)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("block", [2, 4096])
def test_the_first_bad_row_is_named(monkeypatch: pytest.MonkeyPatch, value: float, block: int) -> None:
    monkeypatch.setattr(precomputed, "BLOCK", block)
    matrix = MATRIX.copy()
    matrix[5, 1] = matrix[3, 2] = value
    with pytest.raises(DataError, match=r"v\.npy: row 3 \(counted from 0\) has NaN, an infinite value"):
        precomputed.check_rows(matrix, "v.npy", 7)


def test_null_inside_a_vector_is_a_bad_row(tmp_path: Path) -> None:
    vectors = MATRIX.tolist()
    vectors[6][0] = None
    _parquet(tmp_path, pa.array(vectors))
    with pytest.raises(DataError, match="row 6 "):
        precomputed.check_rows(_read(tmp_path, "v.parquet"), "v.parquet", 7)


# --- the embedder ---------------------------------------------------------------------------------


def test_it_cannot_embed_a_text_before_or_after_saving(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", MATRIX)
    fitted = embedders.fit(_settings("v.npy"), ["a text"], 0, tmp_path)
    (tmp_path / "saved").mkdir()
    fitted.save(tmp_path / "saved")
    (tmp_path / "v.npy").unlink()
    loaded = embedders.load(tmp_path / "saved")
    for embedder in (fitted, loaded):
        assert (embedder.kind, embedder.dim, embedder.fingerprint) == ("precomputed", 3, "precomputed:3")
        with pytest.raises(EmbedderError, match=r"fitted on precomputed vectors .* pass vectors, or give an embedder"):
            embedder.embed(["a text"])
