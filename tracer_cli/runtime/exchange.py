"""What was asked and what was answered, out of the values that an application passes to its LLM and gets back.

Plain text is taken as it is. Messages and completions are read by what reads them in trace files, so that a text is the
same wherever it comes from; those modules are imported when the first of them is seen.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from tracer_cli.traces.calls import Answer, UnusableError

if TYPE_CHECKING:
    from tracer_cli.traces.calls import Context

Turns = Literal["single", "last", "all"]


@dataclass(frozen=True, slots=True)
class Asked:
    """text: what a policy sees; model: as it was asked for; context: the instructions, None: not known."""

    text: str
    model: str | None = None
    context: Context | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The one answer: its text, or the tools that it calls, or both. model: as the answer names it.

    All of it is text: an object that the application goes on to change is written as it was.
    """

    teacher: str | None
    tool_calls: tuple[tuple[str, str | None], ...] = ()
    model: str | None = None


def asked(value: Any, arguments: Mapping[str, Any], turns: Turns) -> Asked:
    """From a text, or from the messages of a chat completion. Raises UnusableError.

    arguments: the others of the call, by name; of them `model`, `tools`, `functions` and `response_format` count.
    """
    model = _text_or_none(arguments.get("model"))
    if isinstance(value, str):
        return Asked(_not_empty(value, "the text"), model)
    if not isinstance(value, list | tuple):
        raise UnusableError(f"what is asked is {_kind(value)}, neither a text nor messages; set `input`")
    from tracer_cli.traces.presets.messages import context_of, messages_of, text_of

    messages = messages_of([plain(message) for message in value])
    tools = arguments.get("tools") or arguments.get("functions")
    form = arguments.get("response_format")
    context = None
    if not isinstance(form, type):  # a class: the client turns it into a schema that is not seen here
        offered = [plain(tool) for tool in tools] if isinstance(tools, list | tuple) else None
        context = context_of(messages, offered, form if isinstance(form, Mapping) else None)
    return Asked(_not_empty(text_of(messages, turns), "the text"), model, context)


def answered(value: Any) -> Answered:
    """From a text, a plain value, a completion or message of whichever client, or an object that is itself the answer
    (then its JSON). Raises UnusableError for an answer that is none, is not finished, or of several that differ.
    """
    if isinstance(value, str):
        return Answered(_not_empty(value, "the answer"))
    if isinstance(value, Enum):
        return answered(value.value)
    found = plain(value)
    if isinstance(found, bool | int | float):
        return Answered(_content(found))
    if not isinstance(found, Mapping | list | tuple):
        raise UnusableError("there is no answer" if value is None else f"the answer is {_kind(value)}; set `answer`")
    from tracer_cli.traces.presets.answers import answers_of, check_finish

    model = None
    if isinstance(found, Mapping):
        model = _text_or_none(found.get("model"))
        check_finish(found.get("stop_reason"))
    else:
        found = [plain(item) for item in found]
    return _one(answers_of(found), model)


def streamed(pieces: Sequence[Any]) -> Answered:
    """From all that a stream gave: pieces of text, or the chunks of a completion. Raises UnusableError."""
    if all(isinstance(piece, str) for piece in pieces):
        return Answered(_not_empty("".join(pieces), "the answer"))
    chunks = [plain(piece) for piece in pieces]
    if not all(isinstance(chunk, Mapping) for chunk in chunks):
        raise UnusableError("the stream gives neither text nor chunks of a completion; set `answer`")
    last = chunks[-1]
    if last.get("type") == "response.completed" and isinstance(last.get("response"), Mapping):
        return answered(last["response"])
    if not any("choices" in chunk for chunk in chunks):
        raise UnusableError("the stream gives neither text nor chunks of a completion; set `answer`")
    from tracer_cli.traces.presets.answers import answers_of_chunks

    models = (_text_or_none(chunk.get("model")) for chunk in chunks)
    return _one(answers_of_chunks(chunks), next((model for model in models if model), None))


def plain(value: Any) -> Any:
    """The object or list that a client's own class stands for; every other value as it is."""
    if value is None or isinstance(value, str | Mapping | list | tuple | bool | int | float | type):
        return value
    if dataclasses.is_dataclass(value):
        return dataclasses.asdict(value)  # type: ignore[arg-type]  # classes are out above
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        try:
            return dump(warnings=False)
        except TypeError:
            return dump()
    for name in ("to_dict", "dict"):
        convert = getattr(value, name, None)
        if callable(convert):
            return convert()
    return value


def _one(answers: tuple[Answer, ...], model: str | None) -> Answered:
    found = [
        Answered(_content(answer.content), tuple((call.name, _content(call.arguments)) for call in answer.tools), model)
        for answer in answers
    ]
    if any(other != found[0] for other in found):
        raise UnusableError(f"there are {len(found)} answers, and they differ")
    if not found[0].tool_calls:
        _not_empty(found[0].teacher, "the answer")
    return found[0]


def _content(content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return content
    try:
        return json.dumps(content, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UnusableError(f"the answer is no JSON ({type(error).__name__}); set `answer`") from None


def _not_empty(text: str | None, what: str) -> str:
    if text is None:
        raise UnusableError(f"{what} is null")
    if not text or text.isspace():
        raise UnusableError(f"{what} is empty")
    return str.__str__(text)  # of a subclass such as an Enum: the text itself


def _text_or_none(value: Any) -> str | None:
    return str.__str__(value) if isinstance(value, str) and value else None


def _kind(value: Any) -> str:
    return f"of the type {type(value).__name__}"
