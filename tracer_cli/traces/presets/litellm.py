"""preset: litellm. Rows of the table LiteLLM_SpendLogs of LiteLLM's proxy, as JSONL, CSV or Parquet.

Columns as in LiteLLM's schema.prisma of 2026: request_id, call_type, startTime, model, model_group, messages, response,
proxy_server_request, metadata, status; those with content are JSON, in CSV its text. Chat calls leave `messages` at {}
(still in 1.93, BerriAI/litellm#34747), and the request's body is in `proxy_server_request`, as it stands or under
`body`; where `messages` is filled it comes first. `response` is a chat.completion, a response of the responses API, or
a list of streamed chunks. Content is stored only with `store_prompts_in_spend_logs`, and a long text loses its middle:
both are rejected, with what to set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tracer_cli.traces.calls import Answer, Call, NoCallError, UnusableError
from tracer_cli.traces.expressions import MISSING
from tracer_cli.traces.presets.logged import LoggedPreset, first, output_answers, told
from tracer_cli.traces.presets.messages import Message, canonical, decoded, messages_of, text_of
from tracer_cli.traces.presets.responses import messages_of_input, response_format_of
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.values import optional_text

CALLS = ("completion", "acompletion", "text_completion", "atext_completion", "responses", "aresponses")
HOW = "set general_settings.store_prompts_in_spend_logs: true in LiteLLM's configuration; it holds for later calls"

_REDACTED = "redacted-by-litellm"
# Also as it was before the marker got its name.
_CUT = re.compile(r"\.\.\. \((?:litellm_truncated skipped|truncated) \d+ chars\)")


class LiteLLMPreset(LoggedPreset):
    """A row without call_type or status is taken for a call that went well."""

    label_place = "response"
    known = (
        *("request_id", "call_type", "startTime", "model", "model_group", "status"),
        *("messages", "response", "proxy_server_request", "metadata"),
    )

    def call(self, file: TraceFile, fields: Mapping[str, Any]) -> Call:
        kind = optional_text(fields.get("call_type"))
        if kind is not None and kind not in CALLS:
            raise NoCallError(f"a call of type {kind[:40]!r}")
        if optional_text(fields.get("status")) == "failure":
            raise UnusableError(f"the call failed: {_error(decoded(fields.get('metadata')))}")
        request = _request(fields)
        prompt = _prompt(fields, request)
        shared = {
            "model": first(fields, "model", "model_group"),
            "id": fields.get("request_id"),
            "timestamp": fields.get("startTime"),
        }
        if not isinstance(prompt, list):
            return self.plain(fields, lambda: _text(prompt), lambda: _answers(fields), **shared)
        form = request.get("response_format")
        if "text" not in self.named:
            _require_whole(text_of(prompt, self.source.turns), "the text")
        tools = first(request, "tools", "functions")
        call = self.made(
            fields,
            prompt,
            lambda: _answers(fields),
            tools=tools,
            response_format=response_format_of(request) if form is None else form,
            **shared,
        )
        # What is left of instructions that were cut says nothing about those of another call.
        cut = call.context is not None and (_CUT.search(call.context.system) or _CUT.search(canonical(tools)))
        return replace(call, context=None) if cut else call


def _error(metadata: Any) -> str:
    found = decoded(metadata.get("error_information")) if isinstance(metadata, Mapping) else None
    return told(found.get("error_message") if isinstance(found, Mapping) else None)


def _request(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body of the request, empty when it was not stored."""
    found = decoded(first(fields, "proxy_server_request"))
    if not isinstance(found, Mapping):
        return {}
    body = decoded(found.get("body"))
    return body if isinstance(body, Mapping) else found


def _prompt(fields: Mapping[str, Any], request: Mapping[str, Any]) -> list[Message] | str | None:
    """Messages, or the text of a completion; None: not stored."""
    if request.get("input") is not None:  # of the responses API
        return messages_of_input(request)
    for value in (first(fields, "messages"), first(request, "messages"), first(request, "prompt")):
        found = decoded(value)
        if isinstance(found, list | tuple) and len(found) == 1 and isinstance(found[0], str):
            return found[0]
        if isinstance(found, list | tuple) and found:
            return messages_of(found)
        if isinstance(found, str):
            return found
    return None


def _text(prompt: str | None) -> str:
    if prompt is None:
        raise UnusableError(f"the request was not stored: {HOW}")
    _require_whole(prompt, "the text")
    return prompt


def _answers(fields: Mapping[str, Any]) -> tuple[Answer, ...]:
    value = first(fields, "response")
    found = decoded(value)
    if value is MISSING or found in ({}, []):
        raise UnusableError(f"the response was not stored: {HOW}")
    if isinstance(found, Mapping) and set(found) == {"text"}:  # what LiteLLM leaves of a redacted one
        found = value = found["text"]
    answers = output_answers(value)
    for answer in answers:
        if isinstance(found, Mapping) and answer.content is value:
            raise UnusableError("the response has neither choices nor output")
        for part in (answer.content, *(call.arguments for call in answer.tools)):
            _require_whole(part, "the answer")
    return answers


def _require_whole(value: Any, what: str) -> None:
    """Raise UnusableError for text that LiteLLM cut or replaced when it stored the call."""
    if not isinstance(value, str):
        return
    if value.strip() == _REDACTED:
        raise UnusableError(f"{what} was redacted: set litellm_settings.turn_off_message_logging: false")
    if _CUT.search(value):
        raise UnusableError(f"{what} was cut by LiteLLM: raise MAX_STRING_LENGTH_PROMPT_IN_DB in its environment")
