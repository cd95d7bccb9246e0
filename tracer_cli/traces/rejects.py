"""The quarantine: one line in rejected.jsonl for every row that is not used."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import IO

from tracer_cli.errors import DataError
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.read.records import Record

SHOWN = 3
ROW_CHARACTERS = 500


@dataclass
class SourceCount:
    """How many rows one source of tracer.yaml had: read = accepted + rejected + skipped.

    skipped: left out by `where`, the time window or the sample, or no call of the teacher at all; they are no part of
    the share that `max_rejected` limits. first: the first few rejections, as `place: reason`.
    """

    path: str
    max_rejected: float
    read: int = 0
    rejected: int = 0
    skipped: int = 0
    first: list[str] = field(default_factory=list)

    @property
    def looked_at(self) -> int:
        """Rows that were meant to be used."""
        return self.read - self.skipped

    @property
    def excessive(self) -> bool:
        return self.rejected > self.max_rejected * self.looked_at

    def told(self) -> str:
        share = 100 * self.rejected / self.looked_at if self.looked_at else 0.0
        more = f"\n  and {self.rejected - len(self.first):,} more" if self.rejected > len(self.first) else ""
        lines = "".join(f"\n  {line}" for line in self.first)
        skipped = f" ({self.skipped:,} more were left out)" if self.skipped else ""
        of = f"{self.rejected:,} of {self.looked_at:,} rows ({share:.1f} %)"
        return f"{self.path}: {of} cannot be used{skipped}:{lines}{more}"


class Rejects:
    """Writes the quarantine file and counts."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def add(self, count: SourceCount, file: TraceFile, record: Record, reason: str) -> None:
        count.rejected += 1
        if len(count.first) < SHOWN:
            count.first.append(f"{place(file, record)}: {reason}")
        line = {"source": file.name, "line": record.line, "reason": reason, "row": _beginning(record)}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")


def place(file: TraceFile, record: Record) -> str:
    """Where the record stands, for people."""
    return f"{file.name}, {'row' if file.format == 'parquet' else 'line'} {record.line}"


def _beginning(record: Record) -> str:
    if record.raw is None:
        # ASCII, so that whatever a Parquet string holds can be written.
        return json.dumps(record.fields, default=_shown, ensure_ascii=True)[:ROW_CHARACTERS]
    return record.raw[: 4 * ROW_CHARACTERS].decode("utf-8", "backslashreplace").rstrip("\r\n")[:ROW_CHARACTERS]


def _shown(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def check_shares(counts: list[SourceCount], rejected_file: str) -> None:
    """Raise DataError when a source has more unusable rows than it may; the quarantine is written by then."""
    bad = [count for count in counts if count.excessive]
    if bad:
        limits = ", ".join(sorted({f"{100 * count.max_rejected:g} %" for count in bad}))
        raise DataError(
            "\n".join(f"traces: {count.told()}" for count in bad)
            + f"\nMore than max_rejected ({limits}) of the rows is an error. Every rejected row is in {rejected_file}; "
            "mend the file, or raise `max_rejected` of this source in tracer.yaml"
        )
