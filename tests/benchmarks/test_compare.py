"""`compare` from a trace file to a table, in real processes; and the help of every command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.summary import summarise
from support import QUICK_ZOO, example_traces, write_jsonl

LABELS = ("order_status", "refund_status", "return_item", "delivery_late")


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 300 generated traces of four labels, and a vector for each near its label's corner."""
    path = tmp_path_factory.mktemp("compare") / "t.jsonl"
    rows = [row for row in example_traces(1200) if row["teacher"] in LABELS]
    corners = np.eye(8)[[LABELS.index(row["teacher"]) for row in rows]]
    np.save(path.with_name("v.npy"), corners + np.random.default_rng(0).normal(0, 0.25, corners.shape))
    return write_jsonl(path, rows)


def test_tracer_and_a_plain_threshold_from_file_to_table(traces: Path, tmp_path: Path) -> None:
    results = tmp_path / "r.jsonl"
    arguments = ["compare", "--traces", traces, "--vectors", traces.with_name("v.npy"), "--n", 200, "--splits", 1]
    arguments += ["--target", 0.7, "--target", 0.9999, "--system", "tracer", "--system", "threshold"]
    arguments += ["--zoo", json.dumps(QUICK_ZOO), "--cache", tmp_path / "cache", "--results", results]
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    records = [json.loads(line) for line in results.read_text().splitlines()]
    assert {record["system"] for record in records} == {"tracer", "threshold"}
    assert all(record["seconds"] > 0 and record["peak_mb"] > 10 and record["future"] > 50 for record in records)
    low, high = (s for s in summarise(records) if s.system == "tracer")
    assert low.coverage > 0.5 and low.parity is not None and low.parity > 0.8
    assert (high.target, high.coverage, high.none_rate) == (0.9999, 0.0, 1.0)
    rows = done.stdout.splitlines()
    assert len(rows) == 2 + 4 and "tracer, holdout; zoo logreg" in rows[2]
    again = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert again.stdout == done.stdout and again.stderr == ""
    assert CliRunner().invoke(main, ["table", "--results", str(results)]).stdout == done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--traces", "t.jsonl"], "--traces needs --n"),
        (["--traces", "t.jsonl", "--n", "5000"], "leave no future"),
        (["--traces", "t.jsonl", "--n", "5", "--zoo", "{"], "not JSON"),
        (["--traces", "t.jsonl", "--n", "5", "--zoo", "[]"], "expected an object"),
        (["--row", "banking77"], "as in banking77:2000"),
        (["--row", "other:20"], "is not one of banking77, banking77-gpt"),
        (["--system", "peer"], "--system peer needs --peer"),
        (["--peer", "t.jsonl"], "t.jsonl"),
        (["--target", "1"], "--target"),
    ],
)
def test_wrong_usage_exits_2(
    arguments: list[str], message: str, traces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(traces.parent)
    vectors = ["--vectors", "v.npy"] if "--traces" in arguments else []
    places = ["--cache", str(tmp_path), "--results", str(tmp_path / "r.jsonl")]
    done = CliRunner().invoke(main, ["compare", *arguments, *vectors, *places])
    assert (done.exit_code, message in done.stderr) == (2, True), done.output


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize(("name", "command"), list(commands(main)))
def test_every_command_and_option_has_help(name: str, command: click.Command) -> None:
    assert command.help, name
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name}"
    assert CliRunner().invoke(main, [*name.split(), "--help"]).exit_code == 0


def test_readme_names_every_command() -> None:
    text = (Path(__file__).parents[2] / "benchmarks" / "README.md").read_text(encoding="utf-8")
    for name, command in commands(main):
        if not isinstance(command, click.Group):
            assert f"python -m benchmarks {name}" in text, name
