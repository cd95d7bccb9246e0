"""How large the holdout is."""

from __future__ import annotations

HOLDOUT_ROWS = 1500
# Fewer texts than this: the test needs every row it can get.
FEW_ROWS = 1500
FEW_PERCENT = 40
HOLDOUT_PERCENTS = (15, 20, 25, 30)


def auto_holdout_share(n: int, evidence: str = "holdout") -> float:
    """The share of `n` distinct texts that goes to the holdout under `split.holdout: auto`.

    0.40 below 1,500 texts; above, the smallest of 0.15, 0.20, 0.25 that gives at least 1,500 texts, else 0.30. With
    evidence `crossfit` the fit rows are evidence too, and it is 0.15. The share moves in steps and never grows with
    n, so between two steps the sides are fixed, and a step moves texts from the holdout to the fit side only: no text
    that was trained on ever becomes evidence.
    """
    if evidence == "crossfit":
        return HOLDOUT_PERCENTS[0] / 100
    if n < FEW_ROWS:
        return FEW_PERCENT / 100
    for percent in HOLDOUT_PERCENTS:
        if percent * n >= 100 * HOLDOUT_ROWS:
            return percent / 100
    return HOLDOUT_PERCENTS[-1] / 100
