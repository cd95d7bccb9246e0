"""Runs the scaffolded CI jobs as plain shell: the steps as they stand in the YAML, in a fresh clone."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

WORKFLOW = Path(".github") / "workflows" / "tracer.yml"
GITLAB_JOB = Path(".gitlab") / "tracer.yml"
INSTALL = "Install"
# What `if:` may say; anything else in a workflow fails a test, so that nobody has to guess what it would do.
NOT_CANCELLED = "${{ !cancelled() }}"
OUTCOME = re.compile(r"\$\{\{ !cancelled\(\) && steps\.(\w+)\.outcome == 'success' \}\}")
LABELS = "${{ toJSON(github.event.pull_request.labels.*.name) }}"


@dataclass
class Job:
    """What a job did. steps: name -> exit code of each that ran, in order; output: what they printed; summary: the
    page that the reviewer reads; review: the folder that is kept."""

    review: Path
    steps: dict[str, int] = field(default_factory=dict)
    output: dict[str, str] = field(default_factory=dict)
    summary: str = ""

    @property
    def failed(self) -> tuple[str, int] | None:
        """The step that failed first, with its exit code."""
        return next(((name, code) for name, code in self.steps.items() if code), None)

    @property
    def log(self) -> str:
        return "".join(f"--- {name}: {self.steps[name]}\n{text}" for name, text in self.output.items()) + self.summary


def workflow(root: Path) -> dict[str, Any]:
    """The workflow; YAML 1.1 reads its key `on` as true."""
    values: dict[Any, Any] = yaml.safe_load((root / WORKFLOW).read_text(encoding="utf-8"))
    values["on"] = values.pop(True)
    return values


def github(
    root: Path, environment: Mapping[str, str], scratch: Path, target: str = "main", labels: Sequence[str] = ()
) -> Job:
    """The job of a pull request of this clone's branch to `target`; '' is a push to the branch itself."""
    (job,) = workflow(root)["jobs"].values()
    done = Job(root / "tracer-review")
    (scratch / "summary.md").unlink(missing_ok=True)
    variables = {
        **environment,
        **_plain(workflow(root).get("env", {})),
        "CI": "true",
        "GITHUB_BASE_REF": target,
        "GITHUB_STEP_SUMMARY": str(scratch / "summary.md"),
    }
    outcomes: dict[str, str] = {}
    for step in job["steps"]:
        if "run" not in step or step["name"] == INSTALL:
            outcomes[step.get("id", "")] = "success"
            continue
        if not _runs(step.get("if"), done, outcomes):
            continue
        own = {name: _labels(value, labels) for name, value in step.get("env", {}).items()}
        _run(done, step["name"], step["run"], root, {**variables, **own})
        outcomes[step.get("id", "")] = "failure" if done.steps[step["name"]] else "success"
    done.summary = _read(scratch / "summary.md")
    return done


def gitlab(root: Path, environment: Mapping[str, str], base: str = "", labels: Sequence[str] = ()) -> Job:
    """The job of a merge request whose merge base is `base`; '' is a pipeline of the branch itself."""
    (job,) = yaml.safe_load((root / GITLAB_JOB).read_text(encoding="utf-8")).values()
    done = Job(root / "tracer-review")
    variables = {
        **environment,
        **_plain(job["variables"]),
        "CI": "true",
        "CI_PROJECT_DIR": str(root),
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
        "CI_MERGE_REQUEST_LABELS": ",".join(labels),
    }
    _run(done, "script", "\n".join(job["script"]), root, variables)
    _run(done, "after_script", "\n".join(job["after_script"]), root, variables)
    done.summary = _read(root / "tracer-review" / "summary.md")
    return done


def _runs(condition: str | None, done: Job, outcomes: Mapping[str, str]) -> bool:
    if condition is None:
        return done.failed is None
    if condition == NOT_CANCELLED:
        return True
    match = OUTCOME.fullmatch(condition)
    assert match, f"what would `if: {condition}` do?"
    return outcomes.get(match[1]) == "success"


def _labels(value: str, labels: Sequence[str]) -> str:
    if value == LABELS:
        return json.dumps(list(labels), indent=2)  # as toJSON prints it
    assert "${{" not in value, f"what would {value} be?"
    return value


def _plain(variables: Mapping[str, Any]) -> dict[str, str]:
    assert not any("${{" in str(value) for value in variables.values())
    return {name: str(value) for name, value in variables.items()}


def _run(done: Job, name: str, script: str, root: Path, environment: Mapping[str, str]) -> None:
    """As a runner does: in one shell that ends at the first command that fails."""
    assert "${{" not in script, "an expression in a script would be pasted into it before the shell reads it"
    ran = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=root,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    done.steps[name], done.output[name] = ran.returncode, ran.stdout


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
