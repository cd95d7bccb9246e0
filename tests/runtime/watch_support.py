"""What the tests of `watch` share."""

from __future__ import annotations

import asyncio
from typing import Any

from runtime.log_support import lines
from tracer_cli.runtime.trace_log import TraceLog
from traces.presets.accounting import accounted

USER = [{"role": "system", "content": "Classify."}, {"role": "user", "content": "my card"}]
CHOICE = {"message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}


def written(log: TraceLog) -> list[dict[str, Any]]:
    """The lines, of which ingest must accept every one."""
    log.close()
    if not log.folder.is_dir():
        return []
    found = lines(log.folder)
    kind = "tool" if any("tool_calls" in line for line in found) else "text"
    parse = {"kind": kind} | ({"argument": "intent"} if kind == "tool" else {})
    outcomes = accounted(log.folder, path="*.jsonl", preset="tracer", max_rejected=0, parse=parse)
    assert [one.row is not None for one in outcomes] == [True] * len(found), outcomes
    return found


def pairs(log: TraceLog) -> list[tuple[str, str]]:
    return [(line["input"], line["teacher"]) for line in written(log)]


def run_async(coming: Any) -> Any:
    return asyncio.run(coming)
