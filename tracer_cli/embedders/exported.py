"""A sentence-transformers model as an ONNX or OpenVINO graph (the extras `onnx` and `openvino`).

A model folder may bring its graph; it is used as it is. Otherwise the graph is made from the weights once and kept
in the cache folder, by the weights and the versions of the libraries that made it: nothing is written into the
model's own folder.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from tracer_cli.artifacts import read_json, sha256_file, sha256_json, write_json
from tracer_cli.embedders.cache import cache_folder
from tracer_cli.errors import EmbedderError, StorageError

EXPORTS = "exports"
RECORD = "export.json"
CPU = "cpu"

_FILES = {"onnx": "model.onnx", "openvino": "openvino_model.xml"}
_LIBRARIES = {"onnx": "optimum.onnxruntime", "openvino": "optimum.intel.openvino"}
_VERSIONS = (
    *("sentence-transformers", "transformers", "torch", "optimum", "optimum-onnx", "optimum-intel"),
    *("onnx", "onnxruntime", "openvino", "nncf"),
)

logger = logging.getLogger("tracer")


def import_library(backend: str) -> None:
    """Raises ImportError, and more when versions do not go together."""
    if backend == "openvino":
        # It reports to its maker what it is used for unless that package is absent. Not from here.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import_module(_LIBRARIES[backend])


def check_device(device: str, backend: str) -> None:
    """EmbedderError unless the backend's library has the device on this machine."""
    if backend == "onnx":
        import onnxruntime

        providers = {CPU: "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
        known = [name for name, provider in providers.items() if provider in onnxruntime.get_available_providers()]
        found = device.partition(":")[0] in known
    else:
        known = [name.lower() for name in import_module("openvino").Core().available_devices]
        found = device in known
    if not found:
        raise EmbedderError(
            f"embedder.device: with backend: {backend} this machine has no device {device!r}; it has {', '.join(known)}"
        )


def own_file(folder: Path, backend: str) -> Path | None:
    """The graph that the model's folder brings, if any."""
    name = _FILES[backend]
    return next((file for file in (folder / name, folder / backend / name) if file.is_file()), None)


def hashes(file: Path) -> list[tuple[str, str]]:
    """Name and sha256 of the graph and of the files with its weights, which lie beside it under the same name."""
    return [(one.name, sha256_file(one)) for one in sorted(file.parent.glob(f"{file.stem}*")) if one.is_file()]


def open_model(folder: Path, backend: str, device: str, export: bool = False) -> Any:
    """The model in `folder`, computed by the backend; export: make the graph from the weights there."""
    made: Any = import_module("sentence_transformers").SentenceTransformer
    options: dict[str, Any] = {"export": True} if export else {}
    if backend == "onnx":
        options["provider"] = "CPUExecutionProvider" if device == CPU else "CUDAExecutionProvider"
    else:
        # Left alone it would use bfloat16 where the processor has it and store large models in 8 bits.
        options["ov_config"] = {"INFERENCE_PRECISION_HINT": "f32"}
        options["load_in_8bit"] = False
        options["device"] = device.upper()
    return made(str(folder), device=device if backend == "onnx" else CPU, backend=backend, model_kwargs=options)


def of_weights(weights: Any, identity: str, name: str, backend: str, device: str) -> Any:
    """The graph of a model loaded in PyTorch; from the cache folder when it was made there before.

    identity: changes with the weights. name: what people know the model by.
    """
    versions = {package: version for package in _VERSIONS if (version := _version(package))}
    key = sha256_json([identity, backend, versions, _configuration(weights)])
    folder = cache_folder() / EXPORTS / f"{backend}-{key[:32]}"
    if is_whole(folder):
        with contextlib.suppress(OSError):
            os.utime(folder / RECORD)  # for `tracer cache`: when it was last used
        with contextlib.suppress(Exception):  # someone may be clearing the cache
            return open_model(folder, backend, device)
    with tempfile.TemporaryDirectory(prefix="tracer-export-") as place:
        weights.save_pretrained(place, create_model_card=False)
        model = open_model(Path(place), backend, device, export=True)
        about = {"model": name, "backend": backend, "fingerprint": identity, "versions": versions}
        if not _keep(model, folder, about):
            return model
        del model
        gc.collect()  # its own temporary files go now, with the warnings that are expected of that
    return open_model(folder, backend, device)


def is_whole(folder: Path) -> bool:
    """Whether the folder holds an exported model, and each of its files is as it was written."""
    try:
        record = read_json(folder / RECORD)
        return bool(record["files"] == dict(_files(folder)))
    except (StorageError, OSError, KeyError, TypeError):
        return False


def _keep(model: Any, folder: Path, about: dict[str, Any]) -> bool:
    """Write the model to `folder`, whole or not at all; a failure is warned of."""
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent) as place:
            whole = Path(place) / folder.name
            model.save_pretrained(str(whole), create_model_card=False)
            write_json(whole / RECORD, {**about, "files": dict(_files(whole))})
            if is_whole(folder):  # another process was faster
                return True
            if folder.exists():
                shutil.rmtree(folder)
            whole.rename(folder)
    except Exception as error:  # the library that writes raises many kinds
        if is_whole(folder):
            return True
        logger.warning("cannot keep the exported model in %s (%s): it is exported again next time", folder, error)
        return False
    return True


def _configuration(model: Any) -> str:
    """What the modules are told beside their weights, as text."""
    parts = [(type(one).__name__, one.get_config_dict()) for one in model if hasattr(one, "get_config_dict")]
    config = model[0].auto_model.config.to_dict()
    config.pop("_name_or_path", None)
    return json.dumps([parts, config], sort_keys=True, default=str)


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file != folder / RECORD:
            yield file.relative_to(folder).as_posix(), sha256_file(file)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
