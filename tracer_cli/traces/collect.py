"""All sources, row by row: into the store, or into the quarantine, or left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tracer_cli.config.schema import TraceSource
from tracer_cli.errors import DataError
from tracer_cli.traces.calls import NoCallError, UnusableError
from tracer_cli.traces.filters import RowFilter
from tracer_cli.traces.presets import Preset, preset_of
from tracer_cli.traces.read.files import TraceFile, find_files
from tracer_cli.traces.read.records import Record
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

    Raises DataError for a file that is missing, empty or unreadable as a whole, for a field that is nowhere, and for a
    `where` that leaves no row; ConfigError for one that is no condition.
    """
    found = [_files(root, source) for source in sources]
    _require_distinct([file for files in found for file in files])
    result = Collected()
    for number, (source, files) in enumerate(zip(sources, found, strict=True)):
        preset = preset_of(source, root, scratch)
        chosen = RowFilter(source, number, preset.expands, scratch) if source.where is not None else None
        collector = _Collector(result, preset, RowMaker(source, seed), store, rejects)
        collector.collect(files, chosen)
    for source, files in zip(sources, found, strict=True):
        if _files(root, source) != files:  # DVC looks at them when the stage has ended, and would take them for read
            raise DataError(f"traces: files came or went in {source.path} while it was read; run again")
    return result


def _files(root: Path, source: TraceSource) -> list[TraceFile]:
    return find_files(root, source.path, pulled=source.pull is not None)


class _Collector:
    """One source, into the store and the quarantine."""

    def __init__(self, result: Collected, preset: Preset, maker: RowMaker, store: Store, rejects: Rejects) -> None:
        self._result = result
        self._preset = preset
        self._maker = maker
        self._store = store
        self._rejects = rejects
        self._number = result.read
        self._count = SourceCount(preset.source.path, preset.source.max_rejected)
        result.counts.append(self._count)

    def collect(self, files: list[TraceFile], chosen: RowFilter | None) -> None:
        found = self._preset.read(files)
        if chosen is None:
            for file, record in found:
                self._take(file, record, True)
        else:
            for file, record, counts in chosen.chosen(files, found):
                self._take(file, record, counts)
            if chosen.seen and not chosen.kept:
                raise DataError(f"{chosen.told} leaves none of the {chosen.seen:,} rows")
        if not self._count.read:
            raise DataError(f"traces: {self._count.path} is empty: there is no row to learn from")
        self._preset.finish()

    def _take(self, file: TraceFile, record: Record, counts: bool) -> None:
        """One row that was read: exactly one of accepted, rejected and skipped."""
        self._count.read += 1
        try:
            if not self._accepted(file, record, counts):
                self._count.skipped += 1
        except UnusableError as error:
            self._rejects.add(self._count, file, record, str(error))
        self._number += 1

    def _accepted(self, file: TraceFile, record: Record, counts: bool) -> bool:
        """Whether the row is in the store now; False: it is left out. Raises UnusableError."""
        if record.fields is None:
            raise UnusableError(record.problem or "nothing can be read")
        preset = self._preset
        preset.note(record.fields)
        if not counts:
            return False
        try:
            call = preset.call(file, record.fields)
        except NoCallError:
            return False
        row = self._maker.row(call, preset.text_place, preset.label_place, file.format == "csv")
        if row is None:
            return False
        self._store.add(self._number, row)
        self._result.teacher.note(call, file, record)
        if row.timestamp is None:
            self._result.untimed += 1
            self._result.first_untimed = self._result.first_untimed or place(file, record)
        return True


def _require_distinct(files: list[TraceFile]) -> None:
    seen: set[Path] = set()
    for file in files:
        path = file.path.resolve()
        if path in seen:
            raise DataError(f"traces: {file.name} is named by two sources, so its rows would count twice; keep one")
        seen.add(path)
