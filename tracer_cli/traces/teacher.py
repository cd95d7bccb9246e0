"""What the traces say about the teacher: its instructions, where they changed, its models, where the traces come from.

A policy is certified against one teacher. Traces of several (another prompt, other tools) are still used, and the
change is told; the router compares the instructions of a request with those that are noted here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tracer_cli.traces.calls import Call, Context
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.read.records import Record
from tracer_cli.traces.rejects import place

# Instructions that hold something new in every call (a date, a name) must not fill the memory.
MOST_CONTEXTS = 1000
SHOWN_CONTEXTS = 50
SYSTEM_CHARACTERS = 2000


@dataclass
class _Seen:
    context: Context
    first: str
    last: str
    rows: int = 0


@dataclass
class Teacher:
    """Filled with `note`, in the order of the rows. changes: times that the instructions differ from the row before."""

    changes: int = 0
    others: int = 0
    models: Counter[str] = field(default_factory=Counter)
    _contexts: dict[str, _Seen] = field(default_factory=dict)
    _current: str | None = None

    def note(self, call: Call, file: TraceFile, record: Record) -> None:
        """A row that was accepted."""
        if call.model is not None and (call.model in self.models or len(self.models) < MOST_CONTEXTS):
            self.models[call.model] += 1
        if call.context is None:
            return
        key = call.context.sha256
        if self._current is not None and key != self._current:
            self.changes += 1
        self._current = key
        seen = self._contexts.get(key)
        if seen is None:
            if len(self._contexts) >= MOST_CONTEXTS:
                self.others += 1
                return
            where = place(file, record)
            seen = self._contexts[key] = _Seen(call.context, where, where)
        seen.rows += 1
        seen.last = place(file, record)

    @property
    def contexts(self) -> int:
        """How many different instructions there were; at most MOST_CONTEXTS + 1 are told apart."""
        return len(self._contexts) + (1 if self.others else 0)

    def described(self, sources: list[dict[str, Any]]) -> dict[str, Any]:
        """The contents of artifacts/traces/teacher.json. sources: the sources of tracer.yaml."""
        by_rows = sorted(self._contexts.values(), key=lambda seen: (-seen.rows, seen.context.sha256))
        return {
            "contexts": [
                {
                    "sha256": seen.context.sha256,
                    "system": seen.context.system[:SYSTEM_CHARACTERS],
                    "tools": list(seen.context.tools),
                    "rows": seen.rows,
                    "first": seen.first,
                    "last": seen.last,
                }
                for seen in by_rows[:SHOWN_CONTEXTS]
            ],
            "contexts_seen": self.contexts,
            "rows_of_others": self.others + sum(seen.rows for seen in by_rows[SHOWN_CONTEXTS:]),
            "changes": self.changes,
            "models": dict(sorted(self.models.items())),
            "sources": [
                {key: source[key] for key in ("preset", "turns", "text_pattern", "parse")} for source in sources
            ],
        }
