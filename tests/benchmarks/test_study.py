"""Running a study: what is there is not run again, and a stop loses nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import isolated, records, study
from benchmarks.__main__ import main
from benchmarks.study import Row, Study
from benchmarks.vectors import Prepared
from support import write_jsonl


class Calls:
    """Stands in for processes: each answers with one figure for each system."""

    def __init__(self, agreed: int = 95) -> None:
        self.made: list[tuple[int, list[str]]] = []
        self.processes = 0
        self.fails: set[int] = set()
        self.agreed = agreed

    def __call__(self, function: str, arguments: dict[str, Any], cpus: Sequence[int] = ()) -> Any:
        self.processes += 1
        return [self.split(**arguments) for arguments in arguments["splits"]]

    def split(self, seed: int, systems: list[str], targets: list[float], **_: Any) -> dict[str, Any]:
        self.made.append((seed, systems))
        if seed in self.fails:
            raise isolated.ChildError("boom")
        outcomes = [{"target": t, "certified": True, "handled": 100, "agreed": self.agreed} for t in targets]
        return {name: {"future": 200, "seconds": 1.0, "peak_mb": 10.0, "outcomes": outcomes} for name in systems}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    made = Calls()
    monkeypatch.setattr(isolated, "call", made)
    return made


def a_study(splits: int = 3, systems: Sequence[str] = ("tracer", "mapie", "threshold"), **settings: Any) -> Study:
    return Study([Row(Prepared("d", 300, "x", Path("d.npz")), 100, (0.9,), splits)], systems, settings=settings)


def test_resume_runs_nothing_twice(calls: Calls, tmp_path: Path) -> None:
    results = tmp_path / "r.jsonl"
    first, _ = study.run(a_study(2), results, 2)
    assert len(first) == 6
    calls.made.clear()
    again, _ = study.run(a_study(3), results, 2)
    assert len(again) == 9 and {seed for seed, _ in calls.made} == {2}
    calls.made.clear()
    assert study.run(a_study(3), results, 2) == (again, 0) and calls.made == []


def test_systems_that_share_a_fit_share_a_process(calls: Calls, tmp_path: Path) -> None:
    study.run(a_study(1), tmp_path / "r.jsonl", 1)
    assert sorted(systems for _, systems in calls.made) == [["threshold"], ["tracer", "mapie"]]


def test_splits_share_a_process_where_the_study_says_so(calls: Calls, tmp_path: Path) -> None:
    wanted = replace(a_study(7, ["tracer", "tracer-crossfit"]), batch=3)
    found, _ = study.run(wanted, tmp_path / "r.jsonl", 2)
    assert calls.processes == 6 and len(calls.made) == 14
    assert {(r["seed"], r["system"]) for r in found} == {(s, k) for s in range(7) for k in wanted.systems}


def test_other_settings_are_other_results_for_the_systems_that_heed_them(calls: Calls, tmp_path: Path) -> None:
    study.run(a_study(1), tmp_path / "r.jsonl", 1)
    calls.made.clear()
    found, _ = study.run(a_study(1, zoo={"m": {"kind": "mlp"}}), tmp_path / "r.jsonl", 1)
    assert calls.made == [(0, ["tracer", "mapie"])] and len(found) == 3


def test_a_line_that_a_stop_cut_off_is_run_again(calls: Calls, tmp_path: Path) -> None:
    results = tmp_path / "r.jsonl"
    study.run(a_study(2, ["tracer"]), results, 1)
    results.write_bytes(results.read_bytes()[:-20])
    calls.made.clear()
    found, _ = study.run(a_study(2, ["tracer"]), results, 1)
    assert len(calls.made) == 1 and len(found) == 2 == len(records.read(results))


def test_a_process_that_fails_costs_its_own_result_only(
    calls: Calls, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls.fails = {1}
    found, failed = study.run(a_study(3, ["tracer"]), tmp_path / "r.jsonl", 1)
    assert (len(found), failed) == (2, 1)
    assert "d n=100 seed=1 tracer FAILED\nboom" in capsys.readouterr().err


@pytest.mark.parametrize(("agreed", "exit_code", "verdict"), [(95, 0, "ok"), (85, 1, "FAIL")])
def test_validity_fails_when_a_row_exceeds_its_limit(
    agreed: int, exit_code: int, verdict: str, calls: Calls, tmp_path: Path
) -> None:
    calls.agreed = agreed
    traces = write_jsonl(tmp_path / "t.jsonl", [{"input": f"text {i}", "teacher": "a"} for i in range(300)])
    np.save(tmp_path / "v.npy", np.zeros((300, 2)))
    arguments = ["--traces", traces, "--vectors", tmp_path / "v.npy", "--n", 100, "--target", 0.9, "--splits", 4]
    places = ["--cache", tmp_path, "--results", tmp_path / "r.jsonl"]
    done = CliRunner().invoke(main, ["validity", *map(str, arguments + places)])
    assert done.exit_code == exit_code, done.output
    assert done.stdout.count(f"| {verdict}") == (4 if agreed == 95 else 2)  # 15 of 200 rows differ: overall holds
    reprint = CliRunner().invoke(main, ["table", "--validity", "--results", str(tmp_path / "r.jsonl")])
    assert reprint.stdout == done.stdout


def test_a_process_has_its_threads_set_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}

    def run(command: list[Any], env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        seen.update(env)
        Path(command[-2]).write_text("7")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    assert isolated.call("a:b", {}, threads=3) == 7
    assert {seen[name] for name in isolated.THREAD_VARIABLES} == {"3"}


def test_what_a_process_died_of_is_told() -> None:
    with pytest.raises(isolated.ChildError, match="ModuleNotFoundError: No module named 'no_such'"):
        isolated.call("no_such:name", {})


def test_workers_share_no_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 5}, raising=False)
    assert isolated.cpu_sets(2, 2) == [[0, 1], [2, 3]]
    assert isolated.cpu_sets(3, 2) == [[], [], []]
