"""tracer: one fit for all targets, then the real router."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

import tracer_cli
from benchmarks.measure import Cost, measured
from benchmarks.systems.base import Outcome, Routed, Task
from tracer_cli.errors import PolicyNotCertifiedError

Evidence = Literal["holdout", "crossfit"]
Scope = Literal["handled", "overall"]


@dataclass(frozen=True)
class Fitted:
    folder: Path
    cost: Cost


def run(task: Task, evidence: Evidence, scope: Scope) -> Outcome:
    fit = fitted(task, evidence, scope)
    try:
        router = tracer_cli.load_router(fit.folder)
    except PolicyNotCertifiedError:
        return Outcome(dict.fromkeys(task.targets), fit.cost)
    certified = {entry["target"] for entry in router.manifest["targets"] if entry["certified"]}
    routed: dict[float, Routed | None] = dict.fromkeys(task.targets)
    for target in certified.intersection(task.targets):
        answer = router.predict_batch(task.future, target=target)
        routed[target] = Routed(answer["handled"], np.array(answer["labels"], object))
    return Outcome(routed, fit.cost)


@lru_cache(maxsize=1)
def fitted(task: Task, evidence: Evidence, scope: Scope) -> Fitted:
    """Fit once for each task, kind of evidence and scope.

    Deployed at the lowest target and at any coverage, since a router loads only what the guard passed. The seed of
    the split is also tracer's: with one seed for all splits the same texts would be held out in each.
    """
    zoo = task.settings.get("zoo")
    warm_up(json.dumps(zoo))
    folder = task.folder / f"{evidence}-{scope}"
    traces = _write(task.folder, task.texts, task.teacher)
    config = tracer_cli.FitConfig(
        target_teacher_agreement=min(task.targets),
        frontier_targets=task.targets,
        min_deploy_coverage=0.0,
        seed=task.seed,
        confidence=1 - task.delta,
        evidence=evidence,
        scope=scope,
        zoo=zoo,
    )
    with measured() as cost:
        tracer_cli.fit(traces, folder, embeddings=task.vectors, config=config)
    return Fitted(folder, cost)


@lru_cache(maxsize=1)
def warm_up(zoo: str) -> None:
    """A fit of nothing, because tracer imports its libraries when it first needs them. zoo: as JSON."""
    teacher = [f"label {i % 3}" for i in range(60)]
    vectors = np.eye(3)[[i % 3 for i in range(60)]] + np.random.default_rng(0).standard_normal((60, 3)) / 10
    with tempfile.TemporaryDirectory(prefix="tracer-bench-") as name:
        traces = _write(Path(name), [f"text {i}" for i in range(60)], teacher)
        tracer_cli.fit(traces, Path(name) / "policy", vectors, tracer_cli.FitConfig(zoo=json.loads(zoo)))


def _write(folder: Path, texts: list[str], teacher: list[str]) -> Path:
    path = folder / "traces.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for text, label in zip(texts, teacher, strict=True):
            file.write(json.dumps({"input": text, "teacher": label}) + "\n")
    return path
