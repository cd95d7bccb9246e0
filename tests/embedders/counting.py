"""An embedder whose every vector is known, and that remembers what it was asked; imported by programs that are killed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tracer_cli.embedders.base import Embedder, Floats
from tracer_cli.errors import EmbedderError


class Counting(Embedder):
    """A vector that is a function of the text, in parts of `part` texts; remembers what it was asked."""

    kind = "counting"
    dim = 24
    cacheable = True

    def __init__(self, name: str = "a", part: int = 64, fails_at: str | None = None) -> None:
        self.fingerprint_of = name
        self.part, self.fails_at = part, fails_at
        self.asked: list[str] = []
        self.seen: Floats | None = None  # the witness

    @property
    def fingerprint(self) -> str:
        return f"counting:{self.fingerprint_of}"

    def embed(self, texts: Sequence[str]) -> Floats:
        self.asked += texts
        digests = [hashlib.shake_128(text.encode("utf-8", "surrogatepass")).digest(2 * self.dim) for text in texts]
        return np.frombuffer(b"".join(digests), "<u2").reshape(len(texts), self.dim).astype(np.float32)

    def batches(self, texts: Sequence[str]) -> Iterator[tuple[range, Floats]]:
        for start in reversed(range(0, len(texts), self.part)):  # in any order
            rows = range(start, min(start + self.part, len(texts)))
            if self.fails_at in texts[start : rows.stop]:
                raise EmbedderError("the service is down")
            yield rows, self.embed(texts[start : rows.stop])

    def save(self, folder: Path) -> None:
        (folder / "spec.json").write_text(self.fingerprint)

    def witness(self) -> Floats | None:
        return self.seen

    def recognises(self, witness: Floats) -> bool:
        return self.seen is not None and bool(np.allclose(witness, self.seen))


def right(texts: Sequence[str]) -> Floats:
    return Counting().embed(texts)
