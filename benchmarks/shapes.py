"""Generated traces of about 1 KB each, in the shape of each preset: the same for the same arguments, row by row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.generate import BLOCK, LABELS
from tracer_cli.traces.log_format import Entry, line

# Words as a language has them: few are frequent, most are rare, and 150 of them are about 1 KB.
WORDS = 20_000
WORDS_OF_A_TEXT = 150
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
SYSTEM = "Label the request."
MODEL = "some-model"


class Trace(NamedTuple):
    number: int
    text: str
    label: str

    @property
    def time(self) -> datetime:
        return START + timedelta(seconds=self.number)

    @property
    def prompt(self) -> list[dict[str, Any]]:
        return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": self.text}]

    @property
    def choices(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": self.label}
        return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def traces(rows: int, seed: int = 0) -> Iterator[Trace]:
    """Distinct texts; a word in ten is one of the label's own."""
    lengths = np.random.default_rng(0).integers(2, 11, WORDS)
    letters = np.random.default_rng(1).integers(97, 123, (WORDS, 10), np.uint8)
    words = np.array([bytes(row[:length]).decode() for row, length in zip(letters, lengths, strict=True)])
    for start in range(0, rows, BLOCK):
        rng = np.random.default_rng([seed, start])
        count = min(BLOCK, rows - start)
        labels = rng.integers(LABELS, size=count)
        chosen = np.minimum(rng.zipf(1.3, (count, WORDS_OF_A_TEXT)) - 1, rng.integers(WORDS, size=(count, 1)))
        own = rng.random(chosen.shape) < 0.1
        chosen = np.where(own, labels[:, None] * 50 + chosen % 50, chosen)
        for i, (label, row) in enumerate(zip(labels, chosen, strict=True), start):
            yield Trace(i, f"request {seed}-{i} " + " ".join(words[row]), f"label_{label:02d}")


def _fields(trace: Trace) -> dict[str, Any]:
    return {
        "id": trace.number,
        "created_at": trace.time.isoformat(),
        "input": trace.text,
        "teacher": trace.label,
        "cost": trace.number % 100 / 100,
    }


def _chat(trace: Trace) -> dict[str, Any]:
    return {"messages": [*trace.prompt, {"role": "assistant", "content": trace.label}]}


def _batch_input(trace: Trace) -> dict[str, Any]:
    body = {"model": MODEL, "messages": trace.prompt}
    return {"custom_id": f"r-{trace.number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def _batch_output(trace: Trace) -> dict[str, Any]:
    body = {"object": "chat.completion", "model": MODEL, **trace.choices}
    return {"custom_id": f"r-{trace.number}", "response": {"status_code": 200, "body": body}, "error": None}


def _langfuse(trace: Trace) -> dict[str, Any]:
    return {
        "id": f"o-{trace.number}",
        "type": "GENERATION",
        "startTime": trace.time.isoformat(),
        "level": "DEFAULT",
        "model": MODEL,
        "input": trace.prompt,
        "output": {"role": "assistant", "content": trace.label},
    }


def _otlp(trace: Trace) -> dict[str, Any]:
    question = [{"role": "user", "parts": [{"type": "text", "content": trace.text}]}]
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": trace.label}], "finish_reason": "stop"}]
    values = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": MODEL,
        "gen_ai.input.messages": json.dumps(question),
        "gen_ai.output.messages": json.dumps(answer),
    }
    span = {
        "traceId": f"{trace.number + 1:032x}",
        "spanId": f"{trace.number + 1:016x}",
        "name": "chat",
        "startTimeUnixNano": str(int(trace.time.timestamp()) * 10**9),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in values.items()],
        "status": {},
    }
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "app"}, "spans": [span]}]}]}


def _litellm(trace: Trace) -> dict[str, Any]:
    return {
        "request_id": f"r-{trace.number}",
        "call_type": "acompletion",
        "startTime": trace.time.isoformat(),
        "model": MODEL,
        "status": "success",
        "messages": trace.prompt,
        "response": {"object": "chat.completion", **trace.choices},
    }


def _log(trace: Trace) -> bytes:
    return line(
        Entry(f"t-{trace.number}", trace.time, trace.text, trace.label, "organic", probability=1.0, model=MODEL)
    )


# Preset -> the files that a source of it reads (the key of tracer.yaml that names it) and what is in a line of each.
Line = Callable[[Trace], dict[str, Any] | bytes]
SHAPES: dict[str, dict[str, Line]] = {
    "fields": {"path": _fields},
    "openai-chat": {"path": _chat},
    "openai-batch": {"path": _batch_input, "results": _batch_output},
    "langfuse": {"path": _langfuse},
    "otel": {"path": _otlp},
    "litellm": {"path": _litellm},
    "tracer": {"path": _log},
}


def write(folder: Path, rows: int, preset: str, seed: int = 0) -> dict[str, Any]:
    """Files in `folder`; the source of tracer.yaml that reads them."""
    source: dict[str, Any] = {"preset": preset}
    for key, made in SHAPES[preset].items():
        source[key] = f"{key}.jsonl"
        with (folder / source[key]).open("wb") as file:
            for trace in traces(rows, seed):
                content = made(trace)
                file.write(content if isinstance(content, bytes) else json.dumps(content).encode() + b"\n")
    return source
