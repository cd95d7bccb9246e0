"""What the presets with messages have in common: a call of the teacher from a request and its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tracer_cli.config.schema import TraceSource
from tracer_cli.traces.calls import Answer, Call
from tracer_cli.traces.expressions import MISSING
from tracer_cli.traces.presets.answers import answers_in_field
from tracer_cli.traces.presets.base import Preset
from tracer_cli.traces.presets.messages import Message, content_text, context_of, decoded, text_of
from tracer_cli.traces.values import optional_text


class ChatPreset(Preset):
    """A shape with messages. Fields that tracer.yaml names come before what the shape has for them."""

    def __init__(self, source: TraceSource, root: Path, scratch: Path) -> None:
        super().__init__(source, root, scratch)
        self.text_place = source.text or type(self).text_place
        self.label_place = source.label or type(self).label_place

    def made(
        self,
        fields: Mapping[str, Any],
        messages: Sequence[Message],
        answers: Callable[[], tuple[Answer, ...]],
        *,
        tools: Any = None,
        response_format: Any = None,
        model: Any = None,
        id: Any = None,
        timestamp: Any = None,
        ground_truth: Any = None,
        origin: Any = None,
    ) -> Call:
        """The call that a record is. Raises UnusableError.

        messages: those of the request, without the answer. answers: called only where tracer.yaml names no `label`. The
        other values are those of the shape, where it has them.
        """
        offered = decoded(tools)
        return Call(
            self._text(fields, messages),
            self._answers(fields, answers),
            id=self.own("id", fields, id),
            timestamp=self.own("timestamp", fields, timestamp),
            ground_truth=self.own("ground_truth", fields, ground_truth),
            origin=self.own("origin", fields, origin),
            model=optional_text(model),
            context=context_of(messages, offered if isinstance(offered, list | tuple) else None, response_format),
        )

    def _text(self, fields: Mapping[str, Any], messages: Sequence[Message]) -> Any:
        if "text" not in self.named:
            return text_of(messages, self.source.turns)
        found = self.own("text", fields, MISSING)
        return content_text(found, self.text_place) if isinstance(found, list | tuple) else found

    def _answers(self, fields: Mapping[str, Any], answers: Callable[[], tuple[Answer, ...]]) -> tuple[Answer, ...]:
        if "label" not in self.named:
            return answers()
        return answers_in_field(self.own("label", fields, MISSING), self.source.parse.kind)
