"""The trace log's writer: a request hands over an entry and goes on; one thread brings it into a file.

Nothing that happens here reaches a request: a full queue, a full disk, a folder that is gone, a redaction that fails
cost traces, which are counted, and a warning on the logger `tracer` once a minute. A process that is killed loses what
is in the queue: what came in the last twentieth of a second, as long as the disk keeps up.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections import deque
from pathlib import Path
from sys import getsizeof
from types import TracebackType
from typing import TypedDict

from tracer_cli.errors import ConfigError
from tracer_cli.runtime.log_writer import LogWriter, Redact
from tracer_cli.traces.log_format import Entry

__all__ = ["Counts", "Redact", "TraceLog", "opened"]

LINGER = 0.05  # seconds for which entries gather, so that one write and one change of threads serve many
QUIET = 60.0  # seconds between two warnings
_TOGETHER = 1000  # entries that are written with one write
_ENTRY = 600  # bytes in memory, beside the texts

logger = logging.getLogger("tracer")


class Counts(TypedDict):
    """accepted: what append was given; it is written + dropped + withheld + what still waits.

    dropped: lost, also where append said so; withheld: by the redaction, which returned None.
    """

    accepted: int
    written: int
    dropped: int
    withheld: int


class TraceLog:
    """A folder of trace files, each written by one process. Safe to share between threads, and across a fork."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        name: str = "traces",
        queue: int = 10_000,
        queue_bytes: int = 64 << 20,
        max_bytes: int = 64 << 20,
        max_seconds: float = 3600.0,
        redact: Redact | None = None,
    ) -> None:
        """Finish the files of processes that are gone; nothing is created before the first entry.

        queue, queue_bytes: what may wait in memory; beyond it entries are dropped. max_bytes, max_seconds: a file
        that has reached one of them is finished, and the next one begun. redact: called in the writing thread with
        each entry; returns it, a changed one (`dataclasses.replace`), or None for what must not be logged; what makes
        it fail is dropped. Raises ConfigError for settings that cannot be meant.
        """
        self.folder = Path(folder).absolute()
        if self.folder.suffix == ".jsonl" or self.folder.is_file():
            raise ConfigError(f"{folder}: the trace log is a folder of files; name a folder, such as traces/")
        if not name or name.startswith(".") or Path(name).name != name:
            raise ConfigError(f"the name of a trace log is the beginning of its files' names, not {name!r}")
        if min(queue, queue_bytes, max_bytes, max_seconds) <= 0:
            raise ConfigError("queue, queue_bytes, max_bytes and max_seconds of a trace log must be above 0")
        self._made = (self.folder, name, max_bytes, max_seconds, redact)
        self._queue_lines, self._queue_bytes = queue, queue_bytes
        self._hasty = max(1, min(_TOGETHER, queue // 2))
        self._closed = False
        self._begin()
        _logs.add(self)
        self._writer.finish_abandoned()

    def _begin(self) -> None:
        """The state of a process. The lock is one that a signal handler or a finaliser may take again."""
        self._wake = threading.Condition(threading.RLock())
        self._queue: deque[tuple[Entry, int]] = deque()
        self._size = 0
        self._thread: threading.Thread | None = None
        self._writer = LogWriter(*self._made)
        self._accepted = self._refused = self._flushing = self._told = 0
        self._told_at = -QUIET

    # --- what requests call -----------------------------------------------------------------------

    def append(self, entry: Entry) -> bool:
        """Hand over an entry to be written soon. False: it was dropped, and counted. Never waits, never raises."""
        try:
            size = _size(entry)
        except Exception:  # no entry: the writer will say so
            size = _ENTRY
        with self._wake:
            self._accepted += 1
            if self._closed or len(self._queue) >= self._queue_lines or self._size + size > self._queue_bytes:
                self._refused += 1
                return False
            self._queue.append((entry, size))
            self._size += size
            if len(self._queue) in (1, self._hasty):
                self._wake.notify_all()
            if self._thread is None:
                self._start()
        return True

    def _start(self) -> None:
        """Only now: a thread of a process that forks its workers would be in none of them."""
        thread = threading.Thread(target=self._run, name="tracer-trace-log", daemon=True)
        with contextlib.suppress(RuntimeError):  # no more threads: the next entry tries again
            thread.start()
            self._thread = thread

    @property
    def counts(self) -> Counts:
        with self._wake:
            return {
                "accepted": self._accepted,
                "written": self._writer.written,
                "dropped": self._refused + self._writer.failed,
                "withheld": self._writer.withheld,
            }

    @property
    def closed(self) -> bool:
        return self._closed

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was appended before is written or dropped; False: that took longer than `timeout`."""
        with self._wake:
            goal = self._accepted - self._refused
            self._flushing += 1
            self._wake.notify_all()
            try:
                return self._wake.wait_for(lambda: self._writer.settled >= goal, timeout)
            finally:
                self._flushing -= 1

    def close(self, timeout: float = 5.0) -> bool:
        """Write what waits, and finish the file. False: that took longer than `timeout`, and what waited is dropped.

        Called at the end of the process as well. A log that cannot be written is not waited for.
        """
        with self._wake:
            self._closed = True
            self._wake.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        with self._wake:
            self._refused += len(self._queue)
            self._queue.clear()
            self._size = 0
        return thread is None or not thread.is_alive()

    def __enter__(self) -> TraceLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # --- the writing thread -----------------------------------------------------------------------

    def _run(self) -> None:
        last = False
        while not last:
            with self._wake:
                self._wake.wait_for(lambda: self._queue or self._closed, self._pause())
                if self._queue:
                    self._wake.wait_for(self._in_haste, LINGER)
                entries = self._take()
                last = self._closed and not self._queue
            self._writer.log(entries, self._wait)
            with self._wake:
                self._wake.notify_all()
            self._report()
        self._writer.finish()

    def _in_haste(self) -> bool:
        return self._closed or self._flushing > 0 or len(self._queue) >= self._hasty

    def _pause(self) -> float | None:
        """Seconds until there is something to do without a new entry; None: there will be nothing."""
        waits = [due] if (due := self._writer.due()) is not None else []
        if self._refused + self._writer.failed > self._told:
            waits.append(max(0.0, self._told_at + QUIET - time.monotonic()))
        return min(waits, default=None)

    def _take(self) -> list[Entry]:
        taken: list[Entry] = []
        size = 0
        while self._queue and len(taken) < _TOGETHER and size < 1 << 20:
            entry, entry_size = self._queue.popleft()
            taken.append(entry)
            size += entry_size
        self._size -= size
        return taken

    def _wait(self, seconds: float) -> bool:
        """Until what failed is tried again; False: the next time is the last."""
        self._report()
        with self._wake:
            self._wake.notify_all()
            return not self._wake.wait_for(lambda: self._closed, seconds)

    def _report(self) -> None:
        """Say what is wrong, once a minute."""
        with self._wake:
            dropped, waiting = self._refused + self._writer.failed, len(self._queue)
        now, trouble = time.monotonic(), self._writer.trouble
        if (dropped == self._told and not trouble) or now < self._told_at + QUIET:
            return
        new, self._told, self._told_at = dropped - self._told, dropped, now
        why = self._writer.why or ("it is closed" if self._closed else "the queue was full")
        self._writer.why = ""
        with contextlib.suppress(Exception):  # a filter of the application's logging may raise
            if trouble:
                state = f"{trouble}; requests go on, {waiting:,} traces wait and {new:,} were dropped"
                logger.warning("the trace log %s cannot be written: %s", self.folder, state)
            else:
                logger.warning("the trace log %s dropped %d traces: %s", self.folder, new, why)

    # --- processes --------------------------------------------------------------------------------

    def _forked(self) -> None:
        """In a child: what waits and the open file are the parent's, and its thread is not here."""
        self._writer.abandon()
        self._begin()


def _size(entry: Entry) -> int:
    """About what the entry takes in memory, in bytes. What is only referred to, such as instructions, counts too."""
    size = _ENTRY + getsizeof(entry.input)
    if entry.teacher is not None:
        size += getsizeof(entry.teacher)
    for _, arguments in entry.tool_calls:
        size += getsizeof(arguments)
    if entry.context is not None:
        size += getsizeof(entry.context.get("system"))
    return size


_logs: weakref.WeakSet[TraceLog] = weakref.WeakSet()
_shared: dict[Path, TraceLog] = {}


def opened(log: TraceLog | str | os.PathLike[str]) -> TraceLog:
    """The log itself, or the one that everybody in this process shares who names the same folder."""
    if isinstance(log, TraceLog):
        return log
    folder = Path(log).absolute()
    found = _shared.get(folder)
    if found is None or found.closed:
        found = _shared[folder] = TraceLog(folder)
    return found


def _after_fork() -> None:
    for log in list(_logs):
        log._forked()


@atexit.register
def _at_exit() -> None:
    for log in list(_logs):
        log.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
