"""Loading a policy folder: every file is checked against the manifest before anything of it is used.

Nothing in the folder can run code when it is loaded: JSON, .npy without pickle, and an ONNX graph.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer_cli.artifacts import MANIFEST_SCHEMA, read_bytes, sha256_json
from tracer_cli.errors import PolicyError, PolicyIntegrityError, PolicyNotCertifiedError

MANIFEST = "manifest.json"
DIGEST = "digest"


@dataclass(frozen=True)
class PolicyFolder:
    """A policy whose files are those that the manifest names. id: see policy_id; graph: the bytes that were checked."""

    path: Path
    id: str
    manifest: dict[str, Any]
    graph: bytes

    @property
    def embedder(self) -> Path:
        return self.path / "embedder"


def policy_id(manifest: bytes) -> str:
    """The first 16 hex digits of the sha256 of manifest.json, which names the digests of all other files."""
    return hashlib.sha256(manifest).hexdigest()[:16]


def manifest_digest(manifest: dict[str, Any]) -> str:
    """What a manifest that holds its own digest has under `digest`: of everything else in it."""
    return sha256_json({name: value for name, value in manifest.items() if name != DIGEST})


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the policy folder `path`, of a version this package reads; PolicyError otherwise."""
    return _parsed(path / MANIFEST, manifest_bytes(path))


def manifest_bytes(path: Path) -> bytes:
    if not (path / MANIFEST).is_file():
        raise PolicyError(f"{path} is not a policy folder: it has no manifest.json; run `dvc repro` or `tracer fit`")
    return read_bytes(path / MANIFEST)


def load(path: Path) -> PolicyFolder:
    """Check the digests and the verdict.

    Raises PolicyIntegrityError (which file is missing or altered), PolicyNotCertifiedError (why the guard
    did not pass it) or PolicyError (no policy, or of another version).
    """
    data = manifest_bytes(path)
    manifest = _parsed(path / MANIFEST, data)
    wrong = _wrong_part(manifest)
    if wrong:
        raise PolicyIntegrityError(f"{path / MANIFEST} is damaged: {wrong}; copy or fit the policy again")
    graph = b""
    for name, expected in sorted(manifest["files"].items()):
        content = _checked_file(path, name, expected)
        if name == "policy.onnx":
            graph = content
    if not graph:
        raise PolicyIntegrityError(f"{path / MANIFEST} names no policy.onnx; fit the policy again")
    verdict = manifest["verdict"]
    if verdict["deploy"] is not True:
        raise PolicyNotCertifiedError(f"the guard did not pass the policy in {path}: {verdict['reason']}")
    return PolicyFolder(path, policy_id(data), manifest, graph)


def _parsed(file: Path, data: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(data)
        schema = manifest["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PolicyIntegrityError(f"{file} is not a policy manifest; run the guard stage again") from error
    if schema != MANIFEST_SCHEMA:
        raise PolicyError(
            f"{file} has manifest schema {schema!r}, this version of tracer reads {MANIFEST_SCHEMA}: "
            "upgrade tracer, or fit the policy again"
        )
    return dict(manifest)


def _checked_file(path: Path, name: str, expected: str) -> bytes:
    file = path / name
    if not file.is_file():
        raise PolicyIntegrityError(f"{file} is missing: the policy is incomplete; copy or fit it again")
    data = read_bytes(file)
    if hashlib.sha256(data).hexdigest() != expected:
        raise PolicyIntegrityError(
            f"{file} is not the file that {path / MANIFEST} names (its sha256 differs): "
            "it was altered or comes from another fit; copy or fit the policy again"
        )
    return data


def _wrong_part(manifest: dict[str, Any]) -> str | None:
    """What of that which a router needs is missing or of the wrong kind."""
    if DIGEST in manifest and _digest_or_none(manifest) != manifest[DIGEST]:
        return "its contents are not those that it was written with"
    rules: dict[str, bool] = {
        "files": _is_texts(manifest.get("files")),
        "verdict": isinstance(manifest.get("verdict"), dict) and {"deploy", "reason"} <= manifest["verdict"].keys(),
        "labels": isinstance(manifest.get("labels"), list) and all(isinstance(n, str) for n in manifest["labels"]),
        "dim": type(manifest.get("dim")) is int,
        "target": _is_number(manifest.get("target")),
        "targets": isinstance(manifest.get("targets"), list) and all(map(_is_target, manifest["targets"])),
        "embedder": isinstance(manifest.get("embedder"), dict) and type(manifest["embedder"].get("fingerprint")) is str,
    }
    return next((f"`{name}` is missing or not what it should be" for name, right in rules.items() if not right), None)


def _digest_or_none(manifest: dict[str, Any]) -> str | None:
    try:
        return manifest_digest(manifest)
    except ValueError:  # NaN, which is no JSON
        return None


def _is_texts(values: Any) -> bool:
    return isinstance(values, dict) and all(isinstance(value, str) for value in values.values())


def _is_target(entry: Any) -> bool:
    if not isinstance(entry, dict) or not _is_number(entry.get("target")) or type(entry.get("certified")) is not bool:
        return False
    return not entry["certified"] or (_is_number(entry.get("threshold")) and 0 <= entry["threshold"] <= 1)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and value == value
