"""A project with both scaffolded jobs, reproduced, committed and pushed; and pull requests to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import DvcProject, example_traces, write_jsonl

TARGET = 0.7
ROWS = 500


def settings(agreement: float = TARGET) -> str:
    return (
        "schema: 1\nproject: support\ntraces:\n- path: data/traces/*.jsonl\n"
        "embedder: {kind: tfidf, dim: 64}\n"
        "zoo:\n  logreg: {kind: logistic_regression, C: 10.0}\n"
        f"targets: {{agreement: {agreement}, frontier: [0.6, 0.7]}}\n"
    )


@pytest.fixture(scope="session")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> DvcProject:
    """On the branch main of origin, its artifacts in a DVC remote."""
    folder = tmp_path_factory.mktemp("ci")
    (folder / "project").mkdir()
    project = DvcProject(folder / "project", folder / "home")
    write_jsonl(project.root / "data" / "traces" / "a.jsonl", example_traces(ROWS))
    (project.root / "tracer.yaml").write_text(settings())
    project.dvc("remote", "add", "-q", "-d", "storage", str(folder / "storage"))
    project.tracer("init", "--ci", "github", "--pre-commit")
    project.tracer("init", "--ci", "gitlab")
    project.dvc("repro", "-q")
    project.dvc("push", "-q")
    project.commit()
    project.git("branch", "-M", "main")
    project.program("git", "init", "-q", "--bare", str(folder / "origin"))
    project.git("remote", "add", "origin", str(folder / "origin"))
    project.git("push", "-q", "origin", "main")
    return project


@pytest.fixture
def author(pushed: DvcProject, request: pytest.FixtureRequest) -> Iterator[DvcProject]:
    """The project on a new branch from main; whatever is done to it is undone."""
    pushed.git("checkout", "-q", "-b", request.node.name.replace("[", "-").strip("]"))
    yield pushed
    pushed.git("checkout", "-q", "--force", "main")
    pushed.git("clean", "-fdq")
    pushed.dvc("checkout", "-q", "--force")


@pytest.fixture
def fresh_clone(author: DvcProject, tmp_path: Path) -> Callable[[], Path]:
    """Commits and pushes the branch, and returns what a runner checks out."""

    def clone() -> Path:
        author.git("add", "-A")
        author.git("commit", "-q", "--allow-empty", "-m", "x")
        author.git("push", "-q", "origin", "HEAD")
        author.git("clone", "-q", "--branch", author.git("branch", "--show-current").strip(), *_to(author, tmp_path))
        return tmp_path / "clone"

    return clone


def _to(author: DvcProject, folder: Path) -> tuple[str, str]:
    return author.git("remote", "get-url", "origin").strip(), str(folder / "clone")
