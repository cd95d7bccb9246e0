"""The same traces in the shape of every preset: one writer for each, all entered in SHAPES at the end.

A row has `input`, `teacher`, and where they are known `id` and `timestamp` (ISO 8601, whole seconds, UTC).
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tracer_cli.traces.log_format import Entry, line

Rows = Sequence[dict[str, Any]]
SYSTEM = "You label questions of a bank's customers. Answer with the label alone."
MODEL = "gpt-4o-mini-2024-07-18"


class Shape(NamedTuple):
    """write: makes files in a folder and returns the source that reads them, for tracer.yaml. carries: what of `id`
    and `timestamp` the shape has a place for."""

    write: Callable[[Rows, Path], dict[str, Any]]
    carries: tuple[str, ...] = ()


def write_lines(path: Path, lines: Sequence[Any], ensure_ascii: bool = True) -> None:
    text = "".join(json.dumps(line, ensure_ascii=ensure_ascii) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8", newline="\n")


def write_csv(path: Path, rows: Rows, quoting: Literal[0, 1]) -> None:
    """Objects and lists become JSON, as in a cell of an export."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=quoting, lineterminator="\n")
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow(json.dumps(cell) if isinstance(cell, dict | list) else cell for cell in row.values())


def epoch(timestamp: str) -> int:
    return int(datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp())


