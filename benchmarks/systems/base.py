"""What every system is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Cost


@dataclass(frozen=True, eq=False)
class Task:
    """One fit. Of the future a system gets the vectors, never the labels.

    texts, teacher, vectors: the traces; delta: the certificate may fail with this probability;
    folder: for files; settings: what the command line says for each system.
    """

    texts: list[str]
    teacher: list[str]
    vectors: NDArray[np.float32]
    future: NDArray[np.float32]
    targets: tuple[float, ...]
    delta: float
    seed: int
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Routed:
    """The future as one policy routes it. labels: of the rows that are not handled they mean nothing."""

    handled: NDArray[np.bool_]
    labels: NDArray[np.object_]


@dataclass(frozen=True)
class Outcome:
    """routed: for each target, or None when nothing is certified there; cost: of the fit."""

    routed: dict[float, Routed | None]
    cost: Cost
