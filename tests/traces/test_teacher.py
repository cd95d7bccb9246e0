"""What is noted of the teacher along the rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support import write_jsonl
from tracer_cli.artifacts import Layout
from tracer_cli.config.schema import Config
from tracer_cli.stages import ingest
from tracer_cli.traces.calls import Answer, Call, Context
from tracer_cli.traces.presets.messages import context_of
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.read.records import Record
from tracer_cli.traces.teacher import MOST_CONTEXTS, SHOWN_CONTEXTS, SYSTEM_CHARACTERS, Teacher

FILE = TraceFile(Path("a.jsonl"), "a.jsonl", "jsonl", None)


def noted(*contexts: Context | str | None, model: str | None = "m") -> Teacher:
    teacher = Teacher()
    for line, context in enumerate(contexts, 1):
        found = Context(context, f"system {context}", ()) if isinstance(context, str) else context
        teacher.note(Call("t", (Answer("x"),), model=model, context=found), FILE, Record(line, {}))
    return teacher


def test_a_change_of_the_instructions_is_noticed_with_its_place() -> None:
    teacher = noted("a", "a", "b", "b", "a")
    assert (teacher.contexts, teacher.changes) == (2, 2)
    shown = teacher.described([])["contexts"]
    assert [(one["sha256"], one["rows"], one["first"], one["last"]) for one in shown] == [
        ("a", 3, "a.jsonl, line 1", "a.jsonl, line 5"),
        ("b", 2, "a.jsonl, line 3", "a.jsonl, line 4"),
    ]


def test_rows_that_do_not_tell_are_no_change() -> None:
    teacher = noted("a", None, "a", None, "b")
    assert (teacher.contexts, teacher.changes, teacher.described([])["rows_of_others"]) == (2, 1, 0)
    assert noted(None, None).described([])["contexts"] == []


def test_instructions_that_never_repeat_do_not_fill_the_memory() -> None:
    total = MOST_CONTEXTS + 500
    teacher = noted(*(f"{number:05d}" for number in range(total)))
    found = teacher.described([])
    assert (found["contexts_seen"], found["changes"]) == (MOST_CONTEXTS + 1, total - 1)
    assert len(found["contexts"]) == SHOWN_CONTEXTS
    assert sum(one["rows"] for one in found["contexts"]) + found["rows_of_others"] == total


def test_long_instructions_are_shown_shortened() -> None:
    context = context_of([{"role": "system", "content": "x" * 3 * SYSTEM_CHARACTERS}])
    (shown,) = noted(context).described([])["contexts"]
    assert shown["system"] == "x" * SYSTEM_CHARACTERS


def chat(text: str, system: str | None, tool: str | None = None) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": "xy"[len(text) % 2]}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return {"messages": messages, "tools": [{"type": "function", "function": {"name": tool}}] if tool else None}


def ingested(folder: Path, rows: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    write_jsonl(folder / "a.jsonl", rows)
    layout = Layout.of_folder(folder, folder / "out")
    source = {"path": "a.jsonl", "preset": "openai-chat"}
    ingest.run(layout, Config.model_validate({"schema": 1, "traces": [source]}))
    return json.loads(layout.teacher.read_text()), json.loads(layout.traces_metrics.read_text())


def test_ingest_tells_of_a_prompt_and_of_tools_that_changed(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(40)]
    rows = [
        chat(text, "A" if number < 20 else "B", "new" if number >= 30 else None) for number, text in enumerate(texts)
    ]
    teacher, metrics = ingested(tmp_path, rows)
    assert [(one["system"], one["tools"], one["rows"], one["first"]) for one in teacher["contexts"]] == [
        ("A", [], 20, "a.jsonl, line 1"),
        *sorted(
            [("B", [], 10, "a.jsonl, line 21"), ("B", ["new"], 10, "a.jsonl, line 31")],
            key=lambda one: [shown["sha256"] for shown in teacher["contexts"] if shown["first"] == one[3]],
        ),
    ]
    assert (metrics["teacher_contexts"], metrics["teacher_changes"]) == (3, 2)


@pytest.mark.parametrize("system", ["half \ud800 of it", "\x00", "\u2028"])
def test_odd_instructions_are_written_all_the_same(system: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(chat(f"text {number}", system)) + "\n" for number in range(40)))
    layout = Layout.of_folder(tmp_path, tmp_path / "out")
    ingest.run(layout, Config.model_validate({"schema": 1, "traces": [{"path": "a.jsonl", "preset": "openai-chat"}]}))
    (shown,) = json.loads(layout.teacher.read_text())["contexts"]
    assert shown["rows"] == 40 and shown["system"] == system.replace("\ud800", "?")
