"""The embedder of a policy that is routed with: the caller's, or its own, loaded when the first text comes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from numpy.typing import ArrayLike

from tracer_cli.embedders import Embedder, checked, load, replacing
from tracer_cli.embedders.base import Floats
from tracer_cli.errors import EmbedderMismatchError, PolicyError
from tracer_cli.runtime.policy_folder import PolicyFolder

EmbedFunction = Callable[[Sequence[str]], ArrayLike]


class TextEmbedder:
    """Safe to share between threads, as far as the embedder is. used: it has embedded a text."""

    def __init__(self, folder: PolicyFolder, given: Embedder | EmbedFunction | None) -> None:
        """given: None for the policy's own; EmbedderMismatchError unless it is the one of the fit."""
        self.fingerprint: str = folder.manifest["embedder"]["fingerprint"]
        self._folder = folder.embedder
        self._lock = threading.Lock()
        self.used = False
        self._embed: EmbedFunction | None
        if getattr(given, "fingerprint", None) is not None:
            self._embed = replacing(given, folder.embedder).embed  # type: ignore[arg-type]
        elif given is None or callable(given):
            self._embed = given
        else:
            raise PolicyError("embedder must be an Embedder or a function from a list of texts to a matrix")

    def __call__(self, texts: list[str]) -> Floats:
        """(len(texts), dim of the embedder), finite. A load that fails is tried again with the next texts."""
        embed = self._embed
        if embed is None:
            with self._lock:
                embed = self._embed
                if embed is None:
                    embed = self._embed = self._own().embed
        vectors = checked(embed(texts), len(texts))
        self.used = True
        return vectors

    def _own(self) -> Embedder:
        embedder = load(self._folder)
        if embedder.fingerprint != self.fingerprint:
            raise EmbedderMismatchError(
                f"the embedder that {self._folder / 'spec.json'} names is not the one that the policy was fitted "
                f"with: its fingerprint is {embedder.fingerprint}, the policy's is {self.fingerprint} (has the model "
                "been updated?)"
            )
        return embedder
