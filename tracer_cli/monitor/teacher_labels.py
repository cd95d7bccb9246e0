"""The label in a logged answer of the teacher, found as it was found in the traces that the policy was fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracer_cli.config.schema import TraceSource
from tracer_cli.traces.calls import Call, UnusableError
from tracer_cli.traces.labels import LabelParser


class TeacherLabels:
    """The manifest tells how each source of the fit found its labels. A source that was a trace log comes first; of
    several, the first whose label is one of the policy's counts, else the first that finds any."""

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        sources = sorted(
            manifest.get("teacher", {}).get("sources", []), key=lambda source: source["preset"] != "tracer"
        )
        parses: list[Any] = []
        for source in sources:
            if source["parse"] not in parses:
                parses.append(source["parse"])
        made = [TraceSource.model_validate({"path": "trace log", "preset": "tracer", "parse": p}) for p in parses]
        made = made or [TraceSource(path="trace log", preset="tracer")]
        self._parsers = [LabelParser(source.parse, "teacher", source.max_label_length) for source in made]
        self._known = frozenset(manifest["labels"])

    def of(self, call: Call) -> str:
        """Raises UnusableError with the first reason."""
        found: list[str] = []
        problem: UnusableError | None = None
        for parser in self._parsers:
            try:
                label = parser.label(call.answers)
            except UnusableError as error:
                problem = problem or error
                continue
            if label in self._known:
                return label
            found.append(label)
        if found:
            return found[0]
        assert problem is not None
        raise problem
