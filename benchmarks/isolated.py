"""A function in a fresh process of its own, with a set number of threads: the caller's side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

REPOSITORY = Path(__file__).resolve().parents[1]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


class ChildError(click.ClickException):
    """The process failed; its text is what it wrote to stderr."""


def call(function: str, arguments: dict[str, Any], threads: int = 1, cpus: Sequence[int] = ()) -> Any:
    """Call `module:name` with an empty folder and `arguments`; arguments and result pass as JSON.

    threads: of OpenMP and BLAS, set before numpy loads. cpus: the process is held to these, because a program may
    start threads of its own; empty: to none.
    """
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)} | dict.fromkeys(THREAD_VARIABLES, str(threads))
    with tempfile.TemporaryDirectory(prefix="tracer-bench-") as name:
        request, answer, scratch = (Path(name) / part for part in ("request.json", "answer.json", "scratch"))
        scratch.mkdir()
        request.write_text(json.dumps({"function": function, "arguments": arguments, "cpus": list(cpus)}))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.child", request, answer, scratch],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ChildError(done.stderr.strip() or f"exit code {done.returncode}")
        return json.loads(answer.read_text())


def cpu_sets(workers: int, threads: int = 1) -> list[list[int]]:
    """For each worker its own `threads` CPUs, or none where there are too few or the system cannot do it."""
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if workers * threads > len(cpus):
        return [[] for _ in range(workers)]
    return [cpus[i * threads : (i + 1) * threads] for i in range(workers)]
