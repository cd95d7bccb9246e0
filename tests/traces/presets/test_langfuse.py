"""Langfuse: what becomes of each observation, in each of the documented exports."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from tracer_cli.config.schema import TraceSource
from tracer_cli.traces.calls import ToolCall
from tracer_cli.traces.presets import preset_of
from tracer_cli.traces.presets.messages import context_of
from tracer_cli.traces.read.records import Record
from tracer_cli.traces.rows import Row
from traces.presets.accounting import accounted, file_of, lines, reasons, survives
from traces.presets.mutations import mutated
from traces.presets.reading import FIXTURES, Outcome
from traces.presets.shapes import write_csv, write_lines

SYSTEM = "Answer with the intent of the customer's message."
TOOL = {
    "type": "function",
    "function": {
        "name": "route",
        "description": "Route the ticket.",
        "parameters": {"type": "object", "properties": {"intent": {"type": "string"}}, "required": ["intent"]},
    },
}
UI, BLOB = FIXTURES / "langfuse-ui.jsonl", FIXTURES / "langfuse-blob.jsonl"


def found(name: str, folder: Path = FIXTURES, **source: Any) -> list[Outcome]:
    return accounted(folder, **{"path": name, "preset": "langfuse", "max_rejected": 1, **source})


def one(tmp_path: Path, **observation: Any) -> Outcome:
    write_lines(tmp_path / "one.jsonl", [{"id": "o", "type": "GENERATION", **observation}])
    return found("one.jsonl", tmp_path)[0]


def test_each_observation_of_the_uis_export() -> None:
    tool = "the answer (output) is a call of the tool 'route'; set parse.kind: tool"
    missing = "was it left out of the export, or never sent to Langfuse?"
    assert reasons(found("langfuse-ui.jsonl")) == [
        ("1", ("Where is my card?", "card_arrival")),
        ("2", tool),
        ("3", "skipped: an observation of type SPAN"),
        ("4", "skipped: an observation of type EVENT"),
        ("5", "skipped: an observation of type EMBEDDING"),
        ("6", ("Is there a fee for top-ups?", "top_up_fee")),
        ("7", "the call failed: 429: rate limit reached"),
        ("8", f"the output is empty or missing; {missing}"),
        ("9", ("Zwei Teile:\nGebühr für Überweisung?", "transfer_fee")),
        ("10", "2 choices with different labels: 'other', 'lost_card'"),
        ("11", ("Streamed", "card_arrival")),
        ("12", "the stream ends before the answer does (no finish_reason)"),
        ("13", "the user's message holds an image, which a text classifier cannot see"),
        ("14", "the input holds no messages; name the text in it, for example `text: input.question`"),
        ("15", tool),
        ("16", "the teacher refused: 'I cannot help with that.'"),
        ("17", ("Wo ist meine Karte? \U0001f4b3 \u2028 Danke", "card_arrival")),
        ("18", "the conversation has 2 messages of the user, and `turns` is single; set turns: last or turns: all"),
        ("19", "the text (input) is empty"),
        ("20", ("No type", "other")),
    ]


def test_id_time_model_and_instructions_come_along() -> None:
    first, *_, last = (outcome for outcome in found("langfuse-ui.jsonl") if outcome.row)
    assert first.row == Row("Where is my card?", "card_arrival", "a1", 1785574800123000, None)
    assert first.call and first.call.model == "gpt-4o-mini-2024-07-18"
    assert first.call.context == context_of([{"role": "system", "content": SYSTEM}])
    assert last.row and (last.row.id, last.row.timestamp) == ("a20", None)
    assert last.call and last.call.model is None


def test_an_input_that_is_text_tells_no_instructions() -> None:
    text = next(one for one in found("langfuse-ui.jsonl") if one.row and one.row.id == "a6")
    assert text.call and text.call.context is None


def test_labels_in_tool_calls() -> None:
    outcomes = found("langfuse-ui.jsonl", parse={"kind": "tool", "argument": "intent"})
    rows = [outcome for outcome in outcomes if outcome.row]
    assert [(outcome.row.id, outcome.row.label) for outcome in rows if outcome.row] == [
        ("a2", "lost_card"),
        ("a15", "other"),
    ]
    call = rows[0].call
    assert call and call.answers[0].tools == (ToolCall("route", '{"intent":"lost_card"}'),)
    assert call.context == context_of([{"role": "system", "content": SYSTEM}], [TOOL])
    assert call.context and call.context.tools == ("route",)


BLOB_FATES = [
    ("Where is my card?", "card_arrival"),
    ('Two lines\nof text, with "quotes"', "top_up_fee"),
    "skipped: an observation of type SPAN",
    ("[not JSON] Is there a fee?", "top_up_fee"),
    "the answer (output) is a call of the tool 'route'; set parse.kind: tool",
    "the call failed: timeout after 30 s",
    "the input is empty or missing; was it left out of the export, or never sent to Langfuse?",
    "the input holds no messages; name the text in it, for example `text: input.question`",
    ("A JSON answer", '{"intent":"card_arrival"}'),
]


def parquet(path: Path) -> Path:
    """The blob export as ClickHouse writes it: maps, lists and times have types; JSON stays text."""
    rows = [json.loads(text) for text in BLOB.read_text(encoding="utf-8").splitlines()]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    for name in ("tool_definitions", "metadata"):
        columns[name] = pa.array([[*row[name].items()] for row in rows], pa.map_(pa.string(), pa.string()))
    for name in ("start_time", "end_time"):
        columns[name] = pa.array(columns[name]).cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_each_observation_of_the_blob_storage_export(kind: str, tmp_path: Path) -> None:
    folder = FIXTURES
    if kind == "parquet":
        folder = parquet(tmp_path / "langfuse-blob.parquet").parent
    outcomes = found(f"langfuse-blob.{kind}", folder)
    assert [outcome.short for outcome in outcomes] == BLOB_FATES
    first = outcomes[0]
    assert first.row == Row("Where is my card?", "card_arrival", "b1", 1785574800123000, None)
    assert first.call and first.call.model == "gpt-4o-mini"
    tooled = found(f"langfuse-blob.{kind}", folder, parse={"kind": "tool", "argument": "intent"})[4]
    assert tooled.short == ("I lost it", "lost_card")
    assert tooled.call and tooled.call.context == context_of([{"role": "system", "content": SYSTEM}], [TOOL])


def test_a_cell_with_newlines_is_one_row_and_its_first_line_is_told() -> None:
    assert [outcome.place for outcome in found("langfuse-blob.csv")][5:7] == [
        "langfuse-blob.csv:7",
        "langfuse-blob.csv:9",
    ]


def test_structs_in_parquet_are_as_good_as_json_text(tmp_path: Path) -> None:
    rows = [
        {
            "id": f"p{number}",
            "type": "GENERATION",
            "input": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}],
            "output": {"role": "assistant", "content": label, "tool_calls": None},
        }
        for number, (text, label) in enumerate([("One", "a"), ("Two", "b")])
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "structs.parquet")
    outcomes = found("structs.parquet", tmp_path)
    assert [outcome.short for outcome in outcomes] == [("One", "a"), ("Two", "b")]
    assert outcomes[0].call and outcomes[0].call.context == context_of([{"role": "system", "content": SYSTEM}])


def test_one_text_that_is_not_utf8_does_not_cost_its_neighbours(tmp_path: Path) -> None:
    broken = pa.array([b"\xff\xfe", b"Where is my card?"]).view(pa.binary()).cast(pa.binary())
    table = pa.table(
        {
            "id": ["1", "2"],
            "type": ["GENERATION", "GENERATION"],
            "level": ["DEFAULT", "DEFAULT"],
            "input": pa.Array.from_buffers(pa.string(), 2, broken.buffers()),
            "output": ["a", json.dumps({"role": "assistant", "content": "b"})],
        }
    )
    pq.write_table(table, tmp_path / "bytes.parquet")
    assert [outcome.short for outcome in found("bytes.parquet", tmp_path)] == [
        "the text (input) is not UTF-8",
        ("Where is my card?", "b"),
    ]


def test_a_text_inside_of_a_struct_that_is_not_utf8(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff", b"fine"], pa.binary()).buffers())
    message = pa.StructArray.from_arrays([pa.array(["user", "user"]), bad], ["role", "content"])
    table = pa.table({"input": pa.ListArray.from_arrays([0, 1, 2], message), "output": ["a", "b"]})
    pq.write_table(table, tmp_path / "nested.parquet")
    broken, fine = found("nested.parquet", tmp_path)
    assert broken.rejected and broken.rejected.startswith("input cannot be read: ")
    assert fine.short == ("fine", "b")


def test_the_public_api(tmp_path: Path) -> None:
    """v2 calls the model otherwise."""
    outcome = one(tmp_path, providedModelName="m", startTime="2026-08-01T09:00:00Z", input="x", output="y")
    assert outcome.row == Row("x", "y", "o", 1785574800000000, None)
    assert outcome.call and outcome.call.model == "m"


@pytest.mark.parametrize(
    ("output", "label"),
    [
        ("plain", "plain"),
        (7, "7"),
        (True, "true"),
        ([{"type": "text", "text": "pa"}, {"type": "text", "text": "rts"}], "parts"),
        ([{"role": "user", "content": "x"}, {"role": "assistant", "content": "last"}], "last"),
        ({"object": "response", "status": "completed", "output": [{"type": "message", "content": "new"}]}, "new"),
        ([{"type": "reasoning", "summary": []}, {"type": "message", "role": "assistant", "content": "i"}], "i"),
        ('{"choices": [{"message": {"content": "json"}, "finish_reason": "stop"}]}', "json"),
        ('["a", "b"]', '["a", "b"]'),
    ],
)
def test_outputs_of_many_shapes(output: Any, label: str, tmp_path: Path) -> None:
    assert one(tmp_path, input="x", output=output).short == ("x", label)


def test_an_object_that_the_teacher_wrote_is_for_parse_json(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [{"input": "x", "output": {"intent": "a"}}, {"input": "y", "output": {"n": 1}}])
    parse = {"kind": "json", "key": "intent"}
    assert [outcome.short for outcome in found("a.jsonl", tmp_path, parse=parse)] == [
        ("x", "a"),
        "the answer (output) has no key 'intent'; it has 'n'",
    ]


def test_fields_that_tracer_yaml_names_come_first(tmp_path: Path) -> None:
    observation = {
        "id": "o",
        "input": {"question": "Where?", "messages": None},
        "output": {"label": "lost"},
        "metadata": {"gold": "found", "ticket": "7"},
    }
    write_csv(tmp_path / "a.csv", [observation], 1)
    named = {
        "text": "input.question",
        "label": "output.label",
        "id": "metadata.ticket",
        "ground_truth": "metadata.gold",
        "origin": "metadata.origin",
    }
    outcome = found("a.csv", tmp_path, **{**named, "origin": "id"})[0]
    assert outcome.rejected == "the origin is 'o'; expected one of organic, audit, deferred"
    del named["origin"]
    assert found("a.csv", tmp_path, **named)[0].row == Row("Where?", "lost", "7", None, "found")


@given(mutated([*lines(UI), *lines(BLOB)]))
def test_any_record_is_a_call_or_has_a_reason(record: Any) -> None:
    source = TraceSource(path="langfuse-ui.jsonl", preset="langfuse")
    preset = preset_of(source, FIXTURES, FIXTURES)
    survives(preset, source, iter([Record(1, record)]), file_of(UI))
