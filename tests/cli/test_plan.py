"""`tracer plan` as a person reads it; TRACER_WRITE_GOLDEN=1 writes the golden page anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import tracer_cli.cli
from tracer_cli.cli._plan import show
from tracer_cli.review.plan.plan import (
    FROZEN,
    MAY_RUN,
    NOT_REACHED,
    RESTORED,
    RUNS,
    STOPS,
    UNCHANGED,
    CompileFirst,
    Plan,
    Step,
)
from tracer_cli.review.plan.reasons import Reason, file_reason, output_reason

GOLDEN = Path(__file__).parent / "golden" / "plan.txt"
run = tracer_cli.cli.run

VALUE = Reason("value", "targets.agreement 0.95 -> 0.9 (tracer.yaml:21)", {"key": "targets.agreement"})
FIRST = CompileFirst(
    ("dvc.yaml", "params.yaml"), ("stages.train.matrix.model", "a", "b", "c"), "`dvc repro` stops at resolve"
)
EVERYTHING = Plan(
    FIRST,
    (
        Step("resolve", RUNS, (file_reason("tracer.yaml", "modified"), VALUE), seconds=0.4),
        Step("ingest", RUNS, tuple(file_reason(f"data/traces/{n}.jsonl", "new") for n in range(6)), seconds=130.26),
        Step("embed", MAY_RUN, after=("ingest",), seconds=61),
        Step("train@logreg", MAY_RUN, (VALUE,), after=("ingest", "embed")),
        Step("train@knn", RESTORED, (output_reason("artifacts/models/knn", "deleted"),), seconds=3),
        Step("calibrate", FROZEN, (VALUE,), after=("train@logreg",)),
        Step("export", UNCHANGED),
        Step("guard", STOPS, (Reason("file", "vectors.npy is missing: bring it\nback\x1b[31m"),)),
        Step("report", NOT_REACHED, (Reason("upstream", "`dvc repro` stops at guard"),)),
    ),
)


def shown(plan: Plan, capsys: pytest.CaptureFixture[str]) -> str:
    show(plan, as_json=False)
    return "".join(f"{line.rstrip()}\n" for line in capsys.readouterr().out.splitlines())


def test_every_outcome_on_one_page(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(EVERYTHING, capsys)
    if os.environ.get("TRACER_WRITE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ([Step("resolve", UNCHANGED), Step("report", UNCHANGED)], "Nothing to run. 2 stages: 2 unchanged"),
        ([Step("report", FROZEN)], "Nothing to run. 1 stage: 1 frozen"),
        ([Step("report", RUNS)], "1 stage: 1 runs"),
        ([Step("guard", RUNS, seconds=0.2)], "1 stage: 1 runs; about 1 s by the last runs on this machine"),
        (
            [Step("guard", RUNS, seconds=7000), Step("embed", RUNS)],
            "2 stages: 2 run; about 1.9 h by the last runs on this machine, without embed",
        ),
        (
            [Step("count", MAY_RUN, (VALUE,), seconds=9), Step("report", UNCHANGED, seconds=5)],
            "2 stages: 1 may run, 1 unchanged; at most 9 s by the last runs on this machine",
        ),
    ],
)
def test_the_last_line_counts(steps: list[Step], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(Plan(None, tuple(steps)), capsys).splitlines()[-1] == line


def test_json_has_every_reason_and_the_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    show(EVERYTHING, as_json=True)
    data = json.loads(capsys.readouterr().out)
    assert data["compile_first"]["stale"] == ["dvc.yaml", "params.yaml"]
    assert [stage["outcome"] for stage in data["stages"]][:3] == [RUNS, RUNS, MAY_RUN]
    assert len(data["stages"][1]["reasons"]) == 6
    assert data["stages"][0]["reasons"][1] == {
        "kind": "value",
        "text": "targets.agreement 0.95 -> 0.9 (tracer.yaml:21)",
        "details": {"key": "targets.agreement"},
    }
    assert data["estimate"] == {
        "seconds": 130.66,
        "seconds_at_most": 191.66,
        "stages_without_a_time": ["train@logreg"],
    }


def test_a_wrong_tracer_yaml_and_no_repository_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tracer.yaml").write_text("traces: [{path: data/a.jsonl}]\nsede: 1\n")
    assert run(["plan", "--dir", str(tmp_path)]) == 2
    assert f"{tmp_path / 'tracer.yaml'}:2:1: sede: unknown key" in capsys.readouterr().err
    (tmp_path / "tracer.yaml").write_text("traces: [{path: data/a.jsonl}]\n")
    assert run(["plan", "--dir", str(tmp_path)]) == 2
    assert "is not in a DVC repository: run `dvc init`" in capsys.readouterr().err
