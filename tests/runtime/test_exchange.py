"""What is an answer, out of whatever an application gets back; and for what is none, the reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.watch_support import CHOICE, USER
from tracer_cli.runtime import exchange, recording
from tracer_cli.runtime.audit import Audit
from tracer_cli.traces.calls import UnusableError


class Colour(Enum):
    RED = "red"


class Shade(str, Enum):
    DARK = "dark"


@dataclass
class Ticket:
    label: str


class Dumps:
    def __init__(self, found: Any) -> None:
        self.found = found

    def model_dump(self) -> Any:
        return self.found


@pytest.mark.parametrize(
    ("value", "teacher"),
    [
        ("x", "x"),
        (Colour.RED, "red"),
        (Shade.DARK, "dark"),
        (True, "true"),
        (3, "3"),
        ({"label": "é"}, '{"label": "é"}'),
        (Ticket("x"), '{"label": "x"}'),
        (Dumps({"label": "x"}), '{"label": "x"}'),
        (["a", "b"], '["a", "b"]'),
        (Dumps({"choices": [CHOICE]}), "x"),
        ({"choices": [CHOICE, CHOICE]}, "x"),
        ({"role": "assistant", "content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn"}, "x"),
        ([*USER, {"role": "assistant", "content": "x"}], "x"),
        (
            {"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}]},
            "x",
        ),
    ],
)
def test_answers(value: Any, teacher: str) -> None:
    assert exchange.answered(value).teacher == teacher


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "there is no answer"),
        ("", "the answer is empty"),
        (" \n", "the answer is empty"),
        (object(), "the answer is of the type object; set `answer`"),
        (b"x", "the answer is of the type bytes; set `answer`"),
        ({"label": {1}}, r"the answer is no JSON \(TypeError\); set `answer`"),
        (float("nan"), r"the answer is no JSON \(ValueError\); set `answer`"),
        ({"choices": [CHOICE | {"finish_reason": "length"}]}, "cut off at the token limit"),
        ({"role": "assistant", "content": "x", "stop_reason": "max_tokens"}, "cut off at the token limit"),
        (
            {"choices": [CHOICE, CHOICE | {"message": {"role": "assistant", "content": "y"}}]},
            "2 answers, and they differ",
        ),
        ({"choices": [{"message": {"role": "assistant", "content": None}}]}, "the answer is null"),
        ({"choices": [{"message": {"role": "assistant", "refusal": "no"}}]}, "refused"),
    ],
)
def test_answers_that_are_none(value: Any, reason: str) -> None:
    with pytest.raises(UnusableError, match=reason):
        exchange.answered(value)


def chunk(content: str | None, finish: str | None = None) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]}


def test_streams() -> None:
    whole = [{"choices": []}, chunk("la"), Dumps(chunk("bel")), chunk(None, "stop"), {"choices": [], "usage": {}}]
    assert exchange.streamed(whole) == exchange.Answered("label", (), "m")
    done = {"type": "response.completed", "response": {"model": "r", "output": []}}
    done["response"]["output"] = [{"type": "message", "content": [{"type": "output_text", "text": "x"}]}]  # type: ignore[index]
    assert exchange.streamed([{"type": "response.created"}, done]) == exchange.Answered("x", (), "r")
    for pieces, reason in [
        (whole[:3], "ends before the answer does"),
        ([], "the answer is empty"),
        (["a", b"b"], "neither text nor chunks"),
        ([{"type": "content_block_delta"}], "neither text nor chunks"),
    ]:
        with pytest.raises(UnusableError, match=reason):
            exchange.streamed(pieces)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "delta", "content", "role", "tool_calls", "model", "output", "index"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, JSON, st.lists(JSON, max_size=3))
def test_whatever_comes_it_is_an_answer_or_a_reason(value: Any, arguments: Any, pieces: list[Any]) -> None:
    class Kept:
        def __init__(self) -> None:
            self.found: list[Any] = []

        def append(self, entry: Any) -> bool:
            self.found.append(entry)
            return True

    kept = Kept()
    recorder = recording.Recorder(kept, Audit(1.0))  # type: ignore[arg-type]
    call = recorder.begin(lambda: value, arguments if isinstance(arguments, dict) else {})
    call.answered(arguments)
    call = recorder.begin(lambda: "text", {})
    for piece in pieces:
        call.piece(piece)
    call.ended()
    for entry in kept.found:
        assert entry.input.strip() and (entry.tool_calls or entry.teacher.strip())
        assert isinstance(entry.teacher, str | None)
