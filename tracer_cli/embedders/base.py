"""What every embedder offers, and the one check of what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracer_cli.errors import EmbedderError

SPEC = "spec.json"
Floats = NDArray[np.float32]


class Embedder(ABC):
    """Turns texts into vectors. Made from tracer.yaml, from a policy's folder, or by `from_...` below.

    kind: as in tracer.yaml. dim: length of a vector. fingerprint: equal for two embedders exactly when they
    give the same vectors; a policy runs only with the embedder it was fitted with. A remote embedder may have
    to ask for a first vector before it knows dim and fingerprint: they raise EmbedderError when that fails.
    cacheable: a text's vector costs so much that it is worth keeping.
    """

    cacheable: bool = False

    @property
    @abstractmethod
    def kind(self) -> str: ...

    @property
    @abstractmethod
    def dim(self) -> int: ...

    @property
    @abstractmethod
    def fingerprint(self) -> str: ...

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> Floats:
        """(len(texts), dim) float32, finite; raises EmbedderError."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `load` needs into an existing, empty folder: spec.json and arrays, nothing executable."""

    def expect(self, spec: dict[str, Any]) -> None:  # noqa: B027
        """Take the place of the embedder that saved `spec`, whose fingerprint is equal.

        An embedder whose model is out of its sight compares more than that before it embeds again.
        """

    def witness(self) -> Floats | None:
        """The vector (dim,) of a fixed text as it is now, from a model that is out of sight; else None."""
        return None

    def recognises(self, witness: Floats) -> bool:
        """Whether a `witness` of an embedder with this fingerprint, of earlier, is of the model that answers now."""
        return True

    def batches(self, texts: Sequence[str]) -> Iterator[tuple[range, Floats]]:
        """The vectors in parts, each with the rows it is for, as they come: in any order, every row once.

        A part is checked as `embed` checks the whole. When a part fails for good, those that are done are
        yielded before EmbedderError is raised, so that what was paid for can be kept.
        """
        if texts:
            yield range(len(texts)), self.embed(texts)

    @staticmethod
    def from_sentence_transformers(model: str = "all-MiniLM-L6-v2", **settings: Any) -> Embedder:
        """A sentence-transformers model by name or folder; settings as in tracer.yaml, with its defaults.

        Raises ConfigError for a setting that is unknown or wrong, EmbedderError when the model cannot be had.
        """
        return _made({"kind": "sentence-transformers", "model": model, **settings})

    @staticmethod
    def from_endpoint(url: str, **settings: Any) -> Embedder:
        """A service that embeds texts over HTTP; settings as in tracer.yaml, with its defaults.

        Nothing is sent yet. Raises ConfigError for a setting that is unknown or wrong.
        """
        return _made({"kind": "endpoint", "url": url, **settings})

    @staticmethod
    def from_callable(function: str | Callable[[list[str]], ArrayLike], **settings: Any) -> Embedder:
        """A function from a list of texts to a matrix, or its name (package.module:function, from here).

        settings: as in tracer.yaml, with its defaults. A function that cannot be imported by name (a lambda, a
        method of an object) is known by its name and its code; what it holds on to, such as a model, does not
        show in the fingerprint: change `revision` with it.
        Raises ConfigError for a setting that is unknown or wrong, EmbedderError when the name leads nowhere.
        """
        if isinstance(function, str):
            return _made({"kind": "callable", "function": function, **settings})
        from tracer_cli.embedders import callable as by_function

        return by_function.of_function(function, settings)


def _made(section: dict[str, Any]) -> Embedder:
    from tracer_cli.embedders import make

    return make(section)


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


def section(kind: str, saved: dict[str, Any]) -> dict[str, Any]:
    """The settings of a saved embedder with the defaults of those that it does not know; EmbedderError when damaged."""
    from pydantic import TypeAdapter, ValidationError

    from tracer_cli.config import schema

    try:
        whole = TypeAdapter(schema.Embedder).validate_python({**saved, "kind": kind}).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"][1:]))
        raise EmbedderError(f"the settings in {SPEC} are damaged ({place}: {first['msg']}); fit again") from None
    return {name: value for name, value in whole.items() if name not in ("kind", "text_features")}


def unit(matrix: Floats) -> Floats:
    """Each row scaled to length 1; a row of zeros stays as it is."""
    norms = np.linalg.norm(matrix.astype(np.float64), axis=1, keepdims=True)  # squares of float32 may overflow
    scaled: Floats = np.divide(matrix, norms, out=np.zeros(matrix.shape), where=norms > 0).astype(np.float32)
    return scaled


def spec_of(embedder: Embedder, settings: dict[str, Any]) -> dict[str, Any]:
    """The contents of spec.json."""
    return {
        "kind": embedder.kind,
        "dim": embedder.dim,
        "fingerprint": embedder.fingerprint,
        "settings": settings,
    }
