"""Config <-> the data of params.yaml: every default explicit, grouped by the stage that reads it, values only.

A stage reads params.yaml and never tracer.yaml, so what DVC hashes and shows in `dvc params diff` is what ran.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tracer_cli.artifacts import STAGE_VERSIONS
from tracer_cli.config.document import KeyPath, read
from tracer_cli.config.load import problem_texts
from tracer_cli.config.schema import SCHEMA_VERSION, Config, slug
from tracer_cli.errors import ConfigError

FILE_NAME = "params.yaml"

_RENEW = (
    "it was edited, or written by another version of tracer: run `tracer compile`, which writes it anew from "
    "tracer.yaml, and then again"
)


def params_of(config: Config) -> dict[str, Any]:
    values = config.model_dump(mode="json", by_alias=True)
    split, targets = values["split"], values["targets"]
    pull = [{"traces": index, **source.pop("pull")} for index, source in enumerate(values["traces"]) if source["pull"]]
    for source in values["traces"]:
        source.pop("pull", None)
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
        "pull": pull,
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
            "traces": _with_pull(params["ingest"]["traces"], params["pull"]),
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
    except KeyError as error:
        raise ConfigError(_other_version(f"{error.args[0]} is missing")) from error
    except (TypeError, AttributeError, IndexError) as error:
        raise ConfigError(_other_version("a section of it is not a mapping")) from error
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_other_version(problem_texts(raw, FILE_NAME, error)[0])) from error


def require_version(params: dict[str, Any], stage: str) -> None:
    """Raises ConfigError when the values were written for another version of the stage's code than this one.

    DVC would note the wrong version down in dvc.lock, and take the result for that of the old code.
    """
    versions = params.get("stage_version")
    written = versions.get(stage) if isinstance(versions, dict) else None
    now = STAGE_VERSIONS[stage]
    if written != now:
        raise ConfigError(
            f"{FILE_NAME}: stage_version.{stage} is {written}, and this tracer's code is version {now}; {_RENEW}"
        )


def _other_version(what: str) -> str:
    return f"{FILE_NAME}: {what}; {_RENEW}"


def read_params(path: Path) -> dict[str, Any]:
    """params.yaml as data. Raises ConfigError when it is missing or is not a YAML mapping."""
    if not path.exists():
        raise ConfigError(f"{path}: no such file; `tracer compile` writes it from tracer.yaml")
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
        case ("pull", int(index), *rest) if index < len(pulls := params.get("pull", [])):
            return ("traces", int(pulls[index]["traces"]), "pull", *(key for key in rest if key != "traces"))
        case ("pull", *_):
            return ("traces",)
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


def _with_pull(sources: list[dict[str, Any]], pulls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sources as tracer.yaml has them: no stage reads `pull`, so it is a group of its own in params.yaml."""
    whole = [dict(source) for source in sources]
    for pull in pulls:
        whole[pull["traces"]]["pull"] = {key: value for key, value in pull.items() if key != "traces"}
    return whole


def _models(params: dict[str, Any]) -> list[dict[str, Any]]:
    return list(params["train"]["zoo"].values())
