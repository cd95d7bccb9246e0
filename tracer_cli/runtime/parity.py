"""Watching parity live: bounds on it from audited requests, and the alarm when it is below what was certified.

Among the requests that were drawn for an audit (`runtime.audit`), the teacher's label tells whether the policy was
right. `core.sequential` turns their counts into an interval that holds the parity at all times at once with the
policy's confidence 1 - d: each side fails with probability d / 2 at most over the whole life of the policy. When the
upper bound falls below the target, parity is below it, and the watch trips: it is a false alarm with probability d / 2
at most. It stays tripped, through restarts and in all worker processes, until another policy (or another target of this
one) is watched. Every request counts, also one for a text that came before: this is parity on the traffic as it is, and
not on texts that were not seen before, of which the certificate speaks.

Requests only add to two numbers. A thread brings them to disk every second: see `runtime.parity_file`.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tracer_cli.core import sequential
from tracer_cli.errors import DataError, TracerError
from tracer_cli.runtime.parity_file import Audits, ParityFile, State, Trip, Watched

__all__ = ["Audits", "Parity", "ParityWatch", "Trip", "Watched", "judge", "side_of", "watched"]

QUIET = 60.0  # seconds between two warnings

logger = logging.getLogger("tracer")


@dataclass(frozen=True, slots=True)
class Parity:
    """What the audits say. share: of those that count, None before the first; lower, upper: hold at all times at once
    with the policy's confidence; below, above: whether the interval lies wholly on one side of the target."""

    audits: Audits
    counted: int
    share: float | None
    lower: float
    upper: float
    below: bool
    above: bool


def watched(manifest: Mapping[str, Any], policy: str, target: float | None = None) -> Watched:
    """policy: the id of the manifest. target: a certified one; None: the deployed one. Raises DataError."""
    wanted = float(manifest["target"] if target is None else target)
    if wanted not in [entry["target"] for entry in manifest["targets"]]:
        known = ", ".join(f"{entry['target']:g}" for entry in manifest["targets"])
        raise DataError(f"{wanted:g} is no target of this policy; its targets are {known}")
    return Watched(policy, wanted, float(manifest["confidence"]), str(manifest["scope"]))


def side_of(what: Watched) -> float:
    """The error of one side of the interval: half of the policy's."""
    return (1 - what.confidence) / 2


def judge(what: Watched, audits: Audits) -> Parity:
    tally = tally_of(what, audits)
    lower, upper = sequential.bounds(tally, what.confidence)
    below = sequential.is_below(tally, what.target, side_of(what))
    return Parity(audits, tally.count, tally.mean, lower, upper, below, lower >= what.target)


def tally_of(what: Watched, audits: Audits) -> sequential.Tally:
    """Scope handled: of the handled, those that agree. Overall: of all, those not handled with another label."""
    if what.scope == "handled":
        return sequential.Tally(audits.handled, audits.agreed)
    return sequential.Tally(audits.audited, audits.audited - audits.handled + audits.agreed)


