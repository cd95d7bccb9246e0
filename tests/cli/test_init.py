"""`tracer init` as a person calls it."""

import shutil
import sys
from pathlib import Path

import pytest

import tracer_cli.cli
from support import REPOSITORY, DvcProject

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


def test_a_job_and_a_hook_are_listed_and_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("calls.jsonl").write_text(LINES)
    assert run(["init", "calls.jsonl", "--ci", "github", "--pre-commit"]) == 0
    shown = capsys.readouterr().out
    for line in ("wrote .github/workflows/tracer.yml", "wrote .pre-commit-config.yaml", "ran   git init"):
        assert f"{line}\n" in shown
    next_steps = shown[shown.index("Next:") :]
    assert next_steps.index("pre-commit install") < next_steps.index("dvc repro") < next_steps.index("git push")
    assert "git init" not in next_steps


def test_what_a_person_has_to_add_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".gitlab-ci.yml").write_text("stages: [test]\n")
    assert run(["init", "--dir", str(tmp_path), "--ci", "gitlab"]) == 0
    shown = capsys.readouterr()
    assert "is yours and was left as it is; add the job to it:" in shown.err
    assert f"kept  {tmp_path / '.gitlab-ci.yml'}\n" in shown.out


def test_another_service_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--dir", str(tmp_path), "--ci", "jenkins"]) == 2
    assert "'github', 'gitlab'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_hooks_with_the_real_pre_commit(tmp_path: Path) -> None:
    """The local one that init writes, and the one that the project offers to everybody's configuration."""
    (tmp_path / "project").mkdir()
    project = DvcProject(tmp_path / "project", tmp_path / "home")
    project.environment["PRE_COMMIT_HOME"] = str(tmp_path / "cache")
    project.tracer("init", "--pre-commit")

    def pre_commit(fails: bool = False) -> str:
        project.git("add", "-A")
        return project.program(sys.executable, "-m", "pre_commit", "run", fails=fails)

    assert "Passed" in pre_commit()
    config = (project.root / "tracer.yaml").read_text()
    (project.root / "tracer.yaml").write_text(config.replace("folds: 5", "folds: 4"))
    assert "error: stale: params.yaml; run `tracer compile`" in pre_commit(fails=True)
    project.tracer("compile")
    assert "Passed" in pre_commit()
    project.commit()
    (project.root / "note.txt").write_text("no file of the project")
    assert "Skipped" in pre_commit()

    offered = tmp_path / "offered"
    offered.mkdir()
    shutil.copy(REPOSITORY / ".pre-commit-hooks.yaml", offered)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"], ["tag", "v1"]):
        project.program("git", "-C", str(offered), *command)
    hook = f"repos:\n- repo: {offered}\n  rev: v1\n  hooks:\n  - id: tracer-compile-check\n"
    (project.root / ".pre-commit-config.yaml").write_text(hook)
    (project.root / "params.yaml").write_text((project.root / "params.yaml").read_text().replace("seed: 0", "seed: 1"))
    assert "params.yaml: edited by hand" in pre_commit(fails=True)
    project.git("checkout", "-q", "HEAD", "--", "params.yaml")
    (project.root / "tracer.yaml").write_text((project.root / "tracer.yaml").read_text() + "\n")
    assert "Passed" in pre_commit()
