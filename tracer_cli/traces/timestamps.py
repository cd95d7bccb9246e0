"""Points in time as traces write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# Larger numbers are milliseconds: 1e11 seconds is the year 5138, 1e11 milliseconds is March 1973.
LARGEST_SECONDS = 1e11
LARGEST_MILLISECONDS = 1e14

_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d*)?([eE]\+?\d{1,2})?", re.ASCII)
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?"
    r"\s?(?:(Z|UTC)|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)


def parse_timestamp(text: str) -> int | None:
    """Microseconds since 1970-01-01 UTC, or None when `text` is no point in time.

    Taken are ISO 8601 dates and times (without a zone: UTC) and epoch seconds or milliseconds.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return _from_number(text)
    match = _ISO.fullmatch(text)
    return _from_iso(match) if match else None


def _from_number(text: str) -> int | None:
    value = float(text)
    if abs(value) < LARGEST_SECONDS:
        return round(value * 1_000_000)
    return round(value * 1000) if abs(value) < LARGEST_MILLISECONDS else None


def _from_iso(match: re.Match[str]) -> int | None:
    year, month, day, hour, minute, second, fraction, _, sign, zone_hours, zone_minutes = match.groups()
    microsecond = int((fraction or "").ljust(6, "0")[:6])
    offset = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
    try:
        local = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            microsecond,
            timezone.utc,
        )
    except ValueError:
        return None
    return (local - EPOCH + (offset if sign == "-" else -offset)) // timedelta(microseconds=1)
