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

# What rounding can do to a score s is below this share of s (1 - s), or of s where s is nearly 1.
ROUNDING, ROUNDING_AT_ONE = 0.1, 1e-6


@dataclass(frozen=True)
class Decisions:
    """labels: (n,) int64 label indices; accept_scores: (n,) float64 in [0, 1];
    distances: (n,) float64, 1 - cosine similarity to the nearest fit row."""

    labels: NDArray[np.int64]
    accept_scores: NDArray[np.float64]
    distances: NDArray[np.float64]


def run(session: Any, vectors: NDArray[np.float32]) -> Decisions:
    """Run a policy graph over `vectors` (n, dim) in blocks of bounded memory."""
    if len(vectors) == 0:
        return Decisions(np.empty(0, np.int64), np.empty(0), np.empty(0))
    parts = [session.run(OUTPUTS, {"vectors": rows}) for rows in blocks(vectors)]
    labels, scores, distances = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
    return Decisions(labels, scores.astype(np.float64), distances.astype(np.float64))


def run_one(session: Any, vectors: NDArray[np.float32]) -> tuple[int, float, float]:
    """Label index, accept score and distance of the one row of `vectors` (1, dim); as `run`, without the arrays."""
    label, score, distance = session.run(OUTPUTS, {"vectors": vectors})
    return int(label[0]), float(score[0]), float(distance[0])


def run_as_alone(session: Any, vectors: NDArray[np.float32], threshold: float) -> Decisions:
    """As `run`, and on the side of `threshold` where each row is by itself.

    A runtime may sum a row in another order at another place of a batch, so its score may differ in the last bits. Rows
    whose score is that near to the threshold are run again, one by one.
    """
    found = run(session, vectors)
    if len(vectors) > 1:
        scores = found.accept_scores
        margin = threshold * (ROUNDING * (1 - threshold) + ROUNDING_AT_ONE)
        # Exactly 0 is what a filter gives, not what is left of a small number.
        for row in np.flatnonzero((np.abs(scores - threshold) <= margin) & (scores > 0)):
            found.labels[row], scores[row], found.distances[row] = run_one(session, vectors[row : row + 1])
    return found


def blocks(vectors: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(vectors), BLOCK):
        yield np.ascontiguousarray(vectors[start : start + BLOCK], np.float32)
