"""What the presets share about a chat: the text that the user sent, and the instructions beside it.

Messages are those of OpenAI's chat completions: `content` is text, a list of parts, or null. A live request, decoded by
`json`, and the same request in a trace file give equal texts and equal contexts: a router can compare them. What the
teacher answered is read in `presets.answers`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from tracer_cli.traces.calls import Context, UnusableError
from tracer_cli.traces.expressions import MISSING, from_json
from tracer_cli.traces.values import optional_text, scalar_text

Turns = Literal["single", "last", "all"]
Message = Mapping[str, Any]

INSTRUCTIONS = ("system", "developer")
_TEXT_PARTS = ("text", "input_text", "output_text")
_UNSEEN = {
    "image": "an image",
    "image_url": "an image",
    "input_image": "an image",
    "input_audio": "audio",
    "audio": "audio",
    "file": "a file",
    "input_file": "a file",
    "video_url": "a video",
}
_TOO_DEEP = "tools or other values are nested too deeply"
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def messages_of(value: Any, what: str = "messages") -> list[Message]:
    """The messages that a field holds, also as a JSON text. Raises UnusableError when it holds none."""
    found = decoded(value)
    if found is None or found is MISSING:
        raise UnusableError(f"{what} is {'missing' if found is MISSING else 'null'}")
    if not isinstance(found, list | tuple) or not all(isinstance(message, Mapping) for message in found):
        raise UnusableError(f"{what} is not a list of messages")
    if not found:
        raise UnusableError(f"{what} is empty")
    return list(found)


def decoded(value: Any) -> Any:
    """The object or list that a JSON text is; every other value as it stands."""
    if isinstance(value, str | bytes):
        found = from_json(value)
        return value if found is MISSING else found
    return value


# --- the text -------------------------------------------------------------------------------------


def text_of(messages: Sequence[Message], turns: Turns) -> str:
    r"""The text that a policy sees of a conversation; the answer to it is no part of `messages`.

    single: the content of the user's message, and there is no other turn beside the instructions.
    last: the content of the user's last message.
    all: every message but the instructions, each as `role: content`, joined by a newline ("user: Hi\nassistant:
    Hello\nuser: Where is my card?"); newlines inside of a content stay. A call of a tool is `name(arguments)`, each
    on a line of its own after the content, with the arguments as they were sent.
    Parts of a user's content are joined by a newline. Raises UnusableError.
    """
    said = [message for message in messages if message.get("role") not in INSTRUCTIONS]
    users = [message for message in said if message.get("role") == "user"]
    if not users:
        raise UnusableError("there is no message of the user")
    if turns == "all":
        return "\n".join(_turn(message) for message in said)
    if turns == "single" and len(said) > 1:
        if len(users) > 1:
            found = f"{len(users)} messages of the user"
        else:
            found = f"a message of role {_other(said)!r} beside the user's"
        raise UnusableError(f"the conversation has {found}, and `turns` is single; set turns: last or turns: all")
    return content_text(users[-1].get("content", MISSING), "the user's message")


def _other(said: list[Message]) -> str:
    return next(str(message.get("role")) for message in said if message.get("role") != "user")[:40]


def _turn(message: Message) -> str:
    role = message.get("role")
    name = role if isinstance(role, str) else "unknown"
    calls = [*tool_calls(message)]
    content = message.get("content", MISSING)
    if calls and (content is MISSING or content is None):
        content = ""
    separator = "" if role == "assistant" else "\n"
    lines = [content_text(content, f"the message of role {name!r}", separator)]
    for called, arguments in calls:
        lines.append(f"{called}({arguments if isinstance(arguments, str) else canonical(arguments)})")
    return f"{name}: " + "\n".join(line for line in lines if line)


def content_text(content: Any, what: str, separator: str = "\n") -> str:
    """The text of a content: itself, or its text parts joined by `separator`.

    Raises UnusableError for what is no text, such as an image, which a text classifier cannot see. what: whose content
    it is, for the reason.
    """
    if content is MISSING:
        raise UnusableError(f"{what} has no content")
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list | tuple):
        return scalar_text(content, f"the content of {what}")
    return separator.join(_part(part, what) for part in content)


def _part(part: Any, what: str) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise UnusableError(f"the content of {what} holds a part that is neither text nor an object")
    kind = part.get("type")
    text = part.get("text", part.get("content"))
    if kind in _TEXT_PARTS or (kind is None and isinstance(text, str)):
        return scalar_text(text, f"the text part of {what}")
    if kind == "refusal":
        return scalar_text(part.get("refusal"), f"the refusal in {what}")
    if isinstance(kind, str) and kind in _UNSEEN:
        raise UnusableError(f"{what} holds {_UNSEEN[kind]}, which a text classifier cannot see")
    raise UnusableError(f"{what} holds a part of type {str(kind)[:40]!r}, which is no text")


def tool_calls(message: Message) -> list[tuple[str, Any]]:
    """(name, arguments) of each tool that an assistant's message calls, in the older shape too (`function_call`)."""
    calls = decoded(message.get("tool_calls"))
    if calls is None:
        calls = []
    elif not isinstance(calls, list | tuple):
        raise UnusableError("tool_calls is not a list")
    found = [_tool_call(call) for call in calls]
    old = decoded(message.get("function_call"))
    return found if old is None else [*found, _tool_call(old)]


def _tool_call(call: Any) -> tuple[str, Any]:
    """From {id, type, function: {name, arguments}}, {..., custom: {name, input}} or {name, arguments}."""
    if not isinstance(call, Mapping):
        raise UnusableError("a tool call is not an object")
    inner = next((call[key] for key in ("function", "custom") if isinstance(call.get(key), Mapping)), call)
    name = inner.get("name")
    if not isinstance(name, str) or not name:
        raise UnusableError("a tool call has no name")
    arguments = next((inner[key] for key in ("arguments", "input", "args") if inner.get(key) is not None), None)
    return name, arguments


# --- the instructions -----------------------------------------------------------------------------


def context_of(
    messages: Sequence[Message] | None, tools: Sequence[Any] | None = None, response_format: Any = None
) -> Context | None:
    """The instructions of a call: messages of the system and the developer, tools, and the form that is asked for.

    Takes the values of a request as they are; tools also in the older shape (`functions`) and in that of the responses
    API. None: `messages` is None, so that nothing is known. Equal for a request and for its trace: see `canonical`.
    Raises UnusableError for what is nested too deeply.
    """
    if messages is None:
        return None
    system = tuple(_instruction(message) for message in messages if message.get("role") in INSTRUCTIONS)
    rest = (list(tools) if tools else [], decoded(response_format))
    try:
        return _context(system, json.dumps(rest, default=optional_text))
    except RecursionError:
        raise UnusableError(_TOO_DEEP) from None


@lru_cache(maxsize=64)
def _context(system: tuple[str, ...], rest: str) -> Context:
    """Kept for calls with the same instructions, which are nearly all. rest: tools and form as JSON, as they came."""
    form, tools, names = _offered(rest)
    instructions = json.dumps(system, separators=(",", ":"))
    whole = f'{{"response_format":{form},"system":{instructions},"tools":{tools}}}'
    return Context(hashlib.sha256(whole.encode("ascii")).hexdigest(), _writable("\n\n".join(system)), names)


@lru_cache(maxsize=64)
def _offered(rest: str) -> tuple[str, str, tuple[str, ...]]:
    """Canonical JSON of the form and of the tools, and the tools' names."""
    tools, form = json.loads(rest)
    if isinstance(form, Mapping) and form.get("type") == "text":  # that is what None means
        form = None
    described = [_tool(tool) for tool in tools]
    return canonical(form), canonical(described), tuple(_writable(tool["name"]) for tool in described)


def canonical(value: Any) -> str:
    """JSON in one form, so that equal values are equal text.

    Trace files are read with their numbers as text and a live request is not, so a number and the text of that number
    are the same here: a text that is a JSON number becomes one. A number is written as its digits if it is whole and
    has neither point nor exponent, or is less than 2**53; else as Python writes the double. Names are sorted, a
    member that is null is as if it were not there (columns of Parquet hold null for it), and all is ASCII. Raises
    UnusableError for what is nested too deeply.
    """
    try:
        return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))
    except RecursionError:
        raise UnusableError(_TOO_DEEP) from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _number(value)
    if isinstance(value, int | float):
        return _number(repr(value))
    return optional_text(value)


def _number(text: str) -> str:
    """Text as it is, and the text of a JSON number in one form."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    if match.group(1) is None and match.group(2) is None:
        return "0" if text == "-0" else text
    number = float(text)
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def _instruction(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    try:
        return content_text(content, "the system message")
    except UnusableError:
        return canonical(content)


def _tool(tool: Any) -> dict[str, Any]:
    """Name, description and parameters, from whichever shape; of a built-in tool all that there is."""
    found = decoded(tool)
    if not isinstance(found, Mapping):
        return {"name": optional_text(found) or ""}
    kind = found.get("type")
    inner = found.get("function", found.get(kind) if isinstance(kind, str) else None)
    if not isinstance(inner, Mapping):
        inner = found
    name = inner.get("name")
    if not isinstance(name, str):
        return {"name": str(kind), "parameters": found}
    parameters = next(
        (inner[key] for key in ("parameters", "input_schema", "inputSchema", "format") if inner.get(key) is not None),
        None,
    )
    return {"name": name, "description": inner.get("description"), "parameters": decoded(parameters)}


def _writable(text: str) -> str:
    """Without halves of surrogate pairs, which no file can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
