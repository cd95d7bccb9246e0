"""preset: langfuse. Observations exported from Langfuse as JSONL, CSV or Parquet; a GENERATION is a call.

Three documented shapes, checked against Langfuse 4.9 (August 2026):

- the UI's batch export of the observations table (CSV, JSONL): columns in camelCase (`startTime`, `statusMessage`,
  `model`, `toolDefinitions`); in JSONL input and output are the values themselves, in CSV their JSON text.
- the blob storage export, `observations_v2/` and the older `observations/` (Parquet, CSV, JSONL): columns in snake_case
  (`start_time`, `status_message`, `provided_model_name`, `tool_definitions`, `tool_calls`); input and output are text,
  plain or JSON; times are `YYYY-MM-DD HH:MM:SS.ffffff` in UTC.
- observations of the public API (v1 and v2), one a line: camelCase; the model is `model` or `providedModelName`.

An input that is text is the whole text, and there are no instructions beside it. The tools are in the input as the
integrations log it ({"messages": [...], "tools": [...]}), else in the column of tool definitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracer_cli.traces.calls import Answer, Call, NoCallError, UnusableError
from tracer_cli.traces.expressions import MISSING
from tracer_cli.traces.presets.answers import answer_of_message
from tracer_cli.traces.presets.logged import LoggedPreset, first, messages_in, output_answers, told
from tracer_cli.traces.presets.messages import decoded
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.values import optional_text

_MODEL = ("model", "providedModelName", "provided_model_name")
_STATUS = ("statusMessage", "status_message")
_TIME = ("startTime", "start_time")
_TOOLS = ("toolDefinitions", "tool_definitions")
_CALLS = ("toolCalls", "tool_calls")
_WHY = "was it left out of the export, or never sent to Langfuse?"


class LangfusePreset(LoggedPreset):
    """A record without a type is taken for a generation, since a type may have been filtered on and left out."""

    text_place = "input"
    label_place = "output"
    known = ("id", "type", "level", "input", "output", *_MODEL, *_STATUS, *_TIME, *_TOOLS, *_CALLS)

    def call(self, file: TraceFile, fields: Mapping[str, Any]) -> Call:
        kind = optional_text(fields.get("type"))
        if kind is not None and kind.upper() != "GENERATION":
            raise NoCallError(f"an observation of type {kind[:40]}")
        if (optional_text(fields.get("level")) or "").upper() == "ERROR":
            raise UnusableError(f"the call failed: {told(first(fields, *_STATUS))}")
        value = first(fields, "input")
        shared = {
            "model": first(fields, *_MODEL),
            "id": fields.get("id"),
            "timestamp": first(fields, *_TIME),
        }
        messages = messages_in(value)
        if messages is None:
            return self.plain(fields, lambda: _text(value), lambda: _answers(fields), **shared)
        found = decoded(value)
        request: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        tools = first(request, "tools", "functions")
        return self.made(
            fields,
            messages,
            lambda: _answers(fields),
            tools=_defined(decoded(first(fields, *_TOOLS))) if tools is MISSING else tools,
            response_format=request.get("response_format"),
            **shared,
        )


def _text(value: Any) -> Any:
    if value is MISSING:
        raise UnusableError(f"the input is empty or missing; {_WHY}")
    if isinstance(decoded(value), Mapping | list):
        raise UnusableError("the input holds no messages; name the text in it, for example `text: input.question`")
    return value


def _answers(fields: Mapping[str, Any]) -> tuple[Answer, ...]:
    value = first(fields, "output")
    if value is not MISSING:
        return output_answers(value)
    calls = decoded(first(fields, *_CALLS))
    if isinstance(calls, list) and calls:
        return (answer_of_message({"tool_calls": [decoded(call) for call in calls]}),)
    raise UnusableError(f"the output is empty or missing; {_WHY}")


def _defined(tools: Any) -> list[Any]:
    """From the column, which maps a name to the JSON of description and parameters (in Parquet: a list of pairs)."""
    if isinstance(tools, Mapping):
        pairs = [*tools.items()]
    elif isinstance(tools, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in tools):
        pairs = tools
    else:
        return []
    found = []
    for name, described in sorted(pairs, key=lambda pair: str(pair[0])):
        inner = decoded(described)
        found.append({**(inner if isinstance(inner, Mapping) else {}), "name": name})
    return found
