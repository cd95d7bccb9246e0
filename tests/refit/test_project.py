"""`tracer update` of a real project: git, DVC, `dvc repro`, and kill -9 at each step."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import tracer_cli as tracer
from dvc_support import Project
from support import example_traces, files_of, write_jsonl
from tracer_cli.artifacts import exclusive, read_json
from tracer_cli.errors import ConfigError, TracerError
from tracer_cli.programs import rwlock
from tracer_cli.refit import update_project

pytestmark = [pytest.mark.dvc, pytest.mark.slow]

KILLING = Path(__file__).with_name("killing.py")
PART = re.compile(r"data/traces/part-[0-9a-f]{16}\.jsonl")
SETTINGS = """\
schema: 1
project: support
traces:
  - path: data/traces/*.jsonl
embedder: {kind: tfidf, dim: 32, char_ngrams: 3}
zoo:
  logreg: {kind: logistic_regression, C: 10}
targets: {agreement: 0.6, frontier: []}
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A committed project after its first refit; DVC tracks data/traces. Shared: copy it."""
    folder = tmp_path_factory.mktemp("update")
    (folder / "project").mkdir()
    project = Project(folder / "project", folder / "home")
    rows = example_traces(560)
    write_jsonl(project.root / "data" / "traces" / "a.jsonl", rows[:450])
    write_jsonl(folder / "new.jsonl", [*rows[440:], *[row | {"teacher": "brand_new"} for row in rows[:3]]])
    (project.root / "tracer.yaml").write_text(SETTINGS)
    project.tracer("init")
    project.dvc("add", "-q", "data/traces")
    project.dvc("repro", "-q")
    project.commit()
    return project


@pytest.fixture
def project(base: Project, tmp_path: Path) -> Project:
    shutil.copy(base.root.parent / "new.jsonl", tmp_path)
    return base.copy_to(tmp_path / "project")


def contents(project: Project) -> dict[str, bytes]:
    """Every file but those of git and DVC themselves."""
    return {name: data for name, data in files_of(project.root).items() if not name.startswith((".git/", ".dvc/"))}


@pytest.fixture(scope="module")
def undisturbed(base: Project, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Any]]:
    """The project after one update, and what that printed as JSON."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(base.root.parent / "new.jsonl", folder)
    project = base.copy_to(folder / "project")
    done = project.run("update", "../new.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    assert "Running stage 'ingest'" in done.stderr
    return project, json.loads(done.stdout)


def test_the_new_traces_become_a_part_and_the_policy_is_refitted(
    base: Project, undisturbed: tuple[Project, dict[str, Any]]
) -> None:
    project, told = undisturbed
    (entry,) = told["parts"]
    assert entry["file"] == "../new.jsonl" and entry["new"] and PART.fullmatch(entry["part"])
    assert (project.root / entry["part"]).read_bytes() == (project.root.parent / "new.jsonl").read_bytes()
    rows = {"read": 123, "accepted": 123, "merged": 123 - told["traces"]["texts"], "rejected": 0, "skipped": 0}
    assert told["traces"]["rows"] == rows and 0 < told["traces"]["texts_new"] < told["traces"]["texts"]
    assert told["traces"]["labels"]["new"] == [{"label": "brand_new", "texts": 3}]
    assert any("data/traces.dvc" in note for note in told["notes"])
    before, now = (read_json(p.root / ".tracer" / "manifest.json") for p in (base, project))
    assert told["changed"]["verdict"] == {"before": before["verdict"], "now": now["verdict"]}
    assert read_json(project.root / "metrics" / "previous.json")["verdict"] == before["verdict"]
    assert read_json(project.root / ".tracer" / "qualitative_report.json")["changed"] == told["changed"]
    assert "What changed since the policy before" in (project.root / ".tracer" / "report.html").read_text()
    assert "data/traces.dvc" in project.git("status", "--porcelain")
    assert not (project.root / "artifacts" / "update.json").exists()


def test_it_is_stable_afterwards(undisturbed: tuple[Project, dict[str, Any]], tmp_path: Path) -> None:
    """Another repro runs nothing, a plan has nothing, the recomputed verdict is the same; and the facts cannot be
    edited by hand without that being seen."""
    shutil.copy(undisturbed[0].root.parent / "new.jsonl", tmp_path)
    project = undisturbed[0].copy_to(tmp_path / "project")
    before = contents(project)
    assert "Running stage" not in project.dvc("repro")
    assert "Nothing to run" in project.tracer("plan")
    done = project.run("update", "../new.jsonl", "--artifact-dir", ".tracer")
    assert done.returncode == 0 and "already there: ../new.jsonl" in done.stdout
    assert "Running stage" not in done.stderr
    assert contents(project) == before
    assert "previous.json" not in project.run("guard", "--check", "--recompute").stdout
    facts = project.root / "metrics" / "previous.json"
    facts.write_text(facts.read_text().replace('"deploy": true', '"deploy": false'))
    shown = project.run("guard", "--check", "--recompute").stdout
    assert "metrics/previous.json is not what dvc.lock names for report" in " ".join(shown.split())
    facts.write_text("{")
    assert "metrics/previous.json: it is not valid JSON" in project.dvc("repro", fails=True)


def test_what_cannot_be_used_writes_nothing(project: Project) -> None:
    before = contents(project)
    new, bad = project.root.parent / "new.jsonl", project.root.parent / "bad.jsonl"
    write_jsonl(bad, [{"input": "a", "teacher": None}] * 9)
    precomputed = SETTINGS.replace("kind: tfidf, dim: 32, char_ngrams: 3", "kind: precomputed, path: x.npy")
    for file, source, text, message in (
        (bad, None, SETTINGS, "9 of 9 rows (100.0 %) cannot be used"),
        (bad.with_name("missing.jsonl"), None, SETTINGS, "missing.jsonl: there is no such file"),
        (new, "7", SETTINGS, "no source '7'; expected the index or the path of one: 0 (data/traces/*.jsonl)"),
        (new, None, SETTINGS.replace("*.jsonl", "a.jsonl"), "it is a single file, to which nothing can be added"),
        (new, None, SETTINGS.replace("zoo:", "zoo:\n  b: {kind: sgd}"), "run `tracer compile` first"),
        (new, None, precomputed, "embedder.path holds a vector for each row"),
    ):
        (project.root / "tracer.yaml").write_text(text)
        with pytest.raises(TracerError, match=re.escape(message)):
            update_project(project.root, [file], source)
    (project.root / "tracer.yaml").write_text(SETTINGS)
    done = project.run("update", "../new.jsonl", "--target", "0.9")
    assert done.returncode == 2 and "--target: tracer.yaml says how this policy is fitted" in done.stderr
    assert contents(project) == before


def test_files_that_dvc_knows_and_that_are_not_here_are_not_forgotten(project: Project) -> None:
    (project.root / "data" / "traces" / "a.jsonl").unlink()
    tracked = (project.root / "data" / "traces.dvc").read_bytes()
    done = project.run("update", "../new.jsonl")
    assert done.returncode == 2 and "dvc pull data/traces.dvc" in done.stderr
    assert (project.root / "data" / "traces.dvc").read_bytes() == tracked
    assert not list((project.root / "data" / "traces").glob("part-*"))


def shim(project: Project, text: str) -> None:
    """What DVC runs as `tracer`; $@ are its arguments."""
    path = Path(project.environment["HOME"]) / "bin" / "tracer"
    path.write_text(f'#!/bin/sh\nreal() {{ "{sys.executable}" -m tracer_cli "$@"; }}\n{text}\n')
    path.chmod(0o755)


def own_programs(project: Project, folder: Path) -> None:
    """A home of its own, whose `tracer` may be replaced."""
    shutil.copytree(project.environment["HOME"], folder)
    old, new = (f"{home}/bin" for home in (project.environment["HOME"], folder))
    path = project.environment["PATH"].replace(old, new)
    project.environment = project.environment | {"HOME": str(folder), "PATH": path}


def killed(project: Project, *step: str) -> None:
    command = [
        sys.executable,
        *([str(KILLING), *step, "--"] if step else ["-m", "tracer_cli"]),
        "update",
        "../new.jsonl",
    ]
    done = subprocess.run(
        command, cwd=project.root, env=project.environment, capture_output=True, check=False, start_new_session=True
    )
    assert done.returncode == -signal.SIGKILL, (step, done.stderr.decode())


@pytest.mark.parametrize("left", [b"", b'{"/x/data": {"write": '])
def test_half_a_lock_of_dvc_is_removed_and_a_whole_one_stays(project: Project, left: bytes) -> None:
    lock = project.root / ".dvc" / "tmp" / "rwlock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_bytes(left)
    assert "rwlock" in project.dvc("status", fails=True)
    assert rwlock.settle(project.root)
    project.dvc("status")
    lock.write_text("{}")
    assert not rwlock.settle(project.root)
    assert lock.read_text() == "{}"


def test_a_holder_that_is_about_to_end_is_waited_for_and_one_that_runs_keeps_its_lock(project: Project) -> None:
    lock = project.root / ".dvc" / "tmp" / "rwlock"
    lock.parent.mkdir(exist_ok=True)
    data = str(project.root / "data" / "traces")
    with subprocess.Popen(["sleep", "1"]) as ends:
        lock.write_text(json.dumps({"write": {data: {"pid": ends.pid, "cmd": "dvc repro"}}, "read": {}}))
        threading.Thread(target=ends.wait).start()
        assert not rwlock.settle(project.root)
        project.dvc("status")
    lock.write_text(json.dumps({"write": {data: {"pid": os.getpid(), "cmd": "dvc repro"}}, "read": {}}))
    assert not rwlock.settle(project.root)
    assert "is busy" in project.dvc("repro", fails=True)


def test_killed_at_every_step_in_turn(
    project: Project, undisturbed: tuple[Project, dict[str, Any]], tmp_path: Path
) -> None:
    """Before anything, beside the facts, in the middle of a part, around `dvc add`, and in each stage before and after
    it has written: the last retry ends where an undisturbed update ends, byte for byte, and says the same."""
    own_programs(project, tmp_path / "home")
    before = contents(project)
    killed(project, "tracer_cli.refit.project", "pending.write")
    assert contents(project) == before
    killed(project, "tracer_cli.refit.project", "write_json")
    killed(project, "tracer_cli.traces.parts", "_to_disk")
    tracer.load_router(project.root / ".tracer")
    killed(project, "tracer_cli.programs.dvc", "add")
    killed(project, "tracer_cli.programs.dvc", "repro")
    tracer.load_router(project.root / ".tracer")
    for stage in ("ingest", "embed", "train", "calibrate", "guard", "report"):
        late = 'real "$@"; ' if stage in ("ingest", "guard") else ""
        shim(project, f'if [ "$2" = {stage} ]; then {late}kill -9 0; fi; real "$@"')
        killed(project)
    shim(project, 'real "$@"')
    done = project.run("update", "../new.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    other, wanted = undisturbed
    found, right = contents(project), contents(other)
    assert {name for name in found.keys() | right.keys() if found.get(name) != right.get(name)} == set()
    assert [part.pop("new") for part in told["parts"]] == [False]
    assert told["traces"] == wanted["traces"] and told["changed"] == wanted["changed"]


def test_a_stage_that_fails_is_told_and_a_repro_by_hand_ends_the_update(
    project: Project, undisturbed: tuple[Project, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same update again, here from Python with the policy's folder alone, then has nothing to do."""
    own_programs(project, tmp_path / "home")
    shim(project, '[ "$2" != embed ] || { echo "error: no space" >&2; exit 2; }; real "$@"')
    done = project.run("update", "../new.jsonl")
    assert done.returncode == 2
    assert "error: no space" in done.stderr and "the same `tracer update` goes on from here" in done.stderr
    shim(project, 'real "$@"')
    project.dvc("repro", "-q")
    assert contents(project).keys() - contents(undisturbed[0]).keys() == {"artifacts/update.json"}
    for name in ("PATH", "HOME", "PYTHONPATH"):
        monkeypatch.setenv(name, project.environment[name])
    new, policy = project.root.parent / "new.jsonl", project.root / ".tracer"
    with pytest.raises(ConfigError, match="says how this policy is fitted"):
        tracer.update(new, policy, target_teacher_agreement=0.9)
    result = tracer.update(new, policy)
    assert result.deploy and result.manifest == read_json(policy / "manifest.json")
    assert contents(project) == contents(undisturbed[0])


def test_a_second_update_at_once_is_refused_and_writes_nothing(project: Project) -> None:
    before = contents(project)
    with exclusive(project.root / "metrics" / "previous.json"):
        done = project.run("update", "../new.jsonl")
    assert done.returncode == 2 and "another tracer run is writing" in done.stderr
    assert contents(project) == before
