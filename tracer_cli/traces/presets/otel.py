"""preset: otel. Spans of the GenAI semantic conventions in OTLP JSON lines; one line holds many.

Read, the newest first, are these places of what went in and came out:

- `gen_ai.input.messages`, `gen_ai.output.messages`, `gen_ai.system_instructions` (conventions 1.37 and later, checked
  against 1.41) and `gen_ai.tool.definitions` (1.38 and later): attributes of the span, or of the event
  `gen_ai.client.inference.operation.details`, as an event of the span or as a log record; JSON text or structured.
- attributes `gen_ai.prompt.N.*` and `gen_ai.completion.N.*` (OpenLLMetry before it took the above).
- events `gen_ai.user.message` and its like, and `gen_ai.choice`, on the span (1.28 to 1.36).
- `gen_ai.prompt` and `gen_ai.completion`, of the events `gen_ai.content.prompt` and `.completion` (1.26 and 1.27) or
  of the span.

Content is opt-in in the conventions, and can be turned off in OpenLLMetry; a call without it is rejected with the
setting that turns it on. Messages as log records of their own (`gen_ai.choice` beside its span) are not put together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tracer_cli.config.schema import TraceSource
from tracer_cli.traces.calls import Answer, Call, NoCallError, UnusableError
from tracer_cli.traces.presets.base import Found
from tracer_cli.traces.presets.genai import Content, content_of
from tracer_cli.traces.presets.logged import LoggedPreset, first, told
from tracer_cli.traces.presets.otlp import items_of, nanoseconds
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.read.records import Record
from tracer_cli.traces.values import optional_text

# The last is what OpenLLMetry calls text_completion.
CALLS = ("chat", "text_completion", "generate_content", "completion")
HOW = (
    "set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true (with OTEL_SEMCONV_STABILITY_OPT_IN="
    "gen_ai_latest_experimental: SPAN_ONLY), or TRACELOOP_TRACE_CONTENT=true for OpenLLMetry"
)


class OTelPreset(LoggedPreset):
    """A record is a span. Its first fields say where it stands in its line, for rejected.jsonl."""

    text_place = "input"
    label_place = "output"
    expands = True

    def __init__(self, source: TraceSource, root: Path, scratch: Path) -> None:
        super().__init__(source, root, scratch)
        self._places = self.text_place, self.label_place

    def columns(self) -> list[str] | None:
        return None

    def read(self, files: list[TraceFile]) -> Iterator[Found]:
        for file, record in super().read(files):
            for span in spans_of(record):
                yield file, span

    def call(self, file: TraceFile, fields: Mapping[str, Any]) -> Call:
        which = f"span {fields['span']}" if fields["spans"] > 1 else ""
        self.text_place, self.label_place = (f"{place} of {which}" if which else place for place in self._places)
        try:
            return self._call(fields)
        except UnusableError as error:
            raise UnusableError(f"{which} of the line: {error}" if which else str(error)) from None

    def _call(self, fields: Mapping[str, Any]) -> Call:
        attributes: Mapping[str, Any] = fields.get("attributes") or {}
        content = content_of(fields.get("name"), attributes, fields.get("events") or [])
        _require_call(fields, attributes, content)
        shared = {
            "model": first(attributes, "gen_ai.request.model", "gen_ai.response.model"),
            "id": fields.get("spanId"),
            "timestamp": nanoseconds(fields.get("startTimeUnixNano")),
        }
        if content.messages is None:
            return self.plain(fields, _uncaptured, lambda: _answers(content), **shared)
        return self.made(fields, content.messages(), lambda: _answers(content), tools=content.tools(), **shared)


def spans_of(record: Record) -> Iterator[Record]:
    """The spans and log records of a line. A line with none is one record, and so is what cannot be read in it."""
    if record.fields is None:
        yield record
        return
    try:
        items = items_of(record.fields)
    except UnusableError as error:
        yield Record(record.line, None, str(error), record.raw)
        return
    if not items:
        yield Record(record.line, {"span": 0, "spans": 0}, raw=record.raw)
    for number, item in enumerate(items, 1):
        if isinstance(item, str):
            yield Record(record.line, None, item, record.raw)
        else:
            yield Record(record.line, {"span": number, "spans": len(items), **item})


def _uncaptured() -> Any:
    raise UnusableError(f"the input was not captured: {HOW}")


def _answers(content: Content) -> tuple[Answer, ...]:
    if content.answers is None:
        raise UnusableError(f"the output was not captured: {HOW}")
    return content.answers()


def _require_call(fields: Mapping[str, Any], attributes: Mapping[str, Any], content: Content) -> None:
    """Raise NoCallError for other spans, and UnusableError for a call that failed or whose content is not here."""
    if not fields["spans"]:
        raise NoCallError("a line without a span")
    operation = optional_text(first(attributes, "gen_ai.operation.name", "llm.request.type"))
    captured = content.messages is not None or content.answers is not None
    if operation is not None and operation not in CALLS:
        raise NoCallError(f"the operation {operation[:40]!r}")
    if content.elsewhere:
        raise UnusableError(f"the answer is a log record of its own (gen_ai.choice), apart from its span: {HOW}")
    if operation is None and not captured:
        raise NoCallError("a span without content of a GenAI call")
    status = fields.get("status") or {}
    if str(status.get("code")) in ("2", "STATUS_CODE_ERROR"):
        reason = optional_text(status.get("message")) or attributes.get("error.type")
        raise UnusableError(f"the call failed: {told(reason)}")
    if not captured:
        raise UnusableError(f"the messages were not captured: {HOW}")
