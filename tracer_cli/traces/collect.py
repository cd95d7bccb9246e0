"""All sources, row by row: into the store, or into the quarantine, or left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tracer_cli.config.schema import TraceSource
from tracer_cli.errors import DataError
from tracer_cli.traces.calls import NoCallError, UnusableError
from tracer_cli.traces.presets import preset_of
from tracer_cli.traces.read.files import TraceFile, find_files
from tracer_cli.traces.rejects import Rejects, SourceCount, place
from tracer_cli.traces.rows import RowMaker
from tracer_cli.traces.store import Store
from tracer_cli.traces.teacher import Teacher


@dataclass
class Collected:
    """What was read. untimed: accepted rows without a usable timestamp, and the place of the first."""

    counts: list[SourceCount] = field(default_factory=list)
    teacher: Teacher = field(default_factory=Teacher)
    untimed: int = 0
    first_untimed: str = ""

    @property
    def read(self) -> int:
        return sum(count.read for count in self.counts)

    @property
    def rejected(self) -> int:
        return sum(count.rejected for count in self.counts)

    @property
    def skipped(self) -> int:
        return sum(count.skipped for count in self.counts)


def collect(
    root: Path, sources: list[TraceSource], seed: int, store: Store, rejects: Rejects, scratch: Path
) -> Collected:
    """Read every row of every source once; read = accepted (in the store) + rejected (in the quarantine) + skipped.

    Raises DataError for a file that is missing, empty or unreadable as a whole, and for a field that is nowhere.
    """
    found = [find_files(root, source.path) for source in sources]
    _require_distinct([file for files in found for file in files])
    result = Collected()
    for source, files in zip(sources, found, strict=True):
        _collect_source(source, files, root, seed, store, rejects, scratch, result)
    return result


def _collect_source(
    source: TraceSource,
    files: list[TraceFile],
    root: Path,
    seed: int,
    store: Store,
    rejects: Rejects,
    scratch: Path,
    result: Collected,
) -> None:
    count = SourceCount(source.path, source.max_rejected)
    number = result.read
    result.counts.append(count)
    preset, maker = preset_of(source, root, scratch), RowMaker(source, seed)
    for file, record in preset.read(files):
        count.read += 1
        reason = record.problem
        if record.fields is not None:
            preset.note(record.fields)
            try:
                call = preset.call(file, record.fields)
                row = maker.row(call, preset.text_place, preset.label_place, file.format == "csv")
            except NoCallError:
                count.skipped += 1
            except UnusableError as error:
                reason = str(error)
            else:
                if row is None:
                    count.skipped += 1
                else:
                    store.add(number, row)
                    result.teacher.note(call, file, record)
                    if row.timestamp is None:
                        result.untimed += 1
                        result.first_untimed = result.first_untimed or place(file, record)
        if reason is not None:
            rejects.add(count, file, record, reason)
        number += 1
    if not count.read:
        raise DataError(f"traces: {source.path} is empty: there is no row to learn from")
    preset.finish()


def _require_distinct(files: list[TraceFile]) -> None:
    seen: set[Path] = set()
    for file in files:
        path = file.path.resolve()
        if path in seen:
            raise DataError(f"traces: {file.name} is named by two sources, so its rows would count twice; keep one")
        seen.add(path)
