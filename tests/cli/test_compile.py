"""`tracer compile` as a person calls it."""

from pathlib import Path

import pytest

import tracer_cli.cli

run = tracer_cli.cli.run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tracer.yaml").write_text("traces: [{path: data/a.jsonl}]\nseed: 1\n")
    return Path()


def test_it_writes_then_has_nothing_to_do(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compile"]) == 0
    assert capsys.readouterr().out == "wrote dvc.yaml\nwrote params.yaml\nwrote metrics/previous.json\n"
    assert run(["compile"]) == 0
    assert capsys.readouterr().out == "dvc.yaml and params.yaml are up to date\n"
    assert run(["compile", "--check"]) == 0


def test_check_exits_2_with_a_diff_on_stdout(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["compile"])
    Path("tracer.yaml").write_text("traces: [{path: data/a.jsonl}]\nseed: 2\n")
    capsys.readouterr()
    assert run(["compile", "--check"]) == 2
    shown = capsys.readouterr()
    assert "-seed: 1\n+seed: 2\n" in shown.out
    assert shown.err == "error: stale: params.yaml; run `tracer compile`\n"


def test_a_hand_edit_is_told_on_stderr(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["compile"])
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("seed: 1", "seed: 9"))
    capsys.readouterr()
    assert run(["compile"]) == 0
    assert "warning: params.yaml: edited by hand" in capsys.readouterr().err


def test_another_folder_and_its_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compile", "--dir", str(tmp_path)]) == 2
    assert "tracer.yaml: no such file" in capsys.readouterr().err
    (tmp_path / "tracer.yaml").write_text("traces: [{path: data/a.jsonl}]\nsede: 1\n")
    assert run(["compile", "--dir", str(tmp_path)]) == 2
    assert f"{tmp_path / 'tracer.yaml'}:2:1: sede: unknown key" in capsys.readouterr().err
    assert not (tmp_path / "dvc.yaml").exists()
