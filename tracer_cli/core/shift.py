"""Whether new traces are labelled like the old ones: labels that stayed away, and a distribution that moved.

Each distinct text counts once, as in the certificate: repeats of a text are no independent draws. Only texts that are
evidence (organic or audit) may be given: what a policy deferred is harder than the traffic, and labelled otherwise.

Under "both are draws from one population" the number of new texts with a label is hypergeometric given the totals,
whatever the population is. A label of which not one came is told when that had a chance below ABSENT, for all labels
together (Bonferroni). The whole distribution is tested with Pearson's chi-square on a table of labels by old and new,
in which the labels with an expected count below SMALL_CELL on either side are one cell (Cochran 1954). The size of the
move is the total variation distance, told beside the one that chance alone would give, because it is never negative.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracer_cli.core.noise import LEVEL, Comparison, Counts, compare, corrected

ABSENT = 0.01
SMALL_CELL = 5
TEST = (
    f"Pearson's chi-square on distinct organic and audit texts, labels with an expected count below {SMALL_CELL} "
    f"together; a move is beyond noise below p = {LEVEL:g}"
)
ABSENT_RULE = (
    f"a label is told when not one of the new texts having it had a chance below {ABSENT:g}, for all labels together, "
    "if the new texts were like the old ones"
)


@dataclass(frozen=True)
class Absent:
    """A label of the old texts that no new one has. old: texts; chance: of that, were the new ones like the old."""

    label: str
    old: int
    chance: float


@dataclass(frozen=True)
class MovedLabel:
    """A label whose share moved beyond noise, among all labels (Holm). p: corrected."""

    label: str
    shares: Comparison
    p: float


@dataclass(frozen=True)
class Shift:
    """old, new: texts compared. p: of "the labels are distributed alike"; distance: total variation, in [0, 1];
    by_chance: the distance to expect if they are; labels: those that moved beyond noise, the farthest first."""

    old: int
    new: int
    p: float
    distance: float
    by_chance: float
    labels: tuple[MovedLabel, ...]

    @property
    def beyond(self) -> bool:
        return self.p <= LEVEL


def absent(old: Mapping[str, int], new: Mapping[str, int]) -> list[Absent]:
    """Labels with old texts and no new one whose absence means something, the most frequent first."""
    n, m = sum(old.values()), sum(new.values())
    gone = [label for label, count in old.items() if count and not new.get(label)]
    found = [Absent(label, old[label], _none_of(m, old[label], n + m)) for label in gone]
    labels = sum(count > 0 for count in old.values())
    return sorted((a for a in found if a.chance * labels < ABSENT), key=lambda a: (-a.old, a.label))


def _none_of(drawn: int, marked: int, total: int) -> float:
    """The chance that none of `marked` is among `drawn` of `total`: a ratio of binomial coefficients."""
    rest = total - marked
    if drawn > rest:
        return 0.0
    lgamma = math.lgamma
    return math.exp(lgamma(rest + 1) - lgamma(rest - drawn + 1) - lgamma(total + 1) + lgamma(total - drawn + 1))


def shift(old: Mapping[str, int], new: Mapping[str, int]) -> Shift | None:
    """Compare the labels' counts; None where one side has no text."""
    n, m = sum(old.values()), sum(new.values())
    if not n or not m:
        return None
    names = sorted({*old, *new})
    table = np.array([[side.get(name, 0) for name in names] for side in (old, new)], float)
    shares = table / table.sum(axis=1, keepdims=True)
    pooled = table.sum(axis=0) / (n + m)
    deviations = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return Shift(
        old=n,
        new=m,
        p=_homogeneity(table),
        distance=float(np.abs(shares[0] - shares[1]).sum() / 2),
        # The mean of |x| for a normal x; each share's difference is nearly one.
        by_chance=float(math.sqrt(2 / math.pi) * deviations.sum() / 2),
        labels=_moved(names, old, new, n, m),
    )


def _homogeneity(table: NDArray[np.float64]) -> float:
    """The p-value of the table (2, labels) with its small cells pooled; 1 where less than two cells are left."""
    totals = table.sum(axis=1)
    expected = totals.min() * table.sum(axis=0) / totals.sum()
    small = expected < SMALL_CELL
    cells = table[:, ~small]
    if small.any():
        rest = table[:, small].sum(axis=1, keepdims=True)
        if totals.min() * rest.sum() / totals.sum() >= SMALL_CELL or cells.shape[1] == 0:
            cells = np.hstack([cells, rest])
        else:  # too small by itself as well: with the smallest of the others
            cells[:, int(cells.sum(axis=0).argmin())] += rest[:, 0]
    if cells.shape[1] < 2:
        return 1.0
    from scipy.stats import chi2_contingency  # takes a second to import

    return float(chi2_contingency(cells, correction=False).pvalue)


def _moved(names: list[str], old: Mapping[str, int], new: Mapping[str, int], n: int, m: int) -> tuple[MovedLabel, ...]:
    comparisons = [compare(Counts(old.get(name, 0), n), Counts(new.get(name, 0), m)) for name in names]
    found = [
        MovedLabel(name, comparison, p)
        for name, comparison, p in zip(names, comparisons, corrected(comparisons), strict=True)
        if p is not None and p <= LEVEL
    ]
    return tuple(sorted(found, key=lambda entry: (-abs(entry.shares.change or 0.0), entry.label)))
