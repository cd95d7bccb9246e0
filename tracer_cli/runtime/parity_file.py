"""The counts behind a watch on parity, in a file that several processes add to and that outlives them.

One file for each policy and target, beside the trace log: a process locks it, reads it, adds its new audits, and writes
it under another name that is then renamed. Whoever is killed leaves the old file or the new one, and loses what it had
not yet added. The bounds need sums alone, so adding is all there is to merging.

An alarm is a file of its own, and that it is there is what counts. So a damaged file of counts, which is set aside and
begun anew, cannot take an alarm back: what is lost is evidence, and the bounds are those of the later audits alone,
wider and as valid. An alarm of which only the file's content is damaged stays an alarm.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tracer_cli.artifacts import storage_errors, write_json
from tracer_cli.errors import StorageError

SCHEMA = 1
PATIENCE = 10.0  # seconds to wait for other processes, each of which needs a thousandth

logger = logging.getLogger("tracer")


@dataclass(frozen=True, slots=True)
class Watched:
    """What is promised of a policy. scope: handled or overall."""

    policy: str
    target: float
    confidence: float
    scope: str


@dataclass(frozen=True, slots=True)
class Audits:
    """audited: requests whose teacher's label is known, drawn whatever the decision; handled: those that the policy
    handled, or would have; agreed: of the handled, those with the teacher's label."""

    audited: int = 0
    handled: int = 0
    agreed: int = 0

    def __add__(self, other: Audits) -> Audits:
        return Audits(self.audited + other.audited, self.handled + other.handled, self.agreed + other.agreed)


@dataclass(frozen=True, slots=True)
class Trip:
    """When parity was found to be below the target, and by what. audits: None where the file cannot be read."""

    time: str
    audits: Audits | None
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class State:
    audits: Audits = Audits()
    trip: Trip | None = None


class ParityFile:
    """The files of one policy and target in a folder. Not to be shared between threads."""

    def __init__(self, folder: Path, what: Watched) -> None:
        name = f"parity-{what.policy}-{what.target:g}"
        self._what = what
        self.counts = folder / f"{name}.json"
        self.alarm = folder / f"{name}.below-target.json"
        self._lock = folder / f".{name}.lock"
        self._seen: tuple[Any, ...] = (None, None)

    def changed(self) -> bool:
        """Whether another process has written since the last `update` here."""
        return self._stamp() != self._seen

    def update(self, new: Audits, test: Callable[[State], State]) -> State:
        """Add audits and write what `test` makes of the whole. Raises StorageError; nothing is added then."""
        with storage_errors(self.counts):
            self.counts.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(self._lock, timeout=PATIENCE).acquire()
        except Timeout as error:
            raise StorageError(f"another process holds {self._lock} for more than {PATIENCE:g} seconds") from error
        except OSError as error:
            raise StorageError(f"cannot lock {self._lock}: {error.strerror or error}") from error
        with lock:
            stored = State(self._read_counts(), self.read_alarm())
            state = test(replace(stored, audits=stored.audits + new))
            if state.trip is not None and stored.trip is None:
                write_json(self.alarm, {"schema": SCHEMA, **asdict(self._what), **asdict(state.trip)})
            if new.audited:
                write_json(self.counts, {"schema": SCHEMA, **asdict(self._what), **asdict(state.audits)})
            self._seen = self._stamp()
        return state

    def _stamp(self) -> tuple[Any, ...]:
        found: list[Any] = []
        for path in (self.counts, self.alarm):
            try:
                status = path.stat()
            except OSError:
                found.append(None)
            else:
                found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(found)

    def _read_counts(self) -> Audits:
        try:
            values = _object(self.counts)
            if values is None:
                return Audits()
            if values.get("schema") != SCHEMA:
                raise ValueError(f"its schema is {values.get('schema')!r}, not {SCHEMA}")
            for key, value in asdict(self._what).items():
                if values.get(key) != value:
                    raise ValueError(f"its {key} is {values.get(key)!r}, not {value!r}")
            return _audits(values)
        except ValueError as error:
            aside = self.counts.with_name(f"{self.counts.name}.damaged-{int(time.time())}-{os.getpid()}")
            with storage_errors(self.counts):
                self.counts.replace(aside)
            logger.warning(
                "%s cannot be used (%s): it is now %s, and audits are counted anew from here; an alarm that was raised "
                "stays raised",
                self.counts,
                error,
                aside.name,
            )
            return Audits()

    def read_alarm(self) -> Trip | None:
        """Needs no lock. Raises StorageError."""
        try:
            values = _object(self.alarm)
            if values is None:
                return None
            audits = values.get("audits")
            if not isinstance(audits, dict):
                raise ValueError("it does not hold the audits")
            return Trip(str(values["time"]), _audits(audits), float(values["lower"]), float(values["upper"]))
        except (ValueError, KeyError, TypeError):
            return Trip("at an unknown time", None, 0.0, self._what.target)


def _object(path: Path) -> dict[str, Any] | None:
    """None: there is no such file. Raises ValueError, or StorageError where it cannot be read at all."""
    with storage_errors(path, "read"), contextlib.suppress(FileNotFoundError):
        try:
            found = json.loads(path.read_bytes())
        except RecursionError:
            found = None
        if not isinstance(found, dict):
            raise ValueError("it holds no JSON object")
        return found
    return None


def _audits(values: dict[str, Any]) -> Audits:
    numbers = [values.get(name) for name in ("audited", "handled", "agreed")]
    if not all(type(number) is int for number in numbers):
        raise ValueError("its counts are no whole numbers")
    audited, handled, agreed = numbers
    if not 0 <= agreed <= handled <= audited:  # type: ignore[operator]
        raise ValueError("its counts do not fit each other")
    return Audits(audited, handled, agreed)  # type: ignore[arg-type]
