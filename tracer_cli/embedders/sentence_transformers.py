"""A sentence-transformers model, by name or from a folder (the extra `embeddings`)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tracer_cli.artifacts import write_json
from tracer_cli.embedders.base import SPEC, Floats, checked, spec_of
from tracer_cli.errors import EmbedderError

KIND = "sentence-transformers"


class SentenceTransformersEmbedder:
    """Holds the loaded model; the fingerprint is of its weights, so a copy of them elsewhere is the same embedder."""

    kind = KIND

    def __init__(self, settings: dict[str, Any], root: Path) -> None:
        self._settings = settings
        self._model = _load_model(settings["model"], root)
        self.dim = int(checked(self._encode(["dimension"]), 1).shape[1])
        self.fingerprint = _fingerprint(self._model, settings["normalize"])

    def embed(self, texts: Sequence[str]) -> Floats:
        if not texts:
            return np.empty((0, self.dim), np.float32)
        return checked(self._encode(texts), len(texts), self.dim)

    def save(self, folder: Path) -> None:
        """Only the model's name and settings: the weights stay where they are."""
        write_json(folder / SPEC, spec_of(self, self._settings))

    def _encode(self, texts: Sequence[str]) -> Any:
        return self._model.encode(
            list(texts),
            batch_size=self._settings["batch_size"],
            normalize_embeddings=self._settings["normalize"],
            show_progress_bar=False,
            convert_to_numpy=True,
        )


def fit(settings: dict[str, Any], texts: Sequence[str], seed: int, root: Path) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder({k: v for k, v in settings.items() if k != "kind"}, root)


def load(folder: Path, spec: dict[str, Any], root: Path) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder(spec["settings"], root)


def _load_model(name: str, root: Path) -> Any:
    source = source_of(name, root)
    try:
        from sentence_transformers import SentenceTransformer

        logging = import_module("transformers.utils.logging")
    except ImportError as error:
        raise EmbedderError(
            "embedder kind sentence-transformers needs an extra package: pip install 'tracer-cli[embeddings]' "
            "(where the package index would bring a CUDA build of PyTorch, install the CPU build first); "
            f"the import says: {_reason(error)}"
        ) from error
    logging.disable_progress_bar()  # it draws a bar for reading the weights, also where there is no terminal
    try:
        return SentenceTransformer(source, device="cpu")
    except Exception as error:  # the library raises many kinds, depending on what is missing
        if Path(source).is_dir():
            raise EmbedderError(
                f"embedder.model: the folder {source} does not hold a sentence-transformers model that can be "
                f"loaded: {_reason(error)}"
            ) from error
        raise EmbedderError(
            f"embedder.model: there is no folder {root / name}, and no model named {name!r} could be had from the "
            f"model hub or its local cache: {_reason(error)}; check the name and the connection, or give the "
            "folder of a saved model"
        ) from error


def source_of(name: str, root: Path) -> str:
    """The model's folder if there is one, else its name; a name that can only be a path must exist."""
    path = root / Path(name).expanduser()
    if path.is_dir():
        return str(path)
    is_path = name.startswith((".", "~")) or Path(name).is_absolute() or "\\" in name or name.count("/") > 1
    if is_path or path.exists():
        raise EmbedderError(
            f"embedder.model: no such folder: {path}; give the folder of a saved sentence-transformers model "
            "(absolute, or relative to tracer.yaml), or a model name"
        )
    return name


def _reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _fingerprint(model: Any, normalize: bool) -> str:
    import torch

    digest = hashlib.sha256(f"{KIND} normalize={normalize} length={model.max_seq_length}".encode())
    # Releases of sentence-transformers name the same module differently; the weights are what counts.
    weights = {name.replace(".auto_model.", ".model."): tensor for name, tensor in model.state_dict().items()}
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return f"{KIND}:{digest.hexdigest()}"
