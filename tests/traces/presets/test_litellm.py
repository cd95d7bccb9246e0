"""LiteLLM: what becomes of each row of the spend logs, as JSONL, CSV and Parquet."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from tracer_cli.config.schema import TraceSource
from tracer_cli.traces.presets import preset_of
from tracer_cli.traces.presets.messages import context_of
from tracer_cli.traces.read.records import Record
from tracer_cli.traces.rows import Row
from traces.presets.accounting import accounted, file_of, lines, survives
from traces.presets.mutations import mutated
from traces.presets.reading import FIXTURES, Outcome
from traces.presets.shapes import write_lines

SYSTEM = {"role": "system", "content": "Answer with the intent of the customer's message."}
TOOL = {
    "type": "function",
    "function": {
        "name": "route",
        "description": "Route the ticket.",
        "parameters": {"type": "object", "properties": {"intent": {"type": "string"}}, "required": ["intent"]},
    },
}
LOGS = FIXTURES / "litellm.jsonl"
TURN_ON = "set general_settings.store_prompts_in_spend_logs: true in LiteLLM's configuration; it holds for later calls"
CUT = "was cut by LiteLLM: raise MAX_STRING_LENGTH_PROMPT_IN_DB in its environment"
REDACTED = "was redacted: set litellm_settings.turn_off_message_logging: false"

FATES = [
    ("Where is my card?", "card_arrival"),
    ("In messages", "other"),
    "the answer (response) is a call of the tool 'route'; set parse.kind: tool",
    "skipped: a call of type 'aembedding'",
    f"the request was not stored: {TURN_ON}",
    "the call failed: Rate limit reached",
    f"the text {CUT}",
    f"the answer {CUT}",
    f"the answer {REDACTED}",
    f"the text {REDACTED}",
    ("By responses", "top_up_fee"),
    ("Label: where is my card?", "card_arrival"),
    ("Streamed", "card_arrival"),
    "the answer was cut off at the token limit (finish_reason: length)",
    f"the response was not stored: {TURN_ON}",
    ("Two choices", "other"),
    "the response has neither choices nor output",
    ("Long instructions", "other"),
    ("Old row", "other"),
    ("Gebühr? \U0001f4b3", "other"),
]


def found(name: str, folder: Path = FIXTURES, **source: Any) -> list[Outcome]:
    return accounted(folder, **{"path": name, "preset": "litellm", "max_rejected": 1, **source})


def parquet(path: Path) -> Path:
    """As a table of PostgreSQL becomes a file: jsonb is text."""
    rows = [json.loads(text) for text in LOGS.read_text(encoding="utf-8").splitlines()]
    names = [name for name in rows[0] if name not in ("startTime", "endTime")]
    columns: dict[str, Any] = {
        name: [json.dumps(row[name]) if isinstance(row[name], dict | list) else row[name] for row in rows]
        for name in names
    }
    columns["startTime"] = pa.array([row["startTime"][:-1] for row in rows]).cast(pa.timestamp("us"))
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_each_row(kind: str, tmp_path: Path) -> None:
    folder = parquet(tmp_path / "litellm.parquet").parent if kind == "parquet" else FIXTURES
    outcomes = found(f"litellm.{kind}", folder)
    assert [outcome.short for outcome in outcomes] == FATES
    assert outcomes[0].row == Row("Where is my card?", "card_arrival", "c1", 1785574800123000, None)
    contexts = {
        outcome.row.id: outcome.call.context for outcome in outcomes if outcome.row and outcome.call is not None
    }
    assert contexts == {
        **dict.fromkeys(("c1", "c13", "c16", "c19", "c20"), context_of([SYSTEM])),
        "c2": context_of([SYSTEM], [TOOL], {"type": "json_object"}),
        "c11": context_of([SYSTEM], [{"type": "function", "name": "route", "parameters": {}}]),
        "c12": None,  # a prompt without messages
        "c18": None,  # cut instructions
    }
    models = {outcome.row.id: outcome.call.model for outcome in outcomes if outcome.row and outcome.call is not None}
    assert models.pop("c19") == "classifier" and set(models.values()) == {"gpt-4o-mini"}


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_the_tool_call_in_a_wrapped_request(kind: str) -> None:
    outcome = found(f"litellm.{kind}", parse={"kind": "tool", "argument": "intent"})[2]
    assert outcome.short == ("Under body", "lost_card")
    assert outcome.call and outcome.call.context == context_of([SYSTEM], [TOOL])


def test_a_cell_over_several_lines_counts_by_its_first() -> None:
    places = [outcome.place for outcome in found("litellm.csv")]
    assert places[:2] == ["litellm.csv:2", "litellm.csv:15"] and places[-1] == "litellm.csv:33"


def test_structs_in_parquet_are_as_good_as_json_text(tmp_path: Path) -> None:
    rows = []
    for name in ("c1", "c3", "c16"):
        row = next(json.loads(text) for text in LOGS.read_text(encoding="utf-8").splitlines() if f'"{name}"' in text)
        body = row["proxy_server_request"]
        rows.append(
            {
                "request_id": name,
                "proxy_server_request": {"body": body.get("body", body)},
                "response": row["response"],
                "messages": [],
            }
        )
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "structs.parquet")
    texts = found("structs.parquet", tmp_path)
    assert [outcome.short for outcome in texts] == [FATES[0], FATES[2], FATES[15]]
    assert texts[0].call and texts[0].call.context == context_of([SYSTEM])
    tooled = found("structs.parquet", tmp_path, parse={"kind": "tool", "argument": "intent"})[1]
    assert tooled.short == ("Under body", "lost_card")
    assert tooled.call and tooled.call.context == context_of([SYSTEM], [TOOL])


@pytest.mark.parametrize("empty", [{}, "{}", "", [], "[]", None, " "])
def test_empty_messages_mean_look_at_the_request(empty: Any, tmp_path: Path) -> None:
    row = {"messages": empty, "proxy_server_request": {"messages": [{"role": "user", "content": "x"}]}}
    row["response"] = {"choices": [{"message": {"content": "y"}, "finish_reason": "stop"}]}
    write_lines(tmp_path / "a.jsonl", [row])
    assert found("a.jsonl", tmp_path)[0].short == ("x", "y")


@pytest.mark.parametrize(
    ("kind", "short"),
    [
        ("completion", ("x", "y")),
        ("text_completion", ("x", "y")),
        ("aresponses", ("x", "y")),
        (None, ("x", "y")),
        ("embedding", "skipped: a call of type 'embedding'"),
        ("aimage_generation", "skipped: a call of type 'aimage_generation'"),
        ("_arealtime", "skipped: a call of type '_arealtime'"),
        ("pass_through_endpoint", "skipped: a call of type 'pass_through_endpoint'"),
    ],
)
def test_types_of_calls(kind: Any, short: Any, tmp_path: Path) -> None:
    row = {"call_type": kind, "messages": [{"role": "user", "content": "x"}], "response": "y"}
    write_lines(tmp_path / "a.jsonl", [row])
    assert found("a.jsonl", tmp_path)[0].short == short


def test_what_was_cut_is_told_from_what_speaks_of_cutting(tmp_path: Path) -> None:
    answer = {"choices": [{"message": {"content": "y"}, "finish_reason": "stop"}]}
    texts = ["my list (truncated 3 chars)", "see ... (litellm_truncated", "a... (truncated 12 chars)"]
    rows = [{"messages": [{"role": "user", "content": text}], "response": answer} for text in texts]
    write_lines(tmp_path / "a.jsonl", rows)
    assert [outcome.short for outcome in found("a.jsonl", tmp_path)] == [
        (texts[0], "y"),
        (texts[1], "y"),
        f"the text {CUT}",
    ]


def test_an_answer_in_a_cut_tool_call_is_rejected(tmp_path: Path) -> None:
    call = {"function": {"name": "route", "arguments": '{"intent": "a... (litellm_truncated skipped 9 chars) ...b"}'}}
    answer = {"choices": [{"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    write_lines(tmp_path / "a.jsonl", [{"messages": [{"role": "user", "content": "x"}], "response": answer}])
    outcome = found("a.jsonl", tmp_path, parse={"kind": "tool", "argument": "intent"})[0]
    assert outcome.rejected == f"the answer {CUT}"


@given(mutated(lines(LOGS)))
def test_any_record_is_a_call_or_has_a_reason(record: Any) -> None:
    source = TraceSource(path="litellm.jsonl", preset="litellm")
    survives(preset_of(source, FIXTURES, FIXTURES), source, iter([Record(1, record)]), file_of(LOGS))
