"""What the logs of tools and gateways share: inputs and outputs of a shape that is not said, often as JSON text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from tracer_cli.traces.calls import Answer, Call, UnusableError
from tracer_cli.traces.expressions import MISSING
from tracer_cli.traces.presets.answers import answer_of_message, answers_of, is_tool_call
from tracer_cli.traces.presets.chat import ChatPreset
from tracer_cli.traces.presets.messages import Message, decoded
from tracer_cli.traces.read.parquet import Unreadable
from tracer_cli.traces.values import optional_text


class LoggedPreset(ChatPreset):
    """known: the columns that the preset reads, so that Parquet files are read faster."""

    known: tuple[str, ...] = ()

    def columns(self) -> list[str] | None:
        if self.source.where is not None:
            return None
        named = self.named.values()
        return list(dict.fromkeys([*self.known, *(one.text for one in named), *(one.root for one in named)]))

    def plain(
        self,
        fields: Mapping[str, Any],
        text: Callable[[], Any],
        answers: Callable[[], tuple[Answer, ...]],
        *,
        model: Any = None,
        id: Any = None,
        timestamp: Any = None,
    ) -> Call:
        """As `made`, for an input without messages: nothing is known of the instructions beside it."""
        return Call(
            self.own("text", fields, MISSING) if "text" in self.named else text(),
            self._answers(fields, answers),
            id=self.own("id", fields, id),
            timestamp=self.own("timestamp", fields, timestamp),
            ground_truth=self.own("ground_truth", fields),
            origin=self.own("origin", fields),
            model=optional_text(model),
        )


def first(fields: Mapping[str, Any], *names: str) -> Any:
    """The value of the first name that is there and neither null nor blank; MISSING when there is none.

    Bytes, which Parquet gives where one text near it is not UTF-8, become text if they can. Raises UnusableError for
    a value that is there and that the reader could not hold.
    """
    for name in names:
        value = fields.get(name)
        if isinstance(value, Unreadable):
            raise UnusableError(f"{name} cannot be read: {value.reason}")
        if isinstance(value, bytes):
            with suppress(UnicodeDecodeError):
                value = value.decode("utf-8")
        if value is not None and not (isinstance(value, str | bytes) and not value.strip()):
            return value
    return MISSING


def told(value: Any) -> str:
    """What a log says of a call that failed, on one line and not too long."""
    text = None if isinstance(value, Mapping | list | tuple) else optional_text(value)
    return " ".join((text or "").split())[:200] or "no message"


def messages_in(value: Any) -> list[Message] | None:
    """The messages in an input: a list of them, {"messages": [...]}, or one alone; None for anything else."""
    found = decoded(value)
    if isinstance(found, Mapping):
        inner = decoded(found.get("messages"))
        found = [found] if inner is None and "role" in found else inner
    return list(found) if _all(found, lambda one: "role" in one) else None


def output_answers(value: Any) -> tuple[Answer, ...]:
    """The answers in an output, also as JSON text: see `answers_of`; one tool call alone, or content in parts, too.

    JSON text that is none of these is what the teacher wrote, and stays text. Raises UnusableError.
    """
    found = decoded(value)
    if isinstance(found, Mapping) and is_tool_call(found) and ("id" in found or "type" in found):
        found = [found]
    if _all(found, lambda part: part.get("type") == "text" and "text" in part):
        return (answer_of_message({"content": found}),)
    answers = answers_of(found)
    return (Answer(value),) if len(answers) == 1 and answers[0].content is found else answers


def _all(value: Any, holds: Callable[[Mapping[str, Any]], bool]) -> bool:
    """Whether it is a list of at least one object, and each is as `holds` says."""
    if not isinstance(value, list | tuple) or not value:
        return False
    items: Iterable[Any] = value
    return all(isinstance(item, Mapping) and holds(item) for item in items)
