"""Asks every check, and outlives each: a check that fails is a finding itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tracer_cli.doctor import catalogue as kinds
from tracer_cli.doctor import pipeline, repository, surroundings
from tracer_cli.doctor.findings import Finding, Grade, NotNowError
from tracer_cli.doctor.project import Project
from tracer_cli.errors import TracerError

Check = Callable[[Project], Iterator[Finding]]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("python", surroundings.python),
    ("git", surroundings.git),
    ("dvc", surroundings.dvc),
    ("command", surroundings.command),
    ("remote", surroundings.remote),
    ("rwlock", surroundings.rwlock),
    ("disk", surroundings.disk),
    ("configuration", pipeline.configuration),
    ("compiled", pipeline.compiled),
    ("dvc.lock", pipeline.lock),
    ("gitignore", repository.gitignore),
    ("committed", repository.committed),
    ("traces", pipeline.traces),
    ("holdout", pipeline.holdout),
    ("embedder", pipeline.embedder),
    ("policy", pipeline.policy),
)


def examine(root: Path) -> list[Finding]:
    """Everything that is found in the project's folder `root`, in the order of CHECKS; raises nothing."""
    if not root.is_dir():
        return [kinds.NO_PROJECT.found(f"{root}: no such folder")]
    project = Project(root)
    found = ask(CHECKS, project)
    # DVC takes half a second to read the project, and what is broken above would only be said again.
    if all(finding.grade is not Grade.BROKEN for finding in found):
        found += ask([("dvc", surroundings.opens)], project)
    return found


def ask(checks: Iterable[tuple[str, Check]], project: Project) -> list[Finding]:
    found: list[Finding] = []
    waiting: dict[str, list[str]] = {}
    for name, check in checks:
        try:
            found += check(project)
        except NotNowError as error:
            waiting.setdefault(str(error), []).append(name)
        except TracerError as error:
            found.append(kinds.NOT_CHECKED.found(f"{name} could not be checked: {error}"))
        except Exception as error:
            found.append(kinds.NOT_CHECKED.found(f"{name} could not be checked: {type(error).__name__}: {error}"))
    for reason, names in waiting.items():
        found.append(kinds.NOT_CHECKED.found(f"{', '.join(names)} could not be checked: {reason}"))
    return found
