"""Times as traces write them."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_cli.traces.timestamps import EPOCH, parse_timestamp

NOON = int(datetime(2024, 5, 6, 12, 0, tzinfo=timezone.utc).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-06T12:00:00Z",
        "2024-05-06 12:00",
        "2024-05-06T12:00:00.000000000+00:00",
        "2024-05-06T14:00:00+02:00",
        "2024-05-06T06:30:00-0530",
        "2024-05-06 12:00:00 UTC",
        str(NOON // 1_000_000),
        str(NOON // 1000),
        f"{NOON // 1_000_000}.0",
        " 2024-05-06T12:00:00Z\n",
    ],
)
def test_every_way_of_writing_one_moment(text: str) -> None:
    assert parse_timestamp(text) == NOON


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2024-13-01",
        "2024-02-30",
        "12:00",
        "NaN",
        "inf",
        "1e99",
        "9" * 40,
        "2024-05-06T25:00:00Z",
        "٢٠٢٤",
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_timestamp(text) is None


@given(st.datetimes(timezones=st.timezones()))
def test_what_python_writes_is_read_back(moment: datetime) -> None:
    offset = moment.utcoffset()
    if offset is not None and offset % timedelta(minutes=1):  # old local mean times have seconds
        return
    assert parse_timestamp(moment.isoformat()) == (moment - EPOCH) // timedelta(microseconds=1)


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    parse_timestamp(text)
