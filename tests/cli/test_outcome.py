"""fit, guard, report, report-html and demo as a user types them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import example_traces, tracer, write_jsonl
from tracer_cli.api import FitResult


@pytest.mark.slow
def test_fit_then_everything_that_reads_the_policy(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", example_traces(900))
    done = tracer("fit", "t.jsonl", "--target", "0.8", "--check", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "CERTIFIED  t" in done.stdout and "Routing policy" in done.stdout
    assert "note: policy: .tracer" in done.stderr
    manifest = json.loads((tmp_path / ".tracer" / "manifest.json").read_text())
    assert json.loads(tracer("report", "--json", cwd=tmp_path).stdout) == manifest
    assert "refund_status" in tracer("report", cwd=tmp_path).stdout
    assert tracer("guard", "--check", cwd=tmp_path).returncode == 0
    done = tracer("report-html", "--output", "r.html", "--no-open", cwd=tmp_path)
    assert done.stdout == "r.html\n" and "<svg" in (tmp_path / "r.html").read_text()
    done = tracer("fit", "t.jsonl", "--target", "0.995", "--check", "--json", cwd=tmp_path)
    assert done.returncode == 3
    assert json.loads(done.stdout)["verdict"]["deploy"] is False
    assert "error: the parity guard did not pass: nothing can be certified at 0.995" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "nope.jsonl"), "no such file: nope.jsonl"),
        (("fit", "t.jsonl", "--target", "1.5"), "targets.agreement"),
        (("fit", "t.jsonl", "--embedder", "./nope"), "nope"),
        (("fit", "t.jsonl", "--embedder", "x", "--embeddings", "y.npy"), "exclude each other"),
        (("fit", "t.jsonl", "--embeddings", "y.npy"), "no such file"),
        (("guard", "--check"), "is not a policy folder"),
        (("report",), "is not a policy folder"),
        (("report-html",), "does not exist: run `dvc repro` or `tracer fit`"),
        (("route", "x"), "is not a policy folder"),
        (("demo", "--keep", "."), "exists already"),
    ],
)
def test_bad_input_is_exit_2_and_a_sentence(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    write_jsonl(tmp_path / "t.jsonl", example_traces(60))
    done = tracer(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr and "bug in tracer" not in done.stderr


def test_an_impossible_folder_is_a_sentence(fitted: FitResult, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", example_traces(60))
    (tmp_path / "file").write_text("")
    done = tracer("fit", "t.jsonl", "--artifact-dir", "file/x", cwd=tmp_path)
    assert done.returncode == 2 and "a part of the path is a file, not a folder" in done.stderr
    done = tracer("report-html", str(fitted.path), "--output", "/proc/r.html", "--no-open", cwd=tmp_path)
    assert done.returncode == 2 and "cannot write /proc/r.html" in done.stderr


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


def test_a_full_disk_is_a_sentence_and_leaves_no_half_written_file(small_disk: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", example_traces(900))
    done = tracer("fit", "t.jsonl", "--artifact-dir", small_disk / "p", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "the disk is full: free some space and run again" in done.stderr
    left = list(small_disk.rglob("*"))
    assert [path for path in left if path.name.endswith(".tmp") or path.name == "manifest.json"] == []


def test_a_read_only_disk_is_a_sentence(small_disk: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", example_traces(60))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = tracer("fit", "t.jsonl", "--artifact-dir", small_disk / "p", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "the file system is read-only" in done.stderr


@pytest.mark.slow
def test_demo_ends_in_a_summary(tmp_path: Path) -> None:
    done = tracer("demo", "--rows", "1500", "--keep", "d", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    parts = ["Routing policy", "Targets, each at confidence", "Labels", "Five live queries", "Cost projection"]
    assert [part for part in parts if part not in done.stdout] == []
    assert tracer("guard", "d/.tracer", "--check", cwd=tmp_path).returncode == 0
