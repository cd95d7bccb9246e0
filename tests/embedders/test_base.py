"""What every embedder is, and the one check that every embedder's output goes through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tracer_cli.embedders import Embedder, checked
from tracer_cli.embedders.base import Floats, unit
from tracer_cli.errors import ConfigError, EmbedderError


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", ">f8"])
def test_numbers_of_any_type_become_a_float32_matrix(dtype: str) -> None:
    matrix = checked(np.array([[1, 2], [3, 4]], dtype), 2, 2)
    assert matrix.dtype == np.dtype("float32") and matrix.tolist() == [[1, 2], [3, 4]]


def test_lists_of_lists_are_a_matrix() -> None:
    assert checked([[0.5, 1.5]], 1).shape == (1, 2)


def test_no_texts_give_no_rows() -> None:
    assert checked(np.empty((0, 3)), 0, 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(3), r"one vector for each of 2 inputs, not the shape \(3,\)"),
        (np.zeros((3, 4)), r"one vector for each of 2 inputs, not the shape \(3, 4\)"),
        (np.zeros((2, 4, 1)), r"not the shape \(2, 4, 1\)"),
        (np.zeros((2, 4)), "vectors of length 4, expected 3"),
        (np.zeros((2, 0)), "vectors of length 0"),
        (np.array([[0, 0, 0], [0, np.nan, 0]]), "NaN or an infinite value in row 1"),
        (np.array([[0, -np.inf, 0], [0, np.nan, 0]]), "NaN or an infinite value in row 0"),
        (np.full((2, 3), 1e300), "NaN or an infinite value in row 0"),
        ([[1, 2, 3], [1, 2]], "must be a matrix of numbers"),
        ([["a", "b", "c"], ["d", "e", "f"]], "must be a matrix of numbers"),
        (np.full((2, 3), 1j), "must be a matrix of numbers"),
        (np.full((2, 3), None), "must be a matrix of numbers"),
        (None, "must be a matrix of numbers"),
    ],
)
def test_anything_else_is_refused_and_named(value: Any, message: str) -> None:
    with pytest.raises(EmbedderError, match=f"^the vectors .*{message}"):
        checked(value, 2, 3, what="the vectors")


# --- the base class -------------------------------------------------------------------------------


class Ones(Embedder):
    kind, dim, fingerprint = "ones", 2, "ones:1"

    def embed(self, texts: Sequence[str]) -> Floats:
        return np.ones((len(texts), 2), np.float32)

    def save(self, folder: Path) -> None:
        raise AssertionError("not saved here")


@pytest.mark.parametrize("missing", ["kind", "dim", "fingerprint", "embed", "save"])
def test_an_embedder_has_everything_that_the_contract_names(missing: str) -> None:
    parts = {name: getattr(Ones, name) for name in ("kind", "dim", "fingerprint", "embed", "save") if name != missing}
    with pytest.raises(TypeError, match=f"abstract.* '?{missing}"):
        type("Partial", (Embedder,), parts)()


def test_by_default_all_is_one_part_and_not_worth_keeping() -> None:
    parts = list(Ones().batches(["a", "b", "c"]))
    assert [(rows, part.shape) for rows, part in parts] == [(range(3), (3, 2))]
    assert list(Ones().batches([])) == [] and Ones().cacheable is False


def test_every_setting_is_held_to_the_configuration() -> None:
    for make, known in [
        (lambda: Embedder.from_endpoint("http://x/y", token="hidden-word"), "key_env"),
        (lambda: Embedder.from_callable("a:b", url="x"), "revision"),
        (lambda: Embedder.from_sentence_transformers("m", batchsize=2), "batch_size"),
    ]:
        with pytest.raises(ConfigError, match=r"settings are not valid:\n  embedder\.\w+: unknown key;") as info:
            make()
        assert known in str(info.value) and "hidden-word" not in str(info.value)


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_unit_rows_have_length_1_or_are_zero(matrix: Floats) -> None:
    scaled = unit(matrix)
    lengths = np.linalg.norm(scaled.astype(np.float64), axis=1)
    assert scaled.dtype == np.float32 and scaled.shape == matrix.shape
    assert (np.isclose(lengths, 1, atol=1e-6) == (matrix != 0).any(axis=1)).all()
    assert ((lengths == 0) == (matrix == 0).all(axis=1)).all()
