"""The one check that every embedder's output goes through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracer_cli.embedders import checked
from tracer_cli.errors import EmbedderError


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
