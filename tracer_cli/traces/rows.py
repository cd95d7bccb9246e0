"""A call of the teacher becomes a row, or is left out, or there is a reason why it cannot be used."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tracer_cli.config.schema import TraceSource
from tracer_cli.errors import ConfigError
from tracer_cli.traces.calls import ORIGINS, Call, UnusableError
from tracer_cli.traces.labels import LabelParser, compiled
from tracer_cli.traces.text import normalise, sample_position, split_bound
from tracer_cli.traces.timestamps import parse_timestamp
from tracer_cli.traces.values import optional_text, required_text

# CSV has no types: these are how programs write the number that is none.
CSV_NAN = ("NaN", "nan")

_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d*)?([eE][-+]?\d+)?\s*")


@dataclass(frozen=True, slots=True)
class Row:
    """A usable trace. timestamp: microseconds since 1970 in UTC; origin: of ORIGINS."""

    text: str
    label: str
    id: str | None
    timestamp: int | None
    ground_truth: str | None
    origin: str = "organic"
    weight: float = 1.0


class RowMaker:
    """Turns the calls of one source into rows."""

    def __init__(self, source: TraceSource, seed: int) -> None:
        self._source = source
        self._seed = seed
        self._since, self._until = _window(source)
        self._windowed = self._since is not None or self._until is not None
        self._pattern = None if source.text_pattern is None else compiled(source.text_pattern, "text_pattern")
        self._bound = None if source.sample == 1 else split_bound(source.sample)
        self._parsers: dict[str, LabelParser] = {}

    def row(self, call: Call, text_place: str, label_place: str, untyped: bool) -> Row | None:
        """The row; None when it is outside of the source's time window or sample. Raises UnusableError.

        text_place, label_place: where text and label were found, for the reason. untyped: the format has no types
        (CSV), so that a label `NaN` is taken for the number that is none. Id, timestamp and ground truth are extras:
        one that is missing or unusable is null and the row stays, unless a window needs the timestamp.
        """
        time = optional_text(call.timestamp)
        timestamp = None if time is None else parse_timestamp(time)
        if self._windowed and not self._within(timestamp):
            return None
        source = self._source
        text = required_text(call.text, "text", text_place, source.max_text_length, "max_text_length")
        if self._pattern is not None:
            text = self._found(text, text_place)
        if self._bound is not None and sample_position(normalise(text), self._seed) >= self._bound:
            return None
        label = self._parser(label_place).label(call.answers)
        if untyped and label in CSV_NAN:
            raise UnusableError(f"the label ({label_place}) is NaN")
        truth = optional_text(call.ground_truth)
        truth = truth.strip() if truth else None
        return Row(
            text,
            label,
            optional_text(call.id),
            timestamp,
            None if not truth or (untyped and truth in CSV_NAN) else truth,
            _origin(call.origin),
            source.weight,
        )

    def _within(self, timestamp: int | None) -> bool:
        if timestamp is None:
            raise UnusableError("the timestamp is missing or is no point in time, and `since` or `until` needs it")
        return (self._since is None or timestamp >= self._since) and (self._until is None or timestamp < self._until)

    def _found(self, text: str, place: str) -> str:
        assert self._pattern is not None
        match = self._pattern.search(text)
        if match is None:
            raise UnusableError(f"the text ({place}) does not match text_pattern")
        group = "text" if "text" in self._pattern.groupindex else min(self._pattern.groups, 1)
        return required_text(match[group], "text", f"{place}, text_pattern", len(text), "max_text_length")

    def _parser(self, place: str) -> LabelParser:
        if place not in self._parsers:
            self._parsers[place] = LabelParser(self._source.parse, place, self._source.max_label_length)
        return self._parsers[place]


def _origin(value: object) -> str:
    text = optional_text(value)
    if text is None:
        return ORIGINS[0]
    if text not in ORIGINS:
        raise UnusableError(f"the origin is {text[:60]!r}; expected one of {', '.join(ORIGINS)}")
    return text


def _window(source: TraceSource) -> tuple[int | None, int | None]:
    since, until = _time(source, "since"), _time(source, "until")
    if since is not None and until is not None and since >= until:
        raise ConfigError(
            f"traces: `until` of {source.path} is {source.until!r}, which is not after `since`: {source.since!r}; "
            "no trace could count"
        )
    return since, until


def _time(source: TraceSource, name: str) -> int | None:
    value = getattr(source, name)
    if value is None:
        return None
    time = None if _NUMBER.fullmatch(value) else parse_timestamp(value)  # a number could be seconds, days or a year
    if time is None:
        raise ConfigError(
            f"traces: `{name}` of {source.path} is {value!r}; expected a date or time such as 2026-01-31 or "
            "2026-01-31T12:00:00Z: a refit must not depend on the day on which it runs"
        )
    return time
