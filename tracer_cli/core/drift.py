"""Whether what a policy sees now is like what it was certified on, told to somebody who looks again and again.

A test that is made each time a log has grown finds a difference sooner or later where there is none. Here a test is
made only when the sample reaches 50, 100, 200, 400, ... observations, in the order in which they came; the k-th of
these tests may fail by chance with the share 1 / (k (k + 1)) of the error, and those shares add up to 1. So the p-value

    min over k of k (k + 1) p_k

is valid at whatever time one looks, and however often (the union bound; any fixed-size test can be put into it).

Numbers are compared by the largest gap between two empirical distributions (Kolmogorov and Smirnov), from a reference
that is kept at some of its values only. The gap at these is at most the true one, so the p-value errs on the safe
side; where values are tied it does as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FIRST_LOOK = 50
POINTS = 50
LOOKS = (
    f"tested at {FIRST_LOOK}, {2 * FIRST_LOOK}, {4 * FIRST_LOOK}, ... texts, the k-th test with the share "
    "1 / (k (k + 1)) of the error, so that p holds however often one looks"
)


@dataclass(frozen=True)
class Reference:
    """An empirical distribution at some of its values, ascending: of `rows` rows `below[i]` are < `values[i]`, and
    `at_most[i]` are <= `values[i]`."""

    rows: int
    values: tuple[float, ...]
    below: tuple[int, ...]
    at_most: tuple[int, ...]

    def quantile(self, share: float) -> float:
        """The least value kept with at least this share of the rows at or below it."""
        index = int(np.searchsorted(self.at_most, share * self.rows - 1e-9))
        return self.values[min(index, len(self.values) - 1)]


@dataclass(frozen=True)
class Looks:
    """p: valid at any time; size: of the sample at the test that it comes from; tests: made so far."""

    p: float
    size: int
    tests: int


def reference(values: ArrayLike, points: int = POINTS) -> Reference | None:
    """Keep a distribution at about `points` of its quantiles, the least and the greatest value among them; None for
    none. Values are rounded to seven digits, to be short in a file; the counts are those of the rounded."""
    ordered = np.sort(np.asarray(values, np.float64))
    if not len(ordered):
        return None
    ranks = np.unique(np.linspace(0, len(ordered) - 1, points + 1).round().astype(int))
    kept = sorted({float(f"{value:.7g}") for value in ordered[ranks]})
    below = tuple(int(count) for count in np.searchsorted(ordered, kept, side="left"))
    at_most = tuple(int(count) for count in np.searchsorted(ordered, kept, side="right"))
    return Reference(len(ordered), tuple(kept), below, at_most)


def largest_gap(base: Reference, sample: ArrayLike) -> float:
    """The largest difference of the two distribution functions at the values of the reference, or just below one of
    them; 0 for no sample. With all values kept it is that of Kolmogorov and Smirnov."""
    ordered = np.sort(np.asarray(sample, np.float64))
    if not len(ordered):
        return 0.0
    values = np.asarray(base.values)
    below = np.searchsorted(ordered, values, side="left") / len(ordered) - np.asarray(base.below) / base.rows
    at_most = np.searchsorted(ordered, values, side="right") / len(ordered) - np.asarray(base.at_most) / base.rows
    return float(max(np.abs(below).max(), np.abs(at_most).max()))


def gap_p_value(gap: float, rows: int, size: int) -> float:
    """Of "both are draws from one distribution", for samples of `rows` and `size`."""
    from scipy.stats import kstwo  # takes a second to import

    return float(min(1.0, max(0.0, kstwo.sf(gap, max(1, round(rows * size / (rows + size)))))))


def over_looks(size: int, test: Callable[[int], float]) -> Looks | None:
    """test: the p-value on the first so many observations. None while there are too few for the first test."""
    found: Looks | None = None
    number, look = 0, FIRST_LOOK
    while look <= size:
        number += 1
        p = min(1.0, number * (number + 1) * test(look))
        if found is None or p < found.p:
            found = Looks(p, look, number)
        look *= 2
    return None if found is None else Looks(found.p, found.size, number)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that the chance of even one false alarm among them is kept (Holm 1979)."""
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def below_p_value(agreed: int, answered: int, target: float) -> float:
    """Exact binomial, of "at least `target` agree", for a sample of one size that was fixed beforehand."""
    from scipy.stats import binom

    return float(binom.cdf(agreed, answered, target))


def distinct(keys: Sequence[str]) -> NDArray[np.intp]:
    """The places at which a key comes for the first time, in order."""
    seen: dict[str, int] = {}
    for place, key in enumerate(keys):
        seen.setdefault(key, place)
    return np.array(list(seen.values()), np.intp)
