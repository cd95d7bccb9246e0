"""tf-idf beside another embedder's vector: what a sentence embedding blurs (numbers, names, rare words) stays visible.

A setting of the embedder (`text_features`), not a kind: `base` may be of any kind that the registry knows.
The saved folder holds both parts, each as it saves itself, and the spec of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracer_cli.artifacts import read_json, sha256_json, write_json
from tracer_cli.embedders import tfidf
from tracer_cli.embedders.base import SPEC, Embedder, Floats, checked, spec_of
from tracer_cli.embedders.tfidf import TfidfEmbedder
from tracer_cli.errors import EmbedderError

SETTING = "text_features"
BASE = "base"
TEXT = "text"


class TextFeaturesEmbedder(Embedder):
    """[base vector, weight * tf-idf vector]. Both are of length 1 or zero, so the weight alone sets the balance."""

    def __init__(self, base: Embedder, text: TfidfEmbedder, weight: float) -> None:
        self.base = base
        self._text = text
        self._weight = float(weight)

    @property
    def kind(self) -> str:
        return self.base.kind

    @property
    def dim(self) -> int:
        return self.base.dim + self._text.dim

    @property
    def fingerprint(self) -> str:
        parts = sha256_json([self.base.fingerprint, self._text.fingerprint, self._weight])
        return f"{self.base.kind}+{self._text.kind}:{parts}"

    def embed(self, texts: Sequence[str]) -> Floats:
        return self._beside(self.base.embed(texts), texts)

    def batches(self, texts: Sequence[str]) -> Iterator[tuple[range, Floats]]:
        for rows, vectors in self.base.batches(texts):
            yield rows, self._beside(vectors, texts[rows.start : rows.stop])

    def _beside(self, vectors: Floats, texts: Sequence[str]) -> Floats:
        text = np.float32(self._weight) * self._text.embed(texts)
        return checked(np.concatenate([vectors, text], axis=1), len(texts), self.dim)

    def save(self, folder: Path) -> None:
        for part, name in ((self.base, BASE), (self._text, TEXT)):
            (folder / name).mkdir()
            part.save(folder / name)
        write_json(folder / SPEC, spec_of(self, _settings(folder, self._weight)))


def fit(base: Embedder, settings: dict[str, Any], texts: Sequence[str], seed: int, root: Path) -> TextFeaturesEmbedder:
    """`base` with tf-idf, fitted on `texts`, beside it; settings: the embedder section of tracer.yaml."""
    if settings.get("normalize") is False:
        raise EmbedderError(
            f"embedder.{SETTING} needs embedder.normalize: true, because its weight is relative to vectors of length 1"
        )
    features = dict(settings[SETTING])
    weight = features.pop("weight")
    return TextFeaturesEmbedder(base, tfidf.fit(features, texts, seed, root), weight)


def load(folder: Path, spec: dict[str, Any], base: Embedder, text: Embedder) -> TextFeaturesEmbedder:
    """The parts in `folder` put together, if they are those that its spec describes."""
    weight = spec["settings"][SETTING]["weight"]
    if not isinstance(weight, float) or not math.isfinite(weight):
        raise EmbedderError(f"{folder} is damaged: the weight {weight!r} is not a number; run the embed stage again")
    if not isinstance(text, TfidfEmbedder):
        raise EmbedderError(f"{folder} is damaged: {folder / TEXT} holds no tf-idf; run the embed stage again")
    embedder = TextFeaturesEmbedder(base, text, weight)
    if spec["settings"] != _settings(folder, weight) or spec["kind"] != embedder.kind:
        raise EmbedderError(
            f"{folder} is damaged: {SPEC} and those in {BASE} and {TEXT} do not belong together; "
            "run the embed stage again"
        )
    if spec["dim"] != embedder.dim:
        raise EmbedderError(
            f"{folder}: vectors of length {base.dim} and {text.dim} do not make the {spec['dim']} that {SPEC} names "
            "(has the model been updated?); run the embed stage again"
        )
    return embedder


def _settings(folder: Path, weight: float) -> dict[str, Any]:
    """The section of tracer.yaml again, from the specs of both parts."""
    base, text = (read_json(folder / name / SPEC)["settings"] for name in (BASE, TEXT))
    return {**base, SETTING: {**text, "weight": weight}}
