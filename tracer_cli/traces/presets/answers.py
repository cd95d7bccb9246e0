"""What the presets share about the teacher's answer: from messages, choices and streamed chunks to answers.

An answer that the teacher did not finish or would not give is no label: it is rejected with that reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tracer_cli.traces.calls import Answer, ToolCall, UnusableError
from tracer_cli.traces.presets.messages import Message, content_text, decoded, tool_calls
from tracer_cli.traces.presets.responses import choice_of_items, choice_of_response, is_output

_UNFINISHED = {
    "length": "the answer was cut off at the token limit (finish_reason: length)",
    "max_tokens": "the answer was cut off at the token limit (finish_reason: max_tokens)",
    "content_filter": "the answer was withheld (finish_reason: content_filter)",
    "error": "the answer broke off with an error (finish_reason: error)",
}
SHOWN = 80


def answer_of_message(message: Message) -> Answer:
    """The answer in an assistant's message: its text, None where there is none, and the tools that it calls.

    Text parts are joined without anything between them. Raises UnusableError for a refusal.
    """
    content = message.get("content")
    parts = content if isinstance(content, list | tuple) else ()
    refusals = [part.get("refusal") for part in parts if isinstance(part, Mapping) and part.get("type") == "refusal"]
    for refusal in (message.get("refusal"), *refusals):
        if refusal:
            raise UnusableError(f"the teacher refused: {str(refusal)[:SHOWN]!r}")
    calls = tuple(ToolCall(name, arguments) for name, arguments in tool_calls(message))
    if isinstance(content, list | tuple):
        content = content_text(content, "the answer", "") if content else None
    return Answer(content, calls)


def check_finish(reason: Any) -> None:
    """Raise UnusableError when the teacher did not come to an end."""
    if isinstance(reason, str) and reason in _UNFINISHED:
        raise UnusableError(_UNFINISHED[reason])


def answers_of_choices(choices: Any) -> tuple[Answer, ...]:
    """One answer for each choice of a chat completion, or of the older completion with `text`."""
    found = decoded(choices)
    if not isinstance(found, list | tuple):
        raise UnusableError("choices is not a list")
    if not found:
        raise UnusableError("choices is empty: there is no answer")
    return tuple(_choice(choice) for choice in found)


def _choice(choice: Any) -> Answer:
    if not isinstance(choice, Mapping):
        raise UnusableError("a choice is not an object")
    check_finish(choice.get("finish_reason"))
    message = decoded(choice.get("message"))
    if isinstance(message, Mapping):
        return answer_of_message(message)
    if message is None and choice.get("text") is not None:
        return Answer(choice["text"])
    raise UnusableError("a choice has no message")


def answers_of_chunks(chunks: Iterable[Any]) -> tuple[Answer, ...]:
    """One answer for each choice of a streamed completion; choices may be interleaved.

    Raises UnusableError when the stream ends before a choice does: half a label is none.
    """
    streams: dict[int, _Stream] = {}
    for chunk in chunks:
        if not isinstance(chunk, Mapping):
            raise UnusableError("a chunk of the stream is not an object")
        for choice in _each(chunk, "choices"):
            if not isinstance(choice, Mapping):
                raise UnusableError("a choice in the stream is not an object")
            streams.setdefault(_index(choice), _Stream()).add(choice)
    if not streams:
        raise UnusableError("the stream has no choices: there is no answer")
    if any(stream.finish is None for stream in streams.values()):
        raise UnusableError("the stream ends before the answer does (no finish_reason)")
    return answers_of_choices([streams[index].choice() for index in sorted(streams)])


class _Stream:
    """One choice, from its deltas."""

    def __init__(self) -> None:
        self.finish: Any = None
        self._texts: dict[str, str] = {}
        self._calls: dict[int, dict[str, str]] = {}

    def add(self, choice: Mapping[str, Any]) -> None:
        self.finish = choice.get("finish_reason") or self.finish
        delta = choice.get("delta") or {}
        if not isinstance(delta, Mapping):
            raise UnusableError("a delta in the stream is not an object")
        for key in ("content", "refusal"):
            if delta.get(key) is not None:
                text = delta[key] if isinstance(delta[key], str) else content_text(delta[key], "the answer", "")
                self._texts[key] = self._texts.get(key, "") + text
        for call in _each(delta, "tool_calls"):
            if not isinstance(call, Mapping):
                raise UnusableError("a tool call is not an object")
            self._call(_index(call), call.get("function") or call.get("custom"))
        if delta.get("function_call") is not None:
            self._call(-1, delta["function_call"])

    def _call(self, index: int, piece: Any) -> None:
        known = self._calls.setdefault(index, {})
        for key, value in piece.items() if isinstance(piece, Mapping) else ():
            if isinstance(value, str):
                known[key] = known.get(key, "") + value

    def choice(self) -> dict[str, Any]:
        calls = [self._calls[index] for index in sorted(self._calls)]
        message = {"role": "assistant", "content": self._texts.get("content"), "tool_calls": calls}
        return {"message": {**message, "refusal": self._texts.get("refusal")}, "finish_reason": self.finish}


def _each(holder: Mapping[str, Any], name: str) -> Iterable[Any]:
    found = holder.get(name)
    if found is not None and not isinstance(found, list | tuple):
        raise UnusableError(f"{name} in the stream is not a list")
    return found or ()


def _index(piece: Mapping[str, Any]) -> int:
    """The place of a choice or of a tool call; numbers are text in what was read from a file."""
    try:
        return int(piece.get("index") or 0)
    except (TypeError, ValueError, OverflowError):
        raise UnusableError("an index in the stream is not a number") from None


# --- an answer of unknown shape -------------------------------------------------------------------

_MESSAGE_KEYS = frozenset(
    ("role", "content", "refusal", "tool_calls", "function_call", "name", "annotations", "audio", "reasoning_content")
)
_CHUNK = "chat.completion.chunk"
_CHOICE_KEYS = frozenset(("message", "delta", "text", "finish_reason"))
_CALL_KEYS = frozenset(("id", "type", "index", "name", "arguments", "call_id", "status"))


def answers_of(value: Any) -> tuple[Answer, ...]:
    """The answers in a logged output, whatever of these it is: a completion, its streamed chunks, a response with
    output items, an assistant's message, a list of messages (the last one must be the assistant's), a list of tool
    calls. Anything else, text too, is the content of one answer as it stands; JSON text is not looked into.
    """
    found = _recognised(value, bare=True)
    return (Answer(value),) if found is None else found


def answers_in_field(value: Any, kind: str) -> tuple[Answer, ...]:
    """The answers in a field of which nothing is known but what tracer.yaml does with it.

    kind: of the source's `parse`. For `text` a label that looks like JSON is that label; for the others JSON text is
    looked into as well. For `json` an object with nothing but `content` is the teacher's own object.
    """
    found = decoded(value) if kind != "text" else value
    answers = _recognised(found, bare=kind != "json")
    if answers is None and kind == "tool" and isinstance(found, Mapping) and is_tool_call(found):
        answers = (answer_of_message({"tool_calls": [found]}),)
    return (Answer(value),) if answers is None else answers


def _recognised(value: Any, bare: bool) -> tuple[Answer, ...] | None:
    """bare: whether an object is a message too that has `content` and no `role`."""
    if isinstance(value, Mapping):
        if _has_choices(value):
            return answers_of_choices(value["choices"])
        if is_output(value.get("output")):
            return answers_of_choices([choice_of_response(value)])
        return (answer_of_message(value),) if is_message(value, bare) else None
    if not isinstance(value, list | tuple) or not value or not all(isinstance(item, Mapping) for item in value):
        return None
    if all(item.get("object") == _CHUNK or _has_choices(item) for item in value):
        return answers_of_chunks(value)
    if all(isinstance(item.get("message"), Mapping) for item in value):
        return answers_of_choices(value)
    if is_output(value):
        return answers_of_choices([choice_of_items(value)])
    if all(is_tool_call(item) for item in value):
        return (answer_of_message({"tool_calls": value}),)
    return (answer_of_message(last_answer(value)),) if all("role" in item for item in value) else None


def _has_choices(value: Mapping[str, Any]) -> bool:
    """Whether it is a completion, and not an object with a member that happens to be called `choices`."""
    choices = value.get("choices")
    if not isinstance(choices, list | tuple):
        return False
    if not choices:
        return value.get("object") in ("chat.completion", "text_completion", _CHUNK)
    return all(isinstance(choice, Mapping) and _CHOICE_KEYS.intersection(choice) for choice in choices)


def is_message(value: Mapping[str, Any], bare: bool = True) -> bool:
    """Whether an object is an assistant's message, and not an object that the teacher gave for an answer."""
    if isinstance(value.get("tool_calls"), list | tuple) or isinstance(value.get("function_call"), Mapping):
        return True
    if "content" not in value and "refusal" not in value:
        return False
    return value.get("role") == "assistant" or (bare and "role" not in value and _MESSAGE_KEYS.issuperset(value))


def is_tool_call(value: Mapping[str, Any]) -> bool:
    if isinstance(value.get("function"), Mapping):
        return "name" in value["function"]
    return "name" in value and "arguments" in value and _CALL_KEYS.issuperset(value)


def last_answer(messages: Sequence[Message]) -> Message:
    """The last message, which must be the assistant's. Raises UnusableError."""
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant":
        raise UnusableError("the last message is not the assistant's: there is no answer")
    return last
