"""`tracer doctor` as a person calls it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import tracer_cli.cli
from support import tracer
from tracer_cli.doctor import catalogue, examine
from tracer_cli.doctor.findings import Finding, fine

run = tracer_cli.cli.run

WARNING = catalogue.OLD_TRACES.found("the newest trace is of 2020-01-01")
BROKEN = catalogue.HOLDOUT_TOO_SMALL.found("9 texts", file="tracer.yaml", line=7, missing="50")
MANY = catalogue.CONFIGURATION.found("x/tracer.yaml:2:1: a: unknown key\n  a: 1\n  ^", file="tracer.yaml", line=2)


@pytest.fixture
def finding(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_to(*findings: Finding) -> None:
        def answer(root: Path) -> Sequence[Finding]:
            return findings

        monkeypatch.setattr(examine, "examine", answer)

    return set_to


def test_all_fine_is_exit_0_and_one_line_each(finding: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    finding(fine("git", "a repository with commits"), fine("disk", "80 GB free"))
    assert run(["doctor"]) == 0
    shown = capsys.readouterr()
    assert shown.out == (
        "fine     git: a repository with commits\nfine     disk: 80 GB free\n0 broken, 0 warnings, 2 fine\n"
    )
    assert shown.err == ""


def test_a_warning_is_told_with_its_reason_and_fix_and_is_exit_0(
    finding: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    finding(WARNING)
    assert run(["doctor"]) == 0
    assert capsys.readouterr().out == (
        "warning  traces (old-traces): the newest trace is of 2020-01-01\n"
        "         why: The certificate holds for traffic like the traces; what people ask may have changed since.\n"
        "         fix: Add newer traces, then: dvc repro\n"
        "0 broken, 1 warning, 0 fine\n"
    )


def test_what_is_broken_is_exit_2_with_its_place(
    finding: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    finding(WARNING, BROKEN, MANY)
    assert run(["doctor"]) == 2
    shown = capsys.readouterr()
    assert "broken   holdout (holdout-too-small): tracer.yaml:7: 9 texts\n" in shown.out
    assert "broken   configuration (configuration): x/tracer.yaml:2:1: a: unknown key\n           a: 1\n" in shown.out
    assert shown.out.endswith("2 broken, 1 warning, 0 fine\n")
    assert shown.err == "error: broken: holdout-too-small, configuration; each is told above with its fix\n"


def test_json_is_printed_whatever_is_found(finding: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    finding(fine("disk", "80 GB free"), BROKEN)
    assert run(["doctor", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["count"] == {"broken": 1, "warning": 0, "fine": 1}
    assert told["findings"][0] == {
        "check": "disk",
        "grade": "fine",
        "found": "80 GB free",
        "kind": None,
        "why": "",
        "fix": "",
        "file": None,
        "line": None,
    }
    assert told["findings"][1]["kind"] == "holdout-too-small"
    assert (told["findings"][1]["file"], told["findings"][1]["line"]) == ("tracer.yaml", 7)
    assert told["findings"][1]["fix"].startswith("Bring about 50 more distinct texts")


def test_another_folder_and_one_that_is_not_there(tmp_path: Path) -> None:
    done = tracer("doctor", "--dir", tmp_path / "none", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: broken: no-project; each is told above with its fix\n")
    done = tracer("doctor", "--dir", tmp_path, "--json", cwd=Path("/"))
    assert done.returncode == 2
    assert "no-configuration" in {finding["kind"] for finding in json.loads(done.stdout)["findings"]}
