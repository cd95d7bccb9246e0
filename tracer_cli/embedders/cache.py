"""Vectors that were computed once are kept, by embedder and text, so that a refit embeds the new texts alone.

The cache lies outside the project ($TRACER_CACHE_DIR, or the user's cache folder): it is no artifact, several projects
share it, and losing it costs time and nothing else. A vector from it is the one that the same embedder made
for the same text earlier. torch pads the texts of a batch to one length, so a text embedded in other company
may differ in the last digits: two machines without a common cache agree to about 1e-6, not byte for byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from tracer_cli.embedders import vector_store
from tracer_cli.embedders.base import Embedder, Floats, checked
from tracer_cli.embedders.vector_store import ForeignFileError, Identity, OtherModelError
from tracer_cli.errors import EmbedderError

logger = logging.getLogger("tracer")

VARIABLE = "TRACER_CACHE_DIR"
VECTORS = "embeddings"
ASIDE = ".aside"

_LOOKED_UP = 4096  # keys in one look at the file: their vectors are in memory twice

_PROBLEMS = (sqlite3.Error, OSError, ForeignFileError, OtherModelError)


def cache_folder() -> Path:
    """Where everything that may be computed again is kept; it need not exist."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("tracer", appauthor=False))


class Cache:
    """A folder with one file of vectors for each embedder.

    embedded, found: how many distinct texts of each call were embedded, and how many were there already.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / VECTORS
        self.embedded = self.found = 0

    def of(self, embedder: Embedder, about: Mapping[str, str]) -> KeptVectors:
        identity = Identity(
            *(embedder.fingerprint, embedder.kind, embedder.dim, about, embedder.witness(), embedder.recognises)
        )
        return KeptVectors(self.folder, identity)


def public(settings: Mapping[str, Any]) -> dict[str, str]:
    """What an embedder is known by: its model, address or function, without anything that could be a secret."""
    known = {name: str(settings[name]) for name in ("model", "function") if settings.get(name) is not None}
    if settings.get("url") is not None:
        address = urlsplit(str(settings["url"]))
        known["url"] = urlunsplit((address.scheme, address.netloc.rpartition("@")[2], address.path, "", ""))
    return known


class KeptVectors:
    """The vectors of one embedder. No failure of the storage is an error here: it is warned of once, and the texts
    are embedded instead."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.path = folder / identity.file_name
        self._identity = identity
        self._readable = self._writable = True
        self._set_aside = False
        with contextlib.suppress(OSError):
            os.utime(self.path)  # for `tracer cache`: when it was last used

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        """The vectors of those keys that are there and whole."""
        if not self._readable:
            return {}
        try:
            return vector_store.read(self.path, self._identity, keys)
        except _PROBLEMS as error:
            self._readable = self._give_up(error, "read")
            return {}

    def keep(self, keys: Sequence[bytes], vectors: Floats) -> None:
        """Store the vectors (len(keys), dim), all or none."""
        if not self._writable:
            return
        try:
            vector_store.write(self.path, self._identity, keys, vectors)
        except _PROBLEMS as error:
            self._writable = self._give_up(error, "write")

    def _give_up(self, error: Exception, doing: str) -> bool:
        """Warn; False, or True when the file is out of the way, so that a new one can be made."""
        if self._is_useless(error) and not self._set_aside:
            self._set_aside = True
            other = isinstance(error, OtherModelError)
            why = "is of another model than the one that answers now" if other else f"is damaged ({error})"
            with contextlib.suppress(OSError):
                vector_store.discard(self.path, self.path.with_suffix(ASIDE))
                logger.warning(
                    "the embedding cache %s %s; it is set aside, and its texts are embedded again", self.path, why
                )
                return True
        if self._readable and self._writable:
            logger.warning(
                "cannot %s the embedding cache %s (%s): texts that are not in it are embedded, and embedded again "
                "next time; `tracer cache info` shows the folder, %s names another",
                *(doing, self.path, error, VARIABLE),
            )
        if doing == "read":
            self._writable = False
        return False

    @staticmethod
    def _is_useless(error: Exception) -> bool:
        """Whether it is about the contents, which no retry mends; what is a subclass of DatabaseError is not."""
        return type(error) is sqlite3.DatabaseError or isinstance(error, OtherModelError)


class CachedEmbedder(Embedder):
    """The embedder beneath, which is asked for those texts alone that the cache does not have."""

    def __init__(self, embedder: Embedder, cache: Cache, about: Mapping[str, str] | None = None) -> None:
        self._embedder = embedder
        self._cache = cache
        self._kept = cache.of(embedder, about or {})

    @property
    def kind(self) -> str:
        return self._embedder.kind

    @property
    def dim(self) -> int:
        return self._embedder.dim

    @property
    def fingerprint(self) -> str:
        return self._embedder.fingerprint

    def save(self, folder: Path) -> None:
        self._embedder.save(folder)

    def expect(self, spec: dict[str, Any]) -> None:
        self._embedder.expect(spec)

    def embed(self, texts: Sequence[str]) -> Floats:
        """As the embedder beneath; what it has done is kept also when a later part of `texts` fails."""
        numbers: dict[bytes, int] = {}  # key -> which of the distinct texts
        which = np.empty(len(texts), np.int64)
        first: list[int] = []
        for place, text in enumerate(texts):
            which[place] = numbers.setdefault(_key(text), len(numbers))
            if which[place] == len(first):
                first.append(place)
        keys = list(numbers)
        vectors = np.empty((len(keys), self.dim), np.float32)
        unknown = self._look_up(keys, vectors)
        self._embed([texts[first[number]] for number in unknown], keys, unknown, vectors)
        return vectors if len(keys) == len(texts) else vectors[which]

    def _look_up(self, keys: list[bytes], vectors: Floats) -> list[int]:
        """Fill the rows of the keys that are in the cache; the numbers of the others."""
        unknown = []
        for start in range(0, len(keys), _LOOKED_UP):
            part = keys[start : start + _LOOKED_UP]
            found = self._kept.find(part)
            for number, key in enumerate(part, start):
                if key in found:
                    vectors[number] = found[key]
                else:
                    unknown.append(number)
        self._cache.found += len(keys) - len(unknown)
        return unknown

    def _embed(self, texts: list[str], keys: list[bytes], unknown: list[int], vectors: Floats) -> None:
        """Fill the rows `unknown`, and keep each part as it comes."""
        done = 0
        for rows, part in self._embedder.batches(texts) if texts else ():
            numbers = unknown[rows.start : rows.stop]
            vectors[numbers] = part = checked(part, len(numbers), self.dim)
            self._kept.keep([keys[number] for number in numbers], part)
            done += len(numbers)
            self._cache.embedded += len(numbers)
        if done != len(texts):
            raise EmbedderError(f"the embedder gave {done} vectors for {len(texts)} texts")


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
