"""Field names and ways through nested JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_cli.traces.expressions import MISSING, from_json, parse

RECORD: dict[str, Any] = {
    "plain": "p",
    "a.b": "dotted",
    "a": {"b": "nested", "c": [{"d": "first"}, {"d": "last"}], "e f": "space", 'q"q': "quote", "0": "digit"},
    "list[0]": "literal",
    "list": ["zero", "one"],
    "text": '{"x": {"y": [10, 0.10]}, "twice": "{\\"z\\": \\"deep\\"}"}',
    "bytes": b'{"x": "b"}',
    "broken": '{"x": ',
    "null": None,
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("plain", "p"),
        ("a.b", "dotted"),  # a field of that very name comes first
        ('a."b"', "nested"),
        ("a.c[0].d", "first"),
        ("a.c[-1].d", "last"),
        ("a.c[-3].d", MISSING),
        ("a.c[2].d", MISSING),
        ("a.e f", "space"),
        ('"a.b"', "dotted"),
        (f"list[{'1' * 5000}]", MISSING),
        (r'a."q\"q"', "quote"),
        ("a.0", "digit"),
        ("list[0]", "literal"),
        ("list[1]", "one"),
        ("list.1", MISSING),
        ("plain.x", MISSING),
        ("plain[0]", MISSING),  # no letter of a text
        ("text.x.y[0]", "10"),
        ("text.x.y[1]", "0.10"),
        ("text.twice.z", "deep"),
        ("bytes.x", "b"),
        ("broken.x", MISSING),
        ("null", None),
        ("null.x", MISSING),
        ("nowhere", MISSING),
        ("nowhere.x", MISSING),
        ("a.c", RECORD["a"]["c"]),
    ],
)
def test_what_an_expression_finds(expression: str, value: Any) -> None:
    assert parse(expression).find(RECORD) == value


@pytest.mark.parametrize("name", ["", ".", "a..b", ".a", "a.", "[0]", "a[x]", "a[0", 'a."b', "a]b", "?", "a[0]b", " "])
def test_what_is_no_expression_is_a_name(name: str) -> None:
    assert parse(name).steps == (name,)
    assert parse(name).find({name: "x"}) == "x"
    assert parse(name).find({}) is MISSING


@pytest.mark.parametrize(
    ("expression", "root"), [("a", "a"), ("a.b[0]", "a"), ('"a.b".c', "a.b"), ("a[0].b", "a"), ("a..b", "a..b")]
)
def test_the_root_is_the_field_to_read(expression: str, root: str) -> None:
    assert parse(expression).root == root


@given(st.text(), st.dictionaries(st.text(), st.text() | st.lists(st.text())))
def test_any_text_can_be_asked_for(name: str, record: dict[str, Any]) -> None:
    found = parse(name).find(record)
    if name in record:
        assert found == record[name]


@given(
    st.lists(st.text(min_size=1) | st.integers(0, 3), min_size=1, max_size=5).filter(
        lambda steps: isinstance(steps[0], str)
    ),
    st.text(),
)
def test_quoted_names_reach_everything(steps: list[str | int], value: str) -> None:
    record: Any = value
    text = ""
    for step in reversed(steps):
        record = {step: record} if isinstance(step, str) else ["other"] * step + [record]
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            quoted = step.replace("\\", "\\\\").replace('"', '\\"')
            text += f'{"." if text else ""}"{quoted}"'
    assert parse(text).inside(record) == value
    assert parse(text).inside(json.dumps(record)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1.0}', {"a": "1.0"}),
        (" [1e3] ", ["1e3"]),
        (b'{"a": "\xc3\xa9"}', {"a": "\u00e9"}),
        (b'{"a": "\xff"}', MISSING),
        ("1", MISSING),
        ('"x"', MISSING),
        ("", MISSING),
        ("{", MISSING),
        ("[" * 100_000, MISSING),
        ('{"a": 1} x', MISSING),
    ],
)
def test_only_objects_and_lists_are_json_here(text: str | bytes, value: Any) -> None:
    assert from_json(text) == value
