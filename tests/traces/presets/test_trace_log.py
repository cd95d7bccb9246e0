"""The trace log: what is written is read again, and each broken or later line has its reason."""

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import REPOSITORY
from tracer_cli.config.schema import TraceSource
from tracer_cli.traces.calls import Context, ToolCall
from tracer_cli.traces.log_format import Entry, line
from tracer_cli.traces.presets import preset_of
from tracer_cli.traces.read.records import Record
from tracer_cli.traces.rows import Row
from traces.presets.accounting import accounted, file_of, lines, reasons, survives
from traces.presets.mutations import mutated
from traces.presets.reading import FIXTURES, Outcome
from traces.presets.shapes import write_lines

LOG = FIXTURES / "trace-log.jsonl"
TIME = datetime(2026, 8, 1, 9, 0, 0, 123456, timezone.utc)


def found(name: str = "trace-log.jsonl", folder: Path = FIXTURES, **source: Any) -> list[Outcome]:
    return accounted(folder, **{"path": name, "preset": "tracer", "max_rejected": 1, **source})


def test_each_line() -> None:
    outcomes = found()
    assert reasons(outcomes) == [
        ("1", ("Where is my card?", "card_arrival")),
        ("2", ("I lost it", "lost_card")),
        ("3", ("Before any policy", "other")),
        ("4", "the answer (teacher) is a call of the tool 'route'; set parse.kind: tool"),
        ("5", "skipped: the policy answered, and the teacher was not asked"),
        ("6", "the label (teacher) is null"),
        ("7", "schema 2 of the trace log is not known here (the latest is 1): upgrade tracer"),
        ("8", "this is no line of the trace log: its `schema` is missing"),
        ("9", "the origin is missing; expected one of organic, audit, deferred"),
        ("10", "the origin is 'manual'; expected one of organic, audit, deferred"),
        ("11", "the text (input) is empty"),
        ("12", ("Where is my card?", "card_arrival")),
        ("13", ("Wo ist meine Karte? \U0001f4b3", "card_arrival")),
        ("14", "not valid JSON: Expecting value (column 121)"),
    ]
    assert outcomes[0].row == Row("Where is my card?", "card_arrival", "d1", 1785574800123456, None, "audit")
    assert [outcome.row.origin for outcome in outcomes if outcome.row] == [
        "audit",
        "deferred",
        "organic",
        "audit",
        "audit",
    ]
    first, third = outcomes[0].call, outcomes[2].call
    assert first and first.context == Context(
        "ab" * 32, "Answer with the intent of the customer's message.", ("route",)
    )
    assert first.model == "gpt-4o-mini"
    assert third and third.context is None and third.model is None


def test_labels_in_tool_calls() -> None:
    outcome = found(parse={"kind": "tool", "tool": "route", "argument": "intent"})[3]
    assert outcome.short == ("Tools", "other")


def test_parse_applies_to_the_teachers_answer_and_never_to_the_policys(tmp_path: Path) -> None:
    entry = Entry("1", TIME, "x", '{"label": "teacher\'s"}', "audit", label="policy's", decision="handled")
    (tmp_path / "log.jsonl").write_bytes(line(entry))
    assert found("log.jsonl", tmp_path, parse={"kind": "json"})[0].short == ("x", "teacher's")


@pytest.mark.parametrize("kept", [1, 60, -2])
def test_a_line_that_a_crash_tore_costs_itself_alone(kept: int, tmp_path: Path) -> None:
    whole = [line(Entry(str(number), TIME, f"text {number}", "a", "organic")) for number in range(3)]
    (tmp_path / "log.jsonl").write_bytes(whole[0] + whole[1][:kept] + b"\n" + whole[2])
    first, torn, last = found("log.jsonl", tmp_path)
    assert (first.short, last.short) == (("text 0", "a"), ("text 2", "a"))
    assert torn.rejected and torn.rejected.startswith("not valid JSON: ")


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (2, "schema 2 of the trace log is not known here (the latest is 1): upgrade tracer"),
        ("10", "schema 10 of the trace log is not known here (the latest is 1): upgrade tracer"),
        (0, "this is no line of the trace log: its `schema` is '0'"),
        ("one", "this is no line of the trace log: its `schema` is 'one'"),
        (None, "this is no line of the trace log: its `schema` is null"),
        (True, "this is no line of the trace log: its `schema` is 'true'"),
    ],
)
def test_schemas(schema: Any, reason: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "log.jsonl", [{"schema": schema, "input": "x", "teacher": "a", "origin": "organic"}])
    assert found("log.jsonl", tmp_path)[0].rejected == reason


