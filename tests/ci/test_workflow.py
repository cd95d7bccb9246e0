"""The scaffolded jobs: what a runner would make of them, and what happens without the DVC remote."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ci.job import github, gitlab
from support import DvcProject, write_jsonl
from tracer_cli.compile import ci
from tracer_cli.config.load import load_config

FETCH = "Fetch what the DVC remote has"
RUN = "Run what changed"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Both files as YAML; YAML 1.1 reads the key `on` as true."""
    root = tmp_path_factory.mktemp("jobs")
    (root / "tracer.yaml").write_text("traces: [{path: data/a.jsonl}]\n")
    config = load_config(root / "tracer.yaml")
    services: list[ci.Service] = ["github", "gitlab"]
    return {service: yaml.safe_load(ci.job_text(service, ci.Place(root, ""), config)) for service in services}


def test_the_workflow_has_no_more_rights_than_it_needs(jobs: dict[str, Any]) -> None:
    flow = jobs["github"]
    assert flow["permissions"] == {"contents": "read"}
    assert set(flow[True]) == {"pull_request", "push"}
    (job,) = flow["jobs"].values()
    assert "permissions" not in job and job["timeout-minutes"] <= 60
    assert "secrets." not in str(flow)  # only in comments
    checkout = job["steps"][0]
    assert checkout["with"] == {"fetch-depth": 0, "persist-credentials": False}
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert all(action.startswith("actions/") and action.rsplit("@v", 1)[1].isdigit() for action in used)


def test_no_event_leaves_an_old_verdict_standing(jobs: dict[str, Any]) -> None:
    """Another target branch, another label: the job runs again, and it is never skipped, which would count as passed."""
    flow = jobs["github"]
    events = {"opened", "synchronize", "reopened", "edited", "labeled", "unlabeled"}
    assert set(flow[True]["pull_request"]) == {"types"}
    assert set(flow[True]["pull_request"]["types"]) == events
    (job,) = flow["jobs"].values()
    assert "if" not in job and "continue-on-error" not in str(job)


def test_what_the_reviewer_reads_is_kept_when_the_guard_fails(jobs: dict[str, Any]) -> None:
    (job,) = jobs["github"]["jobs"].values()
    *_, changes, upload = job["steps"]
    assert "!cancelled()" in changes["if"] and "!cancelled()" in upload["if"]
    assert upload["with"]["path"] == "tracer-review"  # no leading dot: those are left out
    artifacts = jobs["gitlab"]["tracer"]["artifacts"]
    assert (artifacts["when"], artifacts["paths"]) == ("always", ["tracer-review/"])
    assert artifacts["reports"] == {"junit": "tracer-review/guard.xml"}


def scripts(jobs: dict[str, Any]) -> list[str]:
    (job,) = jobs["github"]["jobs"].values()
    lab = jobs["gitlab"]["tracer"]
    return [
        *(step["run"] for step in job["steps"] if "run" in step),
        *("\n".join(lab[name]) for name in ("before_script", "script", "after_script")),
    ]


def test_every_script_is_plain_shell_without_expressions(jobs: dict[str, Any]) -> None:
    for script in scripts(jobs):
        assert "${{" not in script  # it would be pasted into the script before the shell reads it
        done = subprocess.run(["sh", "-n", "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_both_services_run_the_same_commands(jobs: dict[str, Any]) -> None:
    commands = ["tracer compile --check", "dvc pull", "dvc repro", "--check --recompute --committed", "tracer diff"]
    (job,) = jobs["github"]["jobs"].values()
    both = (
        "\n".join(step["run"] for step in job["steps"] if "run" in step),
        "\n".join(jobs["gitlab"]["tracer"]["script"] + jobs["gitlab"]["tracer"]["after_script"]),
    )
    for text in both:
        places = [text.index(command) for command in commands]
        assert places == sorted(places)


ACCEPTING = [
    ([], ""),
    (["bug"], ""),
    (["tracer: accept loosened"], "loosened "),
    (["a, b", "tracer: accept loosened", "tracer: accept labels-lost"], "loosened labels-lost "),
    (["tracer: accept"], ""),
    (["not tracer: accept loosened"], ""),
    (["tracer: accept loosened; rm -rf /"], ""),
    (['"tracer: accept loosened"'], ""),
    (["$(tracer: accept loosened)", "`id`"], ""),
]


@pytest.mark.parametrize(("labels", "accepted"), ACCEPTING)
def test_only_labels_of_the_right_form_accept_a_rule(
    jobs: dict[str, Any], labels: list[str], accepted: str, tmp_path: Path
) -> None:
    """The guard's step alone, with a `tracer` that writes down what it is asked to accept."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "tracer"
    fake.write_text('#!/bin/sh\nprintf "%s" "$TRACER_GUARD_ACCEPT" > accepted\n')
    fake.chmod(0o755)
    (tmp_path / "tracer-review").mkdir()
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    (job,) = jobs["github"]["jobs"].values()
    (step,) = [step for step in job["steps"] if step.get("name") == "The guard, recomputed"]
    from ci.job import _labels

    own = {name: _labels(value, labels) for name, value in step["env"].items()}
    subprocess.run(["sh", "-e", "-c", step["run"]], cwd=tmp_path, env={**environment, **own}, check=True)
    assert (tmp_path / "accepted").read_text() == accepted


@pytest.mark.dvc
@pytest.mark.slow
def test_a_fork_without_secrets_has_everything_computed(
    author: DvcProject, fresh_clone: Callable[[], Path], tmp_path: Path
) -> None:
    """The remote cannot be read; what git holds is enough, on both services."""
    root = fresh_clone()
    author.program("git", "-C", str(root), "config", "--local", "gc.auto", "0")
    author.program(
        *("dvc", "--cd", str(root), "remote", "modify", "-q", "--local", "storage", "url", str(tmp_path / "nowhere"))
    )
    done = github(root, author.environment, tmp_path)
    assert done.failed is None, done.log
    assert "the rest is computed here, from what git holds." in done.summary
    assert done.output[RUN].count("Running stage") == 6  # all but resolve, whose output is in git
    # A pipeline of the branch itself, with what is there now: nothing to compare with.
    done = gitlab(root, author.environment)
    assert done.failed is None, done.log
    assert "guard" in done.summary.lower() and "Parameters and metrics" not in done.summary


@pytest.mark.dvc
@pytest.mark.slow
def test_traces_that_only_a_private_remote_has_are_named(
    author: DvcProject, fresh_clone: Callable[[], Path], tmp_path: Path
) -> None:
    write_jsonl(author.root / "data" / "more" / "b.jsonl", [{"input": "x", "teacher": "y"}])
    author.dvc("add", "-q", "data/more")  # and not pushed
    done = github(fresh_clone(), author.environment, tmp_path)
    assert done.failed == (FETCH, 2), done.log
    sentence = (
        "DVC tracks data/more, but this job cannot fetch it: a fork cannot read a private DVC remote. Push the branch to "
        "the repository itself, or keep the traces in git."
    )
    assert f"::error::{sentence}\n" in done.output[FETCH]
    assert sentence in done.summary
