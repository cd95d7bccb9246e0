"""From records to figures: one summary for each data set, n, target and system."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from benchmarks.records import Record
from benchmarks.systems import SYSTEMS, Scope

# Targets are decimal fractions: a share that equals the target must not fall below it by rounding.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Future:
    """One policy on the future of one split. rows: of the future; handled, agreed: of them."""

    rows: int
    handled: int
    agreed: int
    scope: Scope
    target: float

    @property
    def base(self) -> int:
        """What the target is a share of: the handled rows, or all."""
        return self.handled if self.scope == "handled" else self.rows

    @property
    def parity(self) -> float | None:
        """The share of `base` that does not get another label than the teacher's; None where nothing is handled."""
        return 1 - (self.handled - self.agreed) / self.base if self.base else None

    @property
    def violated(self) -> bool:
        """Parity below the target."""
        return self.parity is not None and self.parity < self.target - ROUNDING

    @property
    def clearly_violated(self) -> bool:
        """Below it by more than two standard errors of the parity that this future shows."""
        if self.parity is None:
            return False
        error = math.sqrt(self.parity * (1 - self.parity) / self.base)
        return self.parity < self.target - 2 * error - ROUNDING


@dataclass(frozen=True)
class Summary:
    """Figures over the splits of one (data, n, target, system).

    coverage: mean over all splits, 0 where nothing is certified; parity: mean over the certified ones, None
    without any; future: rows of the smallest future.
    """

    data: str
    n: int
    target: float
    delta: float
    system: str
    title: str
    splits: int
    future: int
    certified: int
    coverage: float
    parity: float | None
    violations: int
    clear_violations: int
    seconds: float
    peak_mb: float

    @property
    def none_rate(self) -> float:
        return 1 - self.certified / self.splits

    @property
    def violation_rate(self) -> float:
        """Of all splits."""
        return self.violations / self.splits

    @property
    def limit(self) -> float:
        """The largest violation rate that is compatible with delta: two binomial standard errors above it."""
        return self.delta + 2 * math.sqrt(self.delta * (1 - self.delta) / self.splits)

    @property
    def valid(self) -> bool:
        return self.violation_rate <= self.limit + ROUNDING


def summarise(records: Iterable[Record]) -> list[Summary]:
    """Data sets, sizes and targets in ascending order, systems in the order of SYSTEMS."""
    groups: dict[tuple[Any, ...], list[tuple[Record, Record]]] = {}
    order = list(SYSTEMS)
    for record in records:
        # Fits for other targets, or on another file of the same name, are other fits.
        fit = (order.index(record["system"]), title(record), record["digest"], tuple(record["targets"]))
        for outcome in record["outcomes"]:
            place = (record["data"], record["n"], outcome["target"], record["delta"])
            groups.setdefault(place + fit, []).append((record, outcome))
    return [_summary(groups[group]) for group in sorted(groups)]


def title(record: Record) -> str:
    """The system's name in tables, with the settings that make it another system."""
    parts = [SYSTEMS[record["system"]].title]
    settings = record["settings"]
    if "peer_version" in settings:
        parts[0] += f" {settings['peer_version']}"
    if "peer_skip" in settings:
        parts.append("without " + ", ".join(settings["peer_skip"]))
    if "zoo" in settings:
        parts.append("zoo " + ", ".join(settings["zoo"]))
    return "; ".join(parts)


def _summary(rows: list[tuple[Record, Record]]) -> Summary:
    """rows: for each split its record and, of the record's outcomes, the one at the target."""
    first, target = rows[0][0], rows[0][1]["target"]
    scope = SYSTEMS[first["system"]].scope
    futures = [
        Future(record["future"], outcome["handled"], outcome["agreed"], scope, target)
        for record, outcome in rows
        if outcome["certified"]
    ]
    parities = [future.parity for future in futures if future.parity is not None]
    return Summary(
        data=first["data"],
        n=first["n"],
        target=target,
        delta=first["delta"],
        system=first["system"],
        title=title(first),
        splits=len(rows),
        future=min(record["future"] for record, _ in rows),
        certified=len(futures),
        coverage=sum(future.handled / future.rows for future in futures) / len(rows),
        parity=mean(parities) if parities else None,
        violations=sum(future.violated for future in futures),
        clear_violations=sum(future.clearly_violated for future in futures),
        seconds=median(record["seconds"] for record, _ in rows),
        peak_mb=max(record["peak_mb"] for record, _ in rows),
    )
