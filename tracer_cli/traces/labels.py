"""The label in a teacher's answer. What does not parse to a label is rejected with its reason, never guessed."""

from __future__ import annotations

from typing import Any

from tracer_cli.config.schema import Parse
from tracer_cli.traces.calls import Answer, UnusableError
from tracer_cli.traces.values import required_text


def answer_of(value: Any) -> Answer:
    """The answer that a field holds: a message with tool calls, or plain content."""
    return Answer(value)


class LabelParser:
    """Made from the `parse` section of a source."""

    def __init__(self, parse: Parse, place: str, longest: int) -> None:
        self._parse = parse
        self._place = place
        self._longest = longest

    def label(self, answers: tuple[Answer, ...]) -> str:
        """The label, not empty and without white space at its ends. Raises UnusableError."""
        if len(answers) != 1:
            raise UnusableError(f"the label ({self._place}) is missing")
        return required_text(answers[0].content, "label", self._place, self._longest, "max_label_length").strip()
