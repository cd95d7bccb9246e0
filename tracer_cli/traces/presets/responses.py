"""OpenAI's responses API in terms of chat completions: input items become messages, output items a choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracer_cli.traces.calls import UnusableError
from tracer_cli.traces.expressions import MISSING
from tracer_cli.traces.presets.messages import Message, canonical, decoded

_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_RESULTS = ("function_call_output", "custom_tool_call_output")
# Tuples: what stands for a type may be anything, also what has no hash.
_CALL_TYPES = tuple(_CALLS)
_OUTPUT_TYPES = ("message", "reasoning", *_CALLS)


def messages_of_input(body: Mapping[str, Any]) -> list[Message]:
    """The messages that a request's `instructions`, `prompt` and `input` are. Raises UnusableError."""
    messages: list[Message] = []
    if body.get("instructions") is not None:
        messages.append({"role": "system", "content": body["instructions"]})
    if body.get("prompt") is not None:  # a template that the service holds; the text can be among its variables
        messages.append({"role": "system", "content": canonical(body["prompt"])})
    if body.get("previous_response_id") is not None or body.get("conversation") is not None:
        messages.append({"role": "earlier response", "content": "(kept by the service)"})
    found = body.get("input", MISSING)
    if found is MISSING or found is None:
        raise UnusableError(f"input is {'missing' if found is MISSING else 'null'}")
    if not isinstance(found, list | tuple):  # text, and a text that looks like JSON is the user's
        return [*messages, {"role": "user", "content": found}]
    return [*messages, *(message for item in found if (message := _message(item)) is not None)]


def _message(item: Any) -> Message | None:
    if not isinstance(item, Mapping):
        raise UnusableError("an item of input is not an object")
    kind = item.get("type") or "message"
    if kind == "message":
        return item
    if kind in _CALL_TYPES:
        return {"role": "assistant", "content": None, "tool_calls": [_call(item)]}
    if kind in _RESULTS:
        return {"role": "tool", "content": item.get("output")}
    return None if kind == "reasoning" else {"role": str(kind), "content": None}


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": item.get("name"), "arguments": item.get(_CALLS[item["type"]])}


def response_format_of(body: Mapping[str, Any]) -> Any:
    """`text.format` as the `response_format` that says the same in a chat completion."""
    text = decoded(body.get("text"))
    form = text.get("format") if isinstance(text, Mapping) else None
    if isinstance(form, Mapping) and form.get("type") == "json_schema":
        return {"type": "json_schema", "json_schema": {key: form[key] for key in form if key != "type"}}
    return form


def choice_of_response(body: Mapping[str, Any]) -> dict[str, Any]:
    """The one choice that a response is. Raises UnusableError when it failed or did not come to its end."""
    status = body.get("status", "completed")
    if status == "incomplete":
        details = body.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
        raise UnusableError(f"the answer is incomplete: {str(reason)[:60]}")
    if status != "completed":
        error = body.get("error")
        told = f": {str(error.get('message'))[:80]}" if isinstance(error, Mapping) else ""
        raise UnusableError(f"the response has the status {str(status)[:40]!r}{told}")
    return choice_of_items(body.get("output"))


def is_output(items: Any) -> bool:
    """Whether a list is the output of a response, and not a list of messages."""
    return (
        isinstance(items, list | tuple)
        and bool(items)
        and all(isinstance(item, Mapping) and item.get("type") in _OUTPUT_TYPES for item in items)
    )


def choice_of_items(output: Any) -> dict[str, Any]:
    """The choice that output items are: the texts of its messages, one after the other, and the calls of tools."""
    items = decoded(output)
    if not isinstance(items, list | tuple) or not all(isinstance(item, Mapping) for item in items):
        raise UnusableError("output is not a list of items")
    parts: list[Any] = []
    for item in items:
        if item.get("type") == "message":
            content = item.get("content")
            parts += content if isinstance(content, list | tuple) else [content]
    calls = [_call(item) for item in items if item.get("type") in _CALL_TYPES]
    return {"message": {"role": "assistant", "content": parts, "tool_calls": calls}, "finish_reason": "stop"}
