"""What a trace log says about one policy at one target: its audits, and how many lines were something else.

An audited request was drawn before anything was known of it, so the audits are a fair sample of the traffic; lines
with origin `deferred` are not, and are only counted.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracer_cli.config.schema import TraceSource
from tracer_cli.monitor.log_files import log_files, read_log
from tracer_cli.monitor.teacher_labels import TeacherLabels
from tracer_cli.runtime.parity import Watched
from tracer_cli.traces.calls import NoCallError, UnusableError
from tracer_cli.traces.log_format import DEFERRED, HANDLED
from tracer_cli.traces.presets import Preset, preset_of
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.rejects import place
from tracer_cli.traces.text import normalise, text_key
from tracer_cli.traces.timestamps import parse_timestamp
from tracer_cli.traces.values import optional_text

MOST_REASONS = 20


@dataclass(frozen=True, slots=True)
class Audit:
    """time: microseconds since 1970 in UTC. key: of the text. answered: the policy's label, also one that it would have
    answered with; teacher: the teacher's. score, distance, probability: None where the line does not tell."""

    time: int
    id: str | None
    key: str
    handled: bool
    answered: str | None
    teacher: str
    score: float | None
    distance: float | None
    probability: float | None

    @property
    def agrees(self) -> bool:
        return self.answered == self.teacher


@dataclass
class Logs:
    """audits: in the order of their times. lines = audits + deferred + other + no_policy + other_target + repeated +
    unusable + unreadable.

    deferred: the times of these lines, None where there is none. other: lines of other policies, by id. repeated: an
    audit whose id came before. unusable: audits without a label or a time, by reason. unreadable: lines that are no
    JSON, such as one that was torn by a crash.
    """

    files: list[str] = field(default_factory=list)
    lines: int = 0
    audits: list[Audit] = field(default_factory=list)
    deferred: list[int | None] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)
    no_policy: int = 0
    other_target: int = 0
    repeated: int = 0
    unusable: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    first_unreadable: str | None = None


def read_audits(paths: Iterable[Path], what: Watched, manifest: Mapping[str, Any]) -> Logs:
    """Raises DataError or StorageError for a file that is missing or cannot be read as a whole."""
    files = log_files(paths)
    logs = Logs(files=[file.name for file in files])
    with tempfile.TemporaryDirectory(prefix="tracer-") as scratch:
        preset = preset_of(TraceSource(path="trace log", preset="tracer"), Path(), Path(scratch))
        reader = _Reader(logs, what, preset, TeacherLabels(manifest))
        for file in files:
            for record in read_log(file, Path(scratch)):
                logs.lines += 1
                if record.fields is None:
                    logs.unreadable += 1
                    if logs.first_unreadable is None:
                        logs.first_unreadable = f"{place(file, record)}: {record.problem}"
                else:
                    reader.take(file, record.fields)
    logs.audits.sort(key=lambda audit: (audit.time, audit.id or ""))
    return logs


class _Reader:
    def __init__(self, logs: Logs, what: Watched, preset: Preset, labels: TeacherLabels) -> None:
        self._logs = logs
        self._what = what
        self._preset = preset
        self._labels = labels
        self._ids: set[str] = set()

    def take(self, file: TraceFile, fields: Mapping[str, Any]) -> None:
        logs = self._logs
        policy, target = optional_text(fields.get("policy")), _number(fields.get("target"))
        if policy is None:
            logs.no_policy += 1
        elif policy != self._what.policy:
            logs.other[policy] += 1
        elif target is not None and target != self._what.target:
            logs.other_target += 1
        elif optional_text(fields.get("origin")) == "deferred":
            time = optional_text(fields.get("time"))
            logs.deferred.append(None if time is None else parse_timestamp(time))
        else:
            self._audit(file, fields)

    def _audit(self, file: TraceFile, fields: Mapping[str, Any]) -> None:
        try:
            audit = self._made(file, fields)
        except (UnusableError, NoCallError) as error:
            reasons, reason = self._logs.unusable, str(error)
            reasons[reason if reason in reasons or len(reasons) < MOST_REASONS else "other reasons"] += 1
            return
        if audit.id is not None and audit.id in self._ids:
            self._logs.repeated += 1
            return
        if audit.id is not None:
            self._ids.add(audit.id)
        self._logs.audits.append(audit)

    def _made(self, file: TraceFile, fields: Mapping[str, Any]) -> Audit:
        call = self._preset.call(file, fields)
        if call.origin != "audit":
            raise UnusableError(f"the origin is {str(call.origin)[:60]!r}; a policy's lines are audit or deferred")
        decision, answered = optional_text(fields.get("decision")), optional_text(fields.get("label"))
        if decision not in (HANDLED, DEFERRED) or (decision == HANDLED and answered is None):
            raise UnusableError("the decision, or the label of a handled request, is missing")
        when = optional_text(call.timestamp)
        time = None if when is None else parse_timestamp(when)
        if time is None:
            raise UnusableError("the time is missing or is no point in time")
        text = normalise(optional_text(call.text) or "")
        return Audit(
            time,
            optional_text(call.id),
            # A text that a redaction took away is no repeat of another such.
            text_key(text) if text else f"{file.name}, {self._logs.lines}",
            decision == HANDLED,
            answered,
            self._labels.of(call),
            _number(fields.get("score")),
            _number(fields.get("distance")),
            _number(fields.get("probability")),
        )


def _number(value: Any) -> float | None:
    """Readers give numbers as they are written."""
    text = optional_text(value)
    try:
        number = math.nan if text is None else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
