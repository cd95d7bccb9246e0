"""`tracer run STAGE`."""

from pathlib import Path

import pytest

import tracer_cli.cli

run = tracer_cli.cli.run


@pytest.fixture
def project(tmp_path: Path) -> list[str]:
    (tmp_path / "tracer.yaml").write_text("traces: [{path: data/a.jsonl}]\nseed: 1\n")
    run(["compile", "--dir", str(tmp_path)])
    return ["--dir", str(tmp_path)]


def test_resolve_carries_an_edit_over(project: list[str], tmp_path: Path) -> None:
    (tmp_path / "tracer.yaml").write_text("traces: [{path: data/a.jsonl}]\nseed: 2\n")
    assert run(["run", "resolve", *project]) == 0
    assert "seed: 2\n" in (tmp_path / "params.yaml").read_text()


def test_errors_of_a_stage_exit_2(project: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "train", *project]) == 2
    assert "needs --model" in capsys.readouterr().err
    assert run(["run", "train", "--model", "nope", *project]) == 2
    assert "expected one of kernel, logreg, knn" in capsys.readouterr().err
    assert run(["run", "guard", "--model", "mlp", *project]) == 2
    assert "the stage train alone" in capsys.readouterr().err
    (tmp_path / "params.yaml").unlink()
    assert run(["run", "guard", *project]) == 2
    assert "no such file" in capsys.readouterr().err
