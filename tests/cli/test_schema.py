"""`tracer schema`."""

import json
from pathlib import Path

import pytest

import tracer_cli.cli

run = tracer_cli.cli.run


def test_it_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["required"] == ["traces"]
    assert schema["properties"]["targets"]["$ref"] == "#/$defs/Targets"


def test_it_writes_the_same_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["schema"])
    printed = capsys.readouterr().out
    assert run(["schema", "-o", str(tmp_path / "s.json")]) == 0
    assert (tmp_path / "s.json").read_text(encoding="utf-8") == printed


def test_a_place_that_cannot_be_written_is_an_error_of_the_user(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run(["schema", "-o", str(tmp_path / "file" / "s.json")]) == 2
    assert "cannot write" in capsys.readouterr().err
