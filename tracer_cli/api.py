"""The Python API: `import tracer_cli as tracer`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from tracer_cli import embedders, record
from tracer_cli.artifacts import Layout, exclusive, read_bytes, read_json, sha256_file, write_array, write_bytes
from tracer_cli.config.document import key_path
from tracer_cli.config.load import FILE_NAME, load_config
from tracer_cli.config.schema import Config, EndpointEmbedder, ModelEmbedder
from tracer_cli.config.sections import embedder_problems
from tracer_cli.embedders import Cache, Embedder, checked
from tracer_cli.embedders.cache import CachedEmbedder
from tracer_cli.embedders.text_features import TextFeaturesEmbedder
from tracer_cli.embedders.tfidf import TfidfEmbedder
from tracer_cli.errors import ConfigError, DataError
from tracer_cli.progress import Progress, silent
from tracer_cli.record import Record
from tracer_cli.stages import calibrate, fit_rows, guard, ingest, report, train
from tracer_cli.stages import embed as stage_embed
from tracer_cli.swap import replacing_policy
from tracer_cli.traces.read.files import find_files
from tracer_cli.traces.recognise import declared


@dataclass(frozen=True)
class FitConfig:
    """What to fit, with tracer-llm's names where it has them.

    embedder, zoo, acceptor, blend: as in tracer.yaml; None for the defaults. embedder may also be an Embedder,
    which is used as it is. text_field, label_field: None to find them by their usual names. confidence: the
    certificate fails with at most 1 - confidence.
    """

    target_teacher_agreement: float = 0.95
    frontier_targets: Sequence[float] = (0.85, 0.90, 0.95, 0.98)
    min_deploy_coverage: float = 0.05
    seed: int = 0
    confidence: float = 0.95
    evidence: Literal["holdout", "crossfit"] = "holdout"
    scope: Literal["handled", "overall"] = "handled"
    method: Literal["auto", "global", "l2d", "rsb"] = "auto"
    per_label_min: float | None = None
    acceptor: dict[str, Any] | None = None
    blend: int | None = None
    embedder: dict[str, Any] | Embedder | None = None
    zoo: dict[str, dict[str, Any]] | None = None
    text_field: str | None = None
    label_field: str | None = None
    project: str = "tracer"


@dataclass(frozen=True)
class FitResult:
    """The outcome of a fit.

    deploy: whether the guard passed. coverage: certified share of the holdout that is handled; agreement: of
    the handled, the share that agrees (None when nothing is certified). notes: what a person should know.
    """

    deploy: bool
    verdict: str
    coverage: float
    agreement: float | None
    manifest: dict[str, Any]
    path: Path
    notes: list[str] = field(default_factory=list)


def fit(
    traces: str | Path,
    artifact_dir: str | Path = ".tracer",
    embeddings: ArrayLike | None = None,
    config: FitConfig | None = None,
    progress: Progress = silent,
) -> FitResult:
    """Fit and certify a routing policy from a trace file, all stages in this process, without DVC.

    traces: a JSONL, CSV or Parquet file, or a glob. artifact_dir: where the policy goes, and takes the place of an
    earlier one as a whole; what the stages pass to each other, and what `update` needs, is kept in its folder `work`,
    which a router does not need. embeddings: (rows, dim), one vector for each row of the file in its order; None for
    the configured embedder.

    Returns a FitResult whatever the verdict. Raises a TracerError when the input cannot be used.
    """
    settings = config or FitConfig()
    folder = Path(artifact_dir)
    with exclusive(folder), replaced(folder) as layout:
        given: Embedder | None = None
        section = settings.embedder
        if embeddings is not None:
            section = {"kind": "precomputed", "path": str(_store(layout, embeddings))}
        elif isinstance(section, Embedder):
            given = section
            section = stand_in(given)
        checked_config = project_config(settings, os.fspath(traces), section)
        run_all(layout, checked_config, progress, given)
        earlier = Layout.of_folder(Path(), folder)
        record.carry(earlier, layout)
        left_out = [path.name for path in record.parts(earlier)]
        record.write(layout, record_for(settings, os.fspath(traces), folder, embeddings is not None, given, left_out))
    return result_of(Layout.of_folder(Path(), folder))


@contextlib.contextmanager
def replaced(folder: Path) -> Iterator[Layout]:
    """Yield a layout for a fit that takes the place of the policy in `folder` as a whole, when the block ends.

    The caller holds the right to write `folder`. Where the traces cannot be used, the quarantine alone goes there.
    """
    with replacing_policy(folder) as new:
        layout = Layout.of_folder(Path(), new)
        try:
            yield layout
        except DataError:
            if layout.rejected.is_file():
                write_bytes(Layout.of_folder(Path(), folder).rejected, read_bytes(layout.rejected))
            raise


def record_for(
    settings: FitConfig, traces: str, folder: Path, stored: bool, given: Embedder | None, left_out: list[str]
) -> Record:
    """What to keep of a first fit. stored: whether the vectors lie in the work folder, as STORED_VECTORS."""
    section = settings.embedder
    vectors = None
    if stored:
        section = None
        vectors = record.kept(str(Layout.of_folder(Path(), folder).work / record.STORED_VECTORS), folder)
    elif isinstance(section, Embedder):
        section = None
    elif section is not None and section.get("kind") == "precomputed":
        vectors = record.kept(str(section["path"]), folder)
        section = {key: value for key, value in section.items() if key != "path"}
    return Record(
        settings=asdict(replace(settings, embedder=section)),
        traces=record.kept(traces, folder),
        digests=sorted(sha256_file(file.path) for file in find_files(Path(), traces)),
        vectors=vectors,
        given=None if given is None else given.fingerprint,
        left_out=left_out,
    )


def run_all(layout: Layout, config: Config, progress: Progress = silent, embedder: Embedder | None = None) -> None:
    """Every stage in order, as `dvc repro` runs them; embedder: in the place of the configuration's."""
    ingest.run(layout, config)
    stage_embed.run(layout, config, progress, embedder)
    rows = fit_rows.read(layout, config)
    for slug in config.slugs():
        train.run(layout, config, slug, progress, rows)
    calibrate.run(layout, config, rows)
    guard.run(layout, config)
    report.run(layout, config)


