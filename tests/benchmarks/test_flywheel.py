"""The turn of the flywheel: who is given which rows, and the command that shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import flywheel, vectors
from benchmarks.__main__ import main
from benchmarks.data import DataSet
from benchmarks.flywheel import ALL, ORGANIC, POLICIES, POOLED, RULE, Turned
from support import QUICK_ZOO, clustered, write_jsonl
from tracer_cli.artifacts import read_table
from tracer_cli.traces.table import read_fit_meta

ARGUMENTS = {"organic": 300, "requests": 400, "audit": 0.1, "target": 0.9, "delta": 0.1, "seed": 3, "zoo": QUICK_ZOO}


def test_each_policy_is_fitted_on_what_it_would_have_been_logged_with(tmp_path: Path) -> None:
    """Of four labels two are a matter of chance, so about half of the requests are deferred."""
    traces, matrix = clustered(900)
    data = DataSet("four", [t["input"] for t in traces], [t["teacher"] for t in traces], matrix)
    prepared = vectors.prepare(data, tmp_path)
    found = [Turned(**entry) for entry in flywheel.turn(tmp_path, str(prepared.path), **ARGUMENTS)]
    by_name = {item.policy: item for item in found}
    assert tuple(by_name) == POLICIES and {item.future for item in found} == {200}
    labelled = by_name[RULE].labelled
    assert by_name[POOLED].labelled == labelled and (by_name[ORGANIC].labelled, by_name[ALL].labelled) == (0, 400)
    # Half of the requests, and a tenth of the other half.
    assert labelled == pytest.approx(220, abs=30)
    assert all(item.certified and item.agreed >= 0.8 * item.handled for item in found)
    origins: dict[str, dict[str, int]] = {}
    for name in POLICIES:
        parts = [tmp_path / name / "policy/work/artifacts/traces" / f"{side}.parquet" for side in ("fit", "holdout")]
        own = [origin for part in parts for origin in read_table(part, ["origin"])["origin"].to_pylist()]
        origins[name] = {kind: own.count(kind) for kind in ("organic", "audit", "deferred")}
        assert read_fit_meta(parts[0])["rows_read"] == 300 + by_name[name].labelled
    assert origins[POOLED] == {"organic": 300 + labelled, "audit": 0, "deferred": 0}
    assert origins[RULE]["organic"] == 300 and origins[RULE]["audit"] == pytest.approx(40, abs=20)
    assert sum(origins[RULE].values()) == 300 + labelled


def test_the_table() -> None:
    turns = [
        Turned(name, 10 * i, certified, 100, 50 + i if certified else 0, 45 if certified else 0)
        for certified in (True, False)
        for i, name in enumerate(POLICIES)
    ]
    rows = flywheel.table([("d", 300, 400, 0.89, turns)]).splitlines()
    assert len(rows) == 2 + 4
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
    assert cells[0] == ["d", "300", "400", "0.89", ORGANIC, "2", "0", "0.250", "0.900", "0/1"]
    assert cells[3] == ["d", "300", "400", "0.89", ALL, "2", "30", "0.265", "0.849", "1/1"]


def test_the_command_in_processes_of_its_own(tmp_path: Path) -> None:
    traces, matrix = clustered(500)
    np.save(tmp_path / "x.npy", matrix)
    arguments = ["--traces", write_jsonl(tmp_path / "t.jsonl", traces), "--vectors", tmp_path / "x.npy"]
    arguments += ["--cache", tmp_path / "cache", "--organic", 200, "--target", 0.8, "--rounds", 1, "--jobs", 1]
    arguments += ["--zoo", '{"linear": {"kind": "logistic_regression", "C": 1.0}}']
    runner = CliRunner(env={"TRACER_BENCH_DATA": ""})
    done = runner.invoke(main, ["flywheel", *map(str, arguments), "--requests", "200"], catch_exceptions=False)
    assert done.exit_code == 0 and done.stdout.count("\n") == 6
    assert all(f"| {name}" in done.stdout for name in POLICIES) and "seed=0" in done.stderr
    done = runner.invoke(main, ["flywheel", *map(str, arguments), "--requests", "300"])
    assert done.exit_code == 2
    assert "has 500 texts: 200 traces and 300 requests leave no future" in done.stderr
