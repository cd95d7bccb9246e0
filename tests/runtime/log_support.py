"""What the tests of the trace log share: entries, and what is in a folder afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tracer_cli.traces.log_format import Entry

REPOSITORY = Path(__file__).parents[2]  # not from `support`, which programs would take a second to import
TIME = datetime(2026, 8, 1, 9, 0, 0, 123456, timezone.utc)


def entry(number: int | str, text: str | None = None, **values: Any) -> Entry:
    return Entry(str(number), TIME, text or f"text {number}", "a", "organic", **values)


def files(folder: Path, end: str = ".jsonl") -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.endswith(end))


def lines(folder: Path) -> list[dict[str, Any]]:
    """Every line of every finished file; each must be whole."""
    found = []
    for path in files(folder):
        data = path.read_bytes()
        assert data.endswith(b"\n"), f"{path.name} ends in half a line"
        found += [json.loads(line) for line in data.splitlines()]
    return found


def ids(folder: Path) -> list[str]:
    return [line["id"] for line in lines(folder)]


def program(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Python in a process of its own, with the package and the tests' helpers."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"},
    )


def finished(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    return out


def eventually(holds: Callable[[], object], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.01)
