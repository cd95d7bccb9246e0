"""The trace log: what the runtime writes for each request that the teacher answered, and `tracer update` reads.

One JSON object a line, UTF-8 (ASCII alone, so that a line can be cut anywhere and the others stay whole). This is the
only place that knows the format; it imports nothing heavy, since the runtime writes with it. Reading it back is
`preset: tracer`. A key that is not known is ignored, so one may be added; what changes the meaning of a key raises
SCHEMA, and an older reader then refuses the line.

Required: schema, id, time, input, teacher (null only beside tool_calls, or when the teacher was not asked), origin.
The others may be absent or null. A fit uses id, time, input, teacher, tool_calls, origin, model and context; the rest
(probability, policy, decision, label, score, distance, target, latency_ms) is for watching the policy and does not
reach fit.parquet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from tracer_cli.traces.calls import Context

SCHEMA = 1
SYSTEM_CHARACTERS = 2000  # of the instructions' text, in each line: as many as teacher.json shows; the digest is of all
HANDLED = "handled"
DEFERRED = "deferred"


@dataclass(frozen=True, slots=True)
class Entry:
    """One request.

    time: when it came, with its zone. teacher: the text of the teacher's answer; None: it called tools instead, or
    was not asked. origin: organic (before any policy), audit (drawn at random, whatever the decision) or deferred.
    tool_calls: (name, arguments as the teacher wrote them) in their order.
    probability: with which this request was to be asked and logged, 1 for a deferred one.
    policy: its id; decision: handled or deferred; label, score, distance: what it answered, or would have; target:
    the agreement that was asked of it. None: there was no policy.
    context: `context_fields` of the teacher's instructions; None: not known.
    """

    id: str
    time: datetime
    input: str
    teacher: str | None
    origin: str
    tool_calls: tuple[tuple[str, Any], ...] = ()
    probability: float | None = None
    policy: str | None = None
    decision: str | None = None
    label: str | None = None
    score: float | None = None
    target: float | None = None
    latency_ms: float | None = None
    model: str | None = None
    context: Mapping[str, Any] | None = None
    distance: float | None = None


def context_fields(context: Context | None) -> dict[str, Any] | None:
    """What `Entry.context` holds of the instructions."""
    if context is None:
        return None
    return {"sha256": context.sha256, "system": context.system[:SYSTEM_CHARACTERS], "tools": list(context.tools)}


def line(entry: Entry) -> bytes:
    """The line with its newline, whole and ready to be appended with one write.

    Raises ValueError for a number that is none (NaN, infinite) and for a time without a zone.
    """
    if entry.time.tzinfo is None:
        raise ValueError("the time of a trace needs its zone")
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "id": entry.id,
        "time": entry.time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "input": entry.input,
        "teacher": entry.teacher,
    }
    if entry.tool_calls:
        values["tool_calls"] = [{"name": name, "arguments": arguments} for name, arguments in entry.tool_calls]
    values |= {
        "origin": entry.origin,
        "probability": entry.probability,
        "policy": entry.policy,
        "decision": entry.decision,
        "label": entry.label,
        "score": entry.score,
        "target": entry.target,
        "latency_ms": entry.latency_ms,
        "model": entry.model,
        "context": None if entry.context is None else dict(entry.context),
    }
    if entry.distance is not None:
        values["distance"] = entry.distance
    return json.dumps(values, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
