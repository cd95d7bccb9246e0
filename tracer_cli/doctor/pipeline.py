"""Checks of the pipeline: tracer.yaml and what is compiled from it, what DVC ran, traces, holdout, embedder, policy."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

from tracer_cli.artifacts import Layout, read_bytes, read_json, read_table
from tracer_cli.compile.existing import (
    DVC_YAML,
    PARAMS_YAML,
    Existing,
    differences,
    embedder_path,
    existing_dvc,
    existing_params,
    hand_edits,
    wanted_dvc,
)
from tracer_cli.compile.text import is_as_generated
from tracer_cli.config.document import KeyPath, key_path, parse
from tracer_cli.config.load import FILE_NAME
from tracer_cli.config.paths import dependency, normal
from tracer_cli.config.resolve import params_of
from tracer_cli.config.schema import (
    CallableEmbedder,
    Config,
    EndpointEmbedder,
    PrecomputedEmbedder,
    SentenceTransformersEmbedder,
)
from tracer_cli.core.splits import HOLDOUT_PERCENTS, auto_holdout_share
from tracer_cli.doctor import catalogue as kinds
from tracer_cli.doctor.findings import Finding, counted, fine, several
from tracer_cli.doctor.project import DVC_LOCK, Project
from tracer_cli.errors import (
    ConfigError,
    DataError,
    EmbedderError,
    PolicyError,
    PolicyNotCertifiedError,
    StorageError,
)
from tracer_cli.traces.read.files import TraceFile, find_files

# The modules that tell whether an extra is installed.
EXTRA = {
    "embeddings": ("sentence_transformers", "torch"),
    "onnx": ("sentence_transformers", "torch", "optimum.onnxruntime"),
    "openvino": ("sentence_transformers", "torch", "openvino", "optimum.intel"),
}


# --- tracer.yaml and what is compiled from it ------------------------------------------------------


def configuration(project: Project) -> Iterator[Finding]:
    error = project.configuration_error
    if not (project.root / FILE_NAME).exists():
        yield kinds.NO_CONFIGURATION.found(f"{project.root / FILE_NAME}: no such file", file=FILE_NAME)
    elif error is not None:
        place = re.search(rf"{re.escape(FILE_NAME)}:(\d+):", str(error))
        yield kinds.CONFIGURATION.found(str(error), file=FILE_NAME, line=int(place[1]) if place else None)
    else:
        config = project.config
        yield fine(
            "configuration",
            f"{FILE_NAME} is valid: {counted(len(config.traces), 'source')}, {config.embedder.kind}, "
            f"{counted(len(config.zoo), 'model')}, target {config.targets.agreement:g}",
        )


def compiled(project: Project) -> Iterator[Finding]:
    found = [*_dvc_yaml(project), *_params_yaml(project)]
    yield from found or [fine("compiled", f"{DVC_YAML} and {PARAMS_YAML} are what {FILE_NAME} compiles to")]


def _dvc_yaml(project: Project) -> Iterator[Finding]:
    config = project.config
    try:
        graph = existing_dvc(project.root)
    except (ConfigError, StorageError) as error:
        yield kinds.UNUSABLE_FILE.found(str(error), file=DVC_YAML)
        return
    if not graph.text:
        yield kinds.STALE_DVC_YAML.found("no such file, or an empty one", file=DVC_YAML)
        return
    stale = [at for at, _, _ in differences(graph.values or {}, wanted_dvc(project.root, config, graph.values))]
    if stale:
        yield kinds.STALE_DVC_YAML.found(
            f"stale at {several([key_path(at) for at in stale])}", file=DVC_YAML, line=_line(graph, stale[0])
        )


def _params_yaml(project: Project) -> Iterator[Finding]:
    document, config = project.document
    try:
        params = existing_params(project.root)
    except (ConfigError, StorageError) as error:
        yield kinds.UNUSABLE_FILE.found(str(error), file=PARAMS_YAML)
        return
    wanted = params_of(config)
    if not params.text:
        yield kinds.STALE_PARAMS.found("no such file, or an empty one", file=PARAMS_YAML)
        return
    changes = list(differences(params.values or {}, wanted))
    line = _line(params, changes[0][0]) if changes else None
    edits = hand_edits(project.root, params, document, config)
    if edits or params.problem:
        yield kinds.EDITED_PARAMS.found(edits or str(params.problem), file=PARAMS_YAML, line=line)
    elif changes:
        at, old, new = changes[0]
        more = f", and {len(changes) - 1} more differ" if len(changes) > 1 else ""
        text = f"{key_path(at)} is {old!r} here and {new!r} by {FILE_NAME}{more}"
        yield kinds.STALE_PARAMS.found(text, file=PARAMS_YAML, line=line)
    elif not is_as_generated(params.text, params.values):
        yield kinds.STALE_PARAMS.found("its header is not the one of its values", file=PARAMS_YAML)


def _line(existing: Existing, at: KeyPath) -> int:
    return parse(existing.text, "").place(at, key=True).line


# --- what DVC ran ----------------------------------------------------------------------------------


def lock(project: Project) -> Iterator[Finding]:
    if DVC_LOCK in project.conflicts:  # told where all files with conflicts are
        return
    if isinstance(project.lock, str):
        line = re.search(r"line (\d+)", project.lock)
        yield kinds.LOCK_UNREADABLE.found(
            f"it cannot be read: {project.lock}", file=DVC_LOCK, line=int(line[1]) if line else None
        )
        return
    if not project.lock:
        yield kinds.NO_LOCK.found("no such file", file=DVC_LOCK)
        return
    missing = [] if project.configuration_error else [s for s in _stages(project.config) if s not in project.lock]
    if missing:
        yield kinds.LOCK_INCOMPLETE.found(f"it does not hold {several(missing)}", file=DVC_LOCK)
    gone = [path for path in project.outs_of_lock() if not (project.root / path).exists()]
    if gone:
        yield kinds.OUTPUTS_MISSING.found(f"not in this folder: {several(gone)}", file=DVC_LOCK)
    if not missing and not gone:
        yield fine("dvc.lock", f"{counted(len(project.lock), 'stage')} run, with the outputs here")


def _stages(config: Config) -> list[str]:
    trained = [f"train@{slug}" for slug in config.slugs()]
    return ["resolve", "ingest", "embed", *trained, "calibrate", "guard", "report"]


# --- traces ----------------------------------------------------------------------------------------


def traces(project: Project) -> Iterator[Finding]:
    files: list[TraceFile] = []
    for index, source in enumerate(project.config.traces):
        try:
            files += find_files(project.root, source.path)
        except DataError as error:
            line = project.line_of("traces", index, "path")
            target = project.kept_by_dvc(dependency(source.path))
            kind = kinds.NEVER_PULLED if source.pull else kinds.TRACES_MISSING
            kind = kinds.NOT_PULLED if target else kind
            yield kind.found(str(error), file=FILE_NAME, line=line, target=target, index=index)
        variable = source.pull.source_env if source.pull else None
        if variable is not None and not os.environ.get(variable):
            line = project.line_of("traces", index, "pull", "source_env")
            text = f"the environment variable {variable}, which traces[{index}].pull.source_env names, is not set"
            yield kinds.SOURCE_VARIABLE.found(text, file=FILE_NAME, line=line, variable=variable)
    if not files:
        return
    newest, where = _newest(project.layout, files)
    age = datetime.now(timezone.utc) - newest
    text = f"the newest trace is of {newest:%Y-%m-%d}, {age.days} days ago ({where})"
    if age > timedelta(days=kinds.OLD_TRACES_DAYS):
        yield kinds.OLD_TRACES.found(text)
    else:
        yield fine("traces", f"{counted(len(files), 'file')}; {text}")


def _newest(layout: Layout, files: list[TraceFile]) -> tuple[datetime, str]:
    """The time of the newest trace and where it comes from: the traces themselves, as last ingested, or their files."""
    newest = [time for path in (layout.fit, layout.holdout) if (time := _last_timestamp(path))]
    if newest:
        return max(newest), "by the timestamps that were last ingested"
    last = max(file.path.stat().st_mtime for file in files)
    return datetime.fromtimestamp(last, timezone.utc), "by the dates of the files"


def _last_timestamp(table: Path) -> datetime | None:
    import pyarrow.compute as pc

    if not table.is_file():
        return None
    try:
        found = pc.max(read_table(table, ["timestamp"])["timestamp"]).as_py()
    except StorageError:  # of a run that broke off
        return None
    return found if isinstance(found, datetime) else None


# --- holdout ---------------------------------------------------------------------------------------


def holdout(project: Project) -> Iterator[Finding]:
    config, path = project.config, project.layout.traces_metrics
    name = project.name(path)
    if not path.is_file():
        yield fine("holdout", f"not known before the stage ingest has run: there is no {name}")
        return
    try:
        metrics = read_json(path)
        rows = int(metrics["holdout_rows"])
        distinct = rows + int(metrics["fit_rows"]) - int(metrics.get("deferred_texts", 0))  # those are no evidence
    except (StorageError, KeyError, TypeError, ValueError) as error:
        if name not in project.conflicts:
            yield kinds.METRICS_UNREADABLE.found(f"it cannot be read: {error!r}", file=name, path=name)
        return
    crossfit = config.targets.evidence == "crossfit"
    evidence = distinct if crossfit else rows
    which = "texts, fit rows and holdout," if crossfit else "held-out texts"
    short = {target: n for target in config.targets.all if evidence < (n := _needed(config, target))}
    agreement, line = config.targets.agreement, project.line_of("targets", "agreement")
    if agreement in short:
        yield kinds.HOLDOUT_TOO_SMALL.found(
            f"{evidence:,} {which} are the evidence; {agreement:g} at confidence {config.targets.confidence:g} takes "
            f"at least {short[agreement]:,}",
            file=FILE_NAME,
            line=line,
            missing=_missing(config, distinct, short[agreement]),
        )
    frontier = {target: n for target, n in short.items() if target != agreement}
    if frontier:
        most = max(frontier.values())
        yield kinds.FRONTIER_OUT_OF_REACH.found(
            f"{evidence:,} {which} are the evidence; {several([f'{t:g}' for t in frontier])} take up to {most:,}",
            file=FILE_NAME,
            line=project.line_of("targets", "frontier"),
            missing=_missing(config, distinct, most),
        )
    rule = config.rules.min_holdout
    if isinstance(rule, int) and evidence < rule:
        yield kinds.HOLDOUT_BELOW_RULE.found(
            f"{evidence:,} {which} are the evidence; rules.min_holdout asks for {rule:,}",
            file=FILE_NAME,
            line=project.line_of("rules", "min_holdout"),
            missing=_missing(config, distinct, rule),
        )
    elif not short:
        least = _needed(config, agreement)
        yield fine("holdout", f"{evidence:,} {which} are the evidence; {agreement:g} takes at least {least:,}")


def _needed(config: Config, target: float) -> int:
    """The fewest texts with which a policy that handles all of them and never differs would be certified."""
    from tracer_cli.core.power import MOST_ROWS, fewest_rows

    targets = config.targets
    return fewest_rows(target, targets.confidence, targets.evidence, targets.scope) or MOST_ROWS


def _missing(config: Config, distinct: int, evidence: int) -> str:
    """How many more distinct texts make an evidence of that size, for people."""
    if config.targets.evidence == "crossfit":
        wanted = evidence
    elif config.split.holdout != "auto":
        wanted = ceil(evidence / config.split.holdout)
    else:
        shares = [percent / 100 for percent in HOLDOUT_PERCENTS] + [auto_holdout_share(0)]
        counts = sorted(ceil(evidence / share) for share in shares)
        wanted = next(n for n in counts if n * auto_holdout_share(n) >= evidence)
    return f"{max(wanted - distinct, 1):,}"


# --- embedder --------------------------------------------------------------------------------------


def embedder(project: Project) -> Iterator[Finding]:
    settings = project.config.embedder
    if isinstance(settings, PrecomputedEmbedder):
        yield from _vectors(project, settings)
    elif isinstance(settings, SentenceTransformersEmbedder):
        yield from _model(project, settings)
    elif isinstance(settings, EndpointEmbedder):
        yield from _endpoint(project, settings)
    elif isinstance(settings, CallableEmbedder):
        yield from _function(project, settings)
    else:
        yield fine("embedder", f"{settings.kind} needs nothing from outside")


def _endpoint(project: Project, settings: EndpointEmbedder) -> Iterator[Finding]:
    """Whether the key is there; the service itself is not asked."""
    from tracer_cli.embedders.request import address

    variable = settings.key_env
    if variable is None or os.environ.get(variable):
        key = f" with the key in {variable}" if variable else ""
        yield fine("embedder", f"the endpoint {address(settings.url)}{key}")
        return
    line = project.line_of("embedder", "key_env")
    text = f"the environment variable {variable}, which embedder.key_env names, is not set"
    yield kinds.KEY_MISSING.found(text, file=FILE_NAME, line=line, variable=variable)


def _function(project: Project, settings: CallableEmbedder) -> Iterator[Finding]:
    """Whether the module is there; nothing of it is run."""
    module = settings.function.partition(":")[0]
    path = embedder_path(project.root, project.config)
    if path is not None or find_spec(module.partition(".")[0]) is not None:
        yield fine("embedder", f"the function {settings.function}{f' in {path}' if path else ''}")
        return
    line = project.line_of("embedder", "function")
    yield kinds.FUNCTION_MISSING.found(f"embedder.function: no module {module}", file=FILE_NAME, line=line)


def _vectors(project: Project, settings: PrecomputedEmbedder) -> Iterator[Finding]:
    path = project.root / settings.path
    if path.is_file():
        yield fine("embedder", f"precomputed vectors in {settings.path}")
        return
    target = project.kept_by_dvc(normal(settings.path))
    kind = kinds.NOT_PULLED if target else kinds.VECTORS_MISSING
    line = project.line_of("embedder", "path")
    yield kind.found(f"embedder.path: no such file: {settings.path}", file=FILE_NAME, line=line, target=target)


def _model(project: Project, settings: SentenceTransformersEmbedder) -> Iterator[Finding]:
    from tracer_cli.embedders.sentence_transformers import source_of

    line = project.line_of("embedder", "model") or project.line_of("embedder")
    missing = [package for package in EXTRA[settings.extra] if not _installed(package)]
    if missing:
        text = f"embedder kind {settings.kind} needs {' and '.join(missing)}, not installed beside {sys.executable}"
        yield kinds.EXTRA_MISSING.found(text, file=FILE_NAME, line=line, python=sys.executable, extra=settings.extra)
    name = settings.model
    try:
        source = source_of(name, project.root)
    except EmbedderError as error:
        target = project.kept_by_dvc(normal(name))
        kind = kinds.NOT_PULLED if target else kinds.MODEL_FOLDER
        yield kind.found(str(error), file=FILE_NAME, line=line, target=target)
        return
    if missing:
        return
    if source != name:
        yield fine("embedder", f"the model in the folder {name}")
    else:
        yield from _hub_model(name, line)


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it would be in
        return False


def _hub_model(name: str, line: int | None) -> Iterator[Finding]:
    """Looks into the hub's local cache, never into the network."""
    from huggingface_hub import constants, try_to_load_from_cache

    repositories = [name] if "/" in name else [f"sentence-transformers/{name}", name]
    cache = os.environ.get("SENTENCE_TRANSFORMERS_HOME") or None
    cached = any(
        isinstance(try_to_load_from_cache(repository, file, cache_dir=cache), str)
        for repository in repositories
        for file in ("modules.json", "config.json")
    )
    if cached:
        yield fine("embedder", f"the model {name} is in the local cache of the hub")
        return
    kind = kinds.MODEL_OFFLINE if constants.HF_HUB_OFFLINE else kinds.MODEL_NOT_CACHED
    yield kind.found(
        f"the model {name} is not in the local cache ({cache or constants.HF_HUB_CACHE})", file=FILE_NAME, line=line
    )


# --- policy ----------------------------------------------------------------------------------------


def policy(project: Project) -> Iterator[Finding]:
    from tracer_cli.runtime.policy_folder import load

    manifest = project.layout.manifest
    if not manifest.is_file():
        yield kinds.NO_POLICY.found(f"there is no {project.name(manifest)}")
        return
    ok = True
    try:
        load(project.layout.policy)
    except PolicyNotCertifiedError as error:
        ok = False
        yield kinds.POLICY_BLOCKED.found(str(error))
    except (PolicyError, StorageError, KeyError, TypeError, AttributeError) as error:
        yield kinds.POLICY_UNLOADABLE.found(str(error) if isinstance(error, PolicyError) else f"{error!r}")
        return
    recorded = project.outs_of_lock().get(project.name(manifest))
    if recorded and recorded != _md5(manifest):
        yield kinds.POLICY_NOT_OF_LOCK.found(f"it is not the one that {DVC_LOCK} records", file=project.name(manifest))
    elif ok:
        data: dict[str, Any] = read_json(manifest)
        yield fine("policy", f"{project.name(project.layout.policy)} loads; certified at {data['target']:g}")


def _md5(path: Path) -> str:
    return hashlib.md5(read_bytes(path), usedforsecurity=False).hexdigest()
