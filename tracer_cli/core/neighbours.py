"""Nearest neighbours by cosine similarity, exact, in blocks, and the reference rows they are looked for among."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# As many as a zoo member may vote with; the acceptor looks at the first 1, 5 and 15.
NEIGHBOURS = 30
MAX_REFERENCE = 20_000
# The reference rows that come first: a kernel model keeps a coefficient for each of these alone. Up to EXACT rows
# it keeps them all.
LANDMARKS = 4096
EXACT = 8192
# Entries of a rounded row lie between -LEVELS and LEVELS: with 63 no processor's 8-bit products overflow
# (2 * 255 * 63 < 2^15, where older ones saturate).
LEVELS = 63
SMALLEST = 1e-30


@dataclass(frozen=True)
class Neighbours:
    """similarities: (n, k) float32, descending; labels: (n, k) the neighbours' label indices; weights: (n, k) what
    their votes count, None: all alike."""

    similarities: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float32] | None = None


def levels(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row scaled to a largest entry of LEVELS and rounded to whole numbers; a zero row stays zero.

    Similarities are those of the rounded rows. Their products are whole numbers that float32 holds exactly (up to
    some 4,000 dimensions), so a policy gives the same similarity on every machine, for one row as for many, and
    reads a quarter of the memory.
    """
    top = np.maximum(np.abs(vectors).max(axis=1, keepdims=True, initial=0), np.float32(SMALLEST))
    return np.asarray(np.rint(vectors / top * np.float32(LEVELS)), np.float32)


def inverse_norms(whole: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 1) 1 / length of each row of `levels`."""
    squares = np.einsum("ij,ij->i", whole, whole)[:, None]
    return np.asarray(np.float32(1) / np.maximum(np.sqrt(squares), np.float32(1)), np.float32)


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows' `levels`, scaled to length 1; a zero row stays zero."""
    whole = levels(vectors)
    return np.asarray(whole * inverse_norms(whole), np.float32)


def nearest(
    similarity: NDArray[np.float32],
    reference_labels: NDArray[np.int64],
    k: int,
    reference_weights: NDArray[np.float32] | None = None,
) -> Neighbours:
    """The k largest of each row of `similarity` (n, r), r >= k.

    Equal similarities go to the row that comes first, as in ONNX TopK.
    """
    if k < similarity.shape[1]:
        top = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        taken = np.take_along_axis(similarity, top, axis=1)
        last = taken.min(axis=1, keepdims=True)
        # A partition takes any of those that tie for the last place.
        for row in np.flatnonzero((similarity == last).sum(axis=1) > (taken == last).sum(axis=1)):
            top[row] = np.argsort(-similarity[row], kind="stable")[:k]
        top = np.sort(top, axis=1)
    else:
        top = np.broadcast_to(np.arange(k), (len(similarity), k))
    values = np.take_along_axis(similarity, top, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    rows = np.take_along_axis(top, order, axis=1)
    weights = None if reference_weights is None else reference_weights[rows]
    return Neighbours(np.take_along_axis(values, order, axis=1), reference_labels[rows], weights)


def find(
    queries: NDArray[np.float32],
    reference: NDArray[np.float32],
    reference_labels: NDArray[np.int64],
    k: int,
    block: int = 1024,
    reference_weights: NDArray[np.float32] | None = None,
) -> Neighbours:
    """The k reference rows most similar to each query.

    queries: (n, dim) and reference: (r, dim), both of unit rows, r >= k. Memory: block * r floats.
    """
    result = _empty(len(queries), k, reference_weights is not None)
    for start in range(0, len(queries), block):
        similarity = queries[start : start + block] @ reference.T
        _put(result, slice(start, start + block), nearest(similarity, reference_labels, k, reference_weights))
    return result


def _empty(rows: int, k: int, weighted: bool) -> Neighbours:
    weights = np.empty((rows, k), np.float32) if weighted else None
    return Neighbours(np.empty((rows, k), np.float32), np.empty((rows, k), np.int64), weights)


def _put(result: Neighbours, rows: slice | NDArray[np.bool_], part: Neighbours) -> None:
    result.similarities[rows], result.labels[rows] = part.similarities, part.labels
    if result.weights is not None:
        result.weights[rows] = part.weights


def out_of_fold(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    k: int,
    weights: NDArray[np.float32] | None = None,
) -> Neighbours:
    """The k nearest rows of the other folds, for every row: what its out-of-fold surrogate could know.

    vectors: (n, dim) unit rows; labels, folds, weights: (n,). Beyond MAX_REFERENCE rows the other folds are thinned.
    """
    result = _empty(len(vectors), k, weights is not None)
    for fold in np.unique(folds):
        held = folds == fold
        reference = thinned(np.flatnonzero(~held), MAX_REFERENCE)
        votes = None if weights is None else weights[reference]
        part = find(vectors[held], vectors[reference], labels[reference], k, reference_weights=votes)
        _put(result, held, part)
    return result


def thinned(candidates: NDArray[np.intp], limit: int) -> NDArray[np.intp]:
    """At most `limit` of the candidate rows, evenly spaced in their order, which is that of the trace files."""
    if len(candidates) <= limit:
        return candidates
    return candidates[np.linspace(0, len(candidates) - 1, limit).astype(np.intp)]


def landmark_count(rows: int) -> int:
    """How many of the reference rows of `rows` fit rows are landmarks."""
    return rows if rows <= EXACT else LANDMARKS


def reference_rows(rows: int) -> NDArray[np.intp]:
    """Which of `rows` fit rows a policy keeps to compare inputs with: the landmarks first, at most MAX_REFERENCE.

    Both are evenly spaced in the order of the trace files; up to EXACT rows it is simply every row in order.
    """
    everything = np.arange(rows)
    kept = thinned(everything, MAX_REFERENCE)
    landmarks = thinned(kept, landmark_count(rows))
    return np.concatenate([landmarks, np.setdiff1d(kept, landmarks, assume_unique=True)])


def neighbour_count(folds: NDArray[np.int64]) -> int:
    """NEIGHBOURS, or fewer when the smallest out-of-fold reference set has fewer rows."""
    return int(min(NEIGHBOURS, len(folds) - np.bincount(folds).max()))
