"""Who is sent to the teacher whatever the policy says: the unbiased sample that parity is measured on.

A request is drawn before anything is known of it: were it drawn by its content, its score or its decision, the answers
would be those of some requests and no evidence about all of them. Nothing that a caller sends can change or foresee it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from tracer_cli.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Draw:
    """audit: the teacher is asked whatever the decision.

    probability: what the trace log says of this request if the teacher answers it: the share for an audited one; 1
    for the others, of which every one that is deferred is answered by the teacher.
    """

    audit: bool
    probability: float

    @property
    def origin(self) -> str:
        """What the trace log says of this request if the teacher answers it."""
        return "audit" if self.audit else "deferred"


class Audit:
    """Draws requests, each on its own with the same probability. Safe to share between threads, and across a fork."""

    def __init__(self, share: float = 0.01, shadow: bool = False, seed: int | None = None) -> None:
        """share: of all requests, 0 to 1. shadow: all of them. seed: the same draws every time, for tests.

        Raises ConfigError.
        """
        self.share = 1.0 if shadow else checked_share(share, "the share of audited requests")
        self.shadow = shadow
        # Without a seed the system draws: forked workers that share a generator's state would draw the same requests.
        self._random = (random.SystemRandom() if seed is None else random.Random(seed)).random
        self._drawn = Draw(True, self.share)
        self._other = Draw(False, 1.0)

    def draw(self) -> Draw:
        """Whether the next request is audited."""
        return self._drawn if self._random() < self.share else self._other


def checked_share(share: float, what: str) -> float:
    """A number from 0 to 1. Raises ConfigError."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ConfigError(f"{what} is {share!r}; expected a number from 0 to 1")
    return float(share)
