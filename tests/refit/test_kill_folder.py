"""kill -9 at each step of an update of a policy that `tracer fit` made.

After every kill the old policy loads; and the retry, itself killed one step later each time, ends where an undisturbed
update ends, byte for byte.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tracer_cli as tracer
from support import REPOSITORY, example_traces, files_of, quick, write_jsonl
from tracer_cli import swap

pytestmark = pytest.mark.slow

KILLING = Path(__file__).with_name("killing.py")

# In the order in which an undisturbed update comes by.
STEPS = (
    ("tracer_cli.refit.folder", "examine"),
    ("tracer_cli.refit.folder", "add_part"),
    ("tracer_cli.traces.parts", "_to_disk"),  # the copy is complete and has no name yet
    ("tracer_cli.api", "ingest.run"),
    ("tracer_cli.swap", "_exchanged"),
)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    rows = example_traces(560)
    write_jsonl(folder / "traces.jsonl", rows[:450])
    write_jsonl(folder / "new.jsonl", rows[440:])
    embedder = {"kind": "tfidf", "dim": 32, "char_ngrams": 3}
    config = quick(target_teacher_agreement=0.6, frontier_targets=(), embedder=embedder)
    assert tracer.fit(folder / "traces.jsonl", folder / ".tracer", config=config).deploy
    return folder


@pytest.fixture(scope="module")
def undisturbed(first: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    shutil.copytree(first, home)
    with pytest.MonkeyPatch.context() as patch:
        return retried(home, patch)


UPDATE = ("update", "new.jsonl")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def kill_at(home: Path, module: str, function: str, *last: str, **environment: str) -> None:
    command = [sys.executable, str(KILLING), module, function, *last, "--", *UPDATE]
    done = subprocess.run(command, cwd=home, env=ENVIRONMENT | environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def retried(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    monkeypatch.chdir(home)
    tracer.update("new.jsonl")
    return files_of(home)


def test_killed_at_every_step_in_turn(
    first: Path, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    shutil.copytree(first, home)
    before = (home / ".tracer" / "manifest.json").read_bytes()
    for step in STEPS:
        kill_at(home, *step)
        assert (home / ".tracer" / "manifest.json").read_bytes() == before, step
        assert tracer.load_router(home / ".tracer").predict("Where is my order?")["decision"], step
    # When the new policy is in place: the retry finds the update done, and still tells what changed in it.
    kill_at(home, "tracer_cli.refit.folder", "result_of")
    assert files_of(home) == undisturbed
    assert retried(home, monkeypatch) == undisturbed


def test_killed_between_two_renames_where_folders_cannot_change_places(
    first: Path, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retry puts the old policy back first, with all that the update needs of it."""
    home = tmp_path / "home"
    shutil.copytree(first, home)
    kill_at(home, "pathlib", "Path.replace", "/.tracer", NO_EXCHANGE="1")
    assert not (home / ".tracer").exists()
    monkeypatch.setattr(swap, "_exchanged", lambda one, other: False)
    assert retried(home, monkeypatch) == undisturbed


def test_killed_in_the_middle_of_entry_by_entry(
    first: Path, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with a file of somebody's own is not moved. `work` went in first: the retry knows what was fitted on."""
    home = tmp_path / "home"
    shutil.copytree(first, home)
    (home / ".tracer" / "notes.txt").write_text("mine")
    kill_at(home, "tracer_cli.swap", "_put", "oldembedder")  # after `work`
    assert retried(home, monkeypatch) == {**undisturbed, ".tracer/notes.txt": b"mine"}