def prompt(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": row["input"]}]


# --- plain ----------------------------------------------------------------------------------------


def fields(rows: Rows, folder: Path) -> dict[str, Any]:
    write_lines(folder / "plain.jsonl", rows, ensure_ascii=False)
    named = {name: name for name in ("id", "timestamp") if name in rows[0]}
    return {"path": "plain.jsonl", **named}


# --- OpenAI ---------------------------------------------------------------------------------------

TOOL = {
    "type": "function",
    "function": {
        "name": "label",
        "description": "Label the question.",
        "parameters": {
            "type": "object",
            "properties": {"label": {"type": "string"}, "sure": {"type": "number", "minimum": 0, "maximum": 1.0}},
            "required": ["label"],
        },
    },
}


def openai_chat(rows: Rows, folder: Path) -> dict[str, Any]:
    lines = [{"messages": [*prompt(row), {"role": "assistant", "content": row["teacher"]}]} for row in rows]
    write_lines(folder / "chat.jsonl", lines)
    return {"path": "chat.jsonl", "preset": "openai-chat"}


def openai_chat_tools(rows: Rows, folder: Path) -> dict[str, Any]:
    """The label is an argument of a tool call; contents come as parts."""
    lines = []
    for row in rows:
        arguments = json.dumps({"label": row["teacher"], "sure": 0.9})
        call = {"id": "call_1", "type": "function", "function": {"name": "label", "arguments": arguments}}
        messages = [
            {"role": "developer", "content": [{"type": "text", "text": SYSTEM}]},
            {"role": "user", "content": [{"type": "text", "text": row["input"]}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ]
        lines.append({"messages": messages, "tools": [TOOL], "parallel_tool_calls": False})
    with gzip.open(folder / "tools.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return {"path": "tools.jsonl.gz", "preset": "openai-chat", "parse": {"kind": "tool", "tool": "label"}}


def _batch(rows: Rows, folder: Path, url: str, bodies: list[dict[str, Any]], answers: list[dict[str, Any]]) -> None:
    """Output lines come in another order, in two files."""
    names = [str(row.get("id", f"request-{number}")) for number, row in enumerate(rows)]
    requests = [
        {"custom_id": name, "method": "POST", "url": url, "body": body}
        for name, body in zip(names, bodies, strict=True)
    ]
    results = [
        {
            "id": f"batch_req_{number}",
            "custom_id": name,
            "response": {"status_code": 200, "request_id": f"req_{number}", "body": answer},
            "error": None,
        }
        for number, (name, answer) in enumerate(zip(names, answers, strict=True))
    ][::-1]
    half = len(rows) // 2
    write_lines(folder / "input-1.jsonl", requests[:half])
    write_lines(folder / "input-2.jsonl", requests[half:])
    write_lines(folder / "output-1.jsonl", results[: half // 2])
    write_lines(folder / "output-2.jsonl", results[half // 2 :])


def openai_batch(rows: Rows, folder: Path) -> dict[str, Any]:
    bodies = [{"model": "gpt-4o-mini", "messages": prompt(row), "max_tokens": 20} for row in rows]
    answers = [
        {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": epoch(row["timestamp"]) if "timestamp" in row else 1711475054,
            "model": MODEL,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": row["teacher"], "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 24, "completion_tokens": 4, "total_tokens": 28},
        }
        for number, row in enumerate(rows)
    ]
    _batch(rows, folder, "/v1/chat/completions", bodies, answers)
    return {"path": "input-*.jsonl", "results": "output-*.jsonl", "preset": "openai-batch"}


def openai_batch_responses(rows: Rows, folder: Path) -> dict[str, Any]:
    """/v1/responses, with the label in JSON."""
    bodies = [{"model": "gpt-4o-mini", "instructions": SYSTEM, "input": row["input"]} for row in rows]
    answers = [
        {
            "id": f"resp_{number}",
            "object": "response",
            "created_at": epoch(row["timestamp"]) if "timestamp" in row else 1741476542,
            "status": "completed",
            "incomplete_details": None,
            "model": MODEL,
            "output": [
                {"type": "reasoning", "id": f"rs_{number}", "summary": []},
                {
                    "type": "message",
                    "id": f"msg_{number}",
                    "status": "completed",
                    "role": "assistant",
                    "content": [
                        {"type": "output_text", "text": json.dumps({"label": row["teacher"]}), "annotations": []}
                    ],
                },
            ],
        }
        for number, row in enumerate(rows)
    ]
    _batch(rows, folder, "/v1/responses", bodies, answers)
    return {
        "path": "input-*.jsonl",
        "results": "output-*.jsonl",
        "preset": "openai-batch",
        "parse": {"kind": "json", "key": "label"},
    }


# --- Langfuse -------------------------------------------------------------------------------------


def langfuse(rows: Rows, folder: Path) -> dict[str, Any]:
    """The UI's export as JSONL: input and output are the values themselves."""
    lines = [
        {
            "id": row.get("id", f"o-{number}"),
            "type": "GENERATION",
            "startTime": row.get("timestamp"),
            "level": "DEFAULT",
            "model": MODEL,
            "input": prompt(row),
            "output": {"role": "assistant", "content": row["teacher"]},
            "metadata": {},
        }
        for number, row in enumerate(rows)
    ]
    write_lines(folder / "observations.jsonl", lines, ensure_ascii=False)
    return {"path": "observations.jsonl", "preset": "langfuse"}


def _blob(rows: Rows) -> list[dict[str, Any]]:
    """Rows of the blob storage export, whose input and output are JSON text."""
    return [
        {
            "id": row.get("id", f"o-{number}"),
            "type": "GENERATION",
            "start_time": f"{row.get('timestamp', '2026-01-01T00:00:00Z')[:19].replace('T', ' ')}.000000",
            "level": "DEFAULT",
            "status_message": "",
            "input": json.dumps({"messages": prompt(row)}, ensure_ascii=False),
            "output": json.dumps({"role": "assistant", "content": row["teacher"]}),
            "provided_model_name": MODEL,
            "tool_definitions": {"label": json.dumps({"description": "x", "parameters": "{}"})},
        }
        for number, row in enumerate(rows)
    ]


def langfuse_csv(rows: Rows, folder: Path) -> dict[str, Any]:
    write_csv(folder / "observations.csv", _blob(rows), csv.QUOTE_ALL)
    return {"path": "observations.csv", "preset": "langfuse"}


def langfuse_parquet(rows: Rows, folder: Path) -> dict[str, Any]:
    """As ClickHouse writes it: definitions of tools are a map, times have a type."""
    found = _blob(rows)
    table = pa.table(
        {
            **{
                name: [row[name] for row in found]
                for name in found[0]
                if name not in ("start_time", "tool_definitions")
            },
            "start_time": pa.array(
                [datetime.fromisoformat(row["start_time"]) for row in found], pa.timestamp("us", "UTC")
            ),
            "tool_definitions": pa.array(
                [[*row["tool_definitions"].items()] for row in found], pa.map_(pa.string(), pa.string())
            ),
        }
    )
    pq.write_table(table, folder / "observations.parquet")
    return {"path": "observations.parquet", "preset": "langfuse"}


# --- OpenTelemetry --------------------------------------------------------------------------------


def any_value(value: Any) -> dict[str, Any]:
    """A value as OTLP's JSON has it."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": attributes_of(value)}}
    return {"arrayValue": {"values": [any_value(item) for item in value]}}


def attributes_of(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": any_value(value)} for key, value in values.items()]


def _otlp(rows: Rows, folder: Path, described: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Seven spans a line, as a collector batches them."""
    spans = [
        {
            "traceId": f"{number + 1:032x}",
            "spanId": f"{number + 1:016x}",
            "name": "chat gpt-4o-mini",
            "kind": 3,
            "startTimeUnixNano": str(epoch(row["timestamp"]) * 10**9) if "timestamp" in row else "1767225600000000000",
            "attributes": attributes_of(
                {"app.id": row.get("id", ""), "gen_ai.request.model": "gpt-4o-mini", **described(row)}
            ),
            "status": {},
        }
        for number, row in enumerate(rows)
    ]
    lines = [
        {
            "resourceSpans": [
                {
                    "resource": {"attributes": attributes_of({"service.name": "support"})},
                    "scopeSpans": [{"scope": {"name": "app"}, "spans": spans[start : start + 7]}],
                }
            ]
        }
        for start in range(0, len(spans), 7)
    ]
    write_lines(folder / "otlp.jsonl", lines, ensure_ascii=False)
    return {"path": "otlp.jsonl", "preset": "otel", "id": 'attributes."app.id"'}


def otel(rows: Rows, folder: Path) -> dict[str, Any]:
    """The current conventions, with messages as JSON text."""

    def described(row: dict[str, Any]) -> dict[str, Any]:
        question = [{"role": "user", "parts": [{"type": "text", "content": row["input"]}]}]
        answer = [
            {"role": "assistant", "parts": [{"type": "text", "content": row["teacher"]}], "finish_reason": "stop"}
        ]
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.system_instructions": json.dumps([{"type": "text", "content": SYSTEM}]),
            "gen_ai.input.messages": json.dumps(question),
            "gen_ai.output.messages": json.dumps(answer),
        }

    return _otlp(rows, folder, described)


def otel_structured(rows: Rows, folder: Path) -> dict[str, Any]:
    """The current conventions, with messages as structured values."""

    def described(row: dict[str, Any]) -> dict[str, Any]:
        calls = [{"type": "tool_call", "id": "call_1", "name": "label", "arguments": {"label": row["teacher"]}}]
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": row["input"]}]}],
            "gen_ai.output.messages": [{"role": "assistant", "parts": calls, "finish_reason": "tool_call"}],
        }

    return {**_otlp(rows, folder, described), "parse": {"kind": "tool", "tool": "label"}}


def otel_openllmetry(rows: Rows, folder: Path) -> dict[str, Any]:
    """One attribute for each member of each message."""

    def described(row: dict[str, Any]) -> dict[str, Any]:
        return {
            "llm.request.type": "chat",
            "gen_ai.prompt.0.role": "system",
            "gen_ai.prompt.0.content": SYSTEM,
            "gen_ai.prompt.1.role": "user",
            "gen_ai.prompt.1.content": row["input"],
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.finish_reason": "stop",
            "gen_ai.completion.0.content": row["teacher"],
        }

    return _otlp(rows, folder, described)


# --- LiteLLM --------------------------------------------------------------------------------------


def _spend_logs(rows: Rows) -> list[dict[str, Any]]:
    return [
        {
            "request_id": row.get("id", f"chatcmpl-{number}"),
            "call_type": "acompletion",
            "startTime": row.get("timestamp", "2026-01-01T00:00:00Z"),
            "model": "gpt-4o-mini",
            "status": "success",
            "messages": {},
            "response": {
                "object": "chat.completion",
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": row["teacher"]}, "finish_reason": "stop"}
                ],
            },
            "proxy_server_request": {"model": "gpt-4o-mini", "messages": prompt(row)},
        }
        for number, row in enumerate(rows)
    ]


def litellm(rows: Rows, folder: Path) -> dict[str, Any]:
    write_lines(folder / "spend.jsonl", _spend_logs(rows))
    return {"path": "spend.jsonl", "preset": "litellm"}


def litellm_csv(rows: Rows, folder: Path) -> dict[str, Any]:
    """As psql's \\copy writes it."""
    write_csv(folder / "spend.csv", _spend_logs(rows), csv.QUOTE_MINIMAL)
    return {"path": "spend.csv", "preset": "litellm"}


def litellm_parquet(rows: Rows, folder: Path) -> dict[str, Any]:
    """With structs in place of JSON text; `messages`, always empty, is text."""
    found = [{**row, "messages": "{}"} for row in _spend_logs(rows)]
    pq.write_table(pa.Table.from_pylist(found), folder / "spend.parquet")
    return {"path": "spend.parquet", "preset": "litellm"}


# --- the trace log --------------------------------------------------------------------------------


def trace_log(rows: Rows, folder: Path) -> dict[str, Any]:
    """As the runtime writes it."""
    entries = [
        Entry(
            id=row.get("id", f"t-{number}"),
            time=datetime.fromisoformat(row.get("timestamp", "2026-01-01T00:00:00Z").replace("Z", "+00:00")),
            input=row["input"],
            teacher=row["teacher"],
            origin="organic",
            probability=1.0,
            model=MODEL,
        )
        for number, row in enumerate(rows)
    ]
    (folder / "log.jsonl").write_bytes(b"".join(line(entry) for entry in entries))
    return {"path": "log.jsonl", "preset": "tracer"}


SHAPES = {
    "openai-chat": Shape(openai_chat),
    "openai-chat, tools": Shape(openai_chat_tools),
    "openai-batch": Shape(openai_batch, ("id", "timestamp")),
    "openai-batch, responses": Shape(openai_batch_responses, ("id", "timestamp")),
    "langfuse": Shape(langfuse, ("id", "timestamp")),
    "langfuse, CSV": Shape(langfuse_csv, ("id", "timestamp")),
    "langfuse, Parquet": Shape(langfuse_parquet, ("id", "timestamp")),
    "otel": Shape(otel, ("id", "timestamp")),
    "otel, structured": Shape(otel_structured, ("id", "timestamp")),
    "otel, OpenLLMetry": Shape(otel_openllmetry, ("id", "timestamp")),
    "litellm": Shape(litellm, ("id", "timestamp")),
    "litellm, CSV": Shape(litellm_csv, ("id", "timestamp")),
    "litellm, Parquet": Shape(litellm_parquet, ("id", "timestamp")),
    "tracer": Shape(trace_log, ("id", "timestamp")),
}
