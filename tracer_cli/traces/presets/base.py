"""What every preset does: read the records of a source's files, and say which call of the teacher each of them is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tracer_cli.config.schema import TraceSource
from tracer_cli.errors import DataError
from tracer_cli.traces.calls import Call
from tracer_cli.traces.expressions import MISSING, Expression, parse
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.read.records import Record, read_records

Found = tuple[TraceFile, Record]


class Preset:
    """One source's shape.

    text_place, label_place: what holds text and label, for the reasons of rejected rows. expands: whether a record
    is another thing than a row of the file, so that `where` must look at its fields and not at the row.
    """

    text_place = "user message"
    label_place = "answer"
    expands = False

    def __init__(self, source: TraceSource, root: Path, scratch: Path) -> None:
        """root: where relative paths start from; scratch: a folder for temporary files, which the caller removes."""
        self.source = source
        self.root = root
        self.scratch = scratch
        self._own = {
            role: parse(name)
            for role in ("text", "label", "id", "timestamp", "ground_truth", "origin")
            if (name := getattr(source, role)) is not None
        }
        self._unseen = dict(self._own)

    def read(self, files: list[TraceFile]) -> Iterator[Found]:
        """Every record of every file, in their order. A record without fields has a problem, and is rejected.

        Records are read ahead of `call`, also those of the next file: what `call` needs to know comes with the file.
        """
        for file in files:
            for record in read_records(file, self.columns(), self.scratch):
                yield file, record

    def columns(self) -> list[str] | None:
        """The columns to read, which makes Parquet faster; None: all."""
        return None

    def call(self, file: TraceFile, fields: Mapping[str, Any]) -> Call:
        """The call that the record is. Raises UnusableError, or NoCallError for a record that is none at all."""
        raise NotImplementedError

    def own(self, role: str, fields: Mapping[str, Any], otherwise: Any = None) -> Any:
        """What the field that tracer.yaml names for `role` holds; `otherwise` where it names none or is not there."""
        expression = self._own.get(role)
        value = MISSING if expression is None else expression.find(fields)
        return otherwise if value is MISSING else value

    def note(self, fields: Mapping[str, Any]) -> None:
        """Remember which of the fields that tracer.yaml names have been seen."""
        if self._unseen:
            self._unseen = {
                role: expression for role, expression in self._unseen.items() if expression.find(fields) is MISSING
            }

    def finish(self) -> None:
        """Raise DataError when a field that tracer.yaml names was in none of the records."""
        for role, expression in self._unseen.items():
            raise DataError(f"traces: no row of {self.source.path} has a field {expression.text!r} for `{role}`")

    @property
    def named(self) -> Mapping[str, Expression]:
        """role -> the field that tracer.yaml names for it."""
        return self._own
