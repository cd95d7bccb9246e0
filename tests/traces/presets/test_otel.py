"""OpenTelemetry: what becomes of each span of each line, in the conventions of each age."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from tracer_cli.config.schema import TraceSource
from tracer_cli.traces.calls import ToolCall
from tracer_cli.traces.presets import preset_of
from tracer_cli.traces.presets.messages import context_of
from tracer_cli.traces.presets.otel import HOW, spans_of
from tracer_cli.traces.presets.otlp import DEEPEST, nanoseconds
from tracer_cli.traces.read.records import Record
from tracer_cli.traces.rows import Row
from traces.presets.accounting import accounted, file_of, ingested, lines, reasons, survives
from traces.presets.mutations import mutated
from traces.presets.reading import FIXTURES, Outcome
from traces.presets.shapes import any_value, attributes_of, write_lines

LINES = FIXTURES / "otlp.jsonl"
SYSTEM = {"role": "system", "content": "Answer with the intent of the customer's message."}
PARAMETERS = {"type": "object", "properties": {"intent": {"type": "string"}}, "required": ["intent"]}


def found(name: str = "otlp.jsonl", folder: Path = FIXTURES, **source: Any) -> list[Outcome]:
    return accounted(folder, **{"path": name, "preset": "otel", "max_rejected": 1, **source})


def line(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def span(attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"spanId": "1", "attributes": attributes_of(attributes), **more}


def one(tmp_path: Path, attributes: dict[str, Any], **more: Any) -> Outcome:
    source = more.pop("source", {})
    write_lines(tmp_path / "one.jsonl", [line(span({"gen_ai.operation.name": "chat", **attributes}, **more))])
    (outcome,) = found("one.jsonl", tmp_path, **source)
    return outcome


def said(role: str, *parts: Any, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "role": role,
            "parts": [{"type": "text", "content": part} if isinstance(part, str) else part for part in parts],
            **more,
        }
    ]


def test_each_span_of_each_line() -> None:
    alone = "the answer is a log record of its own (gen_ai.choice), apart from its span"
    other = "skipped: a span without content of a GenAI call"
    outcomes = found()
    assert reasons(outcomes) == [
        ("1", other),
        ("1", ("Where is my card?", "card_arrival")),
        ("1", "skipped: the operation 'embeddings'"),
        ("2", "the answer (output) is a call of the tool 'route'; set parse.kind: tool"),
        ("3", ("Is there a fee?", "top_up_fee")),
        ("4", f"span 1 of the line: the messages were not captured: {HOW}"),
        ("4", "span 2 of the line: the call failed: Rate limit reached"),
        ("5", ("In parts", "other")),
        ("5", "the answer (output of span 2) is a call of the tool 'route'; set parse.kind: tool"),
        ("6", ("Two choices", "other")),
        ("6", ("As JSON", "card_arrival")),
        ("6", "span 3 of the line: the answer was cut off at the token limit (finish_reason: length)"),
        ("7", ("The oldest", "other")),
        ("8", ("In snake case", "other")),
        ("9", ("First scope", "other")),
        ("9", "resourceSpans[0].scopeSpans[1].spans[0] is not an object"),
        ("9", ("Second scope", "card_arrival")),
        ("9", ("Second resource", "lost_card")),
        ("9", "resourceSpans[2] is not an object"),
        ("10", "skipped: a line without a span"),
        ("11", "skipped: a line without a span"),
        ("12", "not OTLP: there is no `resourceSpans`"),
        ("13", "not valid JSON: Unterminated string starting at (column 49)"),
        ("14", ("From a log record", "other")),
        ("14", f"span 2 of the line: {alone}: {HOW}"),
        ("14", other),
        ("14", other),
        ("15", ("Wo ist meine Karte? \U0001f4b3\u2028", "card_arrival")),
        (
            "15",
            "span 2 of the line: gen_ai.input.messages is not whole JSON; OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT may have cut it",
        ),
        ("15", "span 3 of the line: the user's message holds a part of type 'blob', which is no text"),
        ("15", "2 choices with different labels: 'other', 'lost_card'"),
        (
            "15",
            "span 5 of the line: the conversation has a message of role 'assistant' beside the user's, and `turns` is "
            "single; set turns: last or turns: all",
        ),
        ("15", f"span 6 of the line: the output was not captured: {HOW}"),
        ("15", f"span 7 of the line: the input was not captured: {HOW}"),
        ("15", ("No time", "other")),
    ]
    rows = {outcome.row.text: outcome for outcome in outcomes if outcome.row}
    assert rows["Where is my card?"].row == Row(
        "Where is my card?", "card_arrival", "eee19b7ec3c1b002", 1754038800123456, None
    )
    assert {outcome.call.model for outcome in rows.values() if outcome.call} == {"gpt-4o-mini"}
    assert rows["No time"].row and rows["No time"].row.timestamp is None
    contexts = {text: outcome.call.context for text, outcome in rows.items() if outcome.call}
    bare = [text for text, context in contexts.items() if context == context_of([])]
    assert bare == ["As JSON", "Wo ist meine Karte? \U0001f4b3\u2028"]
    assert contexts["In parts"] == context_of([SYSTEM], [{"name": "route", "parameters": PARAMETERS}])
    assert {contexts[text] for text in contexts if text not in (*bare, "In parts")} == {context_of([SYSTEM])}


def test_labels_in_tool_calls() -> None:
    outcomes = [one for one in found(parse={"kind": "tool", "argument": "intent"}) if one.row and one.call]
    assert [one.short for one in outcomes] == [("I lost it", "lost_card"), ("Tool please", "other")]
    first, second = (one.call for one in outcomes)
    assert first and first.answers[0].tools == (ToolCall("route", {"intent": "lost_card"}),)
    assert first.answers[0].content is None  # the reasoning is no part of it
    tool = {"type": "function", "name": "route", "description": "Route the ticket.", "parameters": PARAMETERS}
    assert first.context == context_of([SYSTEM], [tool])
    assert second and second.answers[0].tools == (ToolCall("route", '{"intent":"other"}'),)


def test_rejected_spans_of_one_line_can_be_told_apart() -> None:
    _, _, rejected = ingested(FIXTURES, path="otlp.jsonl", preset="otel", max_rejected=1)
    choices = next(line for line in rejected if line["reason"].startswith("2 choices"))
    assert choices["line"] == 15
    assert choices["row"].startswith(
        '{"span": 4, "spans": 8, "name": "chat gpt-4o-mini", "traceId": "5b8efff798038103d269b633813fc60c", "spanId": '
    )


def test_a_span_is_a_record_with_flat_attributes() -> None:
    values = {"a.b": "x", "n": 7, "yes": True, "list": ["x", 1], "map": {"c.d": {"e": "f"}}}
    attributes = [*attributes_of(values), {"key": "none", "value": {}}, {"key": "half", "value": {"doubleValue": 0.5}}]
    attributes += [{"key": "bytes", "value": {"bytesValue": "aGk="}}, {"value": {}}, "x"]
    event = {"name": "e", "timeUnixNano": "1", "attributes": attributes_of({"k": "v"})}
    given = {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes_of({"service.name": "s"})},
                "scopeSpans": [
                    {
                        "scope": {"name": "n", "version": "1"},
                        "spans": [{"name": "x", "traceId": "t", "attributes": attributes, "events": [event]}],
                    }
                ],
            }
        ]
    }
    (record,) = spans_of(Record(3, given, raw=b"{}"))
    assert record.line == 3 and record.fields == {
        **{"span": 1, "spans": 1, "name": "x", "traceId": "t", "spanId": None, "parentSpanId": None},
        **{"startTimeUnixNano": None, "endTimeUnixNano": None, "status": {"code": None, "message": None}},
        "attributes": {
            **{"a.b": "x", "n": "7", "yes": True, "list": ["x", "1"], "map": {"c.d": {"e": "f"}}},
            **{"none": None, "half": 0.5, "bytes": "aGk="},
        },
        "events": [{"name": "e", "timeUnixNano": "1", "attributes": {"k": "v"}}],
        "resource": {"service.name": "s"},
        "scope": {"name": "n", "version": "1"},
    }


def test_fields_of_a_span_by_expression_and_condition(tmp_path: Path) -> None:
    messages = {
        "gen_ai.input.messages": said("user", "x"),
        "gen_ai.output.messages": said("assistant", "y", finish_reason="stop"),
        "gen_ai.operation.name": "chat",
    }
    spans = [
        span({**messages, "app.gold": gold, "app.env": env}, name=env) for gold, env in (("g", "live"), ("h", "test"))
    ]
    write_lines(tmp_path / "a.jsonl", [line(*spans)])
    named = {"ground_truth": 'attributes."app.gold"', "id": "traceId"}
    for where in ("name = 'live'", "attributes.\"app.env\" = 'live'"):
        collected, accepted, rejected = ingested(tmp_path, path="a.jsonl", preset="otel", where=where)
        assert (collected.read, accepted, collected.skipped, rejected) == (2, 1, 1, [])
    named.pop("id")
    assert [outcome.row.ground_truth for outcome in found("a.jsonl", tmp_path, **named) if outcome.row] == ["g", "h"]


@pytest.mark.parametrize(
    ("more", "short"),
    [
        ({"gen_ai.operation.name": "text_completion"}, ("x", "y")),
        ({"gen_ai.operation.name": "generate_content"}, ("x", "y")),
        ({"gen_ai.operation.name": "invoke_agent"}, "skipped: the operation 'invoke_agent'"),
        ({"gen_ai.operation.name": "execute_tool"}, "skipped: the operation 'execute_tool'"),
        ({"gen_ai.operation.name": ""}, ("x", "y")),
        ({"gen_ai.output.messages": ""}, f"the output was not captured: {HOW}"),
        ({"gen_ai.output.messages": "[]"}, "gen_ai.output.messages is empty"),
        ({"gen_ai.output.messages": "plain"}, "gen_ai.output.messages is not a list of messages"),
        (
            {"gen_ai.output.messages": said("assistant", "y", finish_reason="content_filter")},
            "the answer was withheld (finish_reason: content_filter)",
        ),
        ({"gen_ai.output.messages": [*said("assistant", "y"), *said("assistant", "y")]}, ("x", "y")),
        ({"gen_ai.output.messages": said("assistant", "y", "z")}, ("x", "yz")),
        ({"gen_ai.output.messages": [{"role": "assistant", "content": "no parts"}]}, ("x", "no parts")),
        ({"gen_ai.input.messages": said("user", "two", "parts")}, ("two\nparts", "y")),
        ({"gen_ai.input.messages": [*said("system", "s"), *said("user", "z")]}, ("z", "y")),
        ({"gen_ai.input.messages": said("system", "s")}, "there is no message of the user"),
    ],
)
def test_current_conventions(more: dict[str, Any], short: Any, tmp_path: Path) -> None:
    messages = {"gen_ai.input.messages": said("user", "x"), "gen_ai.output.messages": said("assistant", "y")}
    assert one(tmp_path, {**messages, **more}).short == short


def test_the_result_of_a_tool_is_a_turn(tmp_path: Path) -> None:
    call = {"type": "tool_call", "id": "1", "name": "w", "arguments": {"a": 1}}
    result = {"type": "tool_call_response", "id": "1", "response": {"sky": "grey"}}
    messages = [*said("user", "Weather?"), *said("assistant", call), *said("tool", result)]
    attributes = {"gen_ai.input.messages": json.dumps(messages), "gen_ai.output.messages": said("assistant", "rain")}
    outcome = one(tmp_path, attributes, source={"turns": "all"})
    assert outcome.short == ('user: Weather?\nassistant: w({"a":"1"})\ntool: {"sky":"grey"}', "rain")


def test_text_that_looks_like_json_stays_text(tmp_path: Path) -> None:
    for text in ("[1, 2]", '{"content": "x"}', '["a"]', '[{"a": "b"}]'):
        attributes = {
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": text,
            "gen_ai.completion.0.content": text,
            "gen_ai.completion.0.finish_reason": "stop",
        }
        assert one(tmp_path, attributes).short == (text, text)
        assert one(tmp_path, {"gen_ai.prompt": text, "gen_ai.completion": "y"}).short == (text, "y")


def test_roles_alone_are_no_content(tmp_path: Path) -> None:
    attributes = {"gen_ai.prompt.0.role": "user", "gen_ai.completion.0.role": "assistant"}
    assert one(tmp_path, {**attributes, "gen_ai.completion.0.finish_reason": "stop"}).rejected == (
        f"the messages were not captured: {HOW}"
    )


@pytest.mark.parametrize("code", [2, "2", "STATUS_CODE_ERROR"])
def test_a_call_that_failed(code: Any, tmp_path: Path) -> None:
    messages = {"gen_ai.input.messages": said("user", "x"), "gen_ai.output.messages": said("assistant", "y")}
    failed = one(tmp_path, {**messages, "error.type": "timeout"}, status={"code": code})
    assert failed.rejected == "the call failed: timeout"
    assert one(tmp_path, messages, status={"code": 1}).short == ("x", "y")


def test_a_value_that_is_nested_too_deeply_costs_its_span(tmp_path: Path) -> None:
    deep: Any = "x"
    for _ in range(DEEPEST):
        deep = [deep]
    spans = [{"name": "deep", "attributes": [{"key": "a", "value": any_value(deep)}]}, span({"gen_ai.prompt": "x"})]
    write_lines(tmp_path / "a.jsonl", [line(*spans)])
    assert [outcome.short for outcome in found("a.jsonl", tmp_path)] == [
        f"a value is nested more than {DEEPEST} deep",
        f"span 2 of the line: the output was not captured: {HOW}",
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"resourceSpans": "x"},
        {"resourceSpans": [{"scopeSpans": {}}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": 1}]}]},
        {"resourceSpans": [{"resource": {"attributes": "x"}}]},
        line({"attributes": "x"}),
        line({"events": "x"}),
        {"resourceLogs": [{"scopeLogs": [None]}]},
    ],
)
def test_what_is_no_otlp_is_one_rejected_row(part: Any, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [part])
    (outcome,) = found("a.jsonl", tmp_path)
    assert outcome.rejected and (" is not a list" in outcome.rejected or " is not an object" in outcome.rejected)


@pytest.mark.parametrize(
    ("value", "iso"),
    [
        ("1754038800123456789", "2025-08-01T09:00:00.123456+00:00"),
        (1754038800123456789, "2025-08-01T09:00:00.123456+00:00"),
        ("9223372036854775807", "2262-04-11T23:47:16.854775+00:00"),
        ("1", "1970-01-01T00:00:00+00:00"),
        *((value, None) for value in ("0", 0, "", None, "x", "-5", "1.5", "9" * 30, True, 1.5, [], "\u0661")),
    ],
)
def test_times_in_nanoseconds(value: Any, iso: str | None) -> None:
    assert nanoseconds(value) == iso


@given(mutated(lines(LINES)))
def test_any_line_is_calls_or_has_reasons(record: Any) -> None:
    source = TraceSource(path="otlp.jsonl", preset="otel")
    survives(preset_of(source, FIXTURES, FIXTURES), source, spans_of(Record(1, record, raw=b"{}")), file_of(LINES))
