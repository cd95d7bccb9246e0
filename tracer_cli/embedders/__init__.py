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
from tracer_cli.embedders.base import SPEC, Embedder, checked, section
from tracer_cli.embedders.cache import Cache, CachedEmbedder, public
from tracer_cli.errors import ConfigError, EmbedderError, EmbedderMismatchError

__all__ = ["Cache", "Embedder", "checked", "fit", "load", "load_callable", "make", "replacing", "validated"]

_MODULES = {
    "tfidf": "tracer_cli.embedders.tfidf",
    "sentence-transformers": "tracer_cli.embedders.sentence_transformers",
    "endpoint": "tracer_cli.embedders.endpoint",
    "callable": "tracer_cli.embedders.callable",
    "precomputed": "tracer_cli.embedders.precomputed",
}


def _module(kind: str) -> ModuleType:
    if kind not in _MODULES:
        raise EmbedderError(f"unknown embedder kind {kind!r}; this version of tracer knows {', '.join(_MODULES)}")
    return import_module(_MODULES[kind])


def fit(settings: dict[str, Any], texts: Sequence[str], seed: int, root: Path, cache: Cache | None = None) -> Embedder:
    """Make the embedder of a project.

    settings: the embedder section of tracer.yaml, defaults included; texts: the fit rows' texts (a kind
    that has nothing to fit ignores them); root: the folder that relative paths start from; cache: keeps the
    vectors of a model that is not fitted here.
    Raises EmbedderError, or DataError when precomputed vectors cannot be used.
    """
    own = {name: value for name, value in settings.items() if name != text_features.SETTING}
    embedder: Embedder = _module(settings["kind"]).fit(own, texts, seed, root)
    if cache is not None and embedder.cacheable:
        embedder = CachedEmbedder(embedder, cache, public(settings))
    if settings.get(text_features.SETTING) is None:
        return embedder
    return text_features.fit(embedder, settings, texts, seed, root)


def make(settings: dict[str, Any], root: Path | None = None, cache: Cache | None = None) -> Embedder:
    """The embedder that a section of tracer.yaml describes, where its vectors do not depend on any traces.

    root: the folder that relative paths start from (default: here). Raises ConfigError or EmbedderError.
    """
    return fit({"kind": settings.get("kind"), **validated(settings)}, (), 0, root or Path.cwd(), cache)


def validated(settings: dict[str, Any]) -> dict[str, Any]:
    """The section with its defaults, without `kind` and `text_features`.

    Raises ConfigError that names what is unknown or wrong, and for an embedder that is fitted on traces.
    """
    from pydantic import ValidationError

    from tracer_cli.config.document import key_path
    from tracer_cli.config.load import problem_texts
    from tracer_cli.config.schema import Config, ModelEmbedder
    from tracer_cli.config.sections import embedder_problems

    values = {"traces": [{"path": "traces.jsonl"}], "embedder": settings}
    try:
        section = Config.model_validate(values).embedder
        lines = [f"{key_path(('embedder', *wrong.at))}: {wrong.message}" for wrong in embedder_problems(section)]
    except ValidationError as error:
        lines = problem_texts(values, "the settings", error)
    if lines:
        raise ConfigError("the embedder's settings are not valid:\n" + "\n".join(f"  {line}" for line in lines))
    if isinstance(section, ModelEmbedder) and section.text_features is None:
        return section.model_dump(exclude={"kind", text_features.SETTING})
    what = text_features.SETTING if isinstance(section, ModelEmbedder) else f"kind {section.kind}"
    raise ConfigError(
        f"embedder: {what} depends on the traces; write the section in tracer.yaml, or give it to "
        "FitConfig(embedder={...})"
    )


def load(folder: Path, root: Path | None = None, base: Embedder | None = None) -> Embedder:
    """The embedder that was saved in `folder`; root: where relative model folders start from (default: here).

    base: taken for the saved embedder, or for the one that has text features beside it.
    The fingerprint is of what is found now: the caller compares it with the one that it expects.
    Raises EmbedderError, or StorageError when a file cannot be read. Never runs code that the folder names.
    """
    spec = read_json(folder / SPEC)
    try:
        if text_features.SETTING in spec["settings"]:
            base = load(folder / text_features.BASE, root, base)
            return text_features.load(folder, spec, base, load(folder / text_features.TEXT, root))
        if base is not None:
            base.expect(spec)
            return base
        embedder: Embedder = _module(spec["kind"]).load(folder, spec, root or Path())
    except (KeyError, TypeError) as error:
        raise EmbedderError(f"{folder} is damaged ({error}); run the embed stage again") from error
    return embedder


def replacing(embedder: Embedder, folder: Path) -> Embedder:
    """`embedder` in the place of the one that was saved in `folder`; text features stay beside it.

    Raises EmbedderMismatchError unless its fingerprint is that of the saved one, or of its base.
    """
    spec = read_json(folder / SPEC)
    expected, found = spec["fingerprint"], embedder.fingerprint
    composed = text_features.SETTING in spec["settings"]
    if composed and found != expected and found == read_json(folder / text_features.BASE / SPEC)["fingerprint"]:
        return load(folder, base=embedder)
    if found != expected:
        raise EmbedderMismatchError(
            f"the embedder given is not the one of the policy in {folder.parent}: its fingerprint is {found}, the "
            f"policy's is {expected}"
        )
    if isinstance(embedder, Embedder) and not composed:
        embedder.expect(spec)
    return embedder


def load_callable(folder: Path, function: str, root: Path | None = None) -> Embedder:
    """The saved callable embedder (the base, where text features are beside it), run because the caller names it.

    function: package.module:function, found from `root` (default: here); it must be the one of the fit.
    Raises EmbedderError, EmbedderMismatchError, StorageError.
    """
    spec = read_json(folder / SPEC)
    try:
        if text_features.SETTING in spec["settings"]:
            return load_callable(folder / text_features.BASE, function, root)
        if spec["kind"] != "callable":
            raise EmbedderError(f"the embedder in {folder} is of kind {spec['kind']}, not a callable")
        settings = section(spec["kind"], spec["settings"])
        if settings["function"] != function:
            raise EmbedderMismatchError(f"{folder} was fitted with {settings['function']!r}, not {function!r}")
    except (KeyError, TypeError) as error:
        raise EmbedderError(f"{folder} is damaged ({error}); run the embed stage again") from error
    embedder: Embedder = _module("callable").fit(settings, (), 0, root or Path.cwd())
    embedder.expect(spec)
    return embedder
