"""A remote: what a clone and a service get from it, without a run of any stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dvc_support import Project, code_of_page
from support import files_of

pytestmark = [pytest.mark.dvc, pytest.mark.slow]

TEXT = "Where is my order?"


@pytest.fixture(scope="module")
def tagged(refits: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy whose `v1` is version 1.0.0 of the artifact, as the page has it."""
    project = refits.copy_to(tmp_path_factory.mktemp("tagged") / "project")
    tag, _ = code_of_page("Deploy the policy of a tag")[1].splitlines()
    project.shell(tag)
    return project


def answer(project: Project, *options: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(project.tracer("route", *options, TEXT))
    return found


def target_of(folder: Path) -> float:
    manifest = json.loads((folder / "manifest.json").read_text())
    return float(manifest["target"])


def test_a_clone_that_pulls_routes_and_runs_nothing(refits: Project, tmp_path: Path) -> None:
    push, clone = code_of_page("Share")
    refits.shell(push)
    printed = refits.at(tmp_path).shell(clone, REPO=str(refits.root))
    cloned = refits.at(tmp_path / "clone")
    assert json.loads(printed.splitlines()[-1]) == answer(refits)
    assert "Data and pipelines are up to date." in printed
    assert files_of(cloned.root / ".tracer") == files_of(refits.root / ".tracer")
    again = cloned.dvc("repro")
    assert "Running stage" not in again and "Data and pipelines are up to date" in again
    assert cloned.git("status", "--porcelain") == ""
    assert cloned.run("guard", "--check").returncode == 0


def test_a_clone_can_pull_the_policy_alone(refits: Project, tmp_path: Path) -> None:
    refits.git("clone", "-q", str(refits.root), str(tmp_path / "clone"))
    cloned = refits.at(tmp_path / "clone")
    assert cloned.run("route", TEXT).returncode == 2
    cloned.dvc("pull", "guard")
    assert not (cloned.root / "artifacts" / "models").exists()
    assert answer(cloned) == answer(refits)


def test_any_tag_gives_its_policy(tagged: Project, tmp_path: Path) -> None:
    get, _ = code_of_page("Deploy the policy of a tag")
    service = tagged.at(tmp_path)
    routed = json.loads(service.shell(get, REPO=str(tagged.root)).splitlines()[-1])
    assert routed["target"] == target_of(tmp_path / "policy-v1") == 0.85
    service.dvc("get", "-q", str(tagged.root), ".tracer", "--rev", "v2", "--out", "policy-v2")
    assert target_of(tmp_path / "policy-v2") == 0.75
    assert answer(service, "--policy", "policy-v2") == answer(tagged)
    # What quotes traces is not needed to route.
    for name in ("report.html", "qualitative_report.json"):
        (tmp_path / "policy-v2" / name).unlink()
    assert answer(service, "--policy", "policy-v2") == answer(tagged)


def test_a_version_of_the_artifact_gives_its_policy(tagged: Project, tmp_path: Path) -> None:
    _, get = code_of_page("Deploy the policy of a tag")[1].splitlines()
    service = tagged.at(tmp_path)
    service.shell(get, REPO=str(tagged.root))
    assert target_of(tmp_path / "policy-1.0.0") == 0.85
    tagged.git("tag", "--annotate", "policy@v1.1.0", "-m", "x", "v2")
    service.dvc("artifacts", "get", str(tagged.root), "policy", "--out", "newest")
    assert target_of(tmp_path / "newest") == 0.75
    assert answer(service, "--policy", "newest") == answer(tagged)


def test_the_python_api_gives_it_too(tagged: Project, tmp_path: Path) -> None:
    (script,) = code_of_page("Deploy the policy of a tag", "python")
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, **tagged.environment, "REPO": str(tagged.root)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == answer(tagged.at(tmp_path), "--policy", "policy-from-python")["label"]
    assert target_of(tmp_path / "policy-from-python") == 0.85


def test_artifacts_and_pictures_of_people_stay_and_dvc_accepts_them(refits: Project, tmp_path: Path) -> None:
    project = refits.copy_to(tmp_path / "project")
    path = project.root / "dvc.yaml"
    text = path.read_text().replace("\nplots:\n", "\nplots:\n- mine:\n    x: a\n    y:\n      mine.csv: b\n")
    text = text.replace("    type: model\n", "    type: model\n    labels:\n    - production\n")
    path.write_text(text + "  graph:\n    path: .tracer/policy.onnx\n    type: onnx\n")
    (project.root / "mine.csv").write_text("a,b\n1,2\n2,3\n")
    project.tracer("compile", "--check")
    settings = (project.root / "tracer.yaml").read_text()
    (project.root / "tracer.yaml").write_text(settings.replace("  sgd: {kind: sgd}\n", ""))
    project.tracer("compile")
    project.commit()
    assert "labels:\n    - production\n" in path.read_text()
    assert list(json.loads(project.shell("dvc plots show --json"))["data"]) == ["mine", "frontier", "plots/targets.csv"]
    project.git("tag", "--annotate", "graph@v1.0.0", "-m", "x")
    project.dvc("artifacts", "get", str(project.root), "graph", "--out", str(tmp_path / "policy.onnx"))
    assert (tmp_path / "policy.onnx").read_bytes() == (project.root / ".tracer" / "policy.onnx").read_bytes()