def test_a_line_as_it_is_written() -> None:
    entry = Entry(
        id="r-1",
        time=datetime(2026, 8, 1, 11, 0, tzinfo=timezone(timedelta(hours=2))),
        input="Grüße\n\u2028",
        teacher=None,
        tool_calls=(("route", '{"intent": "x"}'),),
        origin="deferred",
        probability=1.0,
        context={"sha256": "00", "system": "s", "tools": ["route"]},
    )
    assert line(entry) == (
        b'{"schema":1,"id":"r-1","time":"2026-08-01T09:00:00.000000Z","input":"Gr\\u00fc\\u00dfe\\n\\u2028",'
        b'"teacher":null,"tool_calls":[{"name":"route","arguments":"{\\"intent\\": \\"x\\"}"}],"origin":"deferred",'
        b'"probability":1.0,"policy":null,"decision":null,"label":null,"score":null,"target":null,"latency_ms":null,'
        b'"model":null,"context":{"sha256":"00","system":"s","tools":["route"]}}\n'
    )


def test_what_is_no_number_or_no_point_in_time_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        line(Entry("1", TIME, "x", "a", "organic", score=float("nan")))
    with pytest.raises(ValueError, match="zone"):
        line(Entry("1", TIME.replace(tzinfo=None), "x", "a", "organic"))


TEXT = st.text(st.characters(), min_size=1, max_size=40)
WHOLE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(lambda text: text.strip())


@given(
    WHOLE,
    WHOLE,
    st.sampled_from(["organic", "audit", "deferred"]),
    st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(timezone.utc)),
    st.one_of(st.none(), st.builds(Context, WHOLE, st.just("") | WHOLE, st.tuples(WHOLE))),
)
def test_what_is_written_is_read_again(
    text: str, label: str, origin: str, time: datetime, context: Context | None
) -> None:
    told = None if context is None else {"sha256": context.sha256, "system": context.system, "tools": [*context.tools]}
    written = line(Entry("i", time, text, label, origin, probability=0.5, model="m", context=told))
    assert written.count(b"\n") == 1 and written.isascii()
    source = TraceSource(path="trace-log.jsonl", preset="tracer")
    call = preset_of(source, FIXTURES, FIXTURES).call(file_of(LOG), json.loads(written))
    assert (call.text, call.answers[0].content, call.origin, call.id, call.model) == (text, label, origin, "i", "m")
    assert call.context == context
    assert datetime.fromisoformat(call.timestamp.replace("Z", "+00:00")) == time


@given(TEXT, TEXT)
def test_any_text_can_be_written_even_what_no_file_can_hold(text: str, name: str) -> None:
    written = line(Entry("i", TIME, text, text, "organic", tool_calls=((name, {"a": text}),)))
    source = TraceSource(path="trace-log.jsonl", preset="tracer")
    call = preset_of(source, FIXTURES, FIXTURES).call(file_of(LOG), json.loads(written))
    assert (call.text, call.answers[0].tools) == (text, (ToolCall(name, {"a": text}),))


def test_writing_a_line_takes_nothing_heavy() -> None:
    """The runtime writes with it, and an application that is watched should not load a whole toolbox."""
    heavy = ["numpy", "pandas", "pyarrow", "duckdb", "pydantic", "yaml", "sklearn", "onnxruntime"]
    program = f"import sys, tracer_cli.traces.log_format; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@given(mutated(lines(LOG)))
def test_any_record_is_a_call_or_has_a_reason(record: Any) -> None:
    source = TraceSource(path="trace-log.jsonl", preset="tracer")
    survives(preset_of(source, FIXTURES, FIXTURES), source, iter([Record(1, record)]), file_of(LOG))
