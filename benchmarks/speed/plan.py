"""`tracer plan` beside `dvc status`, in turn, in a project that DVC reproduced."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks import generate

PROGRAMS = {
    "dvc status": [sys.executable, "-m", "dvc", "status", "--json"],
    "tracer plan": [sys.executable, "-m", "tracer_cli", "plan", "--json"],
}
SETTINGS = (
    "traces:\n- path: data/traces.jsonl\nembedder: {kind: precomputed, path: data/vectors.npy}\n"
    "targets: {agreement: 0.9}\n"
)


def run(folder: Path, rows: int, rounds: int) -> dict[str, dict[str, float]]:
    """What was edited -> program -> seconds, the median of `rounds`, start of the interpreter included."""
    project = folder / "project"
    (project / "data").mkdir(parents=True)
    generate.write(project / "data", rows)
    (project / "tracer.yaml").write_text(SETTINGS)
    for command in (("git", "init", "-q"), ("tracer_cli", "init"), ("dvc", "init", "-q"), ("dvc", "repro", "-q")):
        _call(project, command if command[0] == "git" else [sys.executable, "-m", *command])
    seconds = {"nothing": _timed(project, rounds)}
    (project / "tracer.yaml").write_text(SETTINGS.replace("0.9", "0.95"))
    seconds["the target"] = _timed(project, rounds)
    traces = project / "data" / "traces.jsonl"
    first, *rest = traces.read_bytes().splitlines(keepends=True)
    traces.write_bytes(b"".join([*rest, first]))
    seconds["the target and the traces"] = _timed(project, rounds)
    return seconds


def _timed(project: Path, rounds: int) -> dict[str, float]:
    """In turn, after one call of each that does not count: DVC then knows the files that changed."""
    found: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for turn in range(rounds + 1):
        for name, command in PROGRAMS.items():
            start = time.perf_counter()
            _call(project, command)
            if turn:
                found[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in found.items()}


def _call(project: Path, command: Sequence[str]) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # DVC runs the stages as `tracer run`
    done = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
