"""docs/tutorial.md, done as it says: every command of its shell blocks, in a fresh clone of an empty repository."""

from __future__ import annotations

import random
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from ci.job import github
from support import REPOSITORY, environment, write_jsonl

pytestmark = [pytest.mark.dvc, pytest.mark.slow]

TUTORIAL = REPOSITORY / "docs" / "tutorial.md"


@dataclass(frozen=True)
class Block:
    """One fenced block. section: the heading above it; kind: the word behind its fence."""

    section: str
    kind: str
    text: str


def blocks() -> list[Block]:
    found, section = [], ""
    for heading, kind, text in re.findall(
        r"^## ([^\n]+)$|^```(\w*)\n(.*?)^```$", TUTORIAL.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        section = heading or section
        if not heading:
            found.append(Block(section, kind, text))
    return found


TOPICS = {
    "delivery": ("where is my parcel", "the courier did not come", "my package is late", "track my shipment"),
    "billing": ("charged twice on my card", "send me the invoice", "wrong amount on the bill", "update my card number"),
    "account": ("cannot log in", "reset my password", "change my email address", "delete my profile"),
    "returns": ("send the shoes back", "the jacket does not fit", "exchange the size", "return label please"),
}


def write_traces(path: Path) -> None:
    """Easy ones, so that a few hundred are enough for 0.96; with fields of the reader's own."""
    dice = random.Random(0)
    rows = []
    for number in range(480):
        category = dice.choice(list(TOPICS))
        message = f"{dice.choice(['hi', 'hello', 'please', 'hey'])}, {dice.choice(TOPICS[category])} {number}"
        rows.append({"message": message, "category": category})
    write_jsonl(path, rows)


def test_at_most_five_commands_lead_to_the_first_job() -> None:
    first = [block for block in blocks() if block.section == "The first policy" and block.kind == "sh"]
    commands = [line for block in first for line in block.text.splitlines()]
    assert commands[0].startswith("tracer init ") and commands[-1].startswith("git push")
    assert len(commands) <= 5
    assert not any(joint in command for command in commands for joint in ("&&", ";", "|"))


def test_the_tutorial_as_it_is_written(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    write_traces(shell.root / "traces.jsonl")
    said = {"The first policy": "", "A place for the results": "", "A change, and its review": ""}
    jobs = {}
    for section in said:
        for block in blocks():
            if block.section == section and block.kind == "sh":
                for command in block.text.splitlines():
                    said[section] += shell.run(command)
            elif block.section == section and block.kind == "diff":
                change(shell.root / "tracer.yaml", block.text)
        if section != "A place for the results":
            target = "" if section == "The first policy" else shell.main
            jobs[section] = github(shell.clone(), shell.environment, tmp_path, target=target)
            assert jobs[section].failed is None, jobs[section].log

    first = said["The first policy"]
    assert "git remote add" not in first  # it is a clone
    block = first[first.index("Next:") :].split("\n\n")[0].splitlines()[1:5]
    assert [line.strip() for line in block] == [
        "dvc repro",
        "git add .",
        'git commit -m "First policy"',
        "git push -u origin HEAD",
    ]
    assert "Running stage" in jobs["The first policy"].output["Run what changed"]
    review = jobs["A change, and its review"]
    assert "Running stage" not in review.output["Run what changed"]  # it came from the DVC remote
    assert "target raised from 0.95 to 0.96" in review.summary
    assert "calibrate" in said["A change, and its review"]  # tracer plan said so


def change(path: Path, diff: str) -> None:
    removed, added = re.fullmatch(r"-(.*)\n\+(.*)\n", diff).groups()  # type: ignore[union-attr]
    text = path.read_text(encoding="utf-8")
    assert text.count(removed) == 1
    path.write_text(text.replace(removed, added), encoding="utf-8")


class Shell:
    """A person with a clone of an empty repository, and storage under the name that the tutorial gives it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "support"
        self.environment = environment(folder / "home")
        for command in (f"git init -q --bare '{folder}/origin'", f"git clone -q '{folder}/origin' support"):
            subprocess.run(command, shell=True, cwd=folder, env=self.environment, check=True, capture_output=True)
        self.main = self.run("git symbolic-ref --short HEAD").strip()

    def run(self, command: str) -> str:
        command = command.replace("s3://your-bucket/support", str(self.folder / "storage"))
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def clone(self) -> Path:
        """What a runner checks out for the current branch."""
        branch = self.run("git branch --show-current").strip()
        target = self.folder / f"clone-{branch}"
        self.run(f"git clone -q --branch '{branch}' '{self.folder}/origin' '{target}'")
        return target
