"""What went into a GenAI call and what came out, from the attributes and events of its span; see `presets.otel`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracer_cli.traces.calls import Answer, UnusableError
from tracer_cli.traces.expressions import MISSING
from tracer_cli.traces.presets.answers import answer_of_message, answers_of_choices, check_finish
from tracer_cli.traces.presets.logged import first, messages_in, output_answers
from tracer_cli.traces.presets.messages import Message, canonical, decoded, messages_of

DETAILS = "gen_ai.client.inference.operation.details"
_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_CHOICE = "gen_ai.choice"
# As opentelemetry-util-genai writes the roles of LangChain.
_ROLES = {"human": "user", "ai": "assistant"}
_SAID = ("content", "tool_calls", "refusal")

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Content:
    """messages, answers: None when they were not captured; both raise UnusableError for what cannot be read.

    elsewhere: this is a log record with an answer alone, whose question is in another one.
    """

    messages: Callable[[], list[Message]] | None
    answers: Callable[[], tuple[Answer, ...]] | None
    tools: Callable[[], list[Any] | None]
    elsewhere: bool = False


def content_of(name: Any, attributes: Fields, events: Sequence[Fields]) -> Content:
    """name, attributes: of the span or log record; events: {name, attributes} of the span."""
    places = [attributes, *(event["attributes"] for event in events if event.get("name") == DETAILS)]
    return Content(
        _messages(places, attributes, events),
        _answers(places, attributes, events),
        lambda: _tools(places, attributes),
        name == _CHOICE,
    )


def _anywhere(places: Sequence[Fields], name: str) -> Any:
    return next((value for place in places if (value := first(place, name)) is not MISSING), MISSING)


def _messages(
    places: Sequence[Fields], attributes: Fields, events: Sequence[Fields]
) -> Callable[[], list[Message]] | None:
    if (value := _anywhere(places, "gen_ai.input.messages")) is not MISSING:
        return lambda: [*_instructions(places), *(_message(one) for one in _list(value, "gen_ai.input.messages"))]
    if prompts := _spoken(_indexed(attributes, "gen_ai.prompt.")):
        return lambda: prompts
    asked = [(_EVENTS[event["name"]], _body(event)) for event in events if _named(event, _EVENTS)]
    if spoken := _spoken([{**body, "role": role} for role, body in asked]):
        return lambda: spoken
    if (value := _whole(attributes, events, "prompt")) is not MISSING:
        found = messages_in(value)
        return lambda: [{"role": "user", "content": value}] if found is None else found
    return None


def _answers(
    places: Sequence[Fields], attributes: Fields, events: Sequence[Fields]
) -> Callable[[], tuple[Answer, ...]] | None:
    if (value := _anywhere(places, "gen_ai.output.messages")) is not MISSING:
        return lambda: tuple(_output(one) for one in _list(value, "gen_ai.output.messages"))
    completions = _indexed(attributes, "gen_ai.completion.")
    if spoken := _spoken(completions):
        return lambda: answers_of_choices(_choices(completions, spoken))
    chosen = [_chosen(_body(event)) for event in events if _named(event, (_CHOICE,))]
    if any(choice["message"] for choice in chosen):
        return lambda: answers_of_choices(chosen)
    if (value := _whole(attributes, events, "completion")) is not MISSING:
        found = decoded(value)
        if isinstance(found, list) and found and all(isinstance(one, Mapping) and "role" in one for one in found):
            return lambda: tuple(answer_of_message(one) for one in found)
        return lambda: output_answers(value)
    return None


def _tools(places: Sequence[Fields], attributes: Fields) -> list[Any] | None:
    found = decoded(_anywhere(places, "gen_ai.tool.definitions"))
    if isinstance(found, list):
        return found
    return _indexed(attributes, "llm.request.functions.") or None


# --- messages with parts --------------------------------------------------------------------------


def _list(value: Any, name: str) -> list[Message]:
    found = decoded(value)
    if isinstance(found, str) and found.lstrip()[:1] in ("[", "{"):
        raise UnusableError(f"{name} is not whole JSON; OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT may have cut it")
    return messages_of(found, name)


def _instructions(places: Sequence[Fields]) -> list[Message]:
    value = _anywhere(places, "gen_ai.system_instructions")
    if value is MISSING:
        return []
    found = decoded(value)
    if isinstance(found, list) and all(isinstance(part, Mapping) and "role" in part for part in found):
        return [_message(part) for part in found]
    return [{"role": "system", "content": found}]


def _message(message: Message) -> Message:
    """A message of the conventions as one of a chat: parts are its content, or the tools that it calls."""
    role = message.get("role")
    role = _ROLES.get(role.lower(), role) if isinstance(role, str) else role
    parts = decoded(message.get("parts"))
    if not isinstance(parts, list):
        return {**message, "role": role}
    content, calls = [], []
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "tool_call":
            calls.append({"name": part.get("name"), "arguments": part.get("arguments")})
        elif kind == "tool_call_response":
            told = part.get("response", part.get("result"))
            content.append(told if isinstance(told, str) else canonical(told))
        elif kind not in ("reasoning", "server_tool_call", "server_tool_call_response"):
            content.append(part)
    return {"role": role, "content": content or None, "tool_calls": calls}


def _output(message: Message) -> Answer:
    check_finish(message.get("finish_reason"))
    return answer_of_message(_message(message))


# --- the shapes before ----------------------------------------------------------------------------


def _indexed(fields: Fields, prefix: str) -> list[dict[str, Any]]:
    """The entries that flat names with numbers make up: prefix.0.role, prefix.0.content, prefix.1.role ..."""
    found: dict[int, dict[str, Any]] = {}
    for name, value in fields.items():
        if name.startswith(prefix):
            number, _, rest = name[len(prefix) :].partition(".")
            if rest and number.isdecimal() and number.isascii() and len(number) < 7:
                found.setdefault(int(number), {})[rest] = value
    return [found[number] for number in sorted(found)]


def _spoken(entries: Sequence[Fields]) -> list[Message]:
    """The entries as messages; none when not one of them says anything, since only their roles were captured."""
    messages: list[Message] = []
    for entry in entries:
        message = {key: entry[key] for key in ("role", *_SAID) if entry.get(key) is not None}
        if calls := _indexed(entry, "tool_calls."):
            message["tool_calls"] = calls
        if "content" in message:
            message["content"] = _parts(message["content"])
        messages.append(message)
    return messages if any(key in message for message in messages for key in _SAID) else []


def _parts(content: Any) -> Any:
    """Parts of a content are written as JSON text; other text stays, even when it is JSON."""
    found = decoded(content)
    if isinstance(found, list) and found and all(isinstance(part, Mapping) and "type" in part for part in found):
        return found
    return content


def _choices(entries: Sequence[Fields], messages: Sequence[Message]) -> list[Any]:
    return [
        {"message": message, "finish_reason": entry.get("finish_reason")}
        for entry, message in zip(entries, messages, strict=True)
    ]


def _named(event: Fields, names: Mapping[str, str] | tuple[str, ...]) -> bool:
    return isinstance(event.get("name"), str) and event["name"] in names


def _body(event: Fields) -> dict[str, Any]:
    """The body of an event, which is in its attributes one by one or as JSON in one of them."""
    attributes: Fields = event["attributes"]
    body = decoded(attributes.get("gen_ai.event.content"))
    return {**attributes, **(body if isinstance(body, Mapping) else {})}


def _chosen(body: Fields) -> dict[str, Any]:
    message = decoded(body.get("message"))
    if not isinstance(message, Mapping):
        message = {} if message is None else {"content": message}
    said = {key: body[key] for key in _SAID if body.get(key) is not None} | dict(message)
    return {"message": said, "finish_reason": body.get("finish_reason")}


def _whole(attributes: Fields, events: Sequence[Fields], what: str) -> Any:
    """All of it in one attribute: of the span, or of the event that was made for it."""
    places = [event["attributes"] for event in events if event.get("name") == f"gen_ai.content.{what}"]
    return _anywhere([*places, attributes], f"gen_ai.{what}")
