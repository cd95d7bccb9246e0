"""Progress of long work: a bar on a terminal, a line now and then elsewhere. Always on stderr.

A `Progress` is called with a title and the number of units, and gives a function that is told how many are
done. The work below the command line only ever calls it; which one it is, is the caller's choice.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

logger = logging.getLogger("tracer")
SECONDS_BETWEEN_LINES = 10.0

Advance = Callable[[int], None]


class Progress(Protocol):
    def __call__(self, title: str, total: int) -> AbstractContextManager[Advance]: ...


@contextlib.contextmanager
def silent(title: str, total: int) -> Iterator[Advance]:
    """No output."""
    yield lambda done: None


@contextlib.contextmanager
def lines(title: str, total: int) -> Iterator[Advance]:
    """A log line every few seconds, for output that is not a terminal."""
    done, last = 0, time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            logger.info("%s: %d of %d", title, done, total)

    yield advance


@contextlib.contextmanager
def bar(title: str, total: int) -> Iterator[Advance]:
    """A progress bar that disappears when the work is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=total)
        yield lambda count: shown.advance(task, count)


def automatic() -> Progress:
    """A bar when stderr is a terminal, lines otherwise."""
    return bar if sys.stderr.isatty() else lines
