"""The project as its users run it: the real DVC, from init to the diffs that a reviewer reads."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import DvcProject, example_traces, files_of, write_jsonl

pytestmark = [pytest.mark.dvc, pytest.mark.slow]

ZOO = "zoo:\n  logreg: {kind: logistic_regression}\n  sgd: {kind: sgd}\n"


def settings(agreement: float = 0.85, zoo: str = ZOO) -> str:
    return (
        "schema: 1\nproject: support\ntraces:\n  - path: data/traces/*.jsonl\n"
        "embedder: {kind: tfidf, dim: 64}\n"
        f"{zoo}targets: {{agreement: {agreement}, frontier: [0.7]}}\n"
    )


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> DvcProject:
    """A committed project after its first `dvc repro`."""
    folder = tmp_path_factory.mktemp("dvc")
    (folder / "project").mkdir()
    project = DvcProject(folder / "project", folder / "home")
    write_jsonl(project.root / "data" / "traces" / "a.jsonl", example_traces(900))
    (project.root / "tracer.yaml").write_text(settings())
    project.tracer("init")
    project.tracer("compile")
    project.dvc("repro")
    project.commit()
    return project


@pytest.fixture
def project(reproduced: DvcProject) -> DvcProject:
    """The same, as committed, whatever an earlier test did to it."""
    reproduced.git("checkout", "-q", ".")
    reproduced.git("clean", "-fdq")
    reproduced.dvc("checkout", "-q", "--force")
    return reproduced


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


def test_a_second_repro_does_nothing(project: DvcProject) -> None:
    assert ran(project.dvc("repro")) == []
    assert project.git("status", "--porcelain") == ""
    assert "Data and pipelines are up to date" in project.dvc("status")


def test_the_graph_is_the_evidence(project: DvcProject) -> None:
    """dvc.yaml names holdout_labels.parquet as a dependency of guard and report, and of nothing before them."""
    dot = project.dvc("dag", "--outs", "--dot")
    edges = re.findall(r'"([^"]+)" -> "([^"]+)"', dot)
    below, seen = {"artifacts/traces/holdout_labels.parquet"}, set()
    while below:
        seen |= below
        below = {b for a, b in edges if a in below} - seen
    assert not any(name.startswith(("artifacts/candidate", "artifacts/models", "artifacts/vectors")) for name in seen)
    assert ".tracer/manifest.json" in seen


def test_another_target_runs_calibrate_guard_report_and_says_so(project: DvcProject) -> None:
    (project.root / "tracer.yaml").write_text(settings(agreement=0.75))
    assert ran(project.dvc("repro")) == ["resolve", "calibrate", "guard", "report"]
    params = json.loads(project.dvc("params", "diff", "--json"))
    ((key, change),) = params["params.yaml"].items()
    assert (key, change["old"], change["new"]) == ("calibrate.targets.agreement", 0.85, 0.75)
    assert "calibrate.targets.agreement" in project.dvc("params", "diff")
    metrics = json.loads(project.dvc("metrics", "diff", "--json"))["metrics/guard.json"]
    assert metrics["target_agreement"] == {"old": 0.85, "new": 0.75, "diff": pytest.approx(-0.1)}
    assert metrics["certified_coverage"]["diff"] > 0
    assert "certified_coverage" in project.dvc("metrics", "diff", "--md")


def test_another_zoo_member_trains_alone(project: DvcProject) -> None:
    more = ZOO + "  Big Forest 2.0: {kind: extra_trees, n_estimators: 10}\n"
    (project.root / "tracer.yaml").write_text(settings(zoo=more))
    message = project.dvc("repro", fails=True)
    assert "run `tracer compile`" in message
    project.tracer("compile")
    assert ran(project.dvc("repro")) == ["resolve", "train@big-forest-2-0", "calibrate", "guard", "report"]


def test_new_traces_run_everything_after_them(project: DvcProject) -> None:
    write_jsonl(project.root / "data" / "traces" / "b.jsonl", example_traces(1000)[900:])
    stages = ran(project.dvc("repro"))
    assert stages == ["ingest", "embed", "train@logreg", "train@sgd", "calibrate", "guard", "report"]


def test_the_price_of_a_call_runs_the_report_alone(project: DvcProject) -> None:
    (project.root / "tracer.yaml").write_text(settings() + "cost: {per_call: 0.5}\n")
    assert ran(project.dvc("repro")) == ["resolve", "report"]


def test_metrics_and_plots_are_shown(project: DvcProject) -> None:
    metrics = json.loads(project.dvc("metrics", "show", "--json"))[""]["data"]
    assert metrics["metrics/guard.json"]["data"]["deployed"] == 1
    assert metrics["metrics/traces.json"]["data"]["rows_read"] == 900
    page = project.dvc("plots", "show", "--out", "plots-page")
    assert "index.html" in page


def test_two_folders_give_the_same_policy_and_the_same_lock(project: DvcProject, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = DvcProject(tmp_path / "other", tmp_path / "home")
    for name in ("tracer.yaml", "dvc.yaml", "metrics/previous.json", ".gitignore", "data/traces/a.jsonl"):
        (other.root / name).parent.mkdir(parents=True, exist_ok=True)
        (other.root / name).write_bytes((project.root / name).read_bytes())
    other.dvc("repro")
    names = ["params.yaml", "dvc.lock", "metrics/guard.json", ".tracer/manifest.json", ".tracer/policy.onnx"]
    for name in names:
        assert (other.root / name).read_bytes() == (project.root / name).read_bytes(), name
    assert files_of(other.root / ".tracer") == files_of(project.root / ".tracer")


def test_an_experiment_with_another_target(project: DvcProject) -> None:
    project.dvc("exp", "run", "-q", "-S", "tracer.yaml:targets.agreement=0.78", "--temp", "-n", "lower")
    shown = project.dvc("exp", "show", "--csv")
    assert "lower" in shown and "0.78" in shown
    assert "agreement: 0.85" in (project.root / "tracer.yaml").read_text()
    message = project.dvc("exp", "run", "-S", "calibrate.targets.agreement=0.7", fails=True)
    assert "tracer.yaml" in message and "targets.agreement" in message


def test_the_verdict_is_an_exit_code_only_when_asked(project: DvcProject) -> None:
    (project.root / "tracer.yaml").write_text(settings(agreement=0.995))
    assert ran(project.dvc("repro")) == ["resolve", "calibrate", "guard", "report"]
    assert (project.root / ".tracer" / "report.html").is_file()
    done = project.run("guard", "--check")
    assert done.returncode == 3
    assert "the parity guard did not pass: nothing can be certified at 0.995" in done.stderr
    assert project.run("guard").returncode == 0
    done = project.run("route", "where is my order")
    assert done.returncode == 3 and "the guard did not pass the policy" in done.stderr


def test_a_kill_in_the_middle_is_mended_by_the_next_repro(project: DvcProject) -> None:
    """Killed at several moments, each followed by a repro that ends where an undisturbed one ends."""
    text = settings(zoo="zoo:\n  forest: {kind: random_forest, n_estimators: 100}\n  sgd: {kind: sgd}\n")
    (project.root / "tracer.yaml").write_text(text)
    project.tracer("compile")
    for seconds in (1.2, 2.5, 4.0):
        process = subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro"],
            cwd=project.root,
            env=project.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(seconds)
        subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False)
        process.wait()
        assert process.returncode in (0, -signal.SIGKILL)
        (project.root / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)
        assert not list(project.root.glob(".tracer/*.tmp/*"))
    project.dvc("repro")
    assert ran(project.dvc("repro")) == []
    assert project.run("guard", "--check").returncode in (0, 3)
    assert not list((project.root / ".tracer").glob(".*.tmp"))


def test_two_members_train_side_by_side_and_one_twice_does_not(project: DvcProject) -> None:
    def start(slug: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tracer_cli", "run", "train", "--model", slug]
        return subprocess.Popen(command, cwd=project.root, env=project.environment, stderr=subprocess.PIPE, text=True)

    both = [start("logreg"), start("sgd")]
    assert [p.communicate()[1] for p in both] == ["", ""]
    assert [p.returncode for p in both] == [0, 0]
    same = [start("logreg"), start("logreg")]
    errors = "".join(p.communicate()[1] for p in same)
    codes = sorted(p.returncode for p in same)
    assert codes in ([0, 0], [0, 2])  # side by side, the second is refused; one after the other, both run
    assert (codes == [0, 2]) == ("another tracer run is writing" in errors)
    assert ran(project.dvc("repro")) == []
