"""preset: fields. Each record holds text and label in fields that tracer.yaml names, or that go by a usual name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracer_cli.traces.calls import ORIGINS, Call
from tracer_cli.traces.expressions import parse
from tracer_cli.traces.fields import ORIGIN, FieldNames, require_seen, resolve_fields
from tracer_cli.traces.presets.answers import answers_in_field
from tracer_cli.traces.presets.base import Found, Preset
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.read.records import read_records, sample_fields
from tracer_cli.traces.values import optional_text


class FieldsPreset(Preset):
    """The plain mapping. The names are resolved anew for each file, since one may have other columns."""

    def read(self, files: list[TraceFile]) -> Iterator[Found]:
        self._names: dict[str, FieldNames] = {}
        fields: list[str] = []
        for file in files:
            fields = sample_fields(file, self.scratch) or fields
            names = self._names[file.name] = resolve_fields(self.source, file, fields)
            for record in read_records(file, names.columns(), self.scratch):
                yield file, record
        self._last, self._fields = files[-1], fields

    def call(self, file: TraceFile, fields: Mapping[str, Any]) -> Call:
        names = self._names[file.name]
        self.text_place, self.label_place = names.text, names.label
        text, label = parse(names.text).find(fields), parse(names.label).find(fields)
        return Call(
            text,
            answers_in_field(label, self.source.parse.kind),
            id=self.own("id", fields),
            timestamp=self.own("timestamp", fields),
            ground_truth=self.own("ground_truth", fields),
            origin=self._origin(fields),
        )

    def _origin(self, fields: Mapping[str, Any]) -> Any:
        """What the named field holds; without a name, a field `origin` that holds one of the three words counts.

        Else what a policy deferred would pass for organic where its log is read as plain fields.
        """
        if self.source.origin is not None:
            return self.own("origin", fields)
        origin = optional_text(fields.get(ORIGIN))
        return origin if origin in ORIGINS else None

    def finish(self) -> None:
        require_seen(self.source, {expression.text for expression in self._unseen.values()}, self._last, self._fields)
