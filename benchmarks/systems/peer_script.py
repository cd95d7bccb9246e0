"""Runs in the peer's environment: fit its frontier, then route the future through its own Router.

Imports the peer, its libraries, and this project's stopwatch, which needs the standard library only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats  # noqa: F401, the peer imports it while it fits
import tracer
from tracer.fit.ood import fit_ood_gate
from tracer.fit.pipeline import fit_frontier, route_pipeline
from tracer.runtime.router import Router
from tracer.types import ArtifactManifest

from benchmarks.measure import measured


def main(data: Path, request: Path, answer: Path) -> None:
    wanted = json.loads(request.read_text())
    with np.load(data, allow_pickle=False) as file:
        vectors, labels, future = file["vectors"], file["labels"], file["future"]
    with measured() as cost:
        frontier, _ = fit_frontier(
            vectors, labels, wanted["targets"], alpha=wanted["alpha"], skip=tuple(wanted["skip"])
        )
    targets = [
        {
            "target": item["target"],
            "labels": route(item["best"], vectors, future, wanted["labels"]) if item["best"] else None,
        }
        for item in frontier
    ]
    answer.write_text(
        json.dumps(
            {"version": tracer.__version__, "targets": targets, "seconds": cost.seconds, "peak_mb": cost.peak_mb}
        )
    )


def route(best: dict[str, Any], vectors: np.ndarray, future: np.ndarray, space: list[str]) -> list[str | None]:
    """What `tracer.load_router(...).predict_batch(future)` answers: None where the peer defers.

    `tracer.fit` makes the distance gate from all its rows and their predicted labels, and the router applies it.
    """
    predicted, _, _ = route_pipeline(best["stages"], vectors)
    gate = fit_ood_gate(vectors, [space[p] if p >= 0 else "?" for p in predicted])
    manifest = ArtifactManifest("0.1.0", len(vectors), space, embedding_dim=vectors.shape[1])
    router = Router(best["stages"], space, manifest, ood_gate=gate, train_embeddings=vectors)
    result: list[str | None] = router.predict_batch(future)["labels"]
    return result


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
