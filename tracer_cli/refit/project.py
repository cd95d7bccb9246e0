"""`tracer update` of a project: the new traces become parts in the folder of their source, and `dvc repro` refits.

Each step is one that a retry finds done or does again: what is validated writes nothing; the facts of the policy before
are kept before anything changes; a part is there whole or not at all; DVC runs what is not done.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer_cli.api import result_of
from tracer_cli.artifacts import exclusive, write_json
from tracer_cli.compile import write
from tracer_cli.compile.existing import DVC_YAML
from tracer_cli.config.load import FILE_NAME, load_config
from tracer_cli.config.paths import dependency
from tracer_cli.config.schema import Config, PrecomputedEmbedder, TraceSource
from tracer_cli.errors import ConfigError, DataError, ProgramError
from tracer_cli.programs import dvc, rwlock
from tracer_cli.programs.tracked import require_whole
from tracer_cli.refit import pending, tracking
from tracer_cli.refit.destination import BATCH, destination, require_reads
from tracer_cli.refit.incoming import examine
from tracer_cli.refit.outcome import Update, distinct_files
from tracer_cli.refit.pending import Pending
from tracer_cli.refit.summary import traces_summary
from tracer_cli.report import changes
from tracer_cli.stages import layout_of
from tracer_cli.traces.parts import add_part, part_name

logger = logging.getLogger("tracer")


@dataclass(frozen=True)
class Part:
    """One file, and the part that it becomes. folder: relative to the project. source: with the file as its path;
    None for a file of answers, which is read with its questions."""

    file: Path
    digest: str
    suffix: str
    folder: str
    source: TraceSource | None

    @property
    def name(self) -> str:
        return part_name(self.digest, self.suffix)

    def there(self, root: Path) -> bool:
        return (root / self.folder / self.name).is_file()


def update_project(root: Path, files: list[Path], source: str | None = None, results: Path | None = None) -> Update:
    """Add the files to the project in `root`, and run `dvc repro`.

    source: index or path of the source that they belong to; None for the first that fits. results: the answers to a
    file of preset openai-batch. Raises a TracerError; until a part is added the project is as it was, and afterwards
    the same call, or `dvc repro`, goes on where this one stopped.
    """
    config = load_config(root / FILE_NAME)
    layout = layout_of(config, root)
    parts = parts_of(config, files, source, results)
    repository = _require_ready(root, config)
    with exclusive(layout.previous):
        if rwlock.settle(repository):
            logger.warning("DVC was killed while it wrote .dvc/tmp/rwlock; what was left of it is removed")
        unfinished = pending.read(root, layout)
        for folder in {part.folder for part in parts}:
            require_whole(root, folder)
        new = [part for part in parts if not part.there(root)]
        # Questions that are there already are read again with new answers.
        read = [part.source for part in parts if part.source is not None and (part in new or (new and results))]
        summary = None
        if read:
            summary = traces_summary(examine(root, read, config.seed), layout)
        elif unfinished is not None and {part.name for part in parts} <= set(unfinished.parts):
            summary = unfinished.traces
        before = unfinished.previous if unfinished else changes.facts_of(layout)
        if new or unfinished:
            names = sorted({*(unfinished.parts if unfinished else ()), *(part.name for part in new)})
            pending.write(layout, Pending(before, names, summary))
            write_json(layout.previous, before)
        for part in parts:
            add_part(root / part.folder, part.file, part.suffix)
        notes = [note for folder in sorted({part.folder for part in parts}) if (note := tracking.track(root, folder))]
        notes = notes if new or unfinished else []
        _repro(root)
        pending.done(layout)
    told: list[dict[str, Any]] = [
        {"file": str(part.file), "part": f"{part.folder}/{part.name}", "new": part in new} for part in parts
    ]
    return Update(result_of(layout), told, summary, before, changes.facts_of(layout), notes)


def _repro(root: Path) -> None:
    try:
        dvc.repro(root, logger.info)
    except ProgramError as error:
        raise ProgramError(
            f"{error}\nThe new traces are in their place; when that is mended, the same `tracer update` goes on from "
            "here"
        ) from error


def _require_ready(root: Path, config: Config) -> Path:
    """The folder of the DVC repository. Raises before anything is written where `dvc repro` would stop at once."""
    if isinstance(config.embedder, PrecomputedEmbedder):
        raise ConfigError(
            f"{root / FILE_NAME}: embedder.path holds a vector for each row of the traces, in their order, so a file "
            "of traces cannot be added alone: put it beside the others, add its vectors to that file at the same "
            "place, and run `dvc repro`"
        )
    if DVC_YAML in write(root, check=True).stale:
        raise ConfigError(f"{root / DVC_YAML}: it is not what {FILE_NAME} compiles to: run `tracer compile` first")
    return tracking.require_repository(root)


def parts_of(config: Config, files: list[Path], source: str | None, results: Path | None) -> list[Part]:
    """In the order in which they are added: answers before their questions."""
    found = []
    for path, digest, suffix in distinct_files(files):
        to = destination(config, suffix, source)
        changed = {"path": str(path.resolve())}
        if to.source.preset == BATCH:
            answers = _answers(to.index, to.source, files, results)
            found.append(answers)
            changed["results"] = str(answers.file.resolve())
        elif results is not None:
            raise ConfigError(f"--results goes with preset: {BATCH}; traces[{to.index}] has preset: {to.source.preset}")
        found.append(Part(path, digest, suffix, to.folder, to.source.model_copy(update=changed)))
    return found


def _answers(index: int, source: TraceSource, files: list[Path], results: Path | None) -> Part:
    if results is None or len(files) != 1:
        raise DataError(
            f"traces[{index}] has preset: {BATCH}: give one input file at a time, with its output file (--results FILE)"
        )
    assert source.results is not None, "the configuration is checked"
    ((path, digest, suffix),) = distinct_files([results])
    require_reads(f"traces[{index}].results", source.results, suffix)
    return Part(path, digest, suffix, dependency(source.results), None)
