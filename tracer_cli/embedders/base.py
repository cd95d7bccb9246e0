"""What every embedder offers, and the one check of what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracer_cli.errors import EmbedderError

SPEC = "spec.json"
Floats = NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into vectors.

    kind: as in tracer.yaml. dim: length of a vector. fingerprint: equal for two embedders exactly when they
    give the same vectors; a policy runs only with the embedder it was fitted with.
    """

    @property
    def kind(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def fingerprint(self) -> str: ...

    def embed(self, texts: Sequence[str]) -> Floats:
        """(len(texts), dim) float32, finite; raises EmbedderError."""
        ...

    def save(self, folder: Path) -> None:
        """Write what `load` needs into an existing, empty folder: spec.json and arrays, nothing executable."""
        ...


def checked(vectors: ArrayLike, rows: int, dim: int | None = None, what: str = "the embedder's output") -> Floats:
    """`vectors` as float32, if it is a finite matrix with `rows` rows (and `dim` columns); EmbedderError otherwise.

    what: names the vectors in the error's text.
    """
    try:
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, which is refused below
            matrix = np.asarray(vectors).astype(np.float32, casting="same_kind", copy=False)
    except (TypeError, ValueError) as error:
        raise EmbedderError(f"{what} must be a matrix of numbers: {error}") from error
    if matrix.ndim != 2 or len(matrix) != rows:
        raise EmbedderError(f"{what} must have one vector for each of {rows} inputs, not the shape {matrix.shape}")
    if matrix.shape[1] == 0:
        raise EmbedderError(f"{what} has vectors of length 0")
    if dim is not None and matrix.shape[1] != dim:
        raise EmbedderError(f"{what} has vectors of length {matrix.shape[1]}, expected {dim}")
    bad = first_not_finite(matrix)
    if bad is not None:
        raise EmbedderError(f"{what} has NaN or an infinite value in row {bad} (counted from 0)")
    return matrix


def first_not_finite(matrix: NDArray[np.floating[Any]]) -> int | None:
    """Index of the first row with NaN, an infinite value, or one that is infinite as float32."""
    with np.errstate(over="ignore"):
        finite = np.isfinite(matrix.astype(np.float32, copy=False)).all(axis=1)
    return None if finite.all() else int(np.argmin(finite))


def spec_of(embedder: Embedder, settings: dict[str, Any]) -> dict[str, Any]:
    """The contents of spec.json."""
    return {
        "kind": embedder.kind,
        "dim": embedder.dim,
        "fingerprint": embedder.fingerprint,
        "settings": settings,
    }
