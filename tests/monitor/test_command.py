"""`tracer monitor` as a user types it. TRACER_WRITE_GOLDEN=1 writes the texts anew."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.stand_in import START, audit, traffic, write_log, write_policy
from support import REPOSITORY, tracer
from tracer_cli.cli.monitor import command

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    monkeypatch.chdir(tmp_path)
    return tmp_path, write_policy(tmp_path / ".tracer")


def same(text: str, name: str) -> None:
    path = GOLDEN / name
    if os.environ.get("TRACER_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def run(*arguments: str) -> str:
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_text_of_a_policy_that_nothing_speaks_against(project: tuple[Path, str]) -> None:
    root, policy = project
    write_log(root / "traces/a.jsonl", traffic(policy, 700, 0.97))
    same(run("traces"), "undecided.txt")


def test_the_text_of_one_below_its_target(project: tuple[Path, str]) -> None:
    root, policy = project
    entries = traffic(policy, 900, 0.85, seed=5, score=0.99)
    entries += [audit("f" * 16, 1), audit(policy, 2000, teacher=""), audit(policy, 2001, label="\x1b[31m", id="x")]
    write_log(root / "traces/a.jsonl", entries)
    with (root / "traces/a.jsonl").open("ab") as file:
        file.write(b'{"schema": 1, "inp')
    text = run("traces/a.jsonl")
    assert "\x1b" not in text
    same(text, "below.txt")


def test_the_text_of_no_audits(project: tuple[Path, str]) -> None:
    root, policy = project
    write_log(root / "traces/a.jsonl", [audit(policy, 1, origin="deferred", decision="deferred")])
    same(run("traces"), "nothing.txt")


def test_json_is_complete_and_plain(project: tuple[Path, str]) -> None:
    root, policy = project
    write_log(root / "traces/a.jsonl", traffic(policy, 60, 0.97))
    said = json.loads(run("traces", "--json"))
    assert set(said) == {
        *("project", "policy", "target", "confidence", "scope"),
        *("logs", "parity", "labels", "drift", "volume"),
    }
    assert said["policy"] == policy and said["parity"]["from"] == START.isoformat(timespec="seconds")


def test_check_is_exit_3_when_parity_was_below(project: tuple[Path, str]) -> None:
    root, policy = project
    write_log(root / "bad/a.jsonl", traffic(policy, 200, 0.6))
    write_log(root / "good/a.jsonl", traffic(policy, 200, 0.99))
    write_log(root / "none/a.jsonl", [audit("f" * 16, 1)])
    for folder, check, code in (("bad", True, 3), ("bad", False, 0), ("good", True, 0), ("none", True, 0)):
        done = tracer("monitor", folder, *(["--check"] if check else []), cwd=root)
        assert done.returncode == code, done.stderr
        assert (f"error: parity of policy {policy} was below the target 0.95 at 2026-08-0" in done.stderr) == (
            code == 3
        )
    done = tracer("monitor", "bad", "--check", "--json", cwd=root)
    assert done.returncode == 3 and json.loads(done.stdout)["parity"]["below_target"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing",), "error: no such file: nothing; name the folder or the files of a trace log"),
        (("log.jsonl", "--target", "0.5"), "error: 0.5 is no target of this policy; its targets are 0.9, 0.95, 0.98"),
        (("log.jsonl", "--policy", "elsewhere"), "elsewhere is not a policy folder"),
        ((), "Missing argument 'LOGS...'"),
    ],
)
def test_bad_input_is_exit_2_and_a_sentence(
    project: tuple[Path, str], arguments: tuple[str, ...], message: str
) -> None:
    write_log(project[0] / "log.jsonl", [])
    done = tracer("monitor", *arguments, cwd=project[0])
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


def test_an_empty_log_is_no_error(project: tuple[Path, str]) -> None:
    write_log(project[0] / "log.jsonl", [])
    assert "NO AUDITS" in run("log.jsonl")


def test_nothing_is_sent_and_nothing_is_written(project: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    root, policy = project
    write_log(root / "traces/a.jsonl", traffic(policy, 60, 0.97))

    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    before = sorted(root.rglob("*"))
    run("traces")
    assert sorted(root.rglob("*")) == before
    assert REPOSITORY not in root.parents
