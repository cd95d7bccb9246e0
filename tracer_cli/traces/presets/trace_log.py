"""preset: tracer. This project's own trace log, schema 1 (`tracer_cli.traces.log_format` defines it)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracer_cli.traces.calls import ORIGINS, Answer, Call, Context, NoCallError, ToolCall, UnusableError
from tracer_cli.traces.expressions import MISSING, from_json
from tracer_cli.traces.log_format import HANDLED, SCHEMA
from tracer_cli.traces.presets.base import Preset
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.values import optional_text


class TraceLogPreset(Preset):
    """A line without an origin is refused: were it taken for organic, deferred rows would become evidence."""

    text_place = "input"
    label_place = "teacher"

    def call(self, file: TraceFile, fields: Mapping[str, Any]) -> Call:
        _require_schema(fields.get("schema", MISSING))
        answer = Answer(self.own("label", fields, fields.get("teacher", MISSING)), _tools(fields.get("tool_calls")))
        if answer.content in (None, MISSING) and not answer.tools:
            if optional_text(fields.get("decision")) == HANDLED:
                raise NoCallError("the policy answered, and the teacher was not asked")
            raise UnusableError(f"the label ({self.label_place}) is {'null' if answer.content is None else 'missing'}")
        origin = optional_text(self.own("origin", fields, fields.get("origin")))
        if origin is None:
            raise UnusableError(f"the origin is missing; expected one of {', '.join(ORIGINS)}")
        return Call(
            self.own("text", fields, fields.get("input", MISSING)),
            (answer,),
            id=self.own("id", fields, fields.get("id")),
            timestamp=self.own("timestamp", fields, fields.get("time")),
            ground_truth=self.own("ground_truth", fields),
            origin=origin,
            model=optional_text(fields.get("model")),
            context=_context(fields.get("context")),
        )


def _require_schema(value: Any) -> None:
    number = optional_text(value)
    if number == str(SCHEMA):
        return
    if number is not None and number.isdecimal() and number.isascii() and int(number[:9]) > SCHEMA:
        found = f"schema {number[:9]} of the trace log is not known here (the latest is {SCHEMA})"
        raise UnusableError(f"{found}: upgrade tracer")
    found = "missing" if value is MISSING else "null" if number is None else repr(number[:20])
    raise UnusableError(f"this is no line of the trace log: its `schema` is {found}")


def _parsed(value: Any) -> Any:
    """CSV and Parquet hold the object as JSON text."""
    return from_json(value) if isinstance(value, str | bytes) else value


def _tools(value: Any) -> tuple[ToolCall, ...]:
    calls = _parsed(value)
    if not isinstance(calls, list):
        return ()
    return tuple(
        ToolCall(name, call.get("arguments"))
        for call in calls
        if isinstance(call, Mapping) and (name := optional_text(call.get("name"))) is not None
    )


def _context(value: Any) -> Context | None:
    found = _parsed(value)
    if not isinstance(found, Mapping):
        return None
    sha256, tools = optional_text(found.get("sha256")), found.get("tools")
    if sha256 is None:
        return None
    names = tuple(name for tool in tools if (name := optional_text(tool))) if isinstance(tools, list) else ()
    return Context(sha256, optional_text(found.get("system")) or "", names)
