"""From entries to lines to files: what the writing thread of a trace log does, and what it counts."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from pathlib import Path

from tracer_cli.runtime.log_file import LogFile, finish_abandoned
from tracer_cli.traces.log_format import Entry, line

LONGEST_LINE = 16 << 20  # in bytes; a longer one is rejected when it is read
RETRY = 1.0

Redact = Callable[[Entry], Entry | None]

logger = logging.getLogger("tracer")


class _LostError(Exception):
    """Why an entry is no line. Never with the text of another error, which may hold what was asked."""


class LogWriter:
    """Used by one thread; others may read what it counts.

    written, failed, withheld: entries, of which each is counted once. why: the latest entry failed; trouble: nothing
    can be written at the moment; "" where there is nothing to say.
    """

    def __init__(
        self, folder: Path, name: str, max_bytes: int, max_seconds: float, redact: Redact | None = None
    ) -> None:
        self.written = self.failed = self.withheld = 0
        self.why = self.trouble = ""
        self._folder, self._name = folder, name
        self._max_bytes, self._max_seconds = max_bytes, max_seconds
        self._redact = redact
        self._file: LogFile | None = None

    @property
    def settled(self) -> int:
        return self.written + self.failed + self.withheld

    # --- lines ------------------------------------------------------------------------------------

    def log(self, entries: list[Entry], wait: Callable[[float], bool]) -> None:
        """Write the entries. Where writing fails it is tried again, as long as `wait(seconds)` says True."""
        before = self.settled
        try:
            self.rotate()
            self._write([made for entry in entries if (made := self._line(entry)) is not None], wait)
        except Exception as error:
            self.why = f"writing failed ({error!r})"
        finally:
            self.failed += len(entries) - (self.settled - before)

    def _line(self, entry: Entry) -> bytes | None:
        """None: it is withheld or lost, and counted."""
        try:
            found = _redacted(entry, self._redact)
            if found is not None:
                return _encoded(found)
            self.withheld += 1
        except _LostError as error:
            self._lost(str(error))
        return None

    def _lost(self, why: str) -> None:
        self.failed += 1
        self.why = why

    # --- files ------------------------------------------------------------------------------------

    def _write(self, lines: list[bytes], wait: Callable[[float], bool]) -> None:
        going_on = True
        while lines:
            done, error = self._write_some(lines)
            self.written += done
            lines = lines[done:]
            self.trouble = "" if error is None else str(error)
            if error is None:
                continue
            if not going_on:
                self.failed += len(lines)
                self.why = str(error)
                return
            going_on = wait(RETRY)

    def _write_some(self, lines: list[bytes]) -> tuple[int, OSError | None]:
        """How many of the first lines are in a file now, or counted as lost."""
        try:
            file = self._current(len(lines[0]))
        except OSError as error:
            return 0, error
        fresh = not file.size
        done, failure = file.write(self._fitting(lines, file))
        if failure is not None:
            self.finish()  # it may end in half a line
            if failure.errno == errno.EFBIG and (done or fresh):
                if not done:
                    self._lost("the line is longer than a file may be here")
                    lines.pop(0)
                return done, None
        return done, failure

    def _current(self, needed: int) -> LogFile:
        if self._file is not None and (
            self._file.gone or (self._file.size and self._file.size + needed > self._max_bytes)
        ):
            self.finish()
        if self._file is None:
            self.finish_abandoned()
            self._file = LogFile.create(self._folder, self._name)
        return self._file

    def _fitting(self, lines: list[bytes], file: LogFile) -> list[bytes]:
        """The first lines that the file has room for; a line that is longer than any file may be has its own."""
        size, count = file.size + len(lines[0]), 1
        while count < len(lines) and size + len(lines[count]) <= self._max_bytes:
            size += len(lines[count])
            count += 1
        return lines[:count]

    def due(self) -> float | None:
        """Seconds until the file must be finished; None: there is none."""
        return None if self._file is None else max(0.0, self._max_seconds - self._file.age)

    def rotate(self) -> None:
        """Finish the file if it is old enough."""
        if self.due() == 0.0:
            self.finish()

    def finish(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.finish()

    def abandon(self) -> None:
        """In a forked process: the file is the parent's."""
        file, self._file = self._file, None
        if file is not None:
            file.abandon()

    def finish_abandoned(self) -> None:
        for path in finish_abandoned(self._folder):
            logger.info("%s: finished for a process that is gone", path)


def _redacted(entry: Entry, redact: Redact | None) -> Entry | None:
    if not isinstance(entry, Entry):
        raise _LostError(f"what was appended is no entry but {type(entry).__name__}")
    if redact is None:
        return entry
    try:
        found = redact(entry)
    except BaseException as error:  # also SystemExit: nobody else would ever hear of it
        raise _LostError(f"the redaction failed ({type(error).__name__})") from None
    if found is not None and not isinstance(found, Entry):
        raise _LostError(f"the redaction returned {type(found).__name__}, neither an entry nor None")
    return found


def _encoded(entry: Entry) -> bytes:
    try:
        made = line(entry)
    except Exception as error:
        raise _LostError(f"the entry cannot be written as JSON ({type(error).__name__})") from None
    if len(made) > LONGEST_LINE:
        raise _LostError(f"the line has more than {LONGEST_LINE:,} bytes")
    return made