class ParityWatch:
    """Counts the audits of one policy. Safe to share between threads, and across a fork; several processes that are
    given the same folder count together."""

    def __init__(
        self,
        what: Watched,
        folder: str | os.PathLike[str] | None,
        *,
        seconds: float = 1.0,
        on_trip: Callable[[Trip], None] | None = None,
    ) -> None:
        """folder: of the trace log; None: nothing outlives the process. seconds: between two visits to the file, and so
        what a process that is killed can lose. on_trip: called once in each process, from the watch's thread or from
        `flush`, also for an alarm that an earlier process raised; what it raises is logged."""
        self.what = what
        self._file = None if folder is None else ParityFile(Path(folder).absolute(), what)
        self._seconds = seconds
        self._on_trip = on_trip
        self._state = State()
        self._trip: Trip | None = None
        self._told_at = -QUIET
        self._begin()
        _watches.add(self)
        if self._file is not None:
            self._sync(idle=True)

    def _begin(self) -> None:
        """What belongs to one process. A fork leaves the audits that wait to the parent."""
        self._new = Audits()
        self._adding = threading.Lock()
        self._syncing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def observe(self, handled: bool, agrees: bool) -> None:
        """An audited request whose teacher's label is known. agrees: whether the label is the one that the policy
        answered, or would have; of no account when it did not handle the request. Never waits for a disk."""
        with self._adding:
            self._new += Audits(1, int(handled), int(handled and agrees))
        self._ensure_thread()

    @property
    def tripped(self) -> bool:
        """Whether everything must be deferred."""
        self._ensure_thread()
        return self._trip is not None

    @property
    def trip(self) -> Trip | None:
        return self._trip

    def parity(self) -> Parity:
        """As of the last visit to the file, by all processes together."""
        return judge(self.what, self._state.audits)

    def bounds(self) -> tuple[float, float]:
        found = self.parity()
        return found.lower, found.upper

    def flush(self) -> None:
        """Visit the file now, in this thread."""
        self._sync(idle=False)

    def close(self) -> None:
        """Write what waits, and stop the thread. Closing twice changes nothing."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=10)
        self._sync(idle=False)

    # --- the thread -------------------------------------------------------------------------------

    def _ensure_thread(self) -> None:
        if self._thread is None and not self._stop.is_set():
            with self._adding:
                if self._thread is None:
                    self._thread = threading.Thread(target=_run, args=(weakref.ref(self),), daemon=True)
                    self._thread.name = "tracer-parity"
                    self._thread.start()

    def _sync(self, idle: bool) -> None:
        """Bring the new audits into the file, read what the others brought, and test. Raises nothing.

        The states that are tested follow one another, each with all that the one before held: that is what the bounds
        are valid for, and why the test is made here and not for each process by itself.
        """
        with self._syncing:
            with self._adding:
                new, self._new = self._new, Audits()
            try:
                self._take(new, idle)
                trip = self._state.trip
            except Exception as error:
                with self._adding:
                    self._new += new
                trip = self._without_disk(new)
                self._warn(error)
            known, self._trip = self._trip, self._trip or trip
        if known is None and self._trip is not None:
            self._report(self._trip)

    def _take(self, new: Audits, idle: bool) -> None:
        if self._file is None:
            self._state = self._tested(replace(self._state, audits=self._state.audits + new))
        elif new.audited or (idle and self._file.changed()) or not idle:
            self._state = self._file.update(new, self._tested)

    def _without_disk(self, new: Audits) -> Trip | None:
        """The alarm where the counts could not be written: that of another process, or what is known here."""
        with contextlib.suppress(TracerError):
            if self._file is not None and (trip := self._file.read_alarm()) is not None:
                return trip
        return self._tested(replace(self._state, audits=self._state.audits + new)).trip

    def _tested(self, state: State) -> State:
        if state.trip is not None or self._trip is not None:
            return replace(state, trip=state.trip or self._trip)
        found = judge(self.what, state.audits)
        if not found.below:
            return state
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return replace(state, trip=Trip(now, state.audits, found.lower, found.upper))

    def _report(self, trip: Trip) -> None:
        logger.error("%s", alarm(self.what, trip))
        if self._on_trip is not None:
            try:
                self._on_trip(trip)
            except Exception:
                logger.exception("the callback for parity below the target failed")

    def _warn(self, error: Exception) -> None:
        if time.monotonic() - self._told_at >= QUIET:
            self._told_at = time.monotonic()
            text = str(error) if isinstance(error, TracerError) else f"{type(error).__name__}: {error}"
            logger.warning("the watch on parity goes on in memory and tries again: %s", text)


def alarm(what: Watched, trip: Trip) -> str:
    """The one sentence for log, health and monitor."""
    if trip.audits is None:
        return (
            f"policy {what.policy} defers everything: its parity was found below the target {what.target:g} "
            "(the file that says when cannot be read); it stays so until another policy is loaded"
        )
    return (
        f"policy {what.policy} defers everything: its parity is below the target {what.target:g} "
        f"(between {trip.lower:.4f} and {trip.upper:.4f} with confidence {what.confidence:g}, after "
        f"{trip.audits.audited:,} audits; {trip.time}); it stays so until another policy is loaded"
    )


def _run(reference: weakref.ref[ParityWatch]) -> None:
    while (watch := reference()) is not None:
        stop, seconds = watch._stop, watch._seconds
        del watch  # one that nobody holds any more ends
        if stop.wait(seconds) or (watch := reference()) is None:
            return
        watch._sync(idle=True)
        del watch


_watches: weakref.WeakSet[ParityWatch] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for watch in list(_watches):
        watch.close()


def _after_fork() -> None:
    for watch in list(_watches):
        watch._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
