"""Whether two shares differ by more than chance: Fisher's exact test on the counts of two revisions.

git holds counts, not rows, so the two revisions are tested as if their holdouts were independent. Where they share
texts, as they do when a refit keeps the split, the two counts rise and fall together; their difference then varies
less than that of independent counts, and the test is conservative: a change that it calls beyond noise is one, while a
small change may go unnoticed (it would take the rows of both revisions, and a paired test, to notice it).

A table of many labels is looked through for the smallest p-values, so these are corrected: Holm's step-down procedure
(Holm 1979) keeps the chance of even one false alarm at LEVEL, whatever the dependence between labels. A label whose
counts could not reach LEVEL whatever had happened is left out of the correction first (Tarone 1990): the test is
conditional on the counts' margins, and which labels can be tested is known from these alone.

Fisher, "The logic of inductive inference", 1935. Holm, "A simple sequentially rejective multiple test procedure",
1979. Tarone, "A modified Bonferroni method for discrete data", Biometrics 46, 1990.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

LEVEL = 0.05
TEST = (
    f"Fisher's exact test at {100 * LEVEL:g} %, as if the two holdouts were independent, which is conservative where "
    "they share texts; labels together, by Holm's correction without those whose counts could not show any change "
    "(Tarone)"
)


@dataclass(frozen=True)
class Counts:
    """successes of trials."""

    successes: int
    trials: int

    @property
    def share(self) -> float | None:
        return self.successes / self.trials if self.trials else None


@dataclass(frozen=True)
class Comparison:
    """Two shares. change: after - before, None without trials on one side; p: of "the shares are equal"."""

    before: Counts
    after: Counts
    change: float | None
    p: float

    @property
    def beyond(self) -> bool:
        """Beyond noise, as a question of its own."""
        return self.p <= LEVEL


def compare(before: Counts, after: Counts) -> Comparison:
    change = None if before.share is None or after.share is None else after.share - before.share
    return Comparison(before, after, change, _fisher(before.successes, before.trials, after.successes, after.trials))


def corrected(comparisons: Sequence[Comparison]) -> list[float | None]:
    """Holm's adjusted p-value of each; None for one that no outcome with these margins could have made small enough.

    A comparison is beyond noise, among all of these, when its adjusted value is at most LEVEL.
    """
    least = [_least_p(entry) for entry in comparisons]
    tested = [index for index, p in enumerate(least) if p <= LEVEL / _tests(least)]
    adjusted: list[float | None] = [None] * len(comparisons)
    highest = 0.0
    for rank, index in enumerate(sorted(tested, key=lambda i: comparisons[i].p)):
        highest = max(highest, min(1.0, (len(tested) - rank) * comparisons[index].p))
        adjusted[index] = highest
    return adjusted


def can_differ(entry: Comparison) -> bool:
    """Whether some outcome with these margins would be beyond noise, taken alone."""
    return _least_p(entry) <= LEVEL


def _tests(least: Sequence[float]) -> int:
    """Tarone's number of tests: the smallest k such that at most k of them could reach LEVEL / k."""
    return next(k for k in range(1, len(least) + 2) if sum(p <= LEVEL / k for p in least) <= k)


def _least_p(entry: Comparison) -> float:
    """The smallest p-value among the tables with these margins: one of the two that are farthest apart."""
    n, m = entry.before.trials, entry.after.trials
    successes = entry.before.successes + entry.after.successes
    ends = (min(n, successes), successes - min(m, successes))
    return min(_fisher(x, n, successes - x, m) for x in ends)


@lru_cache(maxsize=10_000)  # labels often have equal counts
def _fisher(successes: int, trials: int, others: int, other_trials: int) -> float:
    """Two-sided p-value; 1 without trials on one side."""
    if not trials or not other_trials:
        return 1.0
    from scipy.stats import fisher_exact  # takes a second to import

    table = [[successes, trials - successes], [others, other_trials - others]]
    return float(fisher_exact(table).pvalue)
