"""A repository that an older version compiled: what `tracer compile`, a stage and DVC make of it.

Each folder in migrations/ is what was committed at one time: tracer.yaml, dvc.yaml, params.yaml, dvc.lock.
"""

import re
import shutil
from pathlib import Path

import pytest
import yaml

import tracer_cli.cli
from support import DvcProject, example_traces, write_jsonl
from tracer_cli.artifacts import STAGES
from tracer_cli.compile import write
from tracer_cli.errors import ConfigError
from tracer_cli.stages import run_stage

MIGRATIONS = Path(__file__).parent / "migrations"
OLD = sorted(path.name for path in MIGRATIONS.iterdir())
COMPILED = ("dvc.yaml", "params.yaml")


def old_project(name: str, root: Path) -> Path:
    shutil.copytree(MIGRATIONS / name, root, dirs_exist_ok=True)
    return root


@pytest.fixture(params=OLD)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return old_project(request.param, tmp_path / "project")


def add_what_people_add(root: Path) -> None:
    """What `dvc freeze` writes, a stage and a section."""
    path = root / "dvc.yaml"
    text = path.read_text()
    assert "\n  embed:\n" in text
    text = text.replace("\n  embed:\n", "\n  embed:\n    frozen: true\n")
    added = "  publish:\n    cmd: echo published\n    deps:\n    - .tracer/manifest.json\n"
    text = text.replace("\nplots:\n", f"\n{added}plots:\n") if "\nplots:\n" in text else text + added
    path.write_text(text + "vars:\n- x: 1\n")


def test_there_are_fixtures_of_the_first_pipeline_and_of_later_ones() -> None:
    assert len(OLD) >= 3
    for name in OLD:
        assert {path.name for path in (MIGRATIONS / name).iterdir()} == {*COMPILED, "tracer.yaml", "dvc.lock"}


def test_check_calls_it_stale_with_the_difference_and_writes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in project.iterdir()}
    assert tracer_cli.cli.run(["compile", "--check", "--dir", str(project)]) == 2
    shown = capsys.readouterr()
    assert shown.err == "error: stale: dvc.yaml, params.yaml, metrics/previous.json; run `tracer compile`\n"
    assert "--- dvc.yaml\n+++ dvc.yaml (from tracer.yaml)\n" in shown.out
    assert "--- params.yaml\n+++ params.yaml (from tracer.yaml)\n" in shown.out
    changed = [line for line in shown.out.splitlines() if re.match(r"[-+][^-+]", line)]
    assert 0 < len(changed) < len(shown.out.splitlines())
    assert {path.name: path.read_bytes() for path in project.iterdir()} == before


def test_compile_rewrites_it_without_a_word_of_hand_edits(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = (project / "dvc.lock").read_bytes()
    assert tracer_cli.cli.run(["compile", "--dir", str(project)]) == 0
    shown = capsys.readouterr()
    written = (project / name for name in (*COMPILED, "metrics/previous.json"))
    assert shown.out == "".join(f"wrote {path}\n" for path in written)
    assert shown.err == ""
    assert write(project, check=True).stale == ()
    assert (project / "dvc.lock").read_bytes() == lock
    assert list(yaml.safe_load((project / "dvc.yaml").read_text())["stages"]) == list(STAGES), "an old stage stayed"


def test_frozen_stages_and_what_was_added_stay(project: Path) -> None:
    add_what_people_add(project)
    assert write(project).notes == ()
    data = yaml.safe_load((project / "dvc.yaml").read_text())
    assert data["stages"]["embed"]["frozen"] is True
    assert data["stages"].pop("publish") == {"cmd": "echo published", "deps": [".tracer/manifest.json"]}
    assert list(data["stages"]) == list(STAGES)
    assert data["vars"] == [{"x": 1}]
    assert write(project, check=True).stale == ()


def test_a_hand_edit_of_an_old_file_is_still_seen(project: Path) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("agreement: 0.95", "agreement: 0.5"))
    (note,) = write(project).notes
    assert "edited by hand" in note
    assert "calibrate.targets.agreement is 0.5 here and 0.95 by tracer.yaml" in note


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_says_what_to_do_before_anything_is_compiled(stage: str, project: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        run_stage(project, stage, "logreg" if stage == "train" else None)
    expected = (
        r"dvc\.yaml: it is not what tracer\.yaml compiles to \(stages\..*\): run `tracer compile`, then again$"
        if stage == "resolve"
        else r"params\.yaml: \w+ is missing; it was edited, or written by another version of tracer: run `tracer compile`"
    )
    assert re.search(expected, str(caught.value)), caught.value


@pytest.mark.dvc
@pytest.mark.slow
@pytest.mark.parametrize("name", [OLD[0], OLD[-1]])
def test_dvc_reads_what_was_compiled_beside_the_old_lock(name: str, tmp_path: Path) -> None:
    root = old_project(name, tmp_path / "project")
    dvc = DvcProject(root, tmp_path / "home")
    (root / ".gitignore").write_text("/artifacts\n/.tracer\n")
    write_jsonl(root / "data" / "traces" / "a.jsonl", example_traces(20))
    add_what_people_add(root)
    told = dvc.dvc("repro", "--force", "--single-item", "resolve", fails=True)
    assert "run `tracer compile`, then again" in told
    assert "Traceback" not in told
    dvc.tracer("compile")
    stages = [line.split()[0] for line in dvc.dvc("stage", "list").splitlines()]
    assert stages[:3] == ["resolve", "ingest", "embed"]
    assert stages[-1] == "publish"
    assert "Running stage 'resolve'" in dvc.dvc("repro", "resolve")
    dry = dvc.dvc("repro", "--dry", "ingest")
    assert "> tracer run ingest" in dry
