"""What evidence of a given size can certify: an answer for those who have too few traces."""

from __future__ import annotations

from scipy.stats import beta

from tracer_cli.core.certificate import Evidence, Scope, level_of, lower_bound

MOST_ROWS = 100_000_000


def fewest_rows(target: float, confidence: float, evidence: Evidence, scope: Scope) -> int | None:
    """The fewest evidence rows that certify `target` when all of them are handled and none differs; None: above
    MOST_ROWS."""
    return rows_needed(1.0, 1.0, target, level_of(confidence, evidence), scope)


def rows_needed(coverage: float, agreement: float, target: float, delta: float, scope: Scope) -> int | None:
    """The fewest evidence rows with which a threshold of this coverage and agreement would be certified at `target`.

    coverage, agreement: as observed at one threshold; the test is the exact binomial's at level `delta`, with the
    same shares on more rows. None where no number of rows would do, because what was observed is not above the
    target.
    """
    share = agreement if scope == "handled" else 1 - coverage * (1 - agreement)
    per_row = coverage if scope == "handled" else 1.0
    if share <= target or coverage <= 0:
        return None

    def enough(rows: int) -> bool:
        trials = rows * per_row
        return bool(beta.ppf(delta, share * trials, (1 - share) * trials + 1) >= target)

    most = 1
    while not enough(most):
        most *= 2
        if most > MOST_ROWS:
            return None
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if enough(middle) else (middle, most)
    return most


def certifiable(handled: int, agreed: int, rows: int, delta: float, scope: Scope) -> float:
    """The highest target that a single threshold, fixed beforehand, would have been certified at."""
    if scope == "handled":
        return lower_bound(agreed, handled, delta)
    return lower_bound(rows - (handled - agreed), rows, delta)