def result_of(layout: Layout) -> FitResult:
    """The outcome that the guard wrote."""
    manifest = read_json(layout.manifest)
    deployed = next(t for t in manifest["targets"] if t["target"] == manifest["target"])
    return FitResult(
        deploy=manifest["verdict"]["deploy"],
        verdict=manifest["verdict"]["reason"],
        coverage=deployed["coverage"],
        agreement=deployed["agreement"],
        manifest=manifest,
        path=layout.policy,
        notes=_notes(layout, manifest),
    )


def project_config(settings: FitConfig, traces: str, embedder: dict[str, Any] | None) -> Config:
    """What tracer.yaml would say. Raises ConfigError when the settings are not valid."""
    values: dict[str, Any] = {
        "project": settings.project,
        "seed": settings.seed,
        "traces": [_source(settings, traces)],
        "targets": {
            "agreement": settings.target_teacher_agreement,
            "frontier": list(settings.frontier_targets),
            "min_coverage": settings.min_deploy_coverage,
            "confidence": settings.confidence,
            "evidence": settings.evidence,
            "scope": settings.scope,
            "method": settings.method,
            "per_label_min": settings.per_label_min,
        },
    }
    optional = {"embedder": embedder, "zoo": settings.zoo, "acceptor": settings.acceptor, "blend": settings.blend}
    values |= {key: value for key, value in optional.items() if value is not None}
    try:
        config = Config.model_validate(values)
        lines = []
        if isinstance(config.embedder, EndpointEmbedder):
            lines = [f"{key_path(('embedder', *w.at))}: {w.message}" for w in embedder_problems(config.embedder)]
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in (*e['loc'], *e.get('ctx', {}).get('at', ())))}: {e['msg']}"
            for e in error.errors(include_url=False)
        ]
    if lines:  # not from the error, which shows the values: one may be a secret
        raise ConfigError("the settings are not valid:\n" + "\n".join(f"  {line}" for line in lines))
    return config


