"""Embedders: text to vector. One file per kind; this registry is the only place that lists them.

A kind's module has `fit(settings, texts, seed, root)`, which makes an embedder from its section of
tracer.yaml and the fit texts, and `load(folder, spec, root)`, which makes it again from its saved folder.
`text_features` is a setting that puts tf-idf beside a kind's vectors; a kind does not see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from tracer_cli.artifacts import read_json
from tracer_cli.embedders import text_features
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
    own = {name: value for name, value in settings.items() if name != text_features.SETTING}
    embedder: Embedder = _module(settings["kind"]).fit(own, texts, seed, root)
    if settings.get(text_features.SETTING) is None:
        return embedder
    return text_features.fit(embedder, settings, texts, seed, root)


def load(folder: Path, root: Path | None = None) -> Embedder:
    """The embedder that was saved in `folder`; root: where relative model folders start from (default: here).

    The fingerprint is of what is found now: the caller compares it with the one that it expects.
    Raises EmbedderError, or StorageError when a file cannot be read.
    """
    spec = read_json(folder / SPEC)
    try:
        if text_features.SETTING in spec["settings"]:
            base, text = load(folder / text_features.BASE, root), load(folder / text_features.TEXT, root)
            return text_features.load(folder, spec, base, text)
        embedder: Embedder = _module(spec["kind"]).load(folder, spec, root or Path())
    except (KeyError, TypeError) as error:
        raise EmbedderError(f"{folder} is damaged ({error}); run the embed stage again") from error
    return embedder
