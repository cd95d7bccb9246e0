"""`tracer explain` as a person calls it."""

import json
from pathlib import Path

import pytest

import tracer_cli.cli

run = tracer_cli.cli.run
SOURCE = """\
traces:
- path: data/a.jsonl
  label: on
zoo: {a.b: {kind: sgd}}
targets:
  agreement: 0.9
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tracer.yaml").write_text(SOURCE)
    return tmp_path


def test_the_list_has_a_line_for_each_value_grouped_as_in_the_file(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = {line.split()[0]: line.split() for line in lines if line}
    assert cells["traces[0].path"][:3] == ["traces[0].path", "data/a.jsonl", "tracer.yaml:2"]
    assert cells["traces[0].label"][1:3] == ["'on'", "tracer.yaml:3"]
    assert cells["targets.agreement"][1:3] == ["0.9", "tracer.yaml:6"]
    assert cells["targets.confidence"][1:3] == ["0.95", "default"]
    assert cells["targets.confidence"][3:6] == ["Confidence", "of", "the"]
    sections = [block.split()[0].split(".")[0].split("[")[0] for block in "\n".join(lines).split("\n\n")]
    assert sections == [
        "schema",
        "traces",
        "split",
        "embedder",
        "zoo",
        "acceptor",
        "targets",
        "rules",
        "cost",
        "outputs",
    ]


def test_all_about_one_key(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "calibrate.targets.agreement"]) == 0
    assert capsys.readouterr().out == (
        "targets.agreement = 0.9\n"
        "  Parity with the teacher at which the policy is deployed.\n"
        "\n"
        "  expected       a number above 0 and below 1\n"
        "  default        0.95\n"
        "  written at     tracer.yaml:6:14\n"
        "  in params      calibrate.targets.agreement\n"
        "  a change runs  resolve, calibrate, guard, report\n"
    )


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (
            "targets.confidence",
            "written at     nowhere: it is the default; the section to write it in is at tracer.yaml:5\n",
        ),
        ("cost.per_call", "written at     nowhere: it is the default; tracer.yaml has no cost yet\n"),
        ("rules.max_labels_lost", "a change runs  resolve, which writes params.yaml, and no other stage\n"),
        ("traces[0].path", "default        none: it must be written\n"),
        ("traces[0].path", "first          tracer compile: it can change dvc.yaml too\n"),
        ("zoo['a.b'].alpha", "a change runs  resolve, train@a-b, calibrate, guard\n"),
        (
            "embedder.model",
            "not in use     goes with embedder.kind: endpoint or sentence-transformers, which is tfidf here\n",
        ),
        ("targets", "\n  targets.agreement      0.9                      tracer.yaml:6  Parity"),
    ],
)
def test_what_one_key_says(key: str, told: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", key]) == 0
    assert told in capsys.readouterr().out


def test_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "--json"]) == 0
    entries = {entry["key"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert entries["targets.agreement"] == {
        "key": "targets.agreement",
        "value": 0.9,
        "set": {"file": "tracer.yaml", "line": 6, "column": 14},
        "meaning": "Parity with the teacher at which the policy is deployed.",
    }
    assert entries["seed"]["set"] is None
    assert run(["explain", "targets.agreement", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert one["params"] == ["calibrate.targets.agreement"]
    assert one["reruns"] == ["resolve", "calibrate", "guard", "report"]
    assert (one["default"], one["required"], one["unused"], one["recompile"]) == (0.95, False, None, False)
    assert run(["explain", "report", "--json"]) == 0
    assert [entry["key"] for entry in json.loads(capsys.readouterr().out)] == [
        "cost.per_call",
        "cost.calls_per_day",
        "cost.currency",
    ]
    assert run(["explain", "split", "--json"]) == 0
    assert [entry["key"] for entry in json.loads(capsys.readouterr().out)["keys"]] == [
        "split.holdout",
        "split.by",
        "split.folds",
    ]


def test_errors_are_those_of_the_user(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "targets.agrement"]) == 2
    assert "did you mean 'targets.agreement'?" in capsys.readouterr().err
    Path("tracer.yaml").write_text("traces: 1\n")
    assert run(["explain"]) == 2
    assert "tracer.yaml:1:9: traces: found 1" in capsys.readouterr().err
    assert run(["explain", "--dir", "nowhere"]) == 2


def test_another_folder(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir("/")
    assert run(["explain", "targets.agreement", "--dir", str(project)]) == 0
    assert f"{project / 'tracer.yaml'}:6:14" in capsys.readouterr().out
