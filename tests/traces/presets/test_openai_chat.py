"""preset: openai-chat. What becomes of every line of the fixtures, and of fields that tracer.yaml names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support import write_jsonl
from tracer_cli.errors import DataError
from traces.presets.reading import FIXTURES, outcomes, shorts

SINGLE = "the conversation has 2 messages of the user, and `turns` is single; set turns: last or turns: all"
CALLED = "the answer is a call of the tool 'set_intent'; set parse.kind: tool"
TOOL = {"kind": "tool", "tool": "set_intent", "argument": "intent"}

NASTY: dict[int, Any] = {
    1: ("Where is\nmy parcel?", "delivery"),  # content as parts on both sides
    2: CALLED,  # null content with a tool call
    3: ("O\u00f9 est mon caf\u00e9 \U0001f600?", "d\u00e9livery"),  # escapes, a pair of surrogates
    4: "the content of the user's message holds half of a surrogate pair, which is no character",
    5: "the label (answer) holds half of a surrogate pair, which is no character",
    6: "the user's message holds an image, which a text classifier cannot see",
    7: SINGLE,
    8: "skipped: an answer of weight 0",
    9: "the teacher refused: \"I'm sorry, I can't help with that.\"",
    10: 'the teacher refused: "I can\'t."',
    11: "the last message is not the assistant's: there is no answer",
    12: "there is no message of the user",
    13: "messages is null",
    14: "messages is missing",
    15: "messages is not a list of messages",
    16: "messages is empty",
    17: "the content of the user's message is null",
    18: "the label (answer) is only white space",
    19: "the label (answer) is null",
    20: CALLED,  # with the tool's result behind it
    21: "messages is not a list of messages",
    22: ("0.10", "1.0"),  # numbers, as they are written
    23: "the user's message holds audio, which a text classifier cannot see",
    24: "the user's message holds a file, which a text classifier cannot see",
    25: "not valid JSON: Unterminated string starting at (column 43)",
    26: "the last message is not the assistant's: there is no answer",
}


def lines(found: dict[str, Any]) -> dict[int, Any]:
    return {int(place.rpartition(":")[2]): outcome for place, outcome in found.items()}


def test_the_documented_shape() -> None:
    assert [*shorts(FIXTURES, path="openai_chat.jsonl", preset="openai-chat").values()] == [
        ("Where is my parcel?", "delivery"),
        ("I want my money back", "refund"),
        ("Please cancel my subscription", "cancel"),
    ]


def test_the_documented_shape_with_tools_and_with_the_older_functions() -> None:
    found = outcomes(FIXTURES, path="openai_chat_tools.jsonl", preset="openai-chat", parse=TOOL)
    assert [one.short for one in found] == [
        ("Where is my parcel?", "delivery"),
        ("I want my money back", "refund"),
        ("Stop it", "cancel"),
    ]
    contexts = {one.call.context for one in found if one.call}
    assert len(contexts) == 1, "tools and functions say the same"
    assert [context.tools for context in contexts if context] == [("set_intent",)]


def test_every_line_of_the_nasty_variant() -> None:
    assert lines(shorts(FIXTURES, path="openai_chat_nasty.jsonl", preset="openai-chat")) == NASTY


def test_other_settings_use_what_was_rejected_before() -> None:
    read = {"path": "openai_chat_nasty.jsonl", "preset": "openai-chat"}
    tools = lines(shorts(FIXTURES, **read, parse=TOOL))
    assert (tools[2], tools[20]) == (("I want my money back", "refund"), ("After the call", "cancel"))
    assert tools[1] == "the answer calls no tool"
    assert lines(shorts(FIXTURES, **read, turns="last")) == {**NASTY, 7: ("Where is my parcel?", "delivery")}
    every = lines(shorts(FIXTURES, **read, turns="all"))
    assert every[7] == ("user: Hi\nassistant: greeting\nuser: Where is my parcel?", "delivery")
    assert every[1] == ("user: Where is\nmy parcel?", "delivery")


def test_the_system_message_and_the_tools_are_the_context() -> None:
    found = outcomes(FIXTURES, path="openai_chat.jsonl", preset="openai-chat")
    assert {one.call.context.system for one in found if one.call and one.call.context} == {
        "You label support tickets. Answer with one label."
    }


def example(**more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Topic: cards\nText: where is it?"}, {"role": "assistant", "content": "x"}]
    return {"messages": messages, **more}


def test_fields_that_tracer_yaml_names_come_first(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [example(key=7, at="2026-01-02", meta={"who": "human", "how": "audit"}, own="y")])
    (one,) = outcomes(
        tmp_path,
        path="a.jsonl",
        preset="openai-chat",
        id="key",
        timestamp="at",
        ground_truth="meta.who",
        origin="meta.how",
        label="own",
        text_pattern=r"Text: (?P<text>.*)",
    )
    assert one.row is not None
    assert (one.row.text, one.row.label, one.row.id) == ("where is it?", "y", "7")
    assert (one.row.ground_truth, one.row.origin, one.row.timestamp) == ("human", "audit", 1767312000000000)


def test_a_field_that_tracer_yaml_names_is_not_replaced_where_it_is_missing(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [example(own="y", text="t"), example()])
    source = {"path": "a.jsonl", "preset": "openai-chat"}
    assert [*shorts(tmp_path, **source, label="own").values()][1] == "the label (own) is missing"
    assert [*shorts(tmp_path, **source, text="text").values()][1] == "the text (text) is missing"
    with pytest.raises(DataError, match=r"no row of a.jsonl has a field 'owm' for `label`"):
        shorts(tmp_path, **source, label="owm")


def test_expressions_reach_into_the_messages(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [example()])
    source = {"path": "a.jsonl", "preset": "openai-chat", "text": "messages[1].content", "label": "messages[-1]"}
    assert [*shorts(tmp_path, **source).values()] == [("x", "x")]


def test_a_label_that_lies_elsewhere_needs_no_answer_at_the_end(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"messages": [{"role": "user", "content": "t"}], "label": "y"}])
    assert [*shorts(tmp_path, path="a.jsonl", preset="openai-chat", label="label").values()] == [("t", "y")]


@pytest.mark.parametrize(("weight", "used"), [(1, True), ("0", False), (0.0, False), (None, True), ("x", True)])
def test_weights(weight: Any, used: bool, tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "t"}, {"role": "assistant", "content": "y", "weight": weight}]
    write_jsonl(tmp_path / "a.jsonl", [{"messages": messages}])
    expected = ("t", "y") if used else "skipped: an answer of weight 0"
    assert [*shorts(tmp_path, path="a.jsonl", preset="openai-chat").values()] == [expected]


def test_parquet_with_columns_of_structs_and_with_json_text(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (FIXTURES / "openai_chat.jsonl").read_text().splitlines()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "structs.parquet")
    texts = [{"messages": json.dumps(row["messages"])} for row in rows]
    pq.write_table(pa.Table.from_pylist(texts), tmp_path / "texts.parquet")
    expected = outcomes(FIXTURES, path="openai_chat.jsonl", preset="openai-chat")
    for name in ("structs.parquet", "texts.parquet"):
        found = outcomes(tmp_path, path=name, preset="openai-chat")
        assert [(one.row, one.call and one.call.context) for one in found] == [
            (one.row, one.call and one.call.context) for one in expected
        ]
