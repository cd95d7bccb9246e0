"""The compiled files as they lie in the project: whether they are ours, stale, or edited by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracer_cli.artifacts import read_bytes
from tracer_cli.compile.dvc import dvc_data
from tracer_cli.compile.text import HEADER, is_as_generated, is_generated
from tracer_cli.config.document import Document, KeyPath, key_path, parse
from tracer_cli.config.load import FILE_NAME as TRACER_YAML
from tracer_cli.config.paths import dependency, inside, normal
from tracer_cli.config.resolve import params_of, source_key
from tracer_cli.config.schema import CallableEmbedder, Config, SentenceTransformersEmbedder
from tracer_cli.errors import ConfigError

DVC_YAML = "dvc.yaml"
PARAMS_YAML = "params.yaml"
# An input of the report, which must be there; `tracer update` writes the facts of the policy before into it.
PREVIOUS, NO_PREVIOUS = "metrics/previous.json", "{}\n"

_MISSING = object()


@dataclass(frozen=True)
class Existing:
    """One compiled file: its text ('' when there is none) and its values (None when it is not a mapping)."""

    text: str = ""
    values: dict[str, Any] | None = None
    problem: ConfigError | None = field(default=None, compare=False)


def read_existing(path: Path) -> Existing:
    if not path.exists():
        return Existing()
    text = read_bytes(path).decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    document = parse(text, str(path))
    if document.problems:
        return Existing(text, None, document.error(document.problems))
    values = document.plain()
    return Existing(text, values if isinstance(values, dict) else None)


def existing_dvc(root: Path) -> Existing:
    """dvc.yaml. Raises ConfigError when it is not one that tracer wrote, or cannot be read."""
    path = root / DVC_YAML
    existing = read_existing(path)
    if existing.text and not is_generated(existing.text):
        raise ConfigError(
            f"{path}: it was not written by tracer, so it is left as it is. Move it into a folder of its own "
            "(DVC finds a dvc.yaml in any folder), then run `tracer compile`: it writes this one"
        )
    if existing.problem:
        raise ConfigError(f"{existing.problem}\nRepair {path}, or delete it, then run `tracer compile`")
    return existing


def existing_params(root: Path) -> Existing:
    """params.yaml. Raises ConfigError when it is not one that tracer wrote."""
    path = root / PARAMS_YAML
    existing = read_existing(path)
    if existing.text and not is_generated(existing.text):
        raise ConfigError(
            f"{path}: it was not written by tracer, so it is left as it is. Rename it, then run `tracer compile`: "
            "tracer keeps its resolved values under this name"
        )
    return existing


def params_are_fresh(existing: Existing, values: dict[str, Any]) -> bool:
    """Whether params.yaml holds these values, under the header that was written for them."""
    return existing.values == values and is_as_generated(existing.text, existing.values)


def wanted_dvc(root: Path, config: Config, existing: dict[str, Any] | None) -> dict[str, Any]:
    """What dvc.yaml should hold: ours, `frozen` as it stands, and what people or DVC added."""
    wanted = dvc_data(config, embedder_path(root, config))
    existing = existing or {}
    old_stages = existing.get("stages") if isinstance(existing.get("stages"), dict) else {}
    stages: dict[str, Any] = wanted["stages"]
    for name, stage in (old_stages or {}).items():
        if name not in stages:
            stages[name] = stage
        elif isinstance(stage, dict) and "frozen" in stage:
            stages[name]["frozen"] = stage["frozen"]
    if isinstance(existing.get("plots"), list):
        wanted["plots"] = _beside(existing["plots"], wanted["plots"])
    if isinstance(existing.get("artifacts"), dict):
        wanted["artifacts"] = _annotated(existing["artifacts"], wanted["artifacts"])
    return {**wanted, **{key: value for key, value in existing.items() if key not in wanted}}


def _beside(existing: list[Any], ours: list[dict[str, Any]]) -> list[Any]:
    """Our pictures where they stand in the list, or at its end; all others as they are."""
    missing = {name: {name: plot} for entry in ours for name, plot in entry.items()}
    kept = []
    for entry in existing:
        (name,) = entry if isinstance(entry, dict) and len(entry) == 1 else (None,)
        kept.append(missing.pop(name, entry) if isinstance(name, str) else entry)
    return [*kept, *missing.values()]


def _annotated(existing: dict[str, Any], ours: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Artifacts of people as they are, and ours with what people added to it, such as `labels` and `meta`."""
    merged = dict(existing)
    for name, artifact in ours.items():
        found = existing.get(name)
        merged[name] = {**artifact, **found, **artifact} if isinstance(found, dict) else artifact
    return merged


