"""The router: answer an input with the surrogate where the certified policy handles it, defer it otherwise."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracer_cli.core import policy
from tracer_cli.core.onnx_session import session
from tracer_cli.embedders import Embedder, checked
from tracer_cli.embedders import load as load_embedder
from tracer_cli.embedders import replacing as replacing_embedder
from tracer_cli.errors import DataError, EmbedderMismatchError, PolicyError
from tracer_cli.runtime import policy_folder
from tracer_cli.runtime.policy_folder import PolicyFolder

EmbedFunction = Callable[[Sequence[str]], ArrayLike]


class Prediction(TypedDict):
    """label: the surrogate's when handled, the fallback's (or None without one) when deferred."""

    label: Any
    decision: str
    accept_score: float
    target: float


class BatchPrediction(TypedDict):
    """Lists and arrays of one length; the label of a deferred input is None."""

    labels: list[str | None]
    decisions: list[str]
    handled: NDArray[np.bool_]
    accept_scores: NDArray[np.float64]


class Router:
    """A certified policy, ready to answer. Made by `load_router`; safe to share between threads."""

    def __init__(self, folder: PolicyFolder, embedder: Embedder | EmbedFunction | None, target: float | None) -> None:
        self.manifest = folder.manifest
        self.labels: list[str] = folder.manifest["labels"]
        self.dim: int = folder.manifest["dim"]
        self._session = session(folder.graph)
        self._embedder = embedder
        self._folder = folder
        self._thresholds = {t["target"]: t["threshold"] for t in folder.manifest["targets"] if t["certified"]}
        self.target = folder.manifest["target"] if target is None else target
        self._threshold(self.target)

    def predict(
        self,
        text_or_vector: str | ArrayLike,
        fallback: Callable[..., Any] | None = None,
        target: float | None = None,
    ) -> Prediction:
        """Route one text, or one vector of shape (dim,).

        fallback: called when the input is deferred, with the input if it takes an argument; what it returns
        becomes the label. target: another certified target of this policy than the one it is deployed at.
        Raises DataError for an empty text, a vector of the wrong shape or with NaN, or an unknown target.
        """
        target = self.target if target is None else target
        threshold = self._threshold(target)
        if isinstance(text_or_vector, str):
            vectors = self._embed([text_or_vector])
        else:
            vectors = self._vectors(np.asarray(text_or_vector, np.float32)[None], "the vector")
        result = policy.run(self._session, vectors)
        score = float(result.accept_scores[0])
        if score >= threshold:
            label = self.labels[int(result.labels[0])]
            return {"label": label, "decision": "handled", "accept_score": score, "target": target}
        answer = None if fallback is None else _call(fallback, text_or_vector)
        return {"label": answer, "decision": "deferred", "accept_score": score, "target": target}

    def predict_batch(self, texts_or_matrix: Sequence[str] | ArrayLike, target: float | None = None) -> BatchPrediction:
        """Route a list of texts, or a matrix of shape (n, dim); the same decisions as one by one."""
        threshold = self._threshold(self.target if target is None else target)
        if _is_texts(texts_or_matrix):
            vectors = self._embed(list(texts_or_matrix))  # type: ignore[arg-type]
        else:
            vectors = self._vectors(np.asarray(texts_or_matrix, np.float32), "the matrix")
        result = policy.run(self._session, vectors)
        handled = result.accept_scores >= threshold
        return {
            "labels": [self.labels[i] if ok else None for i, ok in zip(result.labels, handled, strict=True)],
            "decisions": ["handled" if ok else "deferred" for ok in handled],
            "handled": handled,
            "accept_scores": result.accept_scores,
        }

    def _threshold(self, target: float) -> float:
        if target not in self._thresholds:
            known = ", ".join(f"{t:g}" for t in self._thresholds)
            raise DataError(f"target {target!r} is not certified by this policy; certified: {known}")
        return float(self._thresholds[target])

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        for i, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise DataError(f"input {i} is not a text with at least one character: {text!r}")
        if not texts:
            return np.empty((0, self.dim), np.float32)
        if self._embedder is None:
            self._embedder = _own_embedder(self._folder)
        embed = self._embedder if callable(self._embedder) else self._embedder.embed
        return self._vectors(checked(embed(texts), len(texts)), "the embedder's output")

    def _vectors(self, vectors: NDArray[np.float32], what: str) -> NDArray[np.float32]:
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            shape = "x".join(str(n) for n in vectors.shape[1:]) or "none"
            raise EmbedderMismatchError(f"{what} has dimension {shape}, this policy was fitted with {self.dim}")
        if not np.isfinite(vectors).all():
            raise DataError(f"{what} has a NaN or infinite value in row {int(np.argmin(np.isfinite(vectors).all(1)))}")
        return vectors


def load_router(
    path: str | Path = ".tracer",
    embedder: Embedder | EmbedFunction | None = None,
    target: float | None = None,
) -> Router:
    """Load a policy folder for routing.

    embedder: None for the policy's own, an Embedder (the one of the fit, or where that has text features
    the one they are beside), or a function from a list of texts to a matrix (of which only the dimension can
    be checked). A policy whose own embedder is a callable routes texts only with Embedder.from_callable(...)
    here: a folder may not name code to run. target: a certified target other than the deployed one.

    Sends nothing: an endpoint is asked, and compared with that of the fit, before the first text is routed; one
    that is given here without `dimensions` is asked now.
    Raises PolicyNotCertifiedError, PolicyIntegrityError, EmbedderMismatchError, EmbedderError or PolicyError.
    """
    folder = policy_folder.load(Path(path))
    if getattr(embedder, "fingerprint", None) is not None:
        embedder = replacing_embedder(embedder, folder.embedder)  # type: ignore[arg-type]
    elif embedder is not None and not callable(embedder):
        raise PolicyError("embedder must be an Embedder or a function from a list of texts to a matrix")
    return Router(folder, embedder, target)


def _own_embedder(folder: PolicyFolder) -> Embedder:
    embedder = load_embedder(folder.embedder)
    expected = folder.manifest["embedder"]["fingerprint"]
    if embedder.fingerprint != expected:
        raise EmbedderMismatchError(
            f"the embedder that {folder.embedder / 'spec.json'} names is not the one that the policy was fitted with: "
            f"its fingerprint is {embedder.fingerprint}, the policy's is {expected} (has the model been updated?)"
        )
    return embedder


def _is_texts(value: Any) -> bool:
    if isinstance(value, str):
        raise DataError("predict_batch takes a list of texts, not one text; use predict")
    return isinstance(value, Sequence) and (len(value) == 0 or isinstance(value[0], str))


def _call(fallback: Callable[..., Any], value: Any) -> Any:
    """Call with the input if the function takes a positional argument, else without."""
    try:
        parameters = inspect.signature(fallback).parameters.values()
    except (TypeError, ValueError):
        return fallback(value)
    takes = any(
        p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) and p.default is p.empty
        for p in parameters
    )
    return fallback(value) if takes else fallback()
