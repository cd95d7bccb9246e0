"""Embedders: text to vector. One file per kind; this registry is the only place that lists them.

A kind's module has `fit(settings, texts, seed, root)`, which makes an embedder from its section of
tracer.yaml and the fit texts, and `load(folder, spec, root)`, which makes it again from its saved folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from tracer_cli.artifacts import read_json
from tracer_cli.embedders.base import SPEC, Embedder, checked
from tracer_cli.errors import EmbedderError

__all__ = ["Embedder", "checked", "fit", "load"]

_MODULES = {
    "tfidf": "tracer_cli.embedders.tfidf",
    "sentence-transformers": "tracer_cli.embedders.sentence_transformers",
    "precomputed": "tracer_cli.embedders.precomputed",
}


def _module(kind: str) -> ModuleType:
    if kind not in _MODULES:
        raise EmbedderError(f"unknown embedder kind {kind!r}; this version of tracer knows {', '.join(_MODULES)}")
    return import_module(_MODULES[kind])


def fit(settings: dict[str, Any], texts: Sequence[str], seed: int, root: Path) -> Embedder:
    """Make the embedder of a project.

    settings: the embedder section of tracer.yaml, defaults included; texts: the fit rows' texts (a kind
    that has nothing to fit ignores them); root: the folder that relative paths start from.
    Raises EmbedderError, or DataError when precomputed vectors cannot be used.
    """
    embedder: Embedder = _module(settings["kind"]).fit(settings, texts, seed, root)
    return embedder


def load(folder: Path, root: Path | None = None) -> Embedder:
    """The embedder that was saved in `folder`; root: where relative model folders start from (default: here).

    The fingerprint is of what is found now: the caller compares it with the one that it expects.
    Raises EmbedderError, or StorageError when a file cannot be read.
    """
    spec = read_json(folder / SPEC)
    try:
        embedder: Embedder = _module(spec["kind"]).load(folder, spec, root or Path())
    except (KeyError, TypeError) as error:
        raise EmbedderError(f"{folder} is damaged ({error}); run the embed stage again") from error
    return embedder
