"""What a caller gives to a router, made into texts or float32 vectors, or refused with its reason."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracer_cli.errors import DataError, EmbedderMismatchError

Floats = NDArray[np.float32]

# Of one text, in characters: far beyond any input of a classifier, and what an embedder takes a second or two for.
LONGEST_TEXT = 1_000_000

# Of numpy's arrays. A column of a table that holds texts comes as objects.
NUMBER_KINDS, TEXT_KINDS = "fiu", "OUT"


def check_text(text: Any, what: str) -> None:
    """DataError unless it is a text that can be embedded. what: names it in the error."""
    if not isinstance(text, str):
        raise DataError(f"{what} is not a text: {reprlib.repr(text)}")
    if len(text) > LONGEST_TEXT:
        raise DataError(
            f"{what} is too long: {len(text):,} characters, of which {LONGEST_TEXT:,} are allowed; "
            "route the part of it that was in the traces, or leave it to the LLM"
        )
    if not text or text.isspace():
        raise DataError(f"{what} is not a text with at least one character: {reprlib.repr(text)}")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise DataError(f"{what} is not valid text: it holds half of a surrogate pair") from None


def texts_of(batch: Any) -> list[Any] | None:
    """The batch as a list, where it is one of texts; None where it must be a matrix."""
    if isinstance(batch, str | bytes | bytearray):
        raise DataError(f"expected a list of texts or a matrix, not one {type(batch).__name__}; predict takes one text")
    rows = rows_of(batch)
    if isinstance(rows, np.ndarray):
        return rows.tolist() if rows.ndim == 1 and rows.dtype.kind in TEXT_KINDS else None
    return list(rows) if len(rows) == 0 or isinstance(rows[0], str | bytes | None) else None


def texts(batch: Any) -> list[str]:
    """The batch as a list of texts that can be embedded."""
    found = texts_of(batch)
    if found is None:
        raise DataError(f"expected a list of texts, not {reprlib.repr(batch)}")
    for i, text in enumerate(found):
        check_text(text, f"input {i}")
    return found


def rows_of(batch: Any) -> Any:
    """A sequence as it is, anything else as an array; both have a length and rows."""
    if isinstance(batch, Sequence) and not isinstance(batch, memoryview):
        return batch
    rows = _array(batch, "the batch")
    if rows.ndim == 0:
        raise DataError(f"expected a list of texts or a matrix, not {reprlib.repr(batch)}")
    return rows


def vector(value: Any, dim: int) -> Floats:
    """(1, dim)."""
    numbers = _numbers(value, "the input")
    if numbers.ndim == 0:
        raise DataError("the input must be a text or a vector of numbers, not a single number")
    return checked(np.ascontiguousarray(numbers)[None], dim, "the vector")


def matrix(value: Any, dim: int) -> Floats:
    """(n, dim)."""
    numbers = _numbers(value, "the matrix")
    if numbers.ndim < 2:
        raise DataError(f"the matrix has the shape {numbers.shape}, expected (n, {dim})")
    return checked(numbers, dim, "the matrix")


def checked(vectors: Floats, dim: int, what: str) -> Floats:
    """`vectors`, if they are finite and of shape (n, dim)."""
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        shape = "x".join(str(n) for n in vectors.shape[1:]) or "none"
        raise EmbedderMismatchError(f"{what} has dimension {shape}, this policy was fitted with {dim}")
    if not np.isfinite(vectors).all():
        row = int(np.argmin(np.isfinite(vectors).all(axis=1)))
        raise DataError(f"{what} has a NaN or infinite value (or one beyond float32) in row {row}")
    return vectors


def _numbers(value: Any, what: str) -> Floats:
    """As float32; the caller's own array where it is that already."""
    array = _array(value, what)
    if array.dtype.kind not in NUMBER_KINDS:
        must = "a text or a vector of numbers" if array.ndim == 0 else "made of real numbers"
        raise DataError(f"{what} must be {must}, not {reprlib.repr(value)}")
    with np.errstate(over="ignore"):  # becomes infinite, which is refused
        return array.astype(np.float32, copy=False)


def _array(value: Any, what: str) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise DataError(f"{what} is not made of numbers alone, or its rows differ in length: {error}") from error
