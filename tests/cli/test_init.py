"""`tracer init` as a person calls it."""

from pathlib import Path

import pytest

import tracer_cli.cli

run = tracer_cli.cli.run

LINES = "".join(f'{{"query": "text {i}", "intent": "{"ab"[i % 2]}", "at": "2024-01-0{i + 1}"}}\n' for i in range(4))


def test_it_lists_what_it_wrote_and_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--dir", str(tmp_path / "new"), "--name", "demo"]) == 0
    shown = capsys.readouterr().out
    assert f"wrote {tmp_path / 'new' / 'tracer.yaml'}\n" in shown
    assert shown.index("git init") < shown.index("dvc init") < shown.index("dvc repro")
    assert run(["compile", "--check", "--dir", str(tmp_path / "new")]) == 0


def test_a_second_run_keeps_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["init", "--dir", str(tmp_path)])
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    capsys.readouterr()
    assert run(["init", "--dir", str(tmp_path), "--name", "other"]) == 0
    shown = capsys.readouterr().out
    assert "wrote" not in shown
    assert f"kept  {tmp_path / 'tracer.yaml'}\n" in shown
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", str(tmp_path / "nope.jsonl"), "--dir", str(tmp_path)]) == 2
    assert "nope.jsonl" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_fields_of_a_traces_file_are_filled_in(tmp_path: Path) -> None:
    from tracer_cli.config.load import load_config

    file = tmp_path / "calls.jsonl"
    file.write_text(LINES)
    assert run(["init", str(file), "--dir", str(tmp_path)]) == 0
    source = load_config(tmp_path / "tracer.yaml").traces[0]
    assert (source.path, source.text, source.label) == ("calls.jsonl", "query", "intent")


def test_an_existing_tracer_yaml_stays_and_the_person_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tracer.yaml").write_text("traces: [{path: data/a.jsonl}]\n")
    file = tmp_path / "calls.jsonl"
    file.write_text(LINES)
    assert run(["init", str(file), "--dir", str(tmp_path)]) == 0
    assert "tracer.yaml was there already" in capsys.readouterr().err
    assert (tmp_path / "tracer.yaml").read_text() == "traces: [{path: data/a.jsonl}]\n"
