"""The protocol: which rows are the traces that a system is given, and which are the future that scores it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """Row numbers. future: everything that is not a trace."""

    traces: NDArray[np.intp]
    future: NDArray[np.intp]


def split(rows: int, n: int, seed: int) -> Split:
    """A random permutation of all rows; the first n are the traces. The same seed gives the same split."""
    if not 0 < n < rows:
        raise ValueError(f"{n} of {rows} rows cannot be the traces and leave a future")
    order = np.random.default_rng(seed).permutation(rows)
    return Split(order[:n], order[n:])
