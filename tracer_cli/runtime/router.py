"""The router: answer an input with the surrogate where the certified policy handles it, defer it otherwise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracer_cli.core import policy
from tracer_cli.core.onnx_session import session
from tracer_cli.embedders import Embedder
from tracer_cli.errors import DataError, PolicyError, PolicyIntegrityError
from tracer_cli.runtime import fallback as fallbacks
from tracer_cli.runtime import inputs, policy_folder, worker
from tracer_cli.runtime.answers import DEFERRED, HANDLED, BatchPrediction, Prediction, Routed
from tracer_cli.runtime.fallback import Fallback
from tracer_cli.runtime.policy_folder import PolicyFolder
from tracer_cli.runtime.text_embedder import EmbedFunction, TextEmbedder

if TYPE_CHECKING:
    from tracer_cli.runtime.reload import LiveRouter

__all__ = ["BatchPrediction", "Prediction", "Routed", "Router", "load_router"]

# The second stage of a cascade scores at most this, the first more (see core.cascade).
FIRST_STAGE_ABOVE = 0.5


class BaseRouter(ABC):
    """What every router offers. A call is answered by one policy, the one that is `current` when it begins.

    Safe to share between threads and tasks. One input is answered alike alone, in a batch and from every thread,
    given that its embedder gives it the same vector there.
    """

    @property
    @abstractmethod
    def current(self) -> Router:
        """The policy as it is now; what it answers stays that of one policy, however long it is kept."""

    @property
    def policy_id(self) -> str:
        return self.current._folder.id

    @property
    def manifest(self) -> dict[str, Any]:
        return self.current._folder.manifest

    @property
    def labels(self) -> list[str]:
        return self.current._labels

    @property
    def dim(self) -> int:
        return self.current._dim

    @property
    def target(self) -> float:
        """What is routed at unless a call says otherwise."""
        return self.current._target

    @property
    def targets(self) -> dict[float, float]:
        """Every certified target and its threshold."""
        return dict(self.current._thresholds)

    def predict(
        self, text_or_vector: str | ArrayLike, fallback: Fallback | None = None, target: float | None = None
    ) -> Prediction:
        """Route one text, or one vector of shape (dim,).

        fallback: called when the input is deferred, with the input if it takes an argument; what it returns
        becomes the label. target: another certified target of this policy than the one it is deployed at.
        Raises DataError for an empty text, a vector of the wrong kind or with NaN, or an unknown target,
        EmbedderMismatchError for one of the wrong dimension, and what the fallback raises.
        """
        found = self.current._one(text_or_vector, target)
        if found["decision"] == DEFERRED and fallback is not None:
            found["label"] = fallbacks.call(fallback, text_or_vector)
        return found

    def predict_batch(
        self,
        texts_or_matrix: Sequence[str] | ArrayLike,
        fallback: Fallback | None = None,
        target: float | None = None,
    ) -> BatchPrediction:
        """Route a list of texts, or a matrix of shape (n, dim); the same decisions as one by one.

        fallback: called once with the list of the deferred inputs (texts, or rows of the matrix), of which it returns
        the labels in their order; one without an argument is called for each of them. Not called where all are handled.
        """
        found, deferred = self.current._many(texts_or_matrix, target)
        if deferred and fallback is not None:
            _fill(found, fallbacks.call_batch(fallback, deferred))
        return found

    async def apredict(
        self, text_or_vector: str | ArrayLike, fallback: Fallback | None = None, target: float | None = None
    ) -> Prediction:
        """As `predict`, in a thread of its own; an async fallback is awaited, another one gets a thread too."""
        found = await worker.run(self.current._one, text_or_vector, target)
        if found["decision"] == DEFERRED and fallback is not None:
            found["label"] = await fallbacks.acall(fallback, text_or_vector)
        return found

    async def apredict_batch(
        self,
        texts_or_matrix: Sequence[str] | ArrayLike,
        fallback: Fallback | None = None,
        target: float | None = None,
    ) -> BatchPrediction:
        """As `predict_batch`, in a thread of its own; an async fallback is awaited, another one gets a thread too."""
        found, deferred = await worker.run(self.current._many, texts_or_matrix, target)
        if deferred and fallback is not None:
            _fill(found, await fallbacks.acall_batch(fallback, deferred))
        return found

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(len(texts), dim), for `decide`. Where the policy may change in between, take `current` once for both."""
        return self.current._vectors_of(inputs.texts(texts))

    def decide(self, vectors: ArrayLike, target: float | None = None) -> Routed:
        """What `predict` decides on vectors of shape (n, dim), as arrays: for a caller that embeds by itself."""
        current = self.current
        return current._decided(inputs.matrix(vectors, current._dim), target)


