"""One fit from vectors to policy, of tracer with the seconds of its stages, or of the peer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import work
from benchmarks.systems import peer, tracer
from tracer_cli.artifacts import STAGES


def run_tracer(folder: Path, **arguments: Any) -> dict[str, Any]:
    """The public `fit`, all of it: reading the traces, all stages, the policy and the report on disk."""
    task, _ = work.draw(folder, **arguments)
    tracer.warm_up(json.dumps(task.settings.get("zoo")))
    stages: dict[str, float] = {}
    for name in STAGES:
        module = import_module(f"tracer_cli.stages.{name}")
        setattr(module, "run", _clocked(name, module.run, stages))  # noqa: B010, a module's attribute
    cost = tracer.fitted(task, "holdout").cost
    stages["the rest"] = cost.seconds - sum(stages.values())
    return {"seconds": cost.seconds, "peak_mb": cost.peak_mb, "stages": stages}


def run_peer(folder: Path, **arguments: Any) -> dict[str, Any]:
    """Its `fit_frontier` alone: no index, no report, nothing on disk."""
    task, _ = work.draw(folder, **arguments)
    cost = peer.run(task).cost
    return {"seconds": cost.seconds, "peak_mb": cost.peak_mb}


def _clocked(name: str, stage: Callable[..., None], seconds: dict[str, float]) -> Callable[..., None]:
    """`stage`, its time added up under its name and the text arguments that it is called with."""

    def run(*arguments: Any, **named: Any) -> None:
        title = " ".join([name, *(value for value in arguments if isinstance(value, str))])
        start = time.perf_counter()
        stage(*arguments, **named)
        seconds[title] = seconds.get(title, 0.0) + time.perf_counter() - start

    return run
