"""The real DVC accepts what we compile, runs resolve, and shows changes as params."""

import json
from pathlib import Path

import pytest

from support import DvcProject
from tracer_cli.compile import write

pytestmark = [pytest.mark.dvc, pytest.mark.slow]

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def project(tmp_path: Path) -> DvcProject:
    root = tmp_path / "project"
    root.mkdir()
    made = DvcProject(root, tmp_path / "home")
    for path in ("data/traces/2024/x.jsonl", "more/b.parquet", "vectors/x.npy"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("{}\n")
    (root / ".gitignore").write_text("/artifacts\n/.tracer\n")
    return made


def use(project: DvcProject, name: str) -> None:
    (project.root / "tracer.yaml").write_bytes((GOLDEN / f"{name}.tracer.yaml").read_bytes())
    write(project.root)


@pytest.mark.parametrize("name", ["plain", "rich"])
def test_dvc_accepts_and_runs_it(project: DvcProject, name: str) -> None:
    use(project, name)
    project.commit()
    stages = [line.split()[0] for line in project.dvc("stage", "list").splitlines()]
    slugs = {"plain": ["kernel", "logreg", "knn"], "rich": ["null", "gr-e-1-5", "model-1f600", "m-1e-3", "near"]}[name]
    trained = [f"train@{slug}" for slug in slugs]
    assert stages == ["resolve", "ingest", "embed", *trained, "calibrate", "guard", "report"]

    edges = project.dvc("dag", "--dot")
    assert '"guard" -> "report"' in edges
    for slug in slugs:
        assert f'"train@{slug}" -> "calibrate"' in edges

    assert "Running stage 'resolve'" in project.dvc("repro", "resolve")
    for slug in slugs:
        dry = project.dvc("repro", "--dry", "--force", "--single-item", f"train@{slug}")
        assert f"> tracer run train --model {slug}\n" in dry
    assert json.loads(project.dvc("params", "diff", "--json")) == {}


def test_the_labels_of_the_holdout_reach_guard_and_report_alone(project: DvcProject) -> None:
    use(project, "plain")
    edges = project.dvc("dag", "--dot", "--outs").splitlines()
    start = '"artifacts/traces/holdout_labels.parquet" -> '
    after = {line.split('"')[3] for line in edges if line.startswith(start)}
    assert after <= {
        ".tracer/manifest.json",
        ".tracer/policy.onnx",
        ".tracer/embedder",
        ".tracer/frontier.json",
        "artifacts/guard/rows.parquet",
        "metrics/guard.json",
        ".tracer/report.html",
        ".tracer/qualitative_report.json",
        "plots/frontier.json",
        "plots/labels.csv",
        "plots/targets.csv",
    }
    assert "metrics/guard.json" in after


def test_a_changed_target_is_one_line_of_params_diff_and_an_experiment_can_set_it(project: DvcProject) -> None:
    (project.root / "tracer.yaml").write_text(
        "# why\ntraces: [{path: data/traces/*.jsonl, label: 'yes'}]\ntargets:\n  agreement: 0.95 # agreed with Ann\n"
    )
    write(project.root)
    project.dvc("repro", "resolve")
    project.commit()
    project.dvc("exp", "run", "-S", "tracer.yaml:targets.agreement=0.91", "-s", "resolve")
    (change,) = json.loads(project.dvc("params", "diff", "--json"))["params.yaml"].items()
    assert change[0] == "calibrate.targets.agreement"
    assert (change[1]["old"], change[1]["new"]) == (0.95, 0.91)
    source = (project.root / "tracer.yaml").read_text()
    assert "# why" in source
    assert "# agreed with Ann" in source
    assert write(project.root, check=True).stale == ()


def test_an_experiment_that_sets_params_yaml_is_refused_with_the_place(project: DvcProject) -> None:
    use(project, "plain")
    project.dvc("repro", "resolve")
    project.commit()
    told = project.dvc("exp", "run", "-S", "calibrate.targets.agreement=0.91", "-s", "resolve", fails=True)
    assert "params.yaml: edited by hand" in told
    assert "dvc exp run -S tracer.yaml:targets.agreement=0.91" in told


def test_freezing_is_one_line_and_not_stale(project: DvcProject) -> None:
    use(project, "rich")
    project.commit()
    stages = ("resolve", "ingest", "embed", "calibrate", "guard", "report")
    project.dvc("freeze", *stages)
    assert project.git("diff", "--numstat", "dvc.yaml").split()[:2] == [str(len(stages)), "0"]
    assert write(project.root, check=True).stale == ()
