"""Parts in DVC, with the real one: pull, refit, share; and what must not be forgotten."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pull_support import VARIABLE, parts
from support import DvcProject, example_traces, files_of

pytestmark = pytest.mark.dvc

SETTINGS = """\
project: support
traces:
  - path: data/traces/*.parquet
    pull:
      source: sqlite:///calls.db
      query: select id, input, teacher from calls
      cursor: id
embedder: {kind: tfidf, dim: 32}
zoo:
  logreg: {kind: logistic_regression}
targets: {agreement: 0.7, frontier: [0.6]}
"""
TRACES = example_traces(900)


def calls(root: Path, first: int, last: int) -> None:
    database = sqlite3.connect(root / "calls.db")
    with database:
        database.execute("create table if not exists calls (id integer primary key, input, teacher)")
        rows = [(i, TRACES[i]["input"], TRACES[i]["teacher"]) for i in range(first, last)]
        database.executemany("insert into calls values (?, ?, ?)", rows)
    database.close()


@pytest.fixture(scope="module")
def first_fit(tmp_path_factory: pytest.TempPathFactory) -> DvcProject:
    """A project that has pulled 600 traces, read them, and was committed and pushed. Shared: `project` is a copy."""
    folder = tmp_path_factory.mktemp("track")
    (folder / "project").mkdir()
    project = DvcProject(folder / "project", folder / "home")
    (project.root / "tracer.yaml").write_text(SETTINGS)
    (project.root / ".gitignore").write_text("/calls.db\n")
    calls(project.root, 0, 600)
    project.tracer("compile")
    project.tracer("pull")
    project.dvc("remote", "add", "-q", "-d", "storage", str(folder / "storage"))
    project.dvc("repro", "-q", "ingest")
    project.commit()
    project.dvc("push", "-q")
    return project


@pytest.fixture
def project(first_fit: DvcProject, tmp_path: Path) -> Iterator[DvcProject]:
    root = first_fit.root
    shutil.copytree(root, tmp_path / "project", symlinks=True)
    first_fit.root = tmp_path / "project"
    yield first_fit
    first_fit.root = root


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


def test_what_is_pulled_is_tracked_and_read(first_fit: DvcProject) -> None:
    root = first_fit.root
    assert (root / "data" / "traces.dvc").is_file()
    assert first_fit.git("ls-files", "data").split() == ["data/.gitignore", "data/traces.dvc"]
    metrics = json.loads((root / "metrics" / "traces.json").read_text())
    assert metrics["rows_read"] == 600
    assert first_fit.dvc("status", "ingest").strip().endswith("up to date.")
    assert first_fit.run("pull").stdout.endswith("nothing new, 1 row read\n")
    assert first_fit.git("status", "--porcelain") == ""


def test_new_rows_run_ingest_and_what_follows_and_change_no_part(project: DvcProject) -> None:
    before = parts(project.root)
    calls(project.root, 600, 900)
    told = project.tracer("pull")
    assert "300 new rows, 301 rows read" in told and "tracked by data/traces.dvc: commit it" in told
    assert before.items() < parts(project.root).items()
    assert ran(project.dvc("repro")) == ["ingest", "embed", "train@logreg", "calibrate", "guard", "report"]
    assert json.loads((project.root / "metrics" / "traces.json").read_text())["rows_read"] == 900
    project.tracer("pull")
    assert ran(project.dvc("repro", "ingest")) == []
    assert before.items() < parts(project.root).items()


def test_a_fresh_clone_pulls_from_dvc_and_has_the_same(project: DvcProject, tmp_path: Path) -> None:
    calls(project.root, 600, 900)
    project.tracer("pull")
    project.dvc("repro", "-q", "ingest")
    project.commit()
    project.dvc("push", "-q")
    expected, made = parts(project.root), files_of(project.root / "artifacts" / "traces")
    project.program("git", "clone", "-q", str(project.root), str(tmp_path / "clone"))
    database = project.root / "calls.db"
    project.root = tmp_path / "clone"
    shutil.copy(database, project.root)
    refused = project.run("pull")
    assert refused.returncode == 2
    assert "data/traces.dvc names files that are not here" in refused.stderr
    assert "get them first: `dvc pull data/traces.dvc`" in refused.stderr
    assert not (project.root / "data" / "traces").exists() and project.git("status", "--porcelain") == ""
    project.dvc("pull", "-q", "data/traces.dvc")
    assert parts(project.root) == expected
    assert "nothing new" in project.tracer("pull")
    assert ran(project.dvc("repro", "ingest")) == ["ingest"], "not what the first project has made"
    assert files_of(project.root / "artifacts" / "traces") == made
    assert project.git("status", "--porcelain") == ""


def test_a_part_that_was_removed_is_not_forgotten(project: DvcProject) -> None:
    (name,) = parts(project.root)
    (project.root / "data" / "traces" / name).unlink()
    refused = project.run("pull")
    assert refused.returncode == 2 and "`dvc add data/traces`" in refused.stderr
    assert parts(project.root) == {}
    project.dvc("checkout", "-q", "data/traces.dvc")
    assert "nothing new" in project.tracer("pull")


def test_a_part_that_was_left_untracked_is_tracked_by_the_next_pull(project: DvcProject) -> None:
    calls(project.root, 600, 700)
    assert "tracked" not in project.tracer("pull", "--no-track")
    assert project.git("status", "--porcelain") == ""
    told = project.tracer("pull")
    assert "nothing new" in told and "tracked by data/traces.dvc" in told
    assert project.git("status", "--porcelain").split() == ["M", "data/traces.dvc"]


def test_an_older_revision_is_an_older_folder(project: DvcProject) -> None:
    before = parts(project.root)
    calls(project.root, 600, 700)
    project.tracer("pull")
    project.commit()
    project.git("checkout", "-q", "HEAD~1")
    project.dvc("checkout", "-q", "data/traces.dvc")
    assert parts(project.root) == before


def test_a_folder_of_git_stays_with_git(project: DvcProject) -> None:
    project.dvc("remove", "-q", "data/traces.dvc")
    project.git("add", "-f", "data/traces")
    project.commit()
    calls(project.root, 600, 700)
    told = project.tracer("pull")
    assert "data/traces is in git: commit the new part there" in told
    assert not (project.root / "data" / "traces.dvc").exists()


def test_a_folder_above_that_dvc_tracks_takes_the_part(project: DvcProject) -> None:
    project.dvc("remove", "-q", "data/traces.dvc")
    (project.root / "data" / ".gitignore").unlink(missing_ok=True)
    project.git("rm", "-q", "-r", "--cached", "data")
    project.dvc("add", "-q", "data")
    calls(project.root, 600, 700)
    assert "tracked by data.dvc" in project.tracer("pull")
    assert not (project.root / "data" / "traces.dvc").exists()


def test_what_dvc_refuses_is_told_in_its_words_and_the_part_stays(project: DvcProject) -> None:
    project.dvc("remove", "-q", "data/traces.dvc")
    (name,) = parts(project.root)
    project.dvc("add", "-q", f"data/traces/{name}")
    calls(project.root, 600, 700)
    refused = project.run("pull")
    assert refused.returncode == 2
    assert "data/traces could not be tracked: `dvc add` says" in refused.stderr and "overlap" in refused.stderr
    assert len([part for part in parts(project.root) if part.endswith(".parquet")]) == 2


def test_no_file_of_the_project_holds_a_credential(project: DvcProject) -> None:
    settings = SETTINGS.replace("source: sqlite:///calls.db", f"source_env: {VARIABLE}")
    (project.root / "tracer.yaml").write_text(settings)
    project.environment = {**project.environment, VARIABLE: "postgresql://ann:hunter22@127.0.0.1:1/db"}
    failed = project.run("pull")
    assert failed.returncode == 2 and "Connection refused" in failed.stderr
    assert "hunter22" not in failed.stderr + failed.stdout
    project.dvc("repro", "-q", "resolve")
    assert VARIABLE in (project.root / "params.yaml").read_text()
    assert not [name for name, content in files_of(project.root).items() if b"hunter22" in content]
