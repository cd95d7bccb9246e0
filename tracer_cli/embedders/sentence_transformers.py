"""A sentence-transformers model, by name or from a folder (the extra `embeddings`).

With `backend: onnx` or `openvino` the same weights are computed by another library (`exported`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tracer_cli.artifacts import write_json
from tracer_cli.embedders import exported
from tracer_cli.embedders.base import SPEC, Embedder, Floats, checked, section, spec_of
from tracer_cli.errors import EmbedderError

KIND = "sentence-transformers"
TORCH = "torch"

_PART = 512  # texts after which the vectors are handed on

# Loggers that have something to say about each model; what is wrong is raised, too.
_TALKATIVE = ("sentence_transformers", "transformers", "huggingface_hub", "optimum", "nncf", "openvino", "torch.onnx")

logger = logging.getLogger("tracer")


class SentenceTransformersEmbedder(Embedder):
    """Holds the loaded model; the fingerprint is of its weights, so a copy of them elsewhere is the same embedder."""

    kind = KIND
    cacheable = True

    def __init__(self, settings: dict[str, Any], root: Path) -> None:
        """settings: the section of tracer.yaml, complete."""
        self._settings = settings
        self._prefix = settings["prefix"] or ""
        self._model, self._revision, self._fingerprint = _load(settings, root)
        with quiet():
            self._dim = int(checked(self._encode(["dimension"]), 1).shape[1])

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def embed(self, texts: Sequence[str]) -> Floats:
        vectors = np.empty((len(texts), self.dim), np.float32)
        for rows, part in self.batches(texts):
            vectors[rows.start : rows.stop] = part
        return vectors

    def batches(self, texts: Sequence[str]) -> Iterator[tuple[range, Floats]]:
        size = max(_PART, self._settings["batch_size"])
        for start in range(0, len(texts), size):
            rows = range(start, min(start + size, len(texts)))
            yield rows, checked(self._encode(texts[start : rows.stop]), len(rows), self.dim)

    def save(self, folder: Path) -> None:
        """Only the settings, with the commit that was loaded as the revision: the weights stay where they are."""
        write_json(folder / SPEC, spec_of(self, {**self._settings, "revision": self._revision}))

    def _encode(self, texts: Sequence[str]) -> Any:
        return self._model.encode(
            [self._prefix + text for text in texts],
            batch_size=self._settings["batch_size"],
            normalize_embeddings=self._settings["normalize"],
            show_progress_bar=False,
            convert_to_numpy=True,
        )


def fit(settings: dict[str, Any], texts: Sequence[str], seed: int, root: Path) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder({k: v for k, v in settings.items() if k != "kind"}, root)


def load(folder: Path, spec: dict[str, Any], root: Path) -> SentenceTransformersEmbedder:
    """The device does not decide the vectors: where that of the fit is missing, the CPU computes."""
    settings = section(KIND, spec["settings"])
    try:
        check_device(settings["device"], settings["backend"])
    except EmbedderError as error:
        if settings["device"] == exported.CPU:
            raise
        logger.warning("%s; the CPU is used instead", error)
        settings["device"] = exported.CPU
    return SentenceTransformersEmbedder(settings, root)


def check_device(device: str, backend: str) -> None:
    """EmbedderError unless this machine has the device, and the backend can use it."""
    _libraries(backend)
    if backend != TORCH:
        exported.check_device(device, backend)
        return
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise EmbedderError(
            f"embedder.device: PyTorch knows no device {device!r}; write cpu, cuda, cuda:1 or mps"
        ) from error
    part: Any = torch.backends.mps if kind == "mps" else getattr(torch, kind, None)
    usable = part is not None and part.is_available()
    number = torch.device(device).index or 0
    if not usable or (kind == "cuda" and number >= torch.cuda.device_count()):
        raise EmbedderError(
            f"embedder.device: PyTorch finds no device {device!r} on this machine; write cpu, or install the build of "
            "PyTorch for it"
        )


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


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Neither warnings nor log lines nor progress bars of the libraries."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [one.level for one in loggers]
    try:
        for one in loggers:
            one.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def _load(settings: dict[str, Any], root: Path) -> tuple[Any, str | None, str]:
    """The model, the commit that it is of (None for a folder), and its fingerprint."""
    backend, source = settings["backend"], source_of(settings["model"], root)
    is_folder = Path(source).is_dir()
    if is_folder and settings["revision"] is not None:
        raise EmbedderError(
            f"embedder.revision: {settings['revision']!r} is given, but embedder.model is the folder {source}, which "
            "has no revisions: leave it out, or give the model's name on the hub"
        )
    _libraries(backend)
    check_device(settings["device"], backend)
    facts = f"{KIND} normalize={settings['normalize']}"
    more = f" prefix={settings['prefix']!r}" if settings["prefix"] else ""
    if backend == TORCH:
        model = _weights(settings, root, source, settings["device"])
        revision = None if is_folder else _commit(source, settings["revision"])
        return model, revision, _fingerprint(model, facts, more)
    more += f" backend={backend}"
    if is_folder and (file := exported.own_file(Path(source), backend)):
        with quiet(), _explained(settings, root, source):
            model = exported.open_model(Path(source), backend, settings["device"])
        return model, None, _fingerprint_of_file(model, file, facts, more)
    weights = _weights(settings, root, source, exported.CPU)
    revision = None if is_folder else _commit(source, settings["revision"])
    identity = _fingerprint(weights, KIND, _text_side(weights))
    fingerprint = f"{KIND}:{hashlib.sha256(f'{facts}{more} of {identity}'.encode()).hexdigest()}"
    with quiet(), _explained(settings, root, source):
        model = exported.of_weights(weights, identity, settings["model"], backend, settings["device"])
    return model, revision, fingerprint


def _libraries(backend: str) -> None:
    """EmbedderError that names the extra when a package is missing."""
    try:
        with quiet():
            import sentence_transformers  # noqa: F401

            logs = import_module("transformers.utils.logging")
    except ImportError as error:
        raise EmbedderError(
            "embedder kind sentence-transformers needs an extra package: pip install 'tracer-cli[embeddings]' "
            "(where the package index would bring a CUDA build of PyTorch, install the CPU build first); "
            f"the import says: {_reason(error)}"
        ) from error
    logs.disable_progress_bar()  # it draws a bar for reading the weights, also where there is no terminal
    if backend == TORCH:
        return
    try:
        with quiet():
            exported.import_library(backend)
    except Exception as error:  # versions that do not go together raise more than ImportError
        raise EmbedderError(
            f"embedder.backend: {backend} needs an extra package: pip install 'tracer-cli[{backend}]'; "
            f"the import says: {_reason(error)}"
        ) from error


def _weights(settings: dict[str, Any], root: Path, source: str, device: str) -> Any:
    from sentence_transformers import SentenceTransformer

    with quiet(), _explained(settings, root, source):
        return SentenceTransformer(source, device=device, revision=settings["revision"])


@contextlib.contextmanager
def _explained(settings: dict[str, Any], root: Path, source: str) -> Iterator[None]:
    """What the library raises when it cannot load the model, as an EmbedderError."""
    try:
        yield
    except EmbedderError:
        raise
    except Exception as error:  # it raises many kinds, depending on what is missing
        name, revision = settings["model"], settings["revision"]
        if Path(source).is_dir():
            raise EmbedderError(
                f"embedder.model: the folder {source} does not hold a sentence-transformers model that can be "
                f"loaded: {_reason(error)}"
            ) from error
        at, check = (f" at revision {revision!r}", "name, the revision") if revision else ("", "name")
        raise EmbedderError(
            f"embedder.model: there is no folder {root / name}, and no model named {name!r}{at} could be had from the "
            f"model hub or its local cache: {_reason(error)}; check the {check} and the connection, or give the "
            "folder of a saved model"
        ) from error


def _reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _commit(name: str, revision: str | None) -> str | None:
    """The commit that the loaded files of a hub model are of: the folder of the hub's local cache is named after it."""
    from huggingface_hub import try_to_load_from_cache

    for repository in (name, f"sentence-transformers/{name}"):
        with contextlib.suppress(ValueError):  # no name of a repository
            place = os.environ.get("SENTENCE_TRANSFORMERS_HOME")
            file = try_to_load_from_cache(repository, "config.json", cache_dir=place, revision=revision)
            if isinstance(file, str):
                return Path(file).parent.name
    return revision


