"""How large the holdout is."""

from __future__ import annotations

HOLDOUT_ROWS = 1500
HOLDOUT_PERCENTS = (15, 20, 25, 30, 35, 40)


def auto_holdout_share(n: int) -> float:
    """The share of `n` distinct texts that goes to the holdout under `split.holdout: auto`.

    The smallest of 0.15, 0.20, ... 0.40 that gives at least 1,500 texts, else 0.40. The share moves in
    steps and never grows with n, so between two steps the sides are fixed, and a step moves texts from the
    holdout to the fit side only: no text that was trained on ever becomes evidence.
    """
    for percent in HOLDOUT_PERCENTS:
        if percent * n >= 100 * HOLDOUT_ROWS:
            return percent / 100
    return HOLDOUT_PERCENTS[-1] / 100
