"""tracer-llm, the real package in its own environment, through a script that runs there."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import numpy as np

from benchmarks.isolated import REPOSITORY
from benchmarks.measure import Cost
from benchmarks.systems.base import Outcome, Routed, Task


def run(task: Task) -> Outcome:
    """Its labels are numbers: those of the traces, sorted, from 0 on, as its own `fit` numbers them."""
    space, labels = np.unique(task.teacher, return_inverse=True)
    data, request, answer = (task.folder / name for name in ("peer.npz", "peer.json", "peer-answer.json"))
    np.savez(data, vectors=task.vectors, labels=labels, future=task.future)
    request.write_text(
        json.dumps(
            {
                "targets": task.targets,
                "alpha": task.delta,
                "skip": task.settings.get("peer_skip", []),
                "labels": space.tolist(),
            }
        )
    )
    command = [task.settings["peer"], "-m", "benchmarks.systems.peer_script", data, request, answer]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the peer failed:\n{done.stderr}")
    result = json.loads(answer.read_text())
    routed = {entry["target"]: _routed(entry["labels"]) for entry in result["targets"]}
    return Outcome(routed, Cost(result["seconds"], result["peak_mb"]))


def _routed(labels: list[Any] | None) -> Routed | None:
    if labels is None:
        return None
    column = np.array(labels, object)
    return Routed(np.array([label is not None for label in labels], bool), column)
