"""Seconds and peak memory of a piece of work. Standard library only: the peer's interpreter imports it too."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Cost:
    """seconds: wall clock; peak_mb: the largest resident size of this process until the work ended."""

    seconds: float = 0.0
    peak_mb: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, max(self.peak_mb, other.peak_mb))


@contextmanager
def measured() -> Iterator[Cost]:
    """A Cost that is filled in when the block ends."""
    cost, start = Cost(), time.perf_counter()
    yield cost
    cost.seconds = time.perf_counter() - start
    cost.peak_mb = peak_mb()


def peak_mb() -> float:
    """Largest resident size of this process so far; processes that it started are not counted.

    On Linux from VmHWM: the ru_maxrss of a new process begins at the size of the process that started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024