def _fingerprint(model: Any, facts: str, more: str = "") -> str:
    import torch

    digest = hashlib.sha256(f"{facts} length={model.max_seq_length}{more}".encode())
    # Releases of sentence-transformers name the same module differently; the weights are what counts.
    weights = {name.replace(".auto_model.", ".model."): tensor for name, tensor in model.state_dict().items()}
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return f"{KIND}:{digest.hexdigest()}"


def _fingerprint_of_file(model: Any, file: Path, facts: str, more: str) -> str:
    """For a model without weights to look at: of the exported file itself."""
    digest = hashlib.sha256(f"{facts} length={model.max_seq_length}{more}{_text_side(model)}".encode())
    for name, part in exported.hashes(file):
        digest.update(f"{name} {part}".encode())
    return f"{KIND}:{digest.hexdigest()}"


def _text_side(model: Any) -> str:
    """What is no weight and decides the vectors all the same: the tokenizer and the pooling."""
    pooling = [one.pooling_mode for one in model if hasattr(one, "pooling_mode")] or [
        one.get_pooling_mode_str() for one in model if hasattr(one, "get_pooling_mode_str")
    ]
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        tokens = {"class": type(model.tokenizer).__name__, "vocabulary": model.tokenizer.get_vocab()}
    else:
        tokens = json.loads(backend.to_str())
        for name in ("truncation", "padding"):  # of the last call
            tokens.pop(name, None)
    words = json.dumps([pooling, tokens], sort_keys=True, default=str)
    return f" text={hashlib.sha256(words.encode()).hexdigest()}"
