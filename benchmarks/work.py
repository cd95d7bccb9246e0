"""Splits in a process of their own: draw each, run the systems that share a fit, score them on the future."""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.splits import split
from benchmarks.systems import SYSTEMS
from benchmarks.systems.base import Outcome, Routed, Task
from benchmarks.vectors import load


def run(folder: Path, splits: list[dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    """For each split and system the figures that a record holds."""
    results = []
    for number, arguments in enumerate(splits):
        scratch = folder / str(number)
        scratch.mkdir()
        results.append(run_split(scratch, **arguments))
        shutil.rmtree(scratch)
    return results


def run_split(folder: Path, systems: list[str], **drawn: Any) -> dict[str, dict[str, Any]]:
    task, truth = draw(folder, **drawn)
    results = {}
    for name in systems:
        system = SYSTEMS[name]
        outcome: Outcome = import_module(system.module).run(task, **system.options)
        results[name] = {
            "future": len(truth),
            "seconds": round(outcome.cost.seconds, 3),
            "peak_mb": round(outcome.cost.peak_mb, 1),
            "outcomes": [score(target, outcome.routed[target], truth) for target in task.targets],
        }
    return results


def draw(
    folder: Path, data: str, n: int, seed: int, targets: list[float], delta: float, settings: dict[str, Any]
) -> tuple[Task, NDArray[np.object_]]:
    """What a system is given, and the future's labels, which it is not. data: a file that `vectors.prepare` wrote."""
    loaded = load(Path(data))
    drawn = split(len(loaded.texts), n, seed)
    task = Task(
        texts=[loaded.texts[i] for i in drawn.traces],
        teacher=[loaded.teacher[i] for i in drawn.traces],
        vectors=loaded.vectors[drawn.traces],
        future=loaded.vectors[drawn.future],
        targets=tuple(targets),
        delta=delta,
        seed=seed,
        folder=folder,
        settings=settings,
    )
    return task, np.array(loaded.teacher, object)[drawn.future]


def score(target: float, routed: Routed | None, truth: NDArray[np.object_]) -> dict[str, Any]:
    """Of the future's rows, how many are handled, and how many of those get the teacher's label."""
    if routed is None:
        return {"target": target, "certified": False, "handled": 0, "agreed": 0}
    agreed = routed.handled & (routed.labels == truth)
    return {
        "target": target,
        "certified": True,
        "handled": int(routed.handled.sum()),
        "agreed": int(agreed.sum()),
    }
