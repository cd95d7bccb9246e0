"""One fit on a file of generated traces: seconds and peak memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tracer_cli
from benchmarks.measure import measured
from benchmarks.systems import tracer


def run(folder: Path, traces: str, vectors: str, zoo: dict[str, Any] | None) -> dict[str, float]:
    """The vectors stay in their file: what is measured is tracer's memory, not the benchmark's."""
    tracer.warm_up(json.dumps(zoo))
    config = tracer_cli.FitConfig(embedder={"kind": "precomputed", "path": vectors}, zoo=zoo)
    with measured() as cost:
        tracer_cli.fit(traces, folder / "policy", config=config)
    return {"seconds": cost.seconds, "peak_mb": cost.peak_mb}
