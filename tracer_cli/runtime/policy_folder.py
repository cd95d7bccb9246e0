"""Loading a policy folder: every file is checked against the manifest before anything of it is used.

Nothing in the folder can run code when it is loaded: JSON, .npy without pickle, and an ONNX graph.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer_cli.artifacts import MANIFEST_SCHEMA, read_bytes
from tracer_cli.errors import PolicyError, PolicyIntegrityError, PolicyNotCertifiedError


@dataclass(frozen=True)
class PolicyFolder:
    """A policy whose files are those that the manifest names. graph: the bytes that were checked."""

    path: Path
    manifest: dict[str, Any]
    graph: bytes

    @property
    def embedder(self) -> Path:
        return self.path / "embedder"


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the policy folder `path`, of a version this package reads; PolicyError otherwise."""
    file = path / "manifest.json"
    if not file.is_file():
        raise PolicyError(f"{path} is not a policy folder: it has no manifest.json; run `dvc repro` or `tracer fit`")
    try:
        manifest = json.loads(read_bytes(file))
        schema = manifest["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise PolicyIntegrityError(f"{file} is not a policy manifest; run the guard stage again") from error
    if schema != MANIFEST_SCHEMA:
        raise PolicyError(
            f"{file} has manifest schema {schema!r}, this version of tracer reads {MANIFEST_SCHEMA}: "
            "upgrade tracer, or fit the policy again"
        )
    return dict(manifest)


def load(path: Path) -> PolicyFolder:
    """Check the digests and the verdict.

    Raises PolicyIntegrityError (which file is missing or altered), PolicyNotCertifiedError (why the guard
    did not pass it) or PolicyError (no policy, or of another version).
    """
    manifest = read_manifest(path)
    graph = b""
    for name, expected in sorted(manifest["files"].items()):
        file = path / name
        if not file.is_file():
            raise PolicyIntegrityError(f"{file} is missing: the policy is incomplete; copy or fit it again")
        data = read_bytes(file)
        if hashlib.sha256(data).hexdigest() != expected:
            raise PolicyIntegrityError(
                f"{file} is not the file that {path / 'manifest.json'} names (its sha256 differs): "
                "it was altered or comes from another fit; copy or fit the policy again"
            )
        if name == "policy.onnx":
            graph = data
    if not graph:
        raise PolicyIntegrityError(f"{path / 'manifest.json'} names no policy.onnx; fit the policy again")
    verdict = manifest["verdict"]
    if verdict["deploy"] is not True:
        raise PolicyNotCertifiedError(f"the guard did not pass the policy in {path}: {verdict['reason']}")
    return PolicyFolder(path, manifest, graph)
