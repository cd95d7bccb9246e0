"""Running a policy graph: vectors in; label index, accept score and neighbour distance out.

Apart from `policy_graph`, which builds it, so that a router imports nothing that only fitting needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 512
OUTPUTS = ("label", "accept_score", "distance")


@dataclass(frozen=True)
class Decisions:
    """labels: (n,) int64 label indices; accept_scores: (n,) float64 in [0, 1];
    distances: (n,) float64, 1 - cosine similarity to the nearest fit row."""

    labels: NDArray[np.int64]
    accept_scores: NDArray[np.float64]
    distances: NDArray[np.float64]


def run(session: Any, vectors: NDArray[np.float32]) -> Decisions:
    """Run a policy graph over `vectors` (n, dim) in blocks of bounded memory."""
    labels, scores, distances = [np.empty(0, np.int64)], [np.empty(0)], [np.empty(0)]
    for rows in blocks(vectors):
        label, score, distance = session.run(OUTPUTS, {"vectors": rows})
        labels.append(label)
        scores.append(score.astype(np.float64))
        distances.append(distance.astype(np.float64))
    return Decisions(np.concatenate(labels), np.concatenate(scores), np.concatenate(distances))


def blocks(vectors: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(vectors), BLOCK):
        yield np.ascontiguousarray(vectors[start : start + BLOCK], np.float32)
