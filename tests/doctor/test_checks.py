"""Every kind of finding, in a project that had nothing wrong before one thing was broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support import DvcProject, example_traces, write_jsonl
from tracer_cli.doctor import catalogue, pipeline, repository, surroundings
from tracer_cli.doctor.examine import CHECKS, ask, examine
from tracer_cli.doctor.findings import Finding, Grade
from tracer_cli.doctor.project import Project

pytestmark = [pytest.mark.dvc, pytest.mark.slow]

SETTINGS = """\
schema: 1
traces:
  - path: data/traces/*.jsonl
    timestamp: asked_at
embedder: {kind: tfidf, dim: 64}
zoo:
  logreg: {kind: logistic_regression, C: 10}
targets:
  agreement: 0.85
  frontier: [0.7]
"""
MODEL = "embedder: {kind: sentence-transformers, model: %s}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> DvcProject:
    """A project with nothing wrong: run, committed and pushed."""
    folder = tmp_path_factory.mktemp("doctor")
    (folder / "project").mkdir()
    project = DvcProject(folder / "project", folder / "home")
    project.environment["GIT_CONFIG_NOSYSTEM"] = "1"
    now = datetime.now(timezone.utc)
    rows = [
        {"input": row["input"], "teacher": row["teacher"], "asked_at": (now - timedelta(minutes=i)).isoformat()}
        for i, row in enumerate(example_traces(900))
    ]
    write_jsonl(project.root / "data" / "traces" / "a.jsonl", rows)
    (project.root / "tracer.yaml").write_text(SETTINGS)
    project.tracer("init")
    project.dvc("repro", "-q")
    (folder / "storage").mkdir()
    project.dvc("remote", "add", "-q", "-d", "storage", str(folder / "storage"))
    project.dvc("push", "-q")
    project.commit()
    return project


@pytest.fixture
def project(whole: DvcProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DvcProject]:
    """A copy to break, seen by this process as by a shell of its own."""
    for name, value in whole.environment.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(whole.root, tmp_path / "project", symlinks=True)
    copy = object.__new__(DvcProject)
    copy.root, copy.environment = tmp_path / "project", dict(whole.environment)
    monkeypatch.chdir(copy.root)
    yield copy


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} does not hold {old!r}"
    path.write_text(text.replace(old, new))


def settings(old: str, new: str) -> Callable[[DvcProject], None]:
    return lambda project: edit(project.root / "tracer.yaml", old, new)


def write(path: str, text: str) -> Callable[[DvcProject], None]:
    return lambda project: void((project.root / path).write_text(text))


def remove(*paths: str) -> Callable[[DvcProject], None]:
    def act(project: DvcProject) -> None:
        for path in paths:
            target = project.root / path
            shutil.rmtree(target) if target.is_dir() else target.unlink()

    return act


def dvc(*arguments: str) -> Callable[[DvcProject], None]:
    return lambda project: void(project.dvc(*arguments))


def every(*acts: Callable[[DvcProject], None]) -> Callable[[DvcProject], None]:
    return lambda project: void([act(project) for act in acts])


def void(_: object) -> None:
    return None


def rwlock(pid: int) -> Callable[[DvcProject], None]:
    """What DVC leaves when it is killed while it runs the stage resolve."""

    def act(project: DvcProject) -> None:
        info = {"pid": pid, "cmd": "dvc repro"}
        lock = {"write": {f"{project.root}/params.yaml": info}, "read": {f"{project.root}/tracer.yaml": [info]}}
        (project.root / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(lock))

    return act


def conflict(name: str) -> Callable[[DvcProject], None]:
    def act(project: DvcProject) -> None:
        path = project.root / name
        first, rest = path.read_text().split("\n", 1)
        path.write_text(f"{first}\n<<<<<<< HEAD\nx: 1\n=======\nx: 2\n>>>>>>> other\n{rest}")

    return act


def precious(project: DvcProject) -> None:
    """A trace file that nobody keeps."""
    source = project.root / "data" / "traces" / "a.jsonl"
    write_jsonl(project.root / "data" / "traces" / "new.jsonl", [json.loads(source.read_text().splitlines()[0])])


def old_traces(days: int) -> Callable[[DvcProject], None]:
    def act(project: DvcProject) -> None:
        shutil.rmtree(project.root / "artifacts")
        then = (datetime.now(timezone.utc) - timedelta(days=days)).timestamp()
        os.utime(project.root / "data" / "traces" / "a.jsonl", (then, then))

    return act


def uncertified(project: DvcProject) -> None:
    path = project.root / ".tracer" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["verdict"].update(deploy=False, reason="nothing can be certified at 0.85")
    path.write_text(json.dumps(manifest))


def shallow(project: DvcProject) -> None:
    project.git("commit", "-q", "--allow-empty", "-m", "second")
    project.git("clone", "-q", "--depth", "1", f"file://{project.root}", str(project.root.parent / "clone"))
    shutil.rmtree(project.root / ".git")
    shutil.move(project.root.parent / "clone" / ".git", project.root / ".git")


@dataclass(frozen=True)
class Case:
    """break_: what is done to the project; told: what the finding says; mends: its fix is run, and must help."""

    kind: str
    check: Callable[[Project], Iterator[Finding]]
    break_: Callable[[DvcProject], None]
    told: str
    at: tuple[str | None, int | None] = (None, None)
    mends: bool = False


TRACER = "tracer.yaml"
CASES = [
    # git and DVC
    Case("no-git", surroundings.git, every(remove(".git"), dvc("config", "core.no_scm", "true")), "no git repository"),
    Case("no-git-for-dvc", surroundings.git, remove(".git"), "no git repository", mends=True),
    Case("no-scm", surroundings.git, dvc("config", "core.no_scm", "true"), "core.no_scm is true", mends=True),
    Case(
        "no-commit",
        surroundings.git,
        every(remove(".git"), lambda p: void(p.git("init", "-q"))),
        "no commit",
        mends=True,
    ),
    Case("shallow-clone", surroundings.git, shallow, "shallow"),
    Case("no-dvc", surroundings.dvc, remove(".dvc"), "no DVC repository", mends=True),
    Case("dvc-refuses", surroundings.dvc, write(".dvc/config", "[core\n"), "config file error", (".dvc/config", None)),
    Case("dvc-refuses", surroundings.opens, write(".dvc/config", "[core]\nzzz = 1\n"), "extra keys not allowed"),
    Case("no-remote", surroundings.remote, dvc("remote", "remove", "storage"), "no DVC remote"),
    Case(
        "no-default-remote", surroundings.remote, dvc("config", "--unset", "core.remote"), "among storage", mends=True
    ),
    Case("unknown-remote", surroundings.remote, dvc("config", "core.remote", "other"), "is other, and there is no"),
    Case(
        "remote-path",
        surroundings.remote,
        dvc("remote", "modify", "storage", "url", "/nowhere/at/all"),
        "the remote storage is /nowhere/at/all",
    ),
    Case(
        "rwlock-unreadable",
        surroundings.rwlock,
        write(".dvc/tmp/rwlock", '{"wri'),
        "not valid JSON",
        (".dvc/tmp/rwlock", None),
    ),
    Case("rwlock-dead", surroundings.rwlock, rwlock(2**22 + 1), "which is gone", (".dvc/tmp/rwlock", None)),
    Case("rwlock-blocks", surroundings.rwlock, rwlock(os.getpid()), "which is not DVC", (".dvc/tmp/rwlock", None)),
    # tracer.yaml and what is compiled from it
    Case("no-configuration", pipeline.configuration, remove(TRACER), "no such file", (TRACER, None)),
    Case(
        "configuration",
        pipeline.configuration,
        every(settings("dim: 64", "dimm: 64"), settings("agreement: 0.85", "agreement: 85")),
        "dimm: unknown key",
        (TRACER, 5),
    ),
    Case(
        "unusable-file",
        pipeline.compiled,
        write("dvc.yaml", "stages: {}\n"),
        "not written by tracer",
        ("dvc.yaml", None),
    ),
    Case(
        "unusable-file",
        pipeline.compiled,
        write("params.yaml", "a: 1\n"),
        "not written by tracer",
        ("params.yaml", None),
    ),
    Case("unusable-file", pipeline.compiled, conflict("dvc.yaml"), "Repair", ("dvc.yaml", None)),
    Case("stale-dvc-yaml", pipeline.compiled, remove("dvc.yaml"), "no such file", ("dvc.yaml", None), mends=True),
    Case(
        "stale-dvc-yaml",
        pipeline.compiled,
        settings("zoo:\n", "zoo:\n  sgd: {kind: sgd}\n"),
        "stages.train.matrix.model",
        ("dvc.yaml", 0),
        mends=True,
    ),
    Case(
        "stale-dvc-yaml",
        pipeline.compiled,
        lambda p: edit(p.root / "dvc.yaml", "cmd: tracer run guard", "cmd: tracer run guard --easy"),
        "stages.guard.cmd",
        ("dvc.yaml", 0),
        mends=True,
    ),
    Case("stale-params", pipeline.compiled, remove("params.yaml"), "no such file", ("params.yaml", None), mends=True),
    Case(
        "stale-params",
        pipeline.compiled,
        settings("agreement: 0.85", "agreement: 0.8"),
        "calibrate.targets.agreement is 0.85 here and 0.8 by tracer.yaml",
        ("params.yaml", 0),
    ),
    Case(
        "edited-params",
        pipeline.compiled,
        lambda p: edit(p.root / "params.yaml", "agreement: 0.85", "agreement: 0.5"),
        "write targets.agreement at tracer.yaml:9",
        ("params.yaml", 0),
    ),
    # what DVC ran
    Case("no-lock", pipeline.lock, remove("dvc.lock"), "no such file", ("dvc.lock", None)),
    Case(
        "lock-unreadable",
        pipeline.lock,
        write("dvc.lock", "stages: [\n"),
        "cannot be read",
        ("dvc.lock", 2),
        mends=True,
    ),
    Case(
        "lock-unreadable", pipeline.lock, write("dvc.lock", "[]\n"), "holds no stages", ("dvc.lock", None), mends=True
    ),
    Case(
        "lock-incomplete",
        pipeline.lock,
        settings("zoo:\n", "zoo:\n  sgd: {kind: sgd}\n"),
        "does not hold train@sgd",
        ("dvc.lock", None),
    ),
    Case(
        "outputs-missing",
        pipeline.lock,
        remove("artifacts", ".tracer", ".dvc/cache"),
        "artifacts/traces/fit.parquet",
        ("dvc.lock", None),
        mends=True,
    ),
    # what git ignores and holds
    Case(
        "ignored-source",
        repository.gitignore,
        lambda p: edit(p.root / ".gitignore", "/.tracer", "/.tracer\n*.lock"),
        "git ignores dvc.lock, by the line *.lock",
        (".gitignore", 3),
    ),
    Case(
        "ignored-source",
        repository.gitignore,
        every(
            lambda p: void(p.git("rm", "-rq", "--cached", "metrics")),
            write(".gitignore", "/artifacts\n/.tracer\nmetrics\n"),
        ),
        "git ignores metrics/traces.json, metrics/guard.json, by the line metrics",
        (".gitignore", 3),
    ),
    Case(
        "not-ignored",
        repository.gitignore,
        write(".gitignore", "/artifacts\n"),
        "does not ignore .tracer",
        (".gitignore", None),
    ),
    Case(
        "not-ignored",
        repository.gitignore,
        remove(".gitignore"),
        "does not ignore .tracer, artifacts",
        (".gitignore", None),
    ),
    Case(
        "trailing-slash",
        repository.gitignore,
        write(".gitignore", "/artifacts/\n/.tracer\n"),
        "the line /artifacts/ ends with a slash",
        (".gitignore", 1),
    ),
    Case(
        "tracked-output",
        repository.gitignore,
        lambda p: void([p.git("add", "-f", "artifacts/candidate"), p.git("commit", "-q", "-m", "x")]),
        "git holds artifacts/candidate/candidate.json",
        mends=True,
    ),
    Case(
        "uncommitted",
        repository.committed,
        lambda p: edit(p.root / "tracer.yaml", "0.7", "0.71"),
        "tracer.yaml",
        mends=True,
    ),
    Case(
        "uncommitted",
        repository.committed,
        every(
            remove("dvc.lock", "metrics/guard.json"), lambda p: edit(p.root / "plots" / "targets.csv", "0.85", "0.86")
        ),
        "dvc.lock, metrics/guard.json, plots/targets.csv",
        mends=True,
    ),
    Case("untracked-inputs", repository.committed, precious, "neither git nor DVC keeps data/traces/new.jsonl"),
    Case(
        "no-baseline",
        repository.committed,
        settings("schema: 1", "schema: 1\nrules: {baseline: origin/main}"),
        "git has no revision 'origin/main'",
        (TRACER, 2),
    ),
    Case("merge-conflict", repository.committed, conflict("dvc.lock"), "in dvc.lock", ("dvc.lock", 2)),
    Case(
        "merge-conflict",
        repository.committed,
        conflict("metrics/traces.json"),
        "in metrics/traces.json",
        ("metrics/traces.json", 2),
    ),
    # traces, holdout, embedder
    Case(
        "traces-missing",
        pipeline.traces,
        remove("data/traces/a.jsonl"),
        "no file matches data/traces/*.jsonl",
        (TRACER, 3),
    ),
    Case(
        "not-pulled",
        pipeline.traces,
        every(remove("data/traces/a.jsonl"), write("data/traces.dvc", "outs: []\n")),
        "no file matches",
        (TRACER, 3),
    ),
    Case(
        "never-pulled",
        pipeline.traces,
        every(remove("data/traces/a.jsonl"), settings("timestamp: asked_at", "pull: {source: 's3://b/*.jsonl'}")),
        "no file matches data/traces/*.jsonl",
        (TRACER, 3),
    ),
    Case(
        "source-variable",
        pipeline.traces,
        settings("timestamp: asked_at", "pull: {source_env: NOBODY_SETS_THIS}"),
        "the environment variable NOBODY_SETS_THIS, which traces[0].pull.source_env names, is not set",
        (TRACER, 4),
    ),
    Case("old-traces", pipeline.traces, old_traces(31), "31 days ago (by the dates of the files)"),
    Case(
        "metrics-unreadable",
        pipeline.holdout,
        write("metrics/traces.json", "{}"),
        "KeyError",
        ("metrics/traces.json", None),
        mends=True,
    ),
    Case(
        "metrics-unreadable",
        pipeline.holdout,
        write("metrics/traces.json", "[1"),
        "not valid JSON",
        ("metrics/traces.json", None),
        mends=True,
    ),
    Case(
        "holdout-too-small",
        pipeline.holdout,
        settings("agreement: 0.85", "agreement: 0.999"),
        "takes at least 2,995",
        (TRACER, 9),
    ),
    Case(
        "frontier-out-of-reach",
        pipeline.holdout,
        settings("[0.7]", "[0.7, 0.999]"),
        "0.999 take up to 2,995",
        (TRACER, 10),
    ),
    Case(
        "holdout-below-rule",
        pipeline.holdout,
        settings("schema: 1", "schema: 1\nrules: {min_holdout: 5000}"),
        "rules.min_holdout asks for 5,000",
        (TRACER, 2),
    ),
    Case(
        "model-folder",
        pipeline.embedder,
        settings("embedder: {kind: tfidf, dim: 64}", MODEL % "./models/minilm"),
        "no such folder",
        (TRACER, 5),
    ),
    Case(
        "not-pulled",
        pipeline.embedder,
        every(settings("embedder: {kind: tfidf, dim: 64}", MODEL % "./minilm"), write("minilm.dvc", "outs: []\n")),
        "no such folder",
        (TRACER, 5),
    ),
    Case(
        "vectors-missing",
        pipeline.embedder,
        settings("{kind: tfidf, dim: 64}", "{kind: precomputed, path: vectors/x.npy}"),
        "no such file: vectors/x.npy",
        (TRACER, 5),
    ),
    # policy
    Case("no-policy", pipeline.policy, remove(".tracer"), "no .tracer/manifest.json"),
    Case(
        "policy-unloadable",
        pipeline.policy,
        every(remove(".tracer/policy.onnx"), write(".tracer/policy.onnx", "x")),
        "its sha256 differs",
    ),
    Case(
        "policy-unloadable",
        pipeline.policy,
        every(remove(".tracer/manifest.json"), write(".tracer/manifest.json", '{"schema": 2}')),
        "`files` is missing",
    ),
    Case("policy-blocked", pipeline.policy, uncertified, "nothing can be certified at 0.85"),
    Case(
        "policy-not-of-lock",
        pipeline.policy,
        uncertified,
        "not the one that dvc.lock records",
        (".tracer/manifest.json", None),
        mends=True,
    ),
]


def found(check: Callable[[Project], Iterator[Finding]], root: Path = Path()) -> list[Finding]:
    return list(check(Project(root)))


def test_a_project_with_nothing_wrong_is_fine_in_every_respect(project: DvcProject) -> None:
    findings = examine(Path())
    assert [finding for finding in findings if finding.grade is not Grade.FINE] == []
    quiet = {"rwlock"}  # says nothing when nothing is held
    assert [finding.check for finding in findings] == [name for name, _ in CHECKS if name not in quiet]


@pytest.mark.parametrize("case", CASES, ids=[f"{case.kind}-{i}" for i, case in enumerate(CASES)])
def test_it_is_found_where_it_is_and_its_fix_mends_it(case: Case, project: DvcProject) -> None:
    case.break_(project)
    (finding,) = [finding for finding in found(case.check) if finding.kind == case.kind]
    assert case.told in finding.found
    file, line = case.at
    assert finding.file == file
    assert finding.line == line if line != 0 else finding.line is not None
    assert "{" not in finding.fix and finding.why
    if case.mends:
        command = finding.fix.split(";")[0].split(" (")[0].split(", then")[0]
        project.program("sh", "-c", command)
        assert case.kind not in [finding.kind for finding in found(case.check)]


# What is not in CASES has a test of its own below.
ELSEWHERE = {
    "dvc-missing",
    "dvc-not-on-path",
    "dvc-running",
    "dvc-version",
    "disk-full",
    "disk-low",
    "extra-missing",
    "function-missing",
    "git-missing",
    "git-refuses",
    "key-missing",
    "model-not-cached",
    "model-offline",
    "no-project",
    "not-checked",
    "other-tracer",
    "python-unsupported",
    "tracer-not-on-path",
}


def test_every_kind_is_tried() -> None:
    names = [kind.name for kind in catalogue.KINDS]
    assert len(names) == len(set(names))
    assert {case.kind for case in CASES} | ELSEWHERE == set(names)
    assert not {case.kind for case in CASES} & ELSEWHERE


BREAKS_DVC = ("no-git-for-dvc", "dvc-refuses", "rwlock-unreadable", "rwlock-blocks", "tracked-output", "merge-conflict")


@pytest.mark.parametrize("kind", BREAKS_DVC)
def test_dvc_agrees_that_it_is_broken(kind: str, project: DvcProject) -> None:
    case = next(case for case in CASES if case.kind == kind)
    case.break_(project)
    project.dvc("repro", "-f", "-s", "resolve" if kind != "tracked-output" else "calibrate", fails=True)


def test_a_password_in_a_url_is_not_shown(project: DvcProject) -> None:
    project.dvc("remote", "modify", "storage", "url", "https://ann:secret@example.org/x")
    (finding,) = found(surroundings.remote)
    assert finding.found == "storage: https://example.org/x; it was not asked"


def test_dvc_is_not_stopped_by_a_process_that_is_gone(project: DvcProject) -> None:
    rwlock(2**22 + 1)(project)
    assert "Auto removed it from the lock file" in project.dvc("repro", "-f", "-s", "resolve")


# --- programs: missing, other, refusing ------------------------------------------------------------


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def kinds(findings: list[Finding]) -> list[str | None]:
    return [finding.kind for finding in findings if finding.grade is not Grade.FINE]


def test_without_git(project: DvcProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert kinds(found(surroundings.git)) == ["git-missing"]
    assert kinds(found(surroundings.dvc)) == ["dvc-not-on-path"]
    assert kinds(found(surroundings.command)) == ["tracer-not-on-path"]
    assert found(repository.gitignore) == found(repository.committed) == []
    findings = examine(Path())
    assert "not-checked" not in kinds(findings)
    project.dvc("config", "core.no_scm", "true")
    assert kinds(found(surroundings.git)) == ["no-git"]


def test_git_refuses_a_folder_of_another_owner(project: DvcProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    (finding,) = found(surroundings.git)
    assert finding.kind == "git-refuses"
    assert "dubious ownership" in finding.found
    project.program("sh", "-c", finding.fix.split(": ", 1)[1])
    assert kinds(found(surroundings.git)) == []


def test_another_tracer_comes_first(project: DvcProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def first(script: str) -> list[Finding]:
        folder = tmp_path / "other"
        program(folder, "tracer", script)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{project.environment['PATH']}")
        return found(surroundings.command)

    assert kinds(found(surroundings.command)) == []
    (finding,) = first("echo tracer, version 0.0.9")
    assert finding.kind == "other-tracer"
    assert f"{tmp_path / 'other' / 'tracer'}: tracer, version 0.0.9; this is" in finding.found
    (finding,) = first("echo no such module >&2; exit 1")
    assert "it fails (no such module)" in finding.found
    program(tmp_path / "other", "tracer", "").write_text("no script")
    (finding,) = found(surroundings.command)
    assert "it cannot be called" in finding.found


@pytest.mark.parametrize(
    ("version", "right"),
    [
        ("3.67.0", True),
        ("3.67.1", True),
        ("3.100.0", True),
        ("3.66.9", False),
        ("4.0.0", False),
        ("2.9", False),
        ("dev", False),
    ],
)
def test_the_version_of_dvc(
    version: str, right: bool, project: DvcProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Project, "dvc_folder", None)
    monkeypatch.setattr(surroundings.metadata, "version", lambda name: version)
    assert ("dvc-version" not in kinds(found(surroundings.dvc))) == right
    monkeypatch.undo()
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(Project, "dvc_folder", None)
    program(tmp_path / "other", "dvc", f"echo {version}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'other'}{os.pathsep}{os.environ['PATH']}")
    findings = [finding for finding in found(surroundings.dvc) if finding.kind == "dvc-version"]
    assert (findings == []) == right
    assert right or str(tmp_path / "other" / "dvc") in findings[0].found


def test_without_dvc(project: DvcProject, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> str:
        raise surroundings.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(surroundings.metadata, "version", none)
    assert kinds(found(surroundings.dvc)) == ["dvc-missing"]


@pytest.mark.skipif(not Path("/proc/self/cmdline").is_file(), reason="no /proc")
def test_dvc_at_work_is_told_from_a_process_number_that_was_given_again(project: DvcProject) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)", "dvc", "repro"]
    process = subprocess.Popen(sleeper, stdout=subprocess.DEVNULL)
    try:
        rwlock(process.pid)(project)
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes():
            time.sleep(0.01)
        (finding,) = found(surroundings.rwlock)
    finally:
        process.kill()
        process.wait()
    assert finding.kind == "dvc-running"
    assert f"params.yaml is locked for process {process.pid}" in finding.found
    assert kinds(found(surroundings.rwlock)) == ["rwlock-dead"]
    (project.root / ".dvc/tmp/rwlock").write_text('{"read": {}}')
    assert found(surroundings.rwlock) == []


@pytest.mark.parametrize(("free", "kind"), [(10**6, ["disk-full"]), (200 * 2**20, ["disk-low"]), (10**12, [])])
def test_the_disk(free: int, kind: list[str], project: DvcProject, monkeypatch: pytest.MonkeyPatch) -> None:
    with (project.root / "artifacts" / "big").open("wb") as file:
        file.truncate(150 * 2**20)
    monkeypatch.setattr(surroundings.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    (finding,) = found(surroundings.disk)
    assert kinds([finding]) == kind
    assert "the artifacts take 1" in finding.found


def test_a_large_cache_is_not_counted_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / name).write_text("12345")
    assert surroundings.size(tmp_path) == (15, True)
    assert surroundings.size(tmp_path / "none") == (0, True)
    monkeypatch.setattr(surroundings, "MOST_FILES", 2)
    assert surroundings.size(tmp_path) == (10, False)


@pytest.mark.parametrize(
    ("version", "right"), [((3, 9, 1), False), ((3, 10, 0), True), ((3, 13, 9), True), ((3, 14, 0), False)]
)
def test_python(version: tuple[int, ...], right: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings.sys, "version_info", version)
    assert kinds(found(surroundings.python)) == ([] if right else ["python-unsupported"])


def test_the_ranges_are_those_of_the_package() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    (oldest, above), (least, below) = catalogue.PYTHON, catalogue.DVC
    assert f'requires-python = ">={oldest[0]}.{oldest[1]},<{above[0]}.{above[1]}"' in text
    assert f'"dvc>={least[0]}.{least[1]},<{below[0]}"' in text


def test_a_model_that_was_taken_out_of_the_zoo_is_not_missed(project: DvcProject) -> None:
    settings("zoo:", "zoo:\n  extra: {kind: sgd}")(project)
    project.tracer("compile")
    project.dvc("repro", "-q", "train@extra")
    settings("zoo:\n  extra: {kind: sgd}", "zoo:")(project)
    project.tracer("compile")
    shutil.rmtree(project.root / "artifacts" / "models" / "extra")
    assert "train@extra" in (project.root / "dvc.lock").read_text()
    assert kinds(found(pipeline.lock)) == []


# --- the embedder ----------------------------------------------------------------------------------


@pytest.mark.model  # huggingface_hub comes with the extra
def test_a_model_of_the_hub(project: DvcProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    settings("{kind: tfidf, dim: 64}", "{kind: sentence-transformers, model: tiny}")(project)
    monkeypatch.setattr(pipeline, "EXTRA", {"embeddings": ()})
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert kinds(found(pipeline.embedder)) == ["model-offline"]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    (finding,) = found(pipeline.embedder)
    assert finding.kind == "model-not-cached"
    assert str(tmp_path / "hub") in finding.found
    cached = tmp_path / "hub" / "models--sentence-transformers--tiny"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("abc")
    (cached / "snapshots" / "abc").mkdir(parents=True)
    (cached / "snapshots" / "abc" / "modules.json").write_text("[]")
    assert kinds(found(pipeline.embedder)) == []
    monkeypatch.setattr(pipeline, "EXTRA", {"embeddings": ("sentence_transformers_that_nobody_has",)})
    (finding,) = found(pipeline.embedder)
    assert finding.kind == "extra-missing"
    assert "tracer-cli[embeddings]" in finding.fix


def test_the_key_of_an_endpoint(project: DvcProject, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = "{kind: endpoint, url: 'https://example.com/v1/embeddings', key_env: EXAMPLE_KEY}"
    settings("{kind: tfidf, dim: 64}", endpoint)(project)
    monkeypatch.delenv("EXAMPLE_KEY", raising=False)
    (finding,) = found(pipeline.embedder)
    assert finding.kind == "key-missing"
    assert "export EXAMPLE_KEY=" in finding.fix
    monkeypatch.setenv("EXAMPLE_KEY", "sk-1234")
    (finding,) = found(pipeline.embedder)
    assert finding.grade is Grade.FINE
    assert "sk-1234" not in str(finding)


def test_the_module_of_a_function(project: DvcProject) -> None:
    settings("{kind: tfidf, dim: 64}", "{kind: callable, function: 'our_vectors:embed'}")(project)
    (finding,) = found(pipeline.embedder)
    assert finding.kind == "function-missing"
    (project.root / "our_vectors.py").write_text("raise SystemExit('doctor ran it')\n")
    assert kinds(found(pipeline.embedder)) == []


# --- traces and holdout ----------------------------------------------------------------------------


def test_the_timestamps_of_the_traces_go_before_the_dates_of_their_files(project: DvcProject) -> None:
    old = (datetime.now(timezone.utc) - timedelta(days=400)).timestamp()
    os.utime(project.root / "data" / "traces" / "a.jsonl", (old, old))
    (finding,) = found(pipeline.traces)
    assert finding.grade is Grade.FINE
    assert "0 days ago (by the timestamps that were last ingested)" in finding.found
    (project.root / "artifacts" / "traces" / "fit.parquet").write_text("no table")
    assert kinds(found(pipeline.traces)) == []  # the holdout's are left
    (project.root / "artifacts" / "traces" / "holdout.parquet").write_text("no table")
    assert kinds(found(pipeline.traces)) == ["old-traces"]


def counts(project: DvcProject, fit: int, holdout: int) -> None:
    path = project.root / "metrics" / "traces.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fit_rows": fit, "holdout_rows": holdout}))


@pytest.mark.parametrize(("rows", "kind"), [(58, ["holdout-too-small"]), (59, [])])
def test_the_smallest_holdout_that_can_certify_is_the_exact_one(
    rows: int, kind: list[str], project: DvcProject
) -> None:
    """0.95 at confidence 0.95: 0.95 ** 58 > 0.05 >= 0.95 ** 59."""
    settings("agreement: 0.85", "agreement: 0.95")(project)
    counts(project, 1000, rows)
    assert kinds(found(pipeline.holdout)) == kind


def test_crossfit_counts_the_fit_rows_at_half_the_level(project: DvcProject) -> None:
    """0.95 at level 0.025: 0.95 ** 71 > 0.025 >= 0.95 ** 72."""
    settings("{kind: tfidf, dim: 64}", "{kind: precomputed, path: x.npy}")(project)
    settings("agreement: 0.85", "agreement: 0.95\n  evidence: crossfit")(project)
    counts(project, 60, 11)
    (finding,) = found(pipeline.holdout)
    assert finding.kind == "holdout-too-small"
    assert finding.fix.startswith("Bring about 1 more distinct texts")
    counts(project, 60, 12)
    assert kinds(found(pipeline.holdout)) == []


@pytest.mark.parametrize(
    ("split", "missing"),
    [
        ("holdout: auto", "19,367"),  # 0.15 of 19,967 are the 2,995 that 0.999 takes; auto is 0.15 from 10,000 on
        ("holdout: 0.5", "5,390"),
    ],
)
def test_how_many_texts_are_missing(split: str, missing: str, project: DvcProject) -> None:
    settings("agreement: 0.85", "agreement: 0.999")(project)
    settings("schema: 1", f"schema: 1\nsplit: {{{split}}}")(project)
    counts(project, 400, 200)
    (finding,) = found(pipeline.holdout)
    assert f"Bring about {missing} more" in finding.fix


def test_before_the_first_run_nothing_is_said_of_the_holdout(project: DvcProject) -> None:
    (project.root / "metrics" / "traces.json").unlink()
    (finding,) = found(pipeline.holdout)
    assert finding.grade is Grade.FINE
    assert "not known before" in finding.found


# --- who keeps the traces --------------------------------------------------------------------------


def test_traces_that_dvc_keeps_are_kept(project: DvcProject) -> None:
    precious(project)
    project.git("rm", "-rq", "--cached", "data")
    (finding,) = [f for f in found(repository.committed) if f.kind == "untracked-inputs"]
    project.dvc("add", "-q", "data/traces")
    assert finding.fix.startswith("dvc add data/traces and commit data/traces.dvc")
    assert kinds(found(repository.committed)) == ["uncommitted"]  # data/traces.dvc itself
    project.commit()
    assert kinds(found(repository.committed)) == []


def test_traces_from_outside_or_from_a_stage(project: DvcProject, tmp_path: Path) -> None:
    shutil.move(project.root / "data" / "traces", tmp_path / "outside")
    settings("data/traces/*.jsonl", f"{tmp_path}/outside/*.jsonl")(project)
    findings = [f for f in found(repository.committed) if f.kind == "untracked-inputs"]
    assert findings[0].found == f"{tmp_path}/outside lies outside the project"
    shutil.move(tmp_path / "outside", project.root / "made")
    settings(f"{tmp_path}/outside/*.jsonl", "made/*.jsonl")(project)
    assert "untracked-inputs" in kinds(found(repository.committed))
    edit(project.root / "dvc.lock", "stages:\n", "stages:\n  export:\n    cmd: x\n    outs:\n    - path: made\n")
    assert "untracked-inputs" not in kinds(found(repository.committed))


def test_outputs_behind_a_link(project: DvcProject, tmp_path: Path) -> None:
    shutil.move(project.root / "artifacts", tmp_path / "elsewhere")
    (project.root / "artifacts").symlink_to(tmp_path / "elsewhere")
    assert kinds(found(repository.gitignore)) == []
    (project.root / ".gitignore").write_text("/artifacts/\n/.tracer\n")
    assert kinds(found(repository.gitignore)) == ["not-ignored"]


def test_a_gitignore_that_dvc_wrote_is_not_enough(project: DvcProject) -> None:
    (project.root / ".gitignore").write_text("/.tracer\n")
    for folder in ("traces", "vectors", "guard", "models", "."):
        (project.root / "artifacts" / folder / ".gitignore").write_text("*\n")
    assert kinds(found(repository.gitignore)) == ["not-ignored"]


def test_a_project_below_the_top_of_its_repository(
    whole: DvcProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in whole.environment.items():
        monkeypatch.setenv(name, value)
    root = tmp_path / "mono" / "routing"
    shutil.copytree(whole.root, root, ignore=shutil.ignore_patterns(".git", "rwlock"))
    subprocess.run(["git", "init", "-q", tmp_path / "mono"], check=True)
    (tmp_path / "mono" / ".gitignore").write_text("*.lock\n")
    subprocess.run(["git", "add", "-A", tmp_path / "mono"], check=True, cwd=root)
    subprocess.run(["git", "commit", "-qm", "x"], check=True, cwd=root)
    (finding,) = found(repository.gitignore, root)
    assert (finding.kind, finding.file, finding.line) == ("ignored-source", "../.gitignore", 1)
    shutil.rmtree(root / ".dvc")
    assert kinds(found(surroundings.dvc, root)) == ["no-dvc"]
    (root / "seen.txt").write_text("x")
    assert kinds(found(repository.committed, root)) == ["uncommitted"]  # .dvc/config is gone


# --- nothing stops it ------------------------------------------------------------------------------


def test_a_check_that_crashes_is_a_finding_and_the_others_go_on(project: DvcProject) -> None:
    def crashes(project: Project) -> Iterator[Finding]:
        yield from ()
        raise ZeroDivisionError("of all things")

    findings = ask([("dividing", crashes), ("git", surroundings.git)], Project(Path()))
    assert kinds(findings) == ["not-checked"]
    assert findings[0].found == "dividing could not be checked: ZeroDivisionError: of all things"
    assert findings[1].check == "git"


def test_errors_of_the_configuration_are_one_finding_and_what_needs_it_is_named_once(project: DvcProject) -> None:
    settings("dim: 64", "dimm: 64")(project)
    findings = examine(Path())
    assert kinds(findings) == ["configuration", "uncommitted", "not-checked"]
    assert findings[-1].found == "compiled, traces, holdout, embedder could not be checked: tracer.yaml cannot be used"
    assert {"gitignore", "policy", "dvc.lock", "remote"} <= {f.check for f in findings if f.grade is Grade.FINE}


def test_an_empty_folder_and_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    findings = examine(tmp_path / "empty")
    broken = [finding.kind for finding in findings if finding.grade is Grade.BROKEN]
    assert "no-dvc" in broken and "no-configuration" in broken
    assert kinds(examine(tmp_path / "none")) == ["no-project"]


RUIN: list[Any] = ["tracer.yaml", "dvc.yaml", "params.yaml", "dvc.lock", ".gitignore", ".dvc/config", ".git/HEAD"]
RUIN += [".dvc/tmp/rwlock", "metrics/traces.json", ".tracer/manifest.json", "artifacts/traces/fit.parquet"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[]\n", b"null\n", b"a: {b: 1}\n", None])
def test_any_file_may_be_ruined(content: bytes | None, project: DvcProject) -> None:
    """Each file by itself, and none of them makes a check crash; None: a folder stands in its place."""
    for name in RUIN:
        path = project.root / name
        before = path.read_bytes() if path.is_file() else None
        path.unlink(missing_ok=True)
        path.mkdir() if content is None else path.write_bytes(content)
        cheap = [(n, c) for n, c in CHECKS if n not in ("dvc", "remote", "disk", "git", "command")]
        findings = ask(cheap, Project(Path()))
        crashed = [f.found for f in findings if f.kind == "not-checked" and "tracer.yaml cannot be used" not in f.found]
        assert crashed == [], name
        path.rmdir() if content is None else path.unlink()
        if before is not None:
            path.write_bytes(before)
