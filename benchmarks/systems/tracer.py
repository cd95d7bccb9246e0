"""tracer: one fit, then for each target that is deployed the calibrate and guard stages again, and the real router.

That is what `dvc repro` does when only targets change: nothing is trained anew.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import tracer_cli
from benchmarks.measure import Cost, measured
from benchmarks.systems.base import Outcome, Routed, Task
from tracer_cli.api import project_config
from tracer_cli.artifacts import Layout, read_bytes, read_json, read_table
from tracer_cli.core import policy
from tracer_cli.core.onnx_session import session
from tracer_cli.core.policy import Decisions
from tracer_cli.stages import calibrate, guard

Evidence = Literal["holdout", "crossfit"]
Scope = Literal["handled", "overall"]
EMBEDDINGS = "work/embeddings.npy"


@dataclass(frozen=True)
class Fitted:
    """layout: of the fit; config: what was fitted; cost: of all stages, from vectors to report."""

    layout: Layout
    config: tracer_cli.FitConfig
    cost: Cost


@dataclass(frozen=True)
class Scored:
    """Accept scores in [0, 1], and whether surrogate and teacher agree."""

    scores: NDArray[np.float64]
    agrees: NDArray[np.bool_]


@dataclass(frozen=True)
class Deployed:
    """One policy.

    holdout, out_of_fold: its rows; future: what it decides there; thresholds: of the certified targets.
    """

    holdout: Scored
    out_of_fold: Scored
    future: Decisions
    labels: NDArray[np.object_]
    thresholds: dict[float, float]

    def routed(self, threshold: float) -> Routed:
        return Routed(self.future.accept_scores >= threshold, self.labels[self.future.labels])


def run(task: Task, evidence: Evidence, scope: Scope) -> Outcome:
    cost = fitted(task, evidence).cost
    routed: dict[float, Routed | None] = {}
    for target, item in deployed(task, evidence, scope).items():
        routed[target] = item.routed(item.thresholds[target]) if target in item.thresholds else None
    return Outcome(routed, cost)


@lru_cache(maxsize=4)
def deployed(task: Task, evidence: Evidence, scope: Scope) -> dict[float, Deployed]:
    """The policy of each target: fitted for it, or, where the study says so, for the middle one of them all."""
    if task.settings.get("deploy") == "middle":
        item = _deploy(task, evidence, scope, task.targets[len(task.targets) // 2], task.targets)
        return dict.fromkeys(task.targets, item)
    return {target: _deploy(task, evidence, scope, target, (target,)) for target in task.targets}


def _deploy(task: Task, evidence: Evidence, scope: Scope, target: float, frontier: Sequence[float]) -> Deployed:
    fit = fitted(task, evidence)
    layout = fit.layout
    settings = replace(fit.config, target_teacher_agreement=target, frontier_targets=frontier, scope=scope)
    embedder = {"kind": "precomputed", "path": str(layout.policy / EMBEDDINGS)}
    config = project_config(settings, str(task.folder / "traces.jsonl"), embedder)
    calibrate.run(layout, config)
    guard.run(layout, config)
    manifest = read_json(layout.manifest)
    return Deployed(
        holdout=_scored(layout.guard_rows),
        out_of_fold=_scored(layout.candidate / "oof.parquet"),
        future=policy.run(session(read_bytes(layout.policy_graph)), task.future),
        labels=np.array(manifest["labels"], object),
        thresholds={t["target"]: t["threshold"] for t in manifest["targets"] if t["certified"]},
    )


@lru_cache(maxsize=2)
def fitted(task: Task, evidence: Evidence) -> Fitted:
    """Fit once for each task and kind of evidence, for all targets and scope handled.

    The seed of the split is also tracer's: with one seed for all splits the same texts would be held out in each.
    """
    zoo = task.settings.get("zoo")
    warm_up(json.dumps(zoo))
    folder = task.folder / evidence
    traces = _write(task.folder, task.texts, task.teacher)
    config = tracer_cli.FitConfig(
        target_teacher_agreement=task.targets[len(task.targets) // 2],
        frontier_targets=task.targets,
        min_deploy_coverage=0.0,
        seed=task.seed,
        confidence=1 - task.delta,
        evidence=evidence,
        zoo=zoo,
    )
    with measured() as cost:
        tracer_cli.fit(traces, folder, embeddings=task.vectors, config=config)
    return Fitted(Layout.of_folder(Path(), folder), config, cost)


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


def _scored(path: Path) -> Scored:
    rows = read_table(path, ["label", "predicted", "accept_score"])
    pairs = zip(rows["label"].to_pylist(), rows["predicted"].to_pylist(), strict=True)
    return Scored(rows["accept_score"].to_numpy().astype(np.float64), np.array([a == b for a, b in pairs], bool))
