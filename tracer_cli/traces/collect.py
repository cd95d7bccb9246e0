"""All sources, row by row: into the store, or into the quarantine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tracer_cli.config.schema import TraceSource
from tracer_cli.errors import DataError
from tracer_cli.traces.fields import configured, require_seen, resolve_fields
from tracer_cli.traces.read.files import TraceFile, find_files
from tracer_cli.traces.read.records import read_records, sample_fields
from tracer_cli.traces.rejects import Rejects, SourceCount
from tracer_cli.traces.rows import to_row
from tracer_cli.traces.store import Store


@dataclass
class Collected:
    """What was read. untimed: accepted rows without a usable timestamp, and the place of the first."""

    counts: list[SourceCount] = field(default_factory=list)
    untimed: int = 0
    first_untimed: str = ""

    @property
    def read(self) -> int:
        return sum(count.read for count in self.counts)

    @property
    def rejected(self) -> int:
        return sum(count.rejected for count in self.counts)


def collect(root: Path, sources: list[TraceSource], store: Store, rejects: Rejects, scratch: Path) -> Collected:
    """Read every row of every source once; read = accepted (in the store) + rejected (in the quarantine).

    Raises DataError for a file that is missing, empty or unreadable as a whole, and for a field that is nowhere.
    """
    found = [find_files(root, source.path) for source in sources]
    _require_distinct([file for files in found for file in files])
    result = Collected()
    for source, files in zip(sources, found, strict=True):
        _collect_source(source, files, store, rejects, scratch, result)
    return result


def _collect_source(
    source: TraceSource, files: list[TraceFile], store: Store, rejects: Rejects, scratch: Path, result: Collected
) -> None:
    count = SourceCount(source.path, source.max_rejected)
    number = result.read
    result.counts.append(count)
    unseen = set(configured(source).values())
    fields: list[str] = []
    for file in files:
        fields = sample_fields(file, scratch) or fields
        names = resolve_fields(source, file, fields)
        wanted = names.all()
        for record in read_records(file, wanted, scratch):
            count.read += 1
            reason = record.problem
            if record.fields is not None:
                if unseen:
                    unseen.difference_update(record.fields)
                row = to_row(record.fields, names, source, file.format == "csv")
                if isinstance(row, str):
                    reason = row
                else:
                    store.add(number, row)
                    if row.timestamp is None:
                        result.untimed += 1
                        result.first_untimed = result.first_untimed or f"{file.name}, line {record.line}"
            if reason is not None:
                rejects.add(count, file, record, reason)
            number += 1
    if not count.read:
        raise DataError(f"traces: {source.path} is empty: there is no row to learn from")
    require_seen(source, unseen, files[-1], fields)


def _require_distinct(files: list[TraceFile]) -> None:
    seen: set[Path] = set()
    for file in files:
        path = file.path.resolve()
        if path in seen:
            raise DataError(f"traces: {file.name} is named by two sources, so its rows would count twice; keep one")
        seen.add(path)
