"""What several test modules use: small trace sets, quick settings, and programs run for real."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tracer_cli.api import FitConfig
from tracer_cli.traces import example

REPOSITORY = Path(__file__).parents[1]
CI = os.environ.get("CI") == "true"
QUICK_ZOO = {"logreg": {"kind": "logistic_regression", "C": 10.0}}
QUICK_EMBEDDER = {"kind": "tfidf", "dim": 64}


def absent(reason: str) -> None:
    """Skip the test; in CI, where everything can be had, fail it."""
    pytest.fail(f"CI must run this: {reason}") if CI else pytest.skip(reason)


def example_traces(rows: int) -> list[dict[str, Any]]:
    return list(itertools.islice(example.generate(rows), rows))


def clustered(rows: int, seed: int = 0) -> tuple[list[dict[str, Any]], NDArray[np.float32]]:
    """Traces of the labels a, b, c, d and their vectors: a and b lie apart, c and d lie in one place and are told
    from each other by chance."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, rows)
    centres = np.eye(16)[[0, 1, 2, 2]] * 3
    vectors = (centres[labels] + 0.3 * rng.standard_normal((rows, 16))).astype(np.float32)
    return [{"input": f"text {i}", "teacher": "abcd"[label]} for i, label in enumerate(labels)], vectors


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def quick(**changes: Any) -> FitConfig:
    """A fit of seconds: one linear model on few dimensions, an easy target."""
    values: dict[str, Any] = {
        "target_teacher_agreement": 0.85,
        "frontier_targets": (0.7, 0.85, 0.95),
        "embedder": QUICK_EMBEDDER,
        "zoo": QUICK_ZOO,
    }
    return FitConfig(**values | changes)


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def tracer(*arguments: str | Path, cwd: Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tracer_cli", *map(str, arguments)],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"},
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def environment(home: Path) -> dict[str, str]:
    """What a person has in a shell: a home of their own, a name for git, `tracer` and `dvc` on the path."""
    programs = home / "bin"
    programs.mkdir(parents=True)
    for name, module in (("tracer", "tracer_cli"), ("dvc", "dvc")):
        shim = programs / name
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        shim.chmod(0o755)
    author = {f"GIT_{who}_{what}": "x@y.z" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return {
        **os.environ,
        **author,
        "HOME": str(home),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "DVC_NO_ANALYTICS": "1",
    }


class DvcProject:
    """A git and DVC repository of its own, with the real programs and `tracer` on its path."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.environment = environment(home)
        self.git("init", "-q")
        self.dvc("init", "-q")

    def program(self, *command: str, fails: bool = False) -> str:
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False, encoding="utf-8"
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def git(self, *arguments: str) -> str:
        return self.program("git", *arguments)

    def dvc(self, *arguments: str, fails: bool = False) -> str:
        return self.program(sys.executable, "-m", "dvc", *arguments, fails=fails)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "x")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`tracer` with its exit code."""
        command = [sys.executable, "-m", "tracer_cli", *arguments]
        return subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, encoding="utf-8", check=False
        )

    def tracer(self, *arguments: str) -> str:
        """`tracer`, which must succeed."""
        return self.program(sys.executable, "-m", "tracer_cli", *arguments)
