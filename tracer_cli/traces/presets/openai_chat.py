"""preset: openai-chat. Fine-tuning files of OpenAI: each record is a conversation, and its end is the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracer_cli.traces.calls import Call, NoCallError
from tracer_cli.traces.expressions import MISSING
from tracer_cli.traces.presets.answers import answer_of_message, last_answer
from tracer_cli.traces.presets.chat import ChatPreset
from tracer_cli.traces.presets.messages import Message, messages_of
from tracer_cli.traces.read.files import TraceFile

_RESULTS = ("tool", "function")


class OpenAIChatPreset(ChatPreset):
    """{"messages": [...], "tools": [...]}: the last message of the assistant is the answer to those before it.

    What tools returned after it is no part of either. A record whose answer has `weight` 0, which fine-tuning does not
    learn from, is left out here too; weights of earlier messages mean nothing here.
    """

    def call(self, file: TraceFile, fields: Mapping[str, Any]) -> Call:
        conversation = messages_of(fields.get("messages", MISSING))
        while len(conversation) > 1 and conversation[-1].get("role") in _RESULTS:
            conversation.pop()
        if "label" in self.named:  # the answer lies elsewhere; the conversation may end with one or not
            answered = conversation[-1].get("role") == "assistant"
        else:
            answered = True
            if _weight(last_answer(conversation)) == 0:
                raise NoCallError("an answer of weight 0")
        return self.made(
            fields,
            conversation[:-1] if answered else conversation,
            lambda: (answer_of_message(conversation[-1]),),
            tools=fields.get("tools") or fields.get("functions"),
            response_format=fields.get("response_format"),
            model=fields.get("model"),
        )


def _weight(message: Message) -> float:
    try:
        return float(message.get("weight", 1))
    except (TypeError, ValueError):
        return 1.0
