"""preset: fields. Each record holds text and label in fields that tracer.yaml names, or that go by a usual name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracer_cli.traces.calls import Answer, Call
from tracer_cli.traces.expressions import MISSING, Expression, parse
from tracer_cli.traces.fields import FieldNames, require_seen, resolve_fields
from tracer_cli.traces.labels import answer_of
from tracer_cli.traces.presets.base import Found, Preset
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.read.records import read_records, sample_fields


class FieldsPreset(Preset):
    """The plain mapping. The names are resolved anew for each file, since one may have other columns."""

    _names: FieldNames
    _text: Expression
    _label: Expression

    def read(self, files: list[TraceFile]) -> Iterator[Found]:
        fields: list[str] = []
        for file in files:
            fields = sample_fields(file, self.scratch) or fields
            self._names = resolve_fields(self.source, file, fields)
            self.text_place, self.label_place = self._names.text, self._names.label
            self._text, self._label = parse(self._names.text), parse(self._names.label)
            for record in read_records(file, self.columns(), self.scratch):
                yield file, record
        self._last, self._fields = files[-1], fields

    def columns(self) -> list[str] | None:
        return None if self.source.where is not None else self._names.columns()

    def call(self, file: TraceFile, fields: Mapping[str, Any]) -> Call:
        text, label = self._text.find(fields), self._label.find(fields)
        return Call(
            text,
            (Answer(MISSING) if label is MISSING else answer_of(label),),
            id=self.own("id", fields),
            timestamp=self.own("timestamp", fields),
            ground_truth=self.own("ground_truth", fields),
            origin=self.own("origin", fields),
        )

    def finish(self) -> None:
        require_seen(self.source, {expression.text for expression in self._unseen.values()}, self._last, self._fields)
