"""Config <-> the data of params.yaml: every default explicit, grouped by the stage that reads it, values only.

A stage reads params.yaml and never tracer.yaml, so what DVC hashes and shows in `dvc params diff` is what ran.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tracer_cli.artifacts import STAGE_VERSIONS
from tracer_cli.config.document import KeyPath, key_path, read
from tracer_cli.config.schema import SCHEMA_VERSION, Config, slug
from tracer_cli.errors import ConfigError

FILE_NAME = "params.yaml"


def params_of(config: Config) -> dict[str, Any]:
    values = config.model_dump(mode="json", by_alias=True)
    split, targets = values["split"], values["targets"]
    return {
        "project": values["project"],
        "seed": values["seed"],
        "stage_version": dict(STAGE_VERSIONS),
        "ingest": {
            "traces": values["traces"],
            "split": {key: split[key] for key in ("holdout", "by")},
            "evidence": targets["evidence"],
        },
        "embed": {"embedder": values["embedder"]},
        "train": {
            "folds": split["folds"],
            "evidence": targets["evidence"],
            "zoo": {slug(name): {"name": name, **model} for name, model in values["zoo"].items()},
        },
        "calibrate": {
            "targets": {key: value for key, value in targets.items() if key != "min_coverage"},
            "acceptor": values["acceptor"],
            "blend": values["blend"],
        },
        "guard": {"min_coverage": targets["min_coverage"]},
        "report": {"cost": values["cost"]},
        "rules": values["rules"],
        "outputs": values["outputs"],
    }


def config_of(params: dict[str, Any]) -> Config:
    """The inverse of `params_of`. Raises ConfigError when `params` is not of that shape."""
    try:
        zoo = {model["name"]: {k: v for k, v in model.items() if k != "name"} for model in _models(params)}
        raw = {
            "schema": SCHEMA_VERSION,
            "project": params["project"],
            "seed": params["seed"],
            "traces": params["ingest"]["traces"],
            "split": {**params["ingest"]["split"], "folds": params["train"]["folds"]},
            "embedder": params["embed"]["embedder"],
            "zoo": zoo,
            "blend": params["calibrate"]["blend"],
            "acceptor": params["calibrate"]["acceptor"],
            "targets": {**params["calibrate"]["targets"], **params["guard"]},
            "cost": params["report"]["cost"],
            "rules": params["rules"],
            "outputs": params["outputs"],
        }
        return Config.model_validate(raw)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{FILE_NAME}: {error} is missing or misplaced; `tracer compile` writes the file anew"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = (*first["loc"], *first.get("ctx", {}).get("at", ()))
        raise ConfigError(
            f"{FILE_NAME}: {key_path(at)}: {first['msg']}; `tracer compile` writes the file anew"
        ) from error


def read_params(path: Path) -> dict[str, Any]:
    """params.yaml as data. Raises ConfigError when it is missing or is not a YAML mapping."""
    document = read(path)
    if document.problems:
        raise ConfigError(f"{document.error(document.problems)}\n`tracer compile` writes {path.name} anew")
    if not isinstance(document.data, dict):
        raise ConfigError(f"{document.name}: it holds no values; `tracer compile` writes it anew")
    values: dict[str, Any] = document.plain()
    return values


def source_key(at: KeyPath, params: dict[str, Any]) -> KeyPath | None:
    """The key of tracer.yaml that decides the value at `at` in params.yaml; None when no key does."""
    match at:
        case ("project" | "seed" | "rules" | "outputs", *_):
            return at
        case ("ingest", "traces" | "split", *_) | ("embed", "embedder", *_) | ("report", "cost", *_):
            return at[1:]
        case ("calibrate", "targets" | "acceptor" | "blend", *_):
            return at[1:]
        case ("ingest" | "train", "evidence"):
            return ("targets", "evidence")
        case ("train", "folds"):
            return ("split", "folds")
        case ("train", "zoo", name, *rest):
            model = params.get("train", {}).get("zoo", {}).get(name, {})
            return ("zoo", str(model.get("name", name)), *(key for key in rest if key != "name"))
        case ("guard", "min_coverage"):
            return ("targets", "min_coverage")
    return None


def _models(params: dict[str, Any]) -> list[dict[str, Any]]:
    return list(params["train"]["zoo"].values())
