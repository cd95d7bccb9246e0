"""The text and the instructions in a chat, and the answers in whatever an output was logged as."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tracer_cli.traces.calls import Answer, ToolCall, UnusableError
from tracer_cli.traces.expressions import from_json
from tracer_cli.traces.presets.answers import answers_in_field, answers_of
from tracer_cli.traces.presets.messages import Turns, canonical, content_text, context_of, messages_of, text_of
from traces.presets.reading import FIXTURES, shorts

SYSTEM = {"role": "system", "content": "Label it."}
CHAT = [
    SYSTEM,
    {"role": "user", "content": "Hi\nthere"},
    {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "look", "arguments": '{"a": 1}'}}]},
    {
        "role": "tool",
        "tool_call_id": "1",
        "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
    },
    {"role": "assistant", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]},
    {"role": "developer", "content": "Be quick."},
    {"role": "user", "content": [{"type": "text", "text": "Where is"}, {"type": "input_text", "text": "my card?"}]},
]


def why(function: Any, *arguments: Any) -> str:
    with pytest.raises(UnusableError) as caught:
        function(*arguments)
    return str(caught.value)


# --- text -----------------------------------------------------------------------------------------


def test_single_takes_the_one_message_and_rejects_every_other_turn() -> None:
    assert text_of([SYSTEM, {"role": "user", "content": " x "}], "single") == " x "
    assert "2 messages of the user, and `turns` is single" in why(text_of, CHAT, "single")
    greeted = [SYSTEM, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "x"}]
    assert "a message of role 'assistant' beside the user's, and `turns` is single" in why(text_of, greeted, "single")


def test_last_takes_the_users_last_message() -> None:
    assert text_of(CHAT, "last") == "Where is\nmy card?"
    assert text_of([*CHAT, {"role": "tool", "content": "late"}], "last") == "Where is\nmy card?"


def test_all_is_one_documented_form() -> None:
    assert text_of(CHAT, "all") == (
        'user: Hi\nthere\nassistant: look({"a": 1})\ntool: one\ntwo\nassistant: Hello\nuser: Where is\nmy card?'
    )
    said = {"role": "assistant", "content": "Wait.", "function_call": {"name": "look", "arguments": {"b": 2, "a": 1.0}}}
    assert text_of([*CHAT[:2], said], "all") == 'user: Hi\nthere\nassistant: Wait.\nlook({"a":"1","b":"2"})'


@pytest.mark.parametrize("turns", ["single", "last", "all"])
def test_without_a_user_there_is_no_text(turns: Turns) -> None:
    assert why(text_of, [SYSTEM, {"role": "assistant", "content": "x"}], turns) == "there is no message of the user"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "the content of the user's message is null"),
        ([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}], "the user's message holds an image, which"),
        ([{"type": "text", "text": "a"}, {"type": "input_image", "file_id": "f"}], "the user's message holds an image"),
        ([{"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}], "holds audio"),
        ([{"type": "input_file", "file_id": "f"}], "holds a file"),
        ([{"type": "tool_result", "content": "x"}], "holds a part of type 'tool_result', which is no text"),
        ([{"type": "text", "text": None}], "the text part of the user's message is null"),
        ([{"type": "text", "text": {"value": "x"}}], "the text part of the user's message is an object"),
        ([7.5], "holds a part that is neither text nor an object"),
        ("a\ud800", "half of a surrogate pair"),
    ],
)
def test_content_that_is_no_text_is_unusable(content: Any, reason: str) -> None:
    for turns in ("single", "last"):
        assert reason in why(text_of, [{"role": "user", "content": content}], turns)
    assert why(text_of, [{"role": "user", "content": content}], "all")


def test_a_message_without_content_is_unusable() -> None:
    assert why(text_of, [{"role": "user"}], "single") == "the user's message has no content"


def test_an_earlier_image_matters_only_where_earlier_turns_are_read() -> None:
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    chat = [image, {"role": "user", "content": "and this?"}]
    assert text_of(chat, "last") == "and this?"
    assert "image" in why(text_of, chat, "all")


def test_text_that_looks_like_json_stays_as_it_is() -> None:
    for text in ("[1, 2]", '{"type": "text", "text": "x"}', '[{"type": "text", "text": "x"}]'):
        assert text_of([{"role": "user", "content": text}], "single") == text


def test_messages_come_as_a_list_or_as_its_json() -> None:
    assert messages_of(json.dumps([SYSTEM])) == [SYSTEM] == messages_of((SYSTEM,))
    for value, reason in ((None, "null"), ([], "empty"), ("x", "not a list of messages"), (["x"], "not a list of")):
        assert reason in why(messages_of, value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_content_crashes(content: Any) -> None:
    messages = [{"role": "user", "content": content}]
    for turns in ("single", "last", "all"):
        with contextlib.suppress(UnusableError):
            assert isinstance(text_of(messages, turns), str)
    assert context_of(
        [{"role": "system", "content": content}], content if isinstance(content, list) else [content], content
    )
    try:
        assert answers_of(content)
        assert answers_in_field({"role": "assistant", "content": content}, "json")
    except UnusableError:
        pass


# --- context --------------------------------------------------------------------------------------

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "label",
        "description": "Say 1.0 of 10",
        "parameters": {
            "type": "object",
            "properties": {
                "label": {"enum": ["a", "b", "1", 2]},
                "p": {"minimum": 0.10, "maximum": 1e2, "default": -0.0},
            },
            "big": 12345678901234567890,
            "additionalProperties": False,
        },
    },
}
# The same tool as people write it and as programs write it again.
WRITTEN = json.dumps(TOOL).replace("0.1,", "0.10,").replace("100.0", "1e2").replace("-0.0", "0")


def sha(*arguments: Any) -> str:
    context = context_of(*arguments)
    assert context is not None
    assert re.fullmatch("[0-9a-f]{64}", context.sha256)
    return context.sha256


def test_a_live_request_and_its_trace_have_the_same_context() -> None:
    """Our readers keep numbers as text; a proxy decodes with plain `json`."""
    live = sha([SYSTEM, {"role": "user", "content": "x"}], [TOOL], {"type": "json_object"})
    for text in (WRITTEN, json.dumps(TOOL), json.dumps(TOOL, indent=2)):
        traced, decoded = from_json(text), json.loads(text)
        assert traced != decoded
        for tools in ([traced], [decoded], [text]):
            assert sha([SYSTEM, {"role": "user", "content": "y"}], tools, from_json('{"type": "json_object"}')) == live


def test_the_hash_is_a_fixed_one() -> None:
    """Routers compare it with the one that a policy was fitted with, perhaps by an earlier version."""
    assert sha([SYSTEM], [TOOL]) == "22667fa5ac493e5e08d7149ef4f554d34c1f92ee39046754caf98b49b47f05b5"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=12,
    )
)
def test_canonical_does_not_depend_on_how_json_was_read(value: Any) -> None:
    text = json.dumps({"value": value})
    assert canonical(from_json(text)) == canonical(json.loads(text)) == canonical({"value": value})


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_different_numbers_stay_different(one: float, other: float) -> None:
    assume(one != other)
    assert canonical([one]) != canonical([other])


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ((1, "1", 1.0, "1.0", "1.00", "10e-1", "1E0"), "1"),
        ((0.1, "0.1", "0.10", "1e-1"), "0.1"),
        ((0, "0", -0.0, "-0", "-0.0"), "0"),
        ((1e300, "1e300", "1E+300"), "1e+300"),
        ((9007199254740993, "9007199254740993"), "9007199254740993"),
        (("01",), "01"),
        (("+1",), "+1"),
        (("1.",), "1."),
        (("1_0",), "1_0"),
        (("\u0661",), "\u0661"),
    ],
)
def test_the_rule_for_numbers(values: tuple[Any, ...], form: str) -> None:
    assert {canonical(value) for value in values} == {json.dumps(form)}


def test_null_members_order_of_names_and_other_shapes_of_a_tool_do_not_matter() -> None:
    function = TOOL["function"]
    same = [
        TOOL,
        {"function": dict(reversed(list(function.items()))), "type": "function"},
        {"type": "function", **function, "strict": True},  # the responses API
        function,  # the older `functions`
        {**TOOL, "function": {**function, "strict": None}},
        {"name": "label", "description": function["description"], "input_schema": function["parameters"]},
        json.dumps(TOOL),
    ]
    assert len({sha([SYSTEM], [tool]) for tool in same}) == 1


def test_what_changes_the_context() -> None:
    user = {"role": "user", "content": "x"}
    changed = {**TOOL, "function": {**TOOL["function"], "description": "Another"}}
    narrower = json.loads(json.dumps(TOOL).replace('"b"', '"c"'))
    different = [
        sha([user]),
        sha([SYSTEM, user]),
        sha([{**SYSTEM, "content": "Label it!"}, user]),
        sha([SYSTEM, SYSTEM, user]),
        sha([SYSTEM, user], [TOOL]),
        sha([SYSTEM, user], [changed]),
        sha([SYSTEM, user], [narrower]),
        sha([SYSTEM, user], [TOOL, TOOL]),
        sha([SYSTEM, user], [{"type": "web_search"}]),
        sha([SYSTEM, user], None, {"type": "json_object"}),
    ]
    assert len(set(different)) == len(different)


def test_what_does_not_change_the_context() -> None:
    base = sha([SYSTEM, {"role": "user", "content": "x"}])
    assert base == sha([{**SYSTEM, "role": "developer"}, {"role": "user", "content": "another"}], [])
    assert base == sha([{"role": "system", "content": [{"type": "text", "text": "Label it."}]}])
    assert base == sha([SYSTEM], None, {"type": "text"})


def test_a_context_says_what_it_is_and_can_be_written() -> None:
    assert context_of(None, [TOOL]) is None
    odd = {"type": "function", "function": {"name": "half \ud800"}}
    context = context_of(
        [SYSTEM, {"role": "developer", "content": "B \ud800"}], [TOOL, odd, {"type": "web_search"}, "x"]
    )
    assert context is not None
    assert (context.system, context.tools) == ("Label it.\n\nB ?", ("label", "half ?", "web_search", "x"))
    assert context.system.encode()


@pytest.mark.parametrize("depth", [300, 900, 5000])
def test_deep_nesting_is_a_reason_or_nothing(depth: int) -> None:
    """A reader takes what a walk over it may not."""
    deep: Any = "x"
    for _ in range(depth):
        deep = {"a": deep}
    for ask in (
        lambda: context_of([SYSTEM], [{"name": "n", "parameters": deep}]),
        lambda: text_of([*CHAT, {"role": "assistant", "function_call": {"name": "n", "arguments": deep}}], "all"),
    ):
        try:
            assert ask()
        except UnusableError as error:
            assert str(error) == "tools or other values are nested too deeply" and depth > 300


def test_tools_that_a_program_changed_in_place_are_seen() -> None:
    tools = [json.loads(json.dumps(TOOL))]
    before = sha([SYSTEM], tools)
    tools[0]["function"]["name"] = "other"
    assert before == sha([SYSTEM], [TOOL]) != sha([SYSTEM], tools)
    tools[0]["function"] = {**TOOL["function"], "strict": 1, "parameters": {"minimum": 1}}
    one = sha([SYSTEM], tools)
    tools[0]["function"]["parameters"]["minimum"] = True
    assert one != sha([SYSTEM], tools)


def test_infinity_and_nan_in_a_schema_are_no_crash() -> None:
    assert sha([], [{"name": "x", "parameters": {"maximum": math.inf, "minimum": math.nan}}])


# --- answers --------------------------------------------------------------------------------------


def message(content: Any = None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


CALL = {"id": "call_1", "type": "function", "function": {"name": "label", "arguments": '{"label": "x"}'}}
CALLED = (Answer(None, (ToolCall("label", '{"label": "x"}'),)),)
OUTPUT = [{"type": "reasoning", "summary": []}, {"type": "message", "content": [{"type": "output_text", "text": "x"}]}]


@pytest.mark.parametrize(
    ("value", "answers"),
    [
        ("x", (Answer("x"),)),
        ('{"role": "assistant", "content": "x"}', (Answer('{"role": "assistant", "content": "x"}'),)),
        (message("x"), (Answer("x"),)),
        ({"content": "x"}, (Answer("x"),)),
        (message([{"type": "output_text", "text": "a"}, {"type": "text", "text": "b"}]), (Answer("ab"),)),
        (message(None, tool_calls=[CALL]), CALLED),
        (message("", tool_calls=[CALL]), (Answer("", CALLED[0].tools),)),
        (message(function_call=CALL["function"]), CALLED),
        (message(tool_calls=None, function_call=None, refusal=None), (Answer(None),)),
        (
            message(tool_calls=[{"type": "custom", "custom": {"name": "t", "input": "i"}}]),
            (Answer(None, (ToolCall("t", "i"),)),),
        ),
        ([CALL], CALLED),
        ([{"id": "c", "name": "label", "arguments": '{"label": "x"}'}], CALLED),
        ([{"role": "user", "content": "u"}, message("x")], (Answer("x"),)),
        ({"choices": [{"message": message("x")}, {"message": message("y")}]}, (Answer("x"), Answer("y"))),
        ([{"index": 0, "message": message("x"), "finish_reason": "stop"}], (Answer("x"),)),
        ({"choices": [{"text": "x", "index": 0}]}, (Answer("x"),)),
        ({"object": "response", "status": "completed", "output": OUTPUT}, (Answer("x"),)),
        (OUTPUT, (Answer("x"),)),
        ([{"type": "function_call", "name": "label", "arguments": '{"label": "x"}', "call_id": "c"}], CALLED),
        # objects of the teacher's own, or of somebody else's
        ({"label": "x", "choices": ["a", "b"]}, (Answer({"label": "x", "choices": ["a", "b"]}),)),
        ({"content": "x", "label": "y"}, (Answer({"content": "x", "label": "y"}),)),
        ({"role": "user", "content": "x"}, (Answer({"role": "user", "content": "x"}),)),
        ({"output": "x"}, (Answer({"output": "x"}),)),
        (["x"], (Answer(["x"]),)),
        ([], (Answer([]),)),
        (None, (Answer(None),)),
    ],
)
def test_the_answers_in_an_output(value: Any, answers: tuple[Answer, ...]) -> None:
    assert answers_of(value) == answers


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (message(refusal="No."), "the teacher refused: 'No.'"),
        (message([{"type": "refusal", "refusal": "No."}]), "the teacher refused: 'No.'"),
        ({"choices": [{"message": message("x"), "finish_reason": "length"}]}, "cut off at the token limit"),
        (
            {"choices": [{"message": message("x")}, {"message": message("x"), "finish_reason": "content_filter"}]},
            "withheld",
        ),
        ({"object": "chat.completion", "choices": []}, "choices is empty"),
        ({"choices": [{"message": None, "finish_reason": "stop"}]}, "a choice has no message"),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": OUTPUT},
            "incomplete: content_filter",
        ),
        ({"status": "failed", "error": {"message": "boom"}, "output": OUTPUT}, "status 'failed': boom"),
        ([{"role": "user", "content": "u"}], "the last message is not the assistant's"),
        (message(tool_calls=["x"]), "a tool call is not an object"),
        (message(tool_calls=[{"function": {"arguments": "{}"}}]), "a tool call has no name"),
    ],
)
def test_an_answer_that_did_not_come_to_its_end_is_none(value: Any, reason: str) -> None:
    assert reason in why(answers_of, value)


def test_a_field_is_looked_into_only_as_far_as_it_is_asked_for() -> None:
    text = json.dumps(message("x"))
    assert answers_in_field(text, "text") == (Answer(text),)
    assert answers_in_field(text, "json") == (Answer("x"),) == answers_in_field(text, "regex")
    assert answers_in_field(json.dumps([CALL]), "tool") == CALLED == answers_in_field(CALL, "tool")
    assert answers_in_field({"content": "x"}, "text") == (Answer("x"),)
    assert answers_in_field({"content": "x"}, "json") == (Answer({"content": "x"}),)
    assert answers_in_field('{"label": "x"}', "json") == (Answer('{"label": "x"}'),)


def test_streamed_chunks() -> None:
    """A label, arguments in pieces, interleaved choices, broken streams: fixtures/openai_chunks.jsonl."""
    found = shorts(FIXTURES, path="openai_chunks.jsonl", label="chunks")
    call = "the answer (chunks) is a call of the tool 'set_intent'; set parse.kind: tool"
    assert [*found.values()] == [
        ("Where is my parcel?", "delivery"),
        call,
        ("Two equal choices", "cancel"),
        "2 choices with different labels: 'refund', 'cancel'",
        "the stream ends before the answer does (no finish_reason)",
        "the answer was cut off at the token limit (finish_reason: length)",
        "the teacher refused: \"I'm sorry, I can't.\"",
        call,
        call,
        "the label (chunks) holds half of a surrogate pair, which is no character",
        call,
        "the stream has no choices: there is no answer",
    ]
    found = shorts(FIXTURES, path="openai_chunks.jsonl", label="chunks", parse={"kind": "tool", "argument": "intent"})
    assert {place: found[f"openai_chunks.jsonl:{place}"] for place in (1, 2, 8, 9, 11)} == {
        1: "the answer (chunks) calls no tool",
        2: ("I want my money back", "refund"),
        8: ("Two calls", "refund"),
        9: "calls of the tool with different labels: 'refund', 'cancel'",
        11: ("The old way", "cancel"),
    }


def chunked(text: str, cuts: list[int], choice: int = 0) -> list[dict[str, Any]]:
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(edges)]
    deltas = [{"index": choice, "delta": {"content": piece}, "finish_reason": None} for piece in pieces]
    deltas[-1]["finish_reason"] = "stop"
    return [{"object": "chat.completion.chunk", "choices": [delta]} for delta in deltas]


@given(st.text(), st.text(), st.lists(st.integers(0, 1000), max_size=5), st.randoms(use_true_random=False))
def test_however_a_stream_is_cut_and_mixed_the_choices_are_the_same(
    one: str, two: str, cuts: list[int], random: Any
) -> None:
    streams = [chunked(one, cuts, 0), chunked(two, cuts[::-1], 1)]
    mixed: list[Any] = []
    while any(streams):
        mixed.append(random.choice([stream for stream in streams if stream]).pop(0))
    assert [answer.content for answer in answers_of(mixed)] == [one, two]


def test_a_separator_joins_the_parts() -> None:
    assert content_text(["a", {"type": "text", "text": "b"}], "x", "|") == "a|b"
