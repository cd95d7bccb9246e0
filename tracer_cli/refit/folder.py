"""`tracer update` of a policy that `tracer fit` made: the new traces become parts in its work folder, and it is fitted
again on all of them with the settings of the first fit.

The policy is replaced as a whole when the refit is done, so a run that fails or is killed leaves the old one. What it
may leave beside it are parts that nothing was fitted on yet; the next update takes them in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracer_cli import record
from tracer_cli.api import FitConfig, project_config, replaced, result_of, run_all, stand_in
from tracer_cli.artifacts import (
    Layout,
    exclusive,
    read_json,
    sha256_file,
    write_array,
    write_json,
    writing_array,
)
from tracer_cli.config.schema import Config, TraceSource
from tracer_cli.embedders import Embedder, checked
from tracer_cli.embedders.precomputed import read_vectors
from tracer_cli.errors import ConfigError, DataError, EmbedderError, EmbedderMismatchError
from tracer_cli.progress import Progress, silent
from tracer_cli.record import Record
from tracer_cli.refit.incoming import Incoming, examine
from tracer_cli.refit.outcome import Update, distinct_files
from tracer_cli.refit.summary import traces_summary
from tracer_cli.report import changes
from tracer_cli.swap import recover
from tracer_cli.traces.parts import add_part, part_name
from tracer_cli.traces.read.files import find_files, trace_file
from tracer_cli.traces.recognise import declared

# A setting that an update may not change: its parts were read, and embedded, with it.
FIXED = ("embedder", "text_field", "label_field")
_CHANGED = "{} is not as it was at the first fit: this fit takes it as it is now"


def update_folder(
    files: list[Path],
    folder: Path,
    embeddings: ArrayLike | None = None,
    embedder: Embedder | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Update:
    """Add the files' traces and fit again.

    embeddings: (rows of the files, dim), for a policy that was fitted on precomputed vectors. embedder: the one that
    the first fit was given as an object. settings: fields of `FitConfig` that replace those of the first fit, now and
    in later updates. Raises a TracerError, and then the policy is as it was.
    """
    layout = Layout.of_folder(Path(), folder)
    with exclusive(folder):
        recover(folder)
        kept = record.read(layout)
        changed = replace(kept, settings={**kept.settings, **_allowed(settings or {})})
        config = _config(changed, folder, embedder)
        digests = _digests(kept, folder)
        notes = [] if digests == kept.digests else [_CHANGED.format(record.found(kept.traces, folder))]
        added = _Added(layout, kept, distinct_files(files))
        summary = None
        if added.unfitted:
            incoming = examine(Path(), [_source(config, path) for path, _ in added.unfitted], config.seed)
            _store_vectors(added, incoming, kept, embeddings, folder)
            summary = traces_summary(incoming, layout)
        elif embeddings is not None and kept.vectors is None:
            raise _no_vectors_wanted(folder)
        before = changes.facts_of(layout)
        for path, suffix in added.unfitted:
            add_part(record.parts_folder(layout), path, suffix)
        left_out = [name for name in kept.left_out if name not in added.names]
        parts = [path for path in record.parts(layout) if path.name not in left_out]
        changed = replace(changed, parts=[path.name for path in parts], left_out=left_out, digests=digests)
        previous = _previous(layout, before, changed != kept)
        now = _fitted_again(layout, folder, changed, config, parts, embedder, previous, progress)
    return Update(result_of(layout), added.told(), summary, before, now, notes)


def _previous(layout: Layout, before: dict[str, Any], new: bool) -> dict[str, Any]:
    """What the report compares with: the policy that lies there; but where this update had been done already, and is
    only done again, the one before that."""
    if new:
        return before
    kept: dict[str, Any] = read_json(layout.previous) if layout.previous.is_file() else {}
    return kept


def _fitted_again(
    layout: Layout,
    folder: Path,
    changed: Record,
    config: Config,
    parts: list[Path],
    embedder: Embedder | None,
    previous: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    """Fit on the traces and every part; the facts of the policy that takes the place of the old one."""
    sources = [config.traces[0], *(_source(config, path) for path in parts)]
    with replaced(folder) as new:
        write_json(new.previous, previous)
        with _all_vectors(new, changed, parts, folder) as section:
            values = {"traces": sources} | ({} if section is None else {"embedder": section})
            run_all(new, config.model_copy(update=values), progress, embedder)
        record.carry(layout, new, vectors=True)
        record.write(new, changed)
        return changes.facts_of(new)


# --- the settings ---------------------------------------------------------------------------------


def _allowed(settings: Mapping[str, Any]) -> dict[str, Any]:
    names = [field.name for field in fields(FitConfig) if field.name not in FIXED]
    for name in settings:
        if name in FIXED:
            raise ConfigError(
                f"{name} cannot change in an update: the parts were read with it; fit anew (`tracer fit`)"
            )
        if name not in names:
            raise ConfigError(f"there is no setting {name!r}; expected one of {', '.join(names)}")
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def _config(kept: Record, folder: Path, embedder: Embedder | None) -> Config:
    """The configuration of the first fit with the settings of now; without the parts, and without vectors."""
    try:
        settings = FitConfig(**kept.settings)
    except TypeError as error:
        raise ConfigError(f"the settings of the first fit of {folder} are of another version: fit anew") from error
    section = settings.embedder
    if kept.given is not None:
        if embedder is None:
            raise EmbedderError(
                f"the policy in {folder} was fitted with an embedder object, whose fingerprint is {kept.given}: give "
                "it to update as well (embedder=...)"
            )
        if embedder.fingerprint != kept.given:
            raise EmbedderMismatchError(
                f"the embedder given is not the one that the policy in {folder} was fitted with: its fingerprint is "
                f"{embedder.fingerprint}, the policy's is {kept.given}"
            )
        section = stand_in(embedder)
    elif embedder is not None:
        raise ConfigError(f"the policy in {folder} has an embedder of its own: leave `embedder` out")
    assert not isinstance(section, Embedder), "a record holds no object"
    if kept.vectors is not None:
        section = {**(section or {}), "kind": "precomputed", "path": record.found(kept.vectors, folder)}
    return project_config(settings, record.found(kept.traces, folder), section)


def _digests(kept: Record, folder: Path) -> list[str]:
    traces = record.found(kept.traces, folder)
    try:
        files = find_files(Path(), traces)
    except DataError as error:
        raise DataError(
            f"the traces that the policy in {folder} was fitted on are not at {traces} any more: put them back there, "
            "or fit anew with `tracer fit`"
        ) from error
    return sorted(sha256_file(file.path) for file in files)


def _source(config: Config, path: Path) -> TraceSource:
    """A new file is read as the first fit's were; a router's log, which says more than they did, as what it is."""
    first = config.traces[0].model_copy(update={"path": str(path)})
    if declared(trace_file(path, path.parent)).get("preset") != "tracer":
        return first
    return first.model_copy(update={"preset": "tracer", "text": None, "label": None})


# --- the parts ------------------------------------------------------------------------------------


class _Added:
    """The files of an update. unfitted: those whose content was not fitted on yet, with their suffixes; names: of all
    parts."""

    def __init__(self, layout: Layout, kept: Record, files: list[tuple[Path, str, str]]) -> None:
        self.layout = layout
        self.files = [(path, suffix, part_name(digest, suffix)) for path, digest, suffix in files]
        self.names = [name for _, _, name in self.files]
        self.unfitted = [(path, suffix) for path, suffix, name in self.files if name not in kept.parts]
        self.there = {path.name for path in record.parts(layout)}

    def part(self, path: Path) -> Path:
        return next(record.parts_folder(self.layout) / name for file, _, name in self.files if file == path)

    def told(self) -> list[dict[str, Any]]:
        folder = record.parts_folder(self.layout)
        return [
            {"file": str(path), "part": (folder / name).as_posix(), "new": name not in self.there}
            for path, _, name in self.files
        ]


# --- precomputed vectors --------------------------------------------------------------------------


def _no_vectors_wanted(folder: Path) -> ConfigError:
    return ConfigError(f"the policy in {folder} embeds texts by itself: leave the embeddings out")


def _store_vectors(added: _Added, incoming: Incoming, kept: Record, embeddings: ArrayLike | None, folder: Path) -> None:
    """Put the vectors of each file beside the place of its part: they are there before the part is."""
    if kept.vectors is None:
        if embeddings is not None:
            raise _no_vectors_wanted(folder)
        return
    if len(added.unfitted) < len(added.files):
        raise DataError(
            "some of the files are in the policy already: give the new ones alone, with the vectors of their rows"
        )
    if embeddings is None:
        raise DataError(
            f"the policy in {folder} was fitted on precomputed vectors: give those of the new rows too (--embeddings "
            "X_new.npy, or embeddings=...)"
        )
    matrix = np.asarray(embeddings)
    wanted = sum(count.read for count in incoming.counts)
    if len(matrix) != wanted:
        raise DataError(
            f"the embeddings have {len(matrix):,} rows, but {wanted:,} new trace rows were read: there must be one "
            "vector for each row, in the order of the files, rejected rows included"
        )
    matrix = checked(matrix, wanted, _base(kept, folder).shape[1], what="embeddings")
    start = 0
    for (path, _), count in zip(added.unfitted, incoming.counts, strict=True):
        write_array(record.vectors_of(added.part(path)), matrix[start : start + count.read])
        start += count.read


def _base(kept: Record, folder: Path) -> NDArray[np.floating[Any]]:
    """The vectors of the traces of the first fit, memory-mapped."""
    assert kept.vectors is not None
    path = record.found(kept.vectors, folder)
    record.require(path, "vectors", folder)
    section = kept.settings.get("embedder") or {}
    return read_vectors({"path": path, "column": section.get("column", "embedding")}, Path())


@contextlib.contextmanager
def _all_vectors(new: Layout, kept: Record, parts: list[Path], folder: Path) -> Iterator[Any]:
    """The embedder's section with one matrix for all rows, the first fit's and then each part's; None without."""
    if kept.vectors is None:
        yield None
        return
    from tracer_cli.config.schema import PrecomputedEmbedder

    blocks = [_base(kept, folder), *(np.load(record.vectors_of(part), mmap_mode="r") for part in parts)]
    path = new.work / "all_embeddings.npy"
    with writing_array(path, (sum(map(len, blocks)), blocks[0].shape[1])) as matrix:
        start = 0
        for block in blocks:
            matrix[start : start + len(block)] = block
            start += len(block)
    try:
        yield PrecomputedEmbedder(kind="precomputed", path=str(path))
    finally:
        path.unlink(missing_ok=True)
