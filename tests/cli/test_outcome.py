"""fit, guard, report, report-html and demo as a user types them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from support import clustered, example_traces, tracer, write_jsonl
from tracer_cli.api import FitResult
from tracer_cli.report.words import shortfalls


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


def words(done: subprocess.CompletedProcess[str]) -> str:
    """stdout on one line."""
    return " ".join(done.stdout.split())


def clusters(folder: Path) -> None:
    traces, vectors = clustered(600)
    write_jsonl(folder / "t.jsonl", traces)
    np.save(folder / "X.npy", vectors)


def test_the_options_of_fit_reach_the_manifest_and_the_summary(tmp_path: Path) -> None:
    clusters(tmp_path)
    options = "--target 0.8 --confidence 0.9 --evidence crossfit --method l2d --per-label-min 0.9 --seed 3"
    done = tracer("fit", "t.jsonl", "--embeddings", "X.npy", *options.split(), "--check", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / ".tracer" / "manifest.json").read_text())
    chosen = {"target": 0.8, "confidence": 0.9, "evidence": "crossfit", "method": "l2d", "per_label_min": 0.9}
    assert {name: manifest[name] for name in chosen} == chosen
    shown = words(done)
    for part in (
        "method l2d: the surrogate answers where",
        "scope handled: parity among the inputs that the surrogate answers",
        "evidence crossfit: 600 texts,",
        "Assumes many texts",
        "What runs is the average of the fold models",
        "0.999 quantile of the fit texts); it deferred",
        "per_label_min 0.9: 2 of 4 labels reach it out of fold; 2 do not and are deferred",
        "deferred: c, d",
        "at least: the one-sided lower bound",
    ):
        assert part in shown, part
    shown = words(tracer("report", cwd=tmp_path))
    assert "deferred: c, d" in shown and " of fold" in shown.split("Labels")[1]


def test_scope_overall_claims_nothing_about_the_handled(tmp_path: Path) -> None:
    clusters(tmp_path)
    arguments = ("--embeddings", "X.npy", "--scope", "overall", "--target", "0.8", "--method", "global")
    done = tracer("fit", "t.jsonl", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = words(done)
    assert "parity over all" in shown and "among the inputs" not in shown and "among handled" not in shown
    assert "global: the surrogate answers every input that no check defers" in shown


def test_crossfit_with_an_embedder_that_saw_every_fold_is_exit_2(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", example_traces(60))
    done = tracer("fit", "t.jsonl", "--evidence", "crossfit", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert "targets.evidence: crossfit needs an embedder that is not fitted on the traces" in done.stderr
    assert "tfidf has seen the texts of every fold; expected evidence: holdout, or another embedder" in done.stderr
    assert not (tmp_path / ".tracer" / "manifest.json").exists()


def test_a_fit_of_40_traces_is_an_answer(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", example_traces(40))
    done = tracer("fit", "t.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = words(done)
    assert "BLOCKED t nothing can be certified at 0.95" in shown
    assert (
        "Not certified: at the threshold that was tested first target coverage agreement supports texts now needed"
        in shown
    )
    manifest = json.loads((tmp_path / ".tracer" / "manifest.json").read_text())
    for m in shortfalls(manifest):
        assert f"{m['supported']:.3f} {m['rows']} {m['needed']}" in shown
    assert tracer("fit", "t.jsonl", "--check", cwd=tmp_path).returncode == 3


def test_every_label_is_listed_and_no_control_sequence_reaches_the_terminal(tmp_path: Path) -> None:
    labels = [f"label {i}" for i in range(149)] + ["\x1b[31mred"]
    traces = [{"input": f"w{i % 150} x{i % 150} y{i}", "teacher": labels[i % 150]} for i in range(900)]
    write_jsonl(tmp_path / "t.jsonl", traces)
    assert tracer("fit", "t.jsonl", cwd=tmp_path).returncode == 0
    done = tracer("report", cwd=tmp_path)
    assert all(f" {label} " in done.stdout for label in labels[:149])
    assert "\x1b" not in done.stdout and "?[31mred" in done.stdout


def test_a_report_of_another_fit_is_not_shown(fitted: FitResult, tmp_path: Path) -> None:
    for name in ("manifest.json", "qualitative_report.json"):
        shutil.copy(fitted.path / name, tmp_path / name)
    assert "it deferred" in words(tracer("report", tmp_path, cwd=tmp_path))
    (tmp_path / "manifest.json").write_text(json.dumps(fitted.manifest | {"project": "another"}))
    done = tracer("report", tmp_path, cwd=tmp_path)
    assert done.returncode == 0 and "Labels" not in done.stdout and "it deferred" not in words(done)
    assert "is of another fit and is not shown: run `dvc repro`" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "nope.jsonl"), "no such file: nope.jsonl"),
        (("fit", "t.jsonl", "--target", "1.5"), "targets.agreement"),
        (("fit", "t.jsonl", "--per-label-min", "2"), "targets.per_label_min"),
        (("fit", "t.jsonl", "--confidence", "1"), "targets.confidence"),
        (("fit", "t.jsonl", "--evidence", "both"), "'holdout', 'crossfit'"),
        (("fit", "t.jsonl", "--method", "best"), "'auto', 'global', 'l2d', 'rsb'"),
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