class Router(BaseRouter):
    """A certified policy, ready to answer. Made by `load_router`."""

    def __init__(
        self,
        folder: PolicyFolder,
        embedder: Embedder | EmbedFunction | TextEmbedder | None = None,
        target: float | None = None,
    ) -> None:
        """embedder: as in load_router, or what another router with the same embedder has loaded."""
        manifest = folder.manifest
        self._folder = folder
        self._labels: list[str] = manifest["labels"]
        self._dim: int = manifest["dim"]
        self._thresholds: dict[float, float] = {
            entry["target"]: entry["threshold"] for entry in manifest["targets"] if entry["certified"]
        }
        self._target: float = manifest["target"] if target is None else target
        self._threshold(self._target)
        self._is_cascade = manifest.get("second_surrogate") is not None
        self._session = _opened(folder)
        self._texts = embedder if isinstance(embedder, TextEmbedder) else TextEmbedder(folder, embedder)

    @property
    def current(self) -> Router:
        return self

    def _one(self, text_or_vector: Any, target: float | None) -> Prediction:
        threshold = self._threshold(target)
        if isinstance(text_or_vector, str):
            inputs.check_text(text_or_vector, "the input")
            vectors = self._vectors_of([text_or_vector])
        else:
            vectors = inputs.vector(text_or_vector, self._dim)
        label, score, distance = policy.run_one(self._session, vectors)
        handled = score >= threshold
        return {
            "label": self._labels[label] if handled else None,
            "decision": HANDLED if handled else DEFERRED,
            "accept_score": score,
            "target": self._target if target is None else target,
            "stage": -1 if not handled else int(self._is_cascade and score <= FIRST_STAGE_ABOVE),
            "distance": distance,
        }

    def _many(self, texts_or_matrix: Any, target: float | None) -> tuple[BatchPrediction, list[Any]]:
        """The answers, and the inputs of those that are deferred."""
        self._threshold(target)
        given: Any = inputs.texts_of(texts_or_matrix)
        if given is not None:
            vectors = self._vectors_of(inputs.texts(given))
        else:
            given = inputs.rows_of(texts_or_matrix)
            vectors = inputs.matrix(given, self._dim)
        routed = self._decided(vectors, target)
        return routed.all(), [given[int(row)] for row in np.flatnonzero(~routed.handled)]

    def _threshold(self, target: float | None) -> float:
        target = self._target if target is None else target
        try:
            return self._thresholds[target]
        except (KeyError, TypeError):
            known = ", ".join(f"{t:g}" for t in self._thresholds) or "none"
            raise DataError(f"target {target!r} is not certified by this policy; certified: {known}") from None

    def _vectors_of(self, texts: list[str]) -> NDArray[np.float32]:
        if not texts:
            return np.empty((0, self._dim), np.float32)
        return inputs.checked(self._texts(texts), self._dim, "the embedder's output")

    def _decided(self, vectors: NDArray[np.float32], target: float | None) -> Routed:
        threshold = self._threshold(target)
        found = policy.run_as_alone(self._session, vectors, threshold)
        handled = found.accept_scores >= threshold
        second = (found.accept_scores <= FIRST_STAGE_ABOVE) & self._is_cascade
        return Routed(
            found.labels,
            found.accept_scores,
            found.distances,
            handled=handled,
            stages=np.where(handled, second.astype(np.int64), -1),
            names=self._labels,
            target=self._target if target is None else target,
            policy_id=self._folder.id,
        )


@overload
def load_router(
    path: str | Path = ..., embedder: Embedder | EmbedFunction | None = ..., target: float | None = ...
) -> Router: ...
@overload
def load_router(
    path: str | Path = ...,
    embedder: Embedder | EmbedFunction | None = ...,
    target: float | None = ...,
    *,
    reload: float,
) -> LiveRouter: ...
def load_router(
    path: str | Path = ".tracer",
    embedder: Embedder | EmbedFunction | None = None,
    target: float | None = None,
    *,
    reload: float | None = None,
) -> Router | LiveRouter:
    """Load a policy folder for routing.

    embedder: None for the policy's own, an Embedder (the one of the fit, or where that has text features
    the one they are beside), or a function from a list of texts to a matrix (of which only the dimension can
    be checked). A policy whose own embedder is a callable routes texts only with Embedder.from_callable(...)
    here: a folder may not name code to run. target: a certified target other than the deployed one.
    reload: look every so many seconds whether the folder holds another policy, and go on with that one (see
    LiveRouter, which has more settings).

    Sends nothing: an endpoint is asked, and compared with that of the fit, before the first text is routed; one
    that is given here without `dimensions` is asked now. With `reload` one text is embedded now.
    Raises PolicyNotCertifiedError, PolicyIntegrityError, EmbedderMismatchError, EmbedderError or PolicyError.
    """
    if reload is not None:
        from tracer_cli.runtime.reload import LiveRouter

        return LiveRouter(path, reload, embedder, target)
    return Router(policy_folder.load(Path(path)), embedder, target)


def _opened(folder: PolicyFolder) -> Any:
    file = folder.path / "policy.onnx"
    try:
        opened = session(folder.graph)
    except Exception as error:  # the library raises many kinds of its own
        raise PolicyError(
            f"{file} cannot be opened by onnxruntime ({error}); upgrade onnxruntime, or fit the policy again"
        ) from error
    dim = opened.get_inputs()[0].shape[1]
    if dim != folder.manifest["dim"]:
        raise PolicyIntegrityError(
            f"{file} takes vectors of dimension {dim}, its manifest says {folder.manifest['dim']}; fit the policy again"
        )
    return opened


def _fill(found: BatchPrediction, answers: list[Any]) -> None:
    """Put the answers where labels are missing."""
    rows = np.flatnonzero(~found["handled"])
    for row, answer in zip(rows, answers, strict=True):
        found["labels"][row] = answer