def _source(settings: FitConfig, traces: str) -> dict[str, Any]:
    """The source as tracer.yaml would have it: the fields that are named, else whatever the first file is."""
    if settings.text_field is not None or settings.label_field is not None:
        return {"path": traces, "text": settings.text_field, "label": settings.label_field}
    try:
        first = find_files(Path(), traces)[0]
    except DataError:  # ingest says what is wrong with the path
        return {"path": traces}
    return {"path": traces, **declared(first)}


def embed(texts: Sequence[str], embedder: Embedder | dict[str, Any] | None = None) -> NDArray[np.float32]:
    """The texts' vectors, float32 (len(texts), dim); those of a model are kept, as at a fit, and not computed again.

    embedder: an Embedder, or its settings as in tracer.yaml. None for that of the tracer.yaml in the current
    folder, where its vectors do not depend on the traces (no tfidf, precomputed or text_features); otherwise, and
    where there is none, the sentence-transformers model all-MiniLM-L6-v2.
    Raises EmbedderError, DataError for a text that is none, ConfigError for settings that are not valid.
    """
    if isinstance(texts, str):
        raise DataError("embed takes a list of texts, not one text: embed([text])")
    wrong = next((i for i, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise DataError(f"input {wrong} is not a text: {texts[wrong]!r}")
    cache = Cache()
    if not isinstance(embedder, Embedder):
        embedder = embedders.make(_own_section() if embedder is None else embedder, cache=cache)
    elif embedder.cacheable:
        embedder = CachedEmbedder(embedder, cache)
    return checked(embedder.embed(list(texts)), len(texts), embedder.dim)


def _own_section() -> dict[str, Any]:
    """The embedder section of the project in the current folder, where it can be used without its traces."""
    path = Path(FILE_NAME)
    if path.is_file():
        section = load_config(path).embedder
        if isinstance(section, ModelEmbedder) and section.text_features is None:
            return section.model_dump()
    return {"kind": "sentence-transformers"}


def stand_in(embedder: Embedder) -> dict[str, Any]:
    """What a configuration says in the place of an embedder object: the manifest's digest of it changes with it.

    One that is fitted on texts counts as fitted on these, which `crossfit` does not take.
    """
    kind = type(embedder)
    section = {"kind": "callable", "function": f"{kind.__module__}:{kind.__qualname__}"}
    fitted = (
        {"normalize": True, "text_features": {}} if isinstance(embedder, TfidfEmbedder | TextFeaturesEmbedder) else {}
    )
    return {**section, "revision": embedder.fingerprint, **fitted}


def _store(layout: Layout, embeddings: ArrayLike) -> Path:
    matrix = np.asarray(embeddings)
    path = layout.work / record.STORED_VECTORS
    write_array(path, checked(matrix, len(matrix), what="embeddings"))
    return path


def _notes(layout: Layout, manifest: dict[str, Any]) -> list[str]:
    traces = read_json(layout.traces_metrics)
    labels = read_json(layout.qualitative_report)["labels"]
    notes = []
    left_out = record.read(layout).left_out if record.record_of(layout).is_file() else []
    if left_out:
        notes.append(
            f"{len(left_out)} parts that `tracer update` had added are not in this fit; they lie in "
            f"{record.parts_folder(layout)}: give them to `tracer update` again to use them"
        )
    if traces["rows_rejected"]:
        notes.append(f"{traces['rows_rejected']} of {traces['rows_read']} rows were unusable: see {layout.rejected}")
    if traces["conflicting_texts"]:
        notes.append(
            f"the teacher labelled {traces['conflicting_texts']} of {traces['texts_seen_twice']} repeated texts "
            f"inconsistently; no surrogate can agree with it on all of them"
        )
    unseen = [entry["label"] for entry in labels if entry["fit_rows"] == 0]
    if unseen:
        notes.append(f"only the holdout has the labels {', '.join(unseen)}: the surrogate cannot answer with them")
    return notes
