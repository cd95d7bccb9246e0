"""docs/flywheel.md: its blocks are run as they stand, in their order."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import REPOSITORY, environment, example_traces, write_jsonl

PAGE = (REPOSITORY / "docs" / "flywheel.md").read_text(encoding="utf-8")
SECTIONS = {
    section.splitlines()[0]: re.findall(r"^```(sh|python)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
}


def run(section: str, folder: Path) -> str:
    """Every block of the section, in one folder; what was printed."""
    home = environment(folder / "home")
    printed = ""
    for kind, block in SECTIONS[section]:
        command = ["sh", "-e", "-c", block] if kind == "sh" else [sys.executable, "-c", block]
        done = subprocess.run(command, cwd=folder, env=home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        printed += done.stdout
    return printed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = example_traces(900)
    write_jsonl(tmp_path / "week1.jsonl", rows[:600])
    write_jsonl(tmp_path / "week2.jsonl", rows[600:])
    return tmp_path


def test_every_section_with_blocks_is_run() -> None:
    assert [title for title, blocks in SECTIONS.items() if blocks] == [
        "New traces for a project",
        "Without DVC",
        "Traces from an application that calls its LLM itself",
    ]


@pytest.mark.dvc
@pytest.mark.slow
def test_a_project(folder: Path) -> None:
    printed = run("New traces for a project", folder)
    assert re.search(r"added: \.\./week2\.jsonl as data/traces/part-[0-9a-f]{16}\.jsonl", printed)
    assert "rows: 300 read, 300 accepted" in printed
    log = subprocess.run(
        ["git", "log", "--format=%s"], cwd=folder / "support", capture_output=True, text=True, check=True
    )
    assert log.stdout.split("\n")[:2] == ["Second week", "First policy"]
    assert json.loads((folder / "support" / "metrics" / "previous.json").read_text())


@pytest.mark.slow
def test_without_dvc(folder: Path) -> None:
    printed = run("Without DVC", folder)
    assert "300 read" in printed
    assert len(list((folder / ".tracer" / "work" / "traces").glob("part-*.jsonl"))) == 1


def test_what_is_captured_can_be_read(folder: Path) -> None:
    run("Traces from an application that calls its LLM itself", folder)
    lines = [json.loads(line) for file in (folder / "logs").glob("*.jsonl") for line in file.read_text().splitlines()]
    found = sorted((line["input"], line["teacher"], line["origin"]) for line in lines)
    card = ("Where is my card?", "card_arrival", "organic")
    assert found == [("Hello?", "other", "organic"), card, card]
