"""Data -> the texts of dvc.yaml and params.yaml, under a header that says where they come from."""

from __future__ import annotations

import re
from typing import Any

from tracer_cli.artifacts import sha256_json
from tracer_cli.compile.dvc import dvc_data
from tracer_cli.compile.emit import emit
from tracer_cli.config.resolve import params_of
from tracer_cli.config.schema import Config

HEADER = "# generated from tracer.yaml by `tracer compile`; edit that file\n"

_GENERATED = re.compile(r"^# generated from tracer\.yaml by `tracer compile`", re.MULTILINE)
_DIGEST = re.compile(r"^# sha256 of the values: ([0-9a-f]{64})", re.MULTILINE)


def dvc_yaml(config: Config, embedder_path: str | None = None) -> str:
    return dvc_text(dvc_data(config, embedder_path))


def dvc_text(data: dict[str, Any]) -> str:
    return HEADER + emit(data)


def params_yaml(config: Config) -> str:
    """The header carries a digest of the values, which an edit by hand breaks and an old file keeps."""
    values = params_of(config)
    return f"{HEADER}# sha256 of the values: {sha256_json(values)}\n{emit(values)}"


def is_generated(text: str) -> bool:
    return bool(_GENERATED.search(text))


def is_as_generated(text: str, values: Any) -> bool:
    """Whether `values`, read from `text`, are those that its header was written for."""
    match = _DIGEST.search(text)
    try:
        return match is not None and match[1] == sha256_json(values)
    except ValueError:  # .nan or .inf, which nothing generated holds
        return False