def embedder_path(root: Path, config: Config) -> str | None:
    """What of the embedder DVC should watch: its model's folder, or the file of its function, when it is the project's.

    A folder is taken when it is there, or tracked by DVC and not pulled yet.
    """
    embedder = config.embedder
    if isinstance(embedder, CallableEmbedder):
        module = embedder.function.partition(":")[0].replace(".", "/")
        return next((path for path in (f"{module}.py", f"{module}/__init__.py") if (root / path).is_file()), None)
    if not isinstance(embedder, SentenceTransformersEmbedder):
        return None
    path = normal(embedder.model)
    if path == "." or path.startswith(("/", "../")) or path == "..":
        return None
    sources = [dependency(source.path) for source in config.traces]
    there = (root / path).is_dir() or (root / f"{path}.dvc").is_file() or embedder.model.startswith("./")
    return path if there and not any(inside(source, path) for source in sources) else None


def differences(old: Any, new: Any, at: KeyPath = ()) -> Iterator[tuple[KeyPath, Any, Any]]:
    """Each place where two trees of mappings differ, with both values; a missing one is `None`."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*new, *old]):
            yield from differences(old.get(key, _MISSING), new.get(key, _MISSING), (*at, key))
    elif old is _MISSING or new is _MISSING or old != new:
        yield at, None if old is _MISSING else old, None if new is _MISSING else new


def hand_edits(root: Path, existing: Existing, document: Document, config: Config) -> str | None:
    """What was written into params.yaml by hand, as a message that says where to write it; None when nothing was.

    A file whose values its own header vouches for is only old: tracer.yaml was edited since. One whose values
    already are the right ones needs no message either.
    """
    wanted = params_of(config)
    if existing.values is None or existing.values == wanted or is_as_generated(existing.text, existing.values):
        return None
    lines = [
        f"{root / PARAMS_YAML}: edited by hand, but its values come from {TRACER_YAML} and would be lost. "
        "Write them there, then run `tracer compile`:"
    ]
    override = None
    for at, found, by_source in differences(existing.values, wanted):
        source = source_key(at, existing.values)
        if source is None:
            lines.append(f"  {key_path(at)} is {found!r} here: no key of {TRACER_YAML} sets it; take it out")
            continue
        lines.append(
            f"  {key_path(at)} is {found!r} here and {by_source!r} by {TRACER_YAML}: {_advice(document, source)}"
        )
        if override is None and isinstance(found, str | int | float):
            override = f"{key_path(source)}={found}"
    if override:
        lines.append(f"For an experiment: dvc exp run -S {TRACER_YAML}:{override}")
    return "\n".join(lines)


def _advice(document: Document, source: KeyPath) -> str:
    place = document.place(source, key=True)
    where = f"{document.name}:{place.line}"
    if document.has(source):
        return f"write {key_path(source)} at {where}"
    return f"write {key_path(source)}, which is not there yet, near {where}"


def other_comments(text: str) -> bool:
    """Whether dvc.yaml holds comment lines besides our header: they do not survive a rewrite."""
    return any(line.lstrip().startswith("#") and f"{line}\n" != HEADER for line in text.splitlines())
