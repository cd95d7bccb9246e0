"""The draw of audits: the right share, whatever is asked, and not the same in two workers."""

from __future__ import annotations

import math
import os
import sys
import threading
from itertools import pairwise
from typing import Any

import pytest
from scipy.stats import binomtest

from tracer_cli.errors import ConfigError
from tracer_cli.runtime.audit import Audit, Draw


@pytest.mark.parametrize("share", [0.01, 0.2, 0.9])
@pytest.mark.parametrize("seed", [7, None])
def test_the_share_is_what_was_asked_for(share: float, seed: int | None) -> None:
    """Without a seed it is true chance: one run in a hundred million fails."""
    audit = Audit(share, seed=seed)
    drawn = sum(audit.draw().audit for _ in range(40_000))
    assert binomtest(drawn, 40_000, share).pvalue > 1e-8
    assert binomtest(drawn, 40_000, share * 1.2 if share < 0.9 else 0.85).pvalue < 1e-3, "this test sees a wrong share"


def test_one_draw_says_nothing_about_the_next() -> None:
    audit = Audit(0.3, seed=1)
    draws = [audit.draw().audit for _ in range(40_000)]
    after = [second for first, second in pairwise(draws) if first]
    assert binomtest(sum(after), len(after), 0.3).pvalue > 1e-4


@pytest.mark.parametrize("share", [0, 0.0, 1, 1.0])
def test_none_and_all(share: float) -> None:
    assert {Audit(share).draw().audit for _ in range(2000)} == {bool(share)}


def test_what_the_trace_log_says_of_a_draw() -> None:
    audit = Audit(0.25, seed=0)
    draws = {audit.draw() for _ in range(100)}
    assert draws == {Draw(True, 0.25), Draw(False, 1.0)}
    assert {draw.origin: draw.probability for draw in draws} == {"audit": 0.25, "deferred": 1.0}


def test_in_shadow_mode_everything_is_audited_for_certain() -> None:
    audit = Audit(0.01, shadow=True)
    assert {audit.draw() for _ in range(1000)} == {Draw(True, 1.0)}
    assert (audit.share, audit.shadow) == (1.0, True)


def test_a_seed_makes_the_same_draws() -> None:
    def draws(seed: int) -> list[bool]:
        audit = Audit(0.5, seed=seed)
        return [audit.draw().audit for _ in range(200)]

    assert draws(3) == draws(3) != draws(4)


@pytest.mark.parametrize("share", [-0.1, 1.01, math.nan, math.inf, "0.1", None, True])
def test_what_is_no_share_is_refused(share: Any) -> None:
    with pytest.raises(ConfigError, match=r"^the share of audited requests is .*; expected a number from 0 to 1$"):
        Audit(share)


def test_threads_share_it() -> None:
    audit = Audit(0.5, seed=0)
    counts = [0] * 8

    def draw(thread: int) -> None:
        counts[thread] = sum(audit.draw().audit for _ in range(5000))

    threads = [threading.Thread(target=draw, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert binomtest(sum(counts), 40_000, 0.5).pvalue > 1e-4


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_workers_do_not_draw_the_same_requests() -> None:
    audit = Audit(0.5)
    audit.draw()
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, bytes(audit.draw().audit for _ in range(64)))
        os._exit(0)
    os.wait()
    assert os.read(read, 64) != bytes(audit.draw().audit for _ in range(64))
    os.close(read)
    os.close(write)
