"""The plan's words and cases, one by one, on a project that real DVC reproduced with stand-ins for the stages."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import stand_ins
from support import DvcProject, example_traces, write_jsonl
from tracer_cli import artifacts
from tracer_cli.errors import ConfigError, ProgramError
from tracer_cli.programs import dvc
from tracer_cli.review.plan.last_run import LISTINGS, listing_with, noted, seconds_of
from tracer_cli.review.plan.lock import read_lock
from tracer_cli.review.plan.plan import FROZEN, MAY_RUN, NOT_REACHED, RESTORED, RUNS, STOPS, UNCHANGED, Plan, plan
from tracer_cli.stages import run_stage

pytestmark = pytest.mark.dvc

SETTINGS = """\
schema: 1
traces:
  - path: data/traces/*.jsonl
    label: teacher
embedder: {kind: tfidf, dim: 16}
zoo:
  sgd: {kind: sgd}
  Old One: {kind: sgd, alpha: 1e-4}
targets:
  agreement: 0.85
  confidence: 0.9
"""
EVERY = ["resolve", "ingest", "embed", "train@sgd", "train@old-one", "calibrate", "guard", "report"]


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> DvcProject:
    folder = tmp_path_factory.mktemp("plan")
    (folder / "project").mkdir()
    project = DvcProject(folder / "project", folder / "home")
    stand_ins.install(project, folder / "home")
    write_jsonl(project.root / "data" / "traces" / "a.jsonl", example_traces(30))
    (project.root / "tracer.yaml").write_text(SETTINGS)
    project.tracer("init")
    project.dvc("repro")
    return project


@pytest.fixture
def project(reproduced: DvcProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DvcProject]:
    """A copy of its own, entered, as if the real ingest had run."""
    project = copy.copy(reproduced)
    project.root = tmp_path / "project"
    shutil.copytree(reproduced.root, project.root, symlinks=True)
    monkeypatch.chdir(project.root)
    with noted(Path(), "ingest", None):
        pass
    yield project


def edit(old: str, new: str, file: str = "tracer.yaml") -> None:
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new))


def outcomes(found: Plan) -> dict[str, str]:
    return {step.stage: step.outcome for step in found.steps if step.outcome != UNCHANGED}


def why(found: Plan, stage: str) -> list[str]:
    return [reason.text for step in found.steps if step.stage == stage for reason in step.reasons]


def test_nothing_to_do(project: DvcProject) -> None:
    found = plan(Path())
    assert found.compile_first is None
    assert [step.stage for step in found.steps] == EVERY
    assert outcomes(found) == {}


def test_a_value_is_told_with_its_place_and_both_values(project: DvcProject) -> None:
    edit("agreement: 0.85", "agreement: 0.8")
    edit("  confidence: 0.9\n", "")
    found = plan(Path())
    assert outcomes(found) == {"resolve": RUNS, "calibrate": RUNS, "guard": RUNS, "report": RUNS}
    values = ["targets.agreement 0.85 -> 0.8 (tracer.yaml:10)", "targets.confidence 0.9 -> 0.95 (the default)"]
    assert why(found, "resolve") == ["tracer.yaml changed", *values]
    assert why(found, "calibrate") == values
    (reason, *_) = next(step.reasons for step in found.steps if step.stage == "guard")
    place = {"key": "targets.agreement", "file": "tracer.yaml", "line": 10}
    assert reason.details == {**place, "old": 0.85, "new": 0.8}


def test_dvc_is_asked_once(project: DvcProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its start is most of the time that a plan takes."""
    asked = []
    ask = dvc.dvc
    monkeypatch.setattr(dvc, "dvc", lambda root, *arguments: asked.append(arguments) or ask(root, *arguments))
    edit("agreement: 0.85", "agreement: 0.8")
    Path("data/traces/a.jsonl").touch()
    plan(Path())
    assert asked == [("status", "--json")]


def test_an_edit_that_no_stage_reads_runs_resolve_alone(project: DvcProject) -> None:
    edit("schema: 1", "schema: 1 # the first")
    found = plan(Path())
    assert outcomes(found) == {"resolve": RUNS}
    assert why(found, "resolve") == ["tracer.yaml changed, but no value that a stage reads"]


def test_the_facts_of_the_policy_before_are_written_by_a_compile(project: DvcProject) -> None:
    """In a project of an earlier version they are missing as long as dvc.yaml is stale; deleted, they stop the report."""
    Path("metrics/previous.json").unlink()
    (report,) = [step for step in plan(Path()).steps if step.stage == "report"]
    assert report.outcome == STOPS and "metrics/previous.json is missing: bring it back" in report.reasons[0].text
    edit("  Old One: {kind: sgd, alpha: 1e-4}\n", "  New One: {kind: sgd}\n")
    found = plan(Path())
    assert found.compile_first is not None and found.those(STOPS) == []


def test_a_member_of_the_zoo_needs_a_compile_first(project: DvcProject) -> None:
    edit("  Old One: {kind: sgd, alpha: 1e-4}\n", "  New One: {kind: sgd}\n")
    edit("label: teacher", "label: output")
    found = plan(Path())
    assert found.compile_first is not None
    assert found.compile_first.stale == ("dvc.yaml", "params.yaml")
    assert found.compile_first.without == "`dvc repro` stops at resolve"
    assert "stages.train.matrix.model" in found.compile_first.places
    assert why(found, "train@new-one") == ["it has not run yet"]
    assert "train@old-one" not in [step.stage for step in found.steps]
    assert why(found, "ingest") == ["traces[0].label teacher -> output (tracer.yaml:4)"]
    assert why(found, "calibrate") == [
        "zoo['New One'] is new (tracer.yaml:8)",
        "zoo['Old One'] was taken out",
        "artifacts/models/new-one is new",
    ]


def test_a_newer_tracer_needs_a_compile_which_dvc_does_not_notice(
    project: DvcProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(artifacts.STAGE_VERSIONS, "guard", artifacts.STAGE_VERSIONS["guard"] + 1)
    found = plan(Path())
    assert found.compile_first is not None
    assert found.compile_first.stale == ("params.yaml",)
    assert found.compile_first.places == ("stage_version.guard",)
    assert found.compile_first.without == "`dvc repro` runs the old files as they stand"
    assert outcomes(found) == {"resolve": RUNS, "guard": RUNS, "report": MAY_RUN}
    (text,) = why(found, "guard")
    assert text.startswith("tracer's guard stage itself changed: version ")
    assert "Running" not in project.dvc("repro")


def test_trace_files_are_named_one_by_one(project: DvcProject) -> None:
    traces = Path("data/traces")
    write_jsonl(traces / "sub" / "b.jsonl", example_traces(3))
    os.utime(traces / "a.jsonl", (1, 1))
    assert why(plan(Path()), "ingest") == ["data/traces/sub/b.jsonl is new"]
    (traces / "a.jsonl").rename(traces / "c.jsonl")
    edit("{", " {", "data/traces/sub/b.jsonl")
    names = ["data/traces/a.jsonl was removed", "data/traces/c.jsonl is new", "data/traces/sub/b.jsonl is new"]
    found = plan(Path())
    assert why(found, "ingest") == names
    assert outcomes(found)["ingest"] == RUNS
    (step,) = [step for step in found.steps if step.stage == "embed"]
    assert (step.outcome, step.reasons, step.after) == (MAY_RUN, (), ("ingest",))


def test_trace_files_that_no_ingest_noted_are_told_as_their_folder(project: DvcProject) -> None:
    shutil.rmtree(".dvc/tmp/tracer")
    write_jsonl(Path("data/traces/b.jsonl"), example_traces(3))
    assert why(plan(Path()), "ingest") == ["data/traces changed"]


def test_outputs_come_back_from_the_run_cache_or_not_at_all(project: DvcProject) -> None:
    shutil.rmtree("artifacts/candidate")
    Path("metrics/guard.json").write_text("{}")
    found = plan(Path())
    assert outcomes(found) == {"calibrate": RESTORED, "guard": RESTORED}
    assert why(found, "calibrate") == ["artifacts/candidate is missing"]
    assert why(found, "guard") == ["metrics/guard.json was edited"]
    Path("plots/labels.csv").unlink()
    assert outcomes(plan(Path()))["report"] == RUNS  # an output that git keeps is not in DVC's cache


def test_what_is_gone_from_the_cache_is_made_again(project: DvcProject) -> None:
    shutil.rmtree(".dvc/cache/files")
    found = plan(Path())
    assert outcomes(found) == dict.fromkeys(EVERY[1:], RUNS)
    assert "artifacts/traces/fit.parquet is not cached" in why(found, "ingest")


def test_params_edited_by_hand_stop_it(project: DvcProject) -> None:
    edit("seed: 0", "seed: 9", "params.yaml")
    found = plan(Path())
    assert outcomes(found) == {"resolve": STOPS, **dict.fromkeys(EVERY[1:], NOT_REACHED)}
    assert "edited by hand" in why(found, "resolve")[0] and "seed is 9 here" in why(found, "resolve")[0]
    assert why(found, "guard") == ["`dvc repro` stops at resolve"]


def test_missing_traces_stop_it(project: DvcProject) -> None:
    shutil.rmtree("data/traces")
    found = plan(Path())
    assert outcomes(found) == {"ingest": STOPS, **dict.fromkeys(EVERY[2:], NOT_REACHED)}
    assert why(found, "ingest") == ["data/traces is missing: bring it back, or correct its path"]
    project.dvc("repro", fails=True)


@pytest.mark.parametrize("tracked", ["data/traces", "data/traces/a.jsonl"])
def test_traces_that_dvc_tracks_are_checked_out_by_hand(project: DvcProject, tracked: str) -> None:
    project.dvc("add", "-q", tracked)
    project.dvc("repro")
    shutil.rmtree(tracked) if Path(tracked).is_dir() else Path(tracked).unlink()
    found = plan(Path())
    assert outcomes(found)["ingest"] == STOPS
    assert why(found, "ingest") == [f"{tracked} is missing: run `dvc checkout` or `dvc pull`"]
    project.dvc("repro", fails=True)


def test_a_frozen_stage_passes_over_what_changed(project: DvcProject) -> None:
    project.dvc("freeze", "calibrate")
    edit("agreement: 0.85", "agreement: 0.8")
    found = plan(Path())
    assert outcomes(found) == {"resolve": RUNS, "calibrate": FROZEN, "guard": RUNS, "report": RUNS}
    assert why(found, "calibrate") == ["targets.agreement 0.85 -> 0.8 (tracer.yaml:10)"]
    shutil.rmtree("artifacts/candidate")
    (text,) = why(plan(Path()), "calibrate")
    assert text == "it is frozen, and artifacts/candidate is missing: run `dvc checkout`, or `dvc unfreeze calibrate`"


def test_a_frozen_resolve_keeps_the_values(project: DvcProject) -> None:
    project.dvc("freeze", "resolve")
    edit("agreement: 0.85", "agreement: 0.8")
    found = plan(Path())
    assert outcomes(found) == {"resolve": FROZEN}
    assert "Running" not in project.dvc("repro")


def test_before_the_first_run(project: DvcProject) -> None:
    for name in ("dvc.lock", "dvc.yaml", "params.yaml"):
        Path(name).unlink()
    shutil.rmtree(".dvc/cache")
    found = plan(Path())
    assert found.compile_first is not None and found.compile_first.without == "there is no dvc.yaml"
    assert set(outcomes(found).values()) == {RUNS}
    assert why(found, "embed") == ["it has not run yet"]


def test_a_lost_lock_is_made_up_for_by_the_run_cache(project: DvcProject) -> None:
    Path("dvc.lock").unlink()
    found = plan(Path())
    assert outcomes(found) == {**dict.fromkeys(EVERY, RESTORED), "resolve": RUNS, "report": RUNS}


def test_the_cache_may_lie_elsewhere(project: DvcProject, tmp_path: Path) -> None:
    shutil.move(".dvc/cache", tmp_path / "elsewhere")
    project.dvc("cache", "dir", "--local", str(tmp_path / "elsewhere"))
    shutil.rmtree("artifacts/candidate")
    assert outcomes(plan(Path())) == {"calibrate": RESTORED}


def test_what_dvcignore_names_leaves_the_run_cache_open(project: DvcProject) -> None:
    """Which files of a folder DVC then counts is not worked out here."""
    first = Path("data/traces/a.jsonl").read_text()
    Path("data/traces/a.jsonl").write_text(first.replace("the", "teh"))
    project.dvc("repro")
    Path("data/traces/a.jsonl").write_text(first)
    assert outcomes(plan(Path()))["ingest"] == RESTORED
    Path(".dvcignore").write_text("*.bak\n")
    Path("data/traces/a.bak").write_text("x")
    assert outcomes(plan(Path()))["ingest"] == MAY_RUN
    assert "Stage 'ingest' is cached" in project.dvc("repro")


def test_a_stage_that_was_added_by_hand_is_as_dvc_sees_it(project: DvcProject) -> None:
    stage = "  count:\n    cmd: wc -l metrics/guard.json > lines\n    deps: [metrics/guard.json]\n    outs: [lines]\n"
    edit("stages:\n", f"stages:\n{stage}", "dvc.yaml")
    assert outcomes(plan(Path())) == {"count": MAY_RUN}
    assert why(plan(Path()), "count") == ["it has not run yet"]
    project.dvc("repro")
    assert outcomes(plan(Path())) == {}
    edit("agreement: 0.85", "agreement: 0.8")
    (step,) = [step for step in plan(Path()).steps if step.stage == "count"]
    assert (step.outcome, step.after) == (MAY_RUN, ("guard",))


def test_traces_may_come_from_a_stage_that_was_added(project: DvcProject) -> None:
    stage = "  export:\n    cmd: cp source data/traces/b.jsonl\n    deps: [source]\n    outs: [data/traces/b.jsonl]\n"
    edit("stages:\n", f"stages:\n{stage}", "dvc.yaml")
    write_jsonl(Path("source"), example_traces(3))
    project.dvc("repro")
    write_jsonl(Path("source"), example_traces(4))
    found = plan(Path())
    assert outcomes(found) == dict.fromkeys(["export", *EVERY[1:]], MAY_RUN)
    assert [step.after for step in found.steps if step.stage == "ingest"] == [("export",)]


def test_a_project_in_a_folder_of_a_repository_without_git(tmp_path: Path, reproduced: DvcProject) -> None:
    outer = copy.copy(reproduced)
    outer.root = tmp_path
    outer.dvc("init", "-q", "--no-scm")
    inner = copy.copy(reproduced)
    inner.root = tmp_path / "sub" / "project"
    for name in ("tracer.yaml", "dvc.yaml", "params.yaml", "metrics", "data"):
        source = reproduced.root / name
        inner.root.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, inner.root / name) if source.is_dir() else shutil.copy(source, inner.root)
    assert set(outcomes(plan(inner.root)).values()) == {RUNS}
    inner.dvc("repro")
    assert outcomes(plan(inner.root)) == {}
    (inner.root / "artifacts" / "vectors" / "fit.npy").unlink()
    assert outcomes(plan(inner.root)) == {"embed": RESTORED}


def test_errors_say_what_to_do(project: DvcProject, tmp_path: Path) -> None:
    lock = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text(f"<<<<<<< ours\n{lock}")
    with pytest.raises(ConfigError, match=r"dvc.lock: it is not as DVC writes it .*; restore it \(git checkout"):
        read_lock(Path())
    with pytest.raises((ConfigError, ProgramError)):
        plan(Path())
    Path("dvc.lock").write_text(lock)
    Path("tracer.yaml").write_text("traces: 1\n")
    with pytest.raises(ConfigError, match=r"tracer\.yaml:1:9"):
        plan(Path())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "tracer.yaml").write_text(SETTINGS)
    with pytest.raises(ProgramError, match="is not in a DVC repository: run `dvc init`"):
        plan(elsewhere)


def test_a_busy_repository_is_told_in_the_words_of_dvc(project: DvcProject) -> None:
    busy = {str(Path("artifacts/traces/fit.parquet").resolve()): {"write": {"pid": os.getpid(), "cmd": "dvc repro"}}}
    Path(".dvc/tmp/rwlock").write_text(json.dumps(busy))
    with pytest.raises(ProgramError, match=r"fit\.parquet"):
        plan(Path())


# --- what `tracer run` notes down -----------------------------------------------------------------


def test_seconds_are_those_of_the_last_run(project: DvcProject) -> None:
    with noted(Path(), "train", "sgd"):
        pass
    with pytest.raises(RuntimeError), noted(Path(), "train", "old-one"):
        raise RuntimeError
    assert seconds_of(Path(), "train@sgd") is not None and seconds_of(Path(), "train@old-one") is None
    Path(".dvc/tmp/tracer/seconds/train@sgd.json").write_text("x")
    assert seconds_of(Path(), "train@sgd") is None


def test_the_estimate_adds_up(project: DvcProject) -> None:
    for stage, seconds in {"resolve": 1, "calibrate": 20, "guard": 4, "report": 7, "embed": 100}.items():
        Path(f".dvc/tmp/tracer/seconds/{stage}.json").write_text(f"{seconds}")
    edit("agreement: 0.85", "agreement: 0.8")
    assert plan(Path()).data()["estimate"] == {"seconds": 32, "seconds_at_most": 32, "stages_without_a_time": []}


def test_notes_never_fail_a_stage_and_never_lie_outside(project: DvcProject, tmp_path: Path) -> None:
    shutil.rmtree(".dvc/tmp/tracer")
    Path(".dvc/tmp/tracer").write_text("in the way")
    with noted(Path(), "ingest", None):
        pass
    outside = tmp_path / "outside"
    outside.mkdir()
    with noted(outside, "ingest", None):
        pass
    assert list(outside.iterdir()) == []
    run_stage(Path(), "resolve")
    assert project.git("status", "--porcelain", ".dvc").strip() in ("", "A  .dvc/.gitignore\nA  .dvc/config")


def test_few_listings_are_kept_and_a_wrong_one_is_not_believed(project: DvcProject) -> None:
    for rows in range(1, LISTINGS + 3):
        write_jsonl(Path("data/traces/a.jsonl"), example_traces(rows))
        with noted(Path(), "ingest", None):
            pass
    kept = sorted(Path(".dvc/tmp/tracer/sources").iterdir())
    assert len(kept) == LISTINGS
    name = kept[0].name.removesuffix(".json")
    assert listing_with(Path(), name) is not None
    edit('"size": ', '"size": 1', str(kept[0]))
    assert listing_with(Path(), name) is not None  # a size is for speed alone
    edit('"md5": "', '"md5": "0', str(kept[0]))
    assert listing_with(Path(), name) is None
