"""What is a label in an answer, and what is rejected with which reason."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_cli.config.schema import TraceSource
from tracer_cli.errors import ConfigError
from tracer_cli.traces.calls import Answer, ToolCall, UnusableError
from tracer_cli.traces.expressions import MISSING
from tracer_cli.traces.labels import MOST_HINTS, LabelParser
from tracer_cli.traces.rows import RowMaker


def parser(longest: int = 200, place: str = "answer", **parse: Any) -> LabelParser:
    source = TraceSource.model_validate({"path": "a", "parse": {"kind": "text", **parse}})
    return LabelParser(source.parse, place, longest)


def label(*answers: Any, longest: int = 200, **parse: Any) -> str:
    """The label or the reason."""
    found = tuple(answer if isinstance(answer, Answer) else Answer(answer) for answer in answers)
    try:
        made = parser(longest, **parse).label(found)
    except UnusableError as error:
        return f"! {error}"
    assert made and made == made.strip() and len(made) <= longest
    return made


# --- text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (" refund\n", "refund"),
        ('{"label": "x"}', '{"label": "x"}'),
        ('[{"function": {"name": "x"}}]', '[{"function": {"name": "x"}}]'),
        (True, "true"),
        (1.0, "1.0"),
        (None, "! the label (answer) is null"),
        (MISSING, "! the label (answer) is missing"),
        ("\u00a0", "! the label (answer) is only white space"),
        ({"label": "x"}, "! the label (answer) is an object, not text"),
        ("x" * 201, "! the label (answer) has 201 characters, more than max_label_length: 200"),
    ],
)
def test_text(content: Any, expected: str) -> None:
    assert label(content, kind="text") == expected


def test_a_call_of_a_tool_is_no_text() -> None:
    called = (ToolCall("set", "{}"), ToolCall("set", "{}"), ToolCall("get", "{}"))
    hint = "! the answer is a call of the tool 'set', 'get'; set parse.kind: tool"
    assert label(Answer(None, called), kind="text") == hint
    assert label(Answer("I will call it", called), kind="text") == hint
    assert label(Answer(None, called), kind="json") == hint
    assert label(Answer("", called), kind="regex", pattern="x") == hint
    assert label(Answer('{"label": "x"}', called), kind="json") == "x"


def test_no_answer_at_all() -> None:
    assert label(kind="text") == "! the label (answer) is missing"


# --- json -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"label": "refund"}', "refund"),
        (' \n{"why": "because", "label": " refund "}\n', "refund"),
        ('\ufeff{"label": "x"}', "x"),
        ({"label": "x"}, "x"),
        ('```json\n{"label": "x"}\n```', "x"),
        ('```\n{"label": "x"}\n```', "x"),
        ('``` JSON {"label": "x"}```', "x"),
        ('Here you are:\n\n```json\n{\n  "label": "x"\n}\n```\nAnything else?', "x"),
        ('```json\n{"label": "x"}', "x"),  # the closing fence was the stop sequence
        ('{"label": 7}', "7"),
        ('{"label": 0.10}', "0.10"),
        ('{"label": 1e3}', "1e3"),
        ('{"label": false}', "false"),
        ('{"label": "a\\u00e9\\ud83d\\ude00"}', "a\u00e9\U0001f600"),
        ('{"label": "x", "label": "x"}', "x"),
        ('{"label": "x", "label": "y"}', "! the answer has two values for 'label'"),
        ('{"label": "x", "a": {"b": 1, "b": 2}}', "! the answer has two values for 'b'"),
        (
            '{"label": "\\ud800"}',
            "! the label (answer, key label) holds half of a surrogate pair, which is no character",
        ),
        ('{"label": null}', "! the label (answer, key label) is null"),
        ('{"label": ["x"]}', "! the label (answer, key label) is a list, not text"),
        ('{"label": {"name": "x"}}', "! the label (answer, key label) is an object, not text"),
        ('{"label": " "}', "! the label (answer, key label) is only white space"),
        ('{"label": NaN}', "! the label (answer, key label) is NaN"),
        ('{"Label": "x", "b": 1}', "! the answer has no key 'label'; it has 'Label', 'b'"),
        ("{}", "! the answer has no key 'label'; it has nothing"),
        ("refund", "! the answer is not a JSON object: 'refund'"),
        ('"refund"', "! the answer is not a JSON object: '\"refund\"'"),
        ('[{"label": "x"}]', '! the answer is not a JSON object: \'[{"label": "x"}]\''),
        ('Sure! {"label": "x"}', '! the answer is not a JSON object: \'Sure! {"label": "x"}\''),
        ('{"label": "x"', '! the answer is not a JSON object: \'{"label": "x"\''),
        ("{'label': 'x'}", "! the answer is not a JSON object: \"{'label': 'x'}\""),
        ('{"label": "x"} {"label": "y"}', "! the answer has more behind its JSON object (column 16)"),
        ('{"label": "x"}\nDone.', "! the answer has more behind its JSON object (column 16)"),
        (
            '```\n{"label": "x"}\n```\n```\n{"label": "x"}\n```',
            "! the answer holds 2 code fences; one JSON object is expected",
        ),
        (
            'Not {"label": "y"} but\n```\n{"label": "x"}\n```',
            "! the answer holds a JSON object beside the one in its code fence",
        ),
        ('Set {x}, so\n```\n{"label": "x"}\n```', "x"),
        ("```\n```", "! the answer is not a JSON object: '```\\n```'"),
        ("", "! the answer is not a JSON object: it is empty"),
        (None, "! the answer is null"),
        (MISSING, "! the label (answer) is missing"),
        (["x"], "! the answer is a list, not text"),
        ("[" * 100_000, "! the answer is nested too deeply"),
        ('{"label":' * 100_000, "! the answer is nested too deeply"),
    ],
)
def test_json(content: Any, expected: str) -> None:
    assert label(content, kind="json") == expected


def test_json_by_an_expression() -> None:
    answer = '{"result": {"intents": [{"name": "a"}, {"name": "b"}], "a.b": "c"}, "result.x": "d"}'
    assert label(answer, kind="json", key="result.intents[-1].name") == "b"
    assert label(answer, kind="json", key='result."a.b"') == "c"
    assert label(answer, kind="json", key="result.x") == "d"
    assert (
        label(answer, kind="json", key="result.none")
        == "! the answer has no key 'result.none'; it has 'result', 'result.x'"
    )


# --- regex ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "content", "expected"),
    [
        (r"Label: (?P<label>\w+)", "Why: because. Label: refund.", "refund"),
        (r"(Final )?Label: (?P<label>\w+)", "Label: refund", "refund"),
        (r"Label: (\w+)", "Label: refund", "refund"),
        (r"refund|cancel", "I say refund!", "refund"),
        (r"refund|cancel", "refund, surely refund", "refund"),
        (r"refund|cancel", "refund or cancel", "! matches of parse.pattern with different labels: 'refund', 'cancel'"),
        (r"\w*", " refund ", "refund"),
        (r"Label: (\w*)", "Label: !", "! the label (answer, parse.pattern) is empty"),
        (r"a(b)?", "a", "! the label (answer, parse.pattern) is empty"),
        (r"Label: (\w+)", "refund", "! the answer does not match parse.pattern"),
        (
            r"(?s)^.*$",
            "x" * 300,
            "! the label (answer, parse.pattern) has 300 characters, more than max_label_length: 200",
        ),
        (r"x", None, "! the answer is null"),
        (r"x", {"x": 1}, "! the answer is an object, not text"),
        (r"\d+", 42, "42"),
    ],
)
def test_regex(pattern: str, content: Any, expected: str) -> None:
    assert label(content, kind="regex", pattern=pattern) == expected


def test_matches_are_compared_as_labels() -> None:
    rules = {"kind": "regex", "pattern": r"\w+", "case": "lower", "aliases": {"refunds": "refund"}}
    assert label("Refund REFUNDS refund", **rules) == "refund"


def test_a_pattern_that_is_none_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"traces: parse.pattern '\(' is no regular expression: missing \)"):
        parser(kind="regex", pattern="(")
    with pytest.raises(ConfigError, match=r"traces: text_pattern '\(' is no regular expression: missing \)"):
        RowMaker(TraceSource(path="a", text_pattern="("), 0)


# --- tool -----------------------------------------------------------------------------------------


def called(*calls: tuple[str, Any], content: Any = None) -> Answer:
    return Answer(content, tuple(ToolCall(*call) for call in calls))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (called(("set", '{"label": "x"}')), "x"),
        (called(("set", {"label": "x"}), content="I call it."), "x"),
        (called(("set", '{"label": 1.0}')), "1.0"),
        (called(("set", '{"label": "x"}'), ("set", '{"label": " x"}')), "x"),
        (called(("set", '{"label": "x"}'), ("log", '{"label": "y"}')), "x"),
        (
            called(("set", '{"label": "x"}'), ("set", '{"label": "y"}')),
            "! calls of the tool with different labels: 'x', 'y'",
        ),
        (called(("set", '{"label": "x"}'), ("set", "{}")), "! the answer has no argument 'label'; it has nothing"),
        (called(("log", '{"label": "x"}')), "! the answer calls the tool 'log', not 'set'"),
        (called(content="x"), "! the answer calls no tool"),
        (called(("set", '{"lab": "x"}')), "! the answer has no argument 'label'; it has 'lab'"),
        (called(("set", '{"label": null}')), "! the label (answer, argument label) is null"),
        (
            called(("set", '{"label": "x"')),
            "! the arguments of 'set' (answer) is not a JSON object: '{\"label\": \"x\"'",
        ),
        (called(("set", '["x"]')), "! the arguments of 'set' (answer) is not a JSON object: '[\"x\"]'"),
        (called(("set", "")), "! the arguments of 'set' (answer) is not a JSON object: it is empty"),
        (called(("set", None)), "! the arguments of 'set' (answer) is null"),
        (
            called(("set", '{"label": "x", "label": "y"}')),
            "! the arguments of 'set' (answer) has two values for 'label'",
        ),
    ],
)
def test_tool(answer: Answer, expected: str) -> None:
    assert label(answer, kind="tool", tool="set") == expected


def test_tool_without_a_name() -> None:
    assert label(called(("any", '{"a": {"b": ["x"]}}')), kind="tool", argument="a.b[0]") == "x"
    two = called(("set", '{"label": "x"}'), ("log", '{"label": "x"}'))
    assert label(two, kind="tool") == "! the answer calls the tools 'set', 'log'; name one with parse.tool"


# --- several choices ------------------------------------------------------------------------------


def test_choices_must_agree() -> None:
    assert label("x", " x", "X", case="lower") == "x"
    assert label("x", "y", "z", "w") == "! 4 choices with different labels: 'x', 'y', 'z', ..."
    assert label("x", None) == "! the label (answer) is null"


# --- strip, case, aliases, allowed ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "text", "expected"),
    [
        ({"strip": ".\"'`*"}, ' "**Refund.**" ', "Refund"),
        ({"strip": "."}, ". . refund . .", "refund"),
        ({"strip": "."}, "re.fund", "re.fund"),
        ({"strip": "a-z"}, "a-refund-z", "refund"),  # characters, not a range
        ({"strip": "."}, "...", "! the label (answer) is empty after parse.strip: '...'"),
        ({"case": "lower"}, "REFUND \u00c4", "refund \u00e4"),
        ({"case": "upper"}, "stra\u00dfe", "STRASSE"),
        ({"case": "lower"}, "\u0130", "i\u0307"),
        ({"aliases": {"refunds": "refund"}}, "refunds", "refund"),
        ({"aliases": {"refunds": "refund"}}, "Refunds", "Refunds"),
        ({"aliases": {"refunds": "refund"}, "case": "lower", "strip": "."}, "Refunds.", "refund"),
        ({"aliases": {"a": "b", "b": "c"}}, "a", "b"),
        ({"aliases": {"none": "no label"}, "allowed": ["no label"]}, "none", "no label"),
        ({"allowed": ["refund", "cancel"]}, "refund", "refund"),
        (
            {"allowed": ["refund", "cancel"]},
            "refnd",
            "! the label (answer) is 'refnd', which parse.allowed does not hold (the nearest there is 'refund')",
        ),
        (
            {"allowed": ["refund"]},
            "Refund",
            "! the label (answer) is 'Refund', which parse.allowed does not hold (the nearest there is 'refund')",
        ),
        (
            {"allowed": ["refund", "cancel"]},
            "weather",
            "! the label (answer) is 'weather', which parse.allowed does not hold",
        ),
        ({"allowed": ["x"]}, "y" * 100, f"! the label (answer) is '{'y' * 57}...', which parse.allowed does not hold"),
    ],
)
def test_rules(rules: dict[str, Any], text: str, expected: str) -> None:
    assert label(text, **rules) == expected


def test_the_rules_hold_for_every_kind() -> None:
    rules = {"strip": ".", "case": "lower", "aliases": {"refunds": "refund"}, "allowed": ["refund"]}
    for kind, answer in (
        ({"kind": "text"}, "Refunds."),
        ({"kind": "json"}, '{"label": "Refunds."}'),
        ({"kind": "regex", "pattern": "R.*"}, "So: Refunds."),
        ({"kind": "tool"}, called(("set", '{"label": "Refunds."}'))),
    ):
        assert label(answer, **kind, **rules) == "refund"


def test_case_must_not_make_a_label_too_long() -> None:
    assert (
        label("\u0130\u0130", case="lower", longest=3)
        == "! the label (answer) has 4 characters, more than max_label_length: 3"
    )


def test_hints_stop_when_there_are_too_many() -> None:
    made = parser(allowed=["label 1"])
    for number in range(MOST_HINTS + 10):
        with pytest.raises(UnusableError) as caught:
            made.label((Answer(f"label-{number}"),))
        assert ("nearest" in str(caught.value)) == (number < MOST_HINTS)


ANSWERS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["label", "a", ""]), inner, max_size=3),
    max_leaves=8,
)


@given(
    ANSWERS, st.lists(st.tuples(st.text(max_size=3), ANSWERS), max_size=2), st.sampled_from(["keep", "lower", "upper"])
)
def test_any_answer_is_a_label_or_a_reason(content: Any, calls: list[tuple[str, Any]], case: str) -> None:
    answers = [called(*calls, content=content)]
    if not isinstance(content, bytes) and not has_bytes(content):
        answers.append(called(content=f"```json\n{json.dumps(content)}\n```"))
    for answer in answers:
        for kind in ({"kind": "text"}, {"kind": "json"}, {"kind": "regex", "pattern": r"(\w+)|$"}, {"kind": "tool"}):
            assert label(answer, **kind, case=case, strip="."), (answer, kind)


def has_bytes(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(has_bytes(inner) for inner in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, bytes)


@given(st.text(min_size=1))
def test_a_label_in_json_comes_out_as_it_went_in(text: str) -> None:
    expected = label(text)
    found = label(json.dumps({"label": text}), kind="json")
    assert (found == expected) if not expected.startswith("! ") else found.startswith("! ")


def test_infinity_is_no_label() -> None:
    assert label({"label": math.inf}, kind="json") == "! the label (answer, key label) is infinite"
