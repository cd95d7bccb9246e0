"""`dvc exp`: one setting, a queue of targets and zoos, and the table that compares them."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
import yaml

from dvc_support import SETTINGS, Project, code_of_page

pytestmark = [pytest.mark.dvc, pytest.mark.slow]

V2 = SETTINGS.replace("0.85", "0.75")


@pytest.fixture
def project(refits: Project, tmp_path: Path) -> Project:
    return refits.copy_to(tmp_path / "project")


def source(project: Project) -> str:
    return (project.root / "tracer.yaml").read_text()


def table(project: Project) -> dict[str, dict[str, str]]:
    """Experiment, or revision -> its row of `dvc exp show`."""
    rows = csv.DictReader(io.StringIO(project.shell("dvc exp show --csv")))
    return {row["Experiment"] or row["rev"]: row for row in rows}


def test_another_target_keeps_the_comments_and_is_kept_as_an_experiment(project: Project) -> None:
    run, show = "".join(code_of_page("Try another setting")).splitlines()
    printed = project.shell(run)
    # DVC may write a list its own way; the values and the comments are as they were.
    assert yaml.safe_load(source(project)) == yaml.safe_load(V2.replace("0.75", "0.97"))
    assert re.findall(r".*#.*", source(project)) == re.findall(r".*#.*", V2.replace("0.75", "0.97"))
    assert "Running stage 'calibrate'" in printed and "Running stage 'train" not in printed
    guard = json.loads((project.root / "metrics" / "guard.json").read_text())
    assert guard["target_agreement"] == 0.97
    shown = project.shell(show)
    assert "certified_coverage" in shown and "calibrate.targets.agreement" in shown and ".tracer" not in shown
    project.shell("git checkout -q . && dvc checkout -q")
    assert project.git("status", "--porcelain") == ""
    assert "up to date" in project.dvc("status")


def test_another_zoo_needs_compile_and_is_told_so(project: Project) -> None:
    told = project.dvc("exp", "run", "-S", "tracer.yaml:+zoo.forest={kind: extra_trees}", fails=True)
    assert "dvc.yaml: it is not what tracer.yaml compiles to (stages.train.matrix.model" in told
    assert "run `tracer compile`, then again" in told
    # Doing what it says is enough: the change is still in the working tree.
    project.tracer("compile")
    assert "Running stage 'resolve'" in project.dvc("exp", "run", "--single-item", "resolve")


def test_a_setting_of_a_member_and_one_that_is_not_written_yet(project: Project) -> None:
    settings = "-S tracer.yaml:zoo.logreg.C=3 -S 'tracer.yaml:+blend=1'"
    project.shell(f"dvc exp run --single-item resolve {settings}")
    changes = json.loads(project.shell("dvc params diff --json"))["params.yaml"]
    assert {key: change["new"] for key, change in changes.items()} == {"train.zoo.logreg.C": 3, "calibrate.blend": 1}
    # A stage's own parameters are those of the lock: what was not run is still to run.
    assert set(json.loads(project.shell("dvc status --json"))) == {"train@logreg", "calibrate", "guard", "report"}


def test_a_queue_of_targets_and_zoos_is_compared_by_exp_show(project: Project) -> None:
    targets, zoo, run_all, apply = code_of_page("Queue several, and compare them")
    project.shell(targets)
    forest = V2.replace("sgd: {kind: sgd}", "forest: {kind: extra_trees, n_estimators: 10}")
    (project.root / "tracer.yaml").write_text(forest)
    project.shell(zoo)
    assert source(project) == V2 and project.git("status", "--porcelain") == ""

    printed = project.shell(run_all)
    assert "Running stage 'ingest'" not in printed and "Running stage 'embed'" not in printed
    assert (project.root / "dvc_plots" / "index.html").is_file()
    rows = table(project)
    run = [row for row in rows.values() if row["typ"].startswith("branch")]
    assert [row["State"] for row in run] == ["Success"] * 3
    by_target = {float(row["target_agreement"]): row for row in run}
    assert {0.8, 0.9, 0.75} == set(by_target)
    for target, row in by_target.items():
        assert float(row["calibrate.targets.agreement"]) == target
        assert row["certified_coverage"] == row[f"coverage_at_{100 * target:g}_percent"]
    now = rows["workspace"]["certified_coverage"]
    assert float(now) > float(by_target[0.8]["certified_coverage"]) > float(by_target[0.9]["certified_coverage"])
    assert rows["forest"]["train.zoo.forest.kind"] == "extra_trees" and not rows["forest"]["train.zoo.sgd.kind"]
    assert rows["forest"]["certified_coverage"] != ""

    project.shell(apply)
    assert source(project) == forest
    assert "up to date" in project.dvc("status")
    assert project.run("guard", "--check").returncode == 0
