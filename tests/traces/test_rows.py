"""Which values are a text or a label, and which are not."""

from typing import Any

import pytest
from pydantic import ValidationError

from tracer_cli.config.schema import TraceSource
from tracer_cli.errors import ConfigError
from tracer_cli.traces.calls import Answer, Call, UnusableError
from tracer_cli.traces.expressions import MISSING
from tracer_cli.traces.read.parquet import Unreadable
from tracer_cli.traces.rows import Row, RowMaker
from tracer_cli.traces.text import normalise, split_bound, split_position


def made(untyped: bool = False, source: dict[str, Any] | None = None, **values: Any) -> Row | str | None:
    fields = {"input": "hello", "teacher": "greeting", **values}
    text, label = (MISSING if fields[name] is ... else fields[name] for name in ("input", "teacher"))
    extras = {name: fields.get(name) for name in ("id", "timestamp", "ground_truth", "origin")}
    maker = RowMaker(TraceSource(path="a.jsonl", max_text_length=50, max_label_length=20, **source or {}), seed=0)
    try:
        return maker.row(Call(text, (Answer(label),), **extras), "input", "teacher", untyped)
    except UnusableError as error:
        return str(error)


@pytest.mark.parametrize(
    "label",
    [
        "yes",
        "no",
        "null",
        "None",
        "NaN",
        "true",
        "a/b",
        "../x",
        "\U0001f600",
        "\u05e9\u05dc\u05d5\u05dd",
        "\u202eabc",
        "0123",
        "1e-3",
        "a@b[c].d",
        "\x00",
    ],
)
def test_any_string_is_an_ordinary_label(label: str) -> None:
    row = made(teacher=label)
    assert isinstance(row, Row) and row.label == label


@pytest.mark.parametrize(("value", "label"), [(True, "true"), (False, "false"), (3, "3"), (1.0, "1.0"), (b"x", "x")])
def test_a_plain_value_becomes_its_text(value: object, label: str) -> None:
    row = made(teacher=value)
    assert isinstance(row, Row) and row.label == label


def test_a_label_loses_white_space_at_its_ends_and_a_text_keeps_it() -> None:
    assert made(input=" hello ", teacher=" greeting\n") == Row(" hello ", "greeting", None, None, None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (..., "is missing"),
        (None, "is null"),
        ("", "is empty"),
        (" \n\u00a0", "is only white space"),
        (float("nan"), "is NaN"),
        (float("-inf"), "is infinite"),
        ({"a": 1}, "is an object, not text"),
        (["a"], "is a list, not text"),
        (b"\xff", "is not UTF-8"),
        (Unreadable("year 52000 is out of range"), "cannot be read: year 52000 is out of range"),
        ("a\ud800", "holds half of a surrogate pair, which is no character"),
    ],
)
@pytest.mark.parametrize(("name", "role"), [("input", "text"), ("teacher", "label")])
def test_what_is_no_text_is_rejected_with_its_reason(name: str, role: str, value: object, reason: str) -> None:
    assert made(**{name: value}) == f"the {role} ({name}) {reason}"


def test_over_long_values_are_rejected() -> None:
    assert made(input="x" * 51) == "the text (input) has 51 characters, more than max_text_length: 50"
    assert made(teacher="x" * 21) == "the label (teacher) has 21 characters, more than max_label_length: 20"
    assert isinstance(made(input="x" * 50, teacher="x" * 20), Row)


@pytest.mark.parametrize("label", ["NaN", "nan"])
def test_in_csv_nan_is_no_label(label: str) -> None:
    assert made(untyped=True, teacher=label) == "the label (teacher) is NaN"
    assert isinstance(made(untyped=True, input=label, teacher="nano"), Row)


def test_extras_that_are_unusable_are_null_and_the_row_stays() -> None:
    assert made(id="", timestamp="soon", ground_truth=" ") == Row("hello", "greeting", None, None, None)
    assert made(id=["a"], timestamp="1970-01-01T00:00:01Z", ground_truth=" x ") == Row(
        "hello", "greeting", '["a"]', 1_000_000, "x"
    )
    assert made(untyped=True, ground_truth="nan") == made()


# --- the time window ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "inside"),
    [
        ("2026-01-31T23:59:59.999999Z", False),
        ("2026-02-01", True),
        ("2026-02-01T00:00:00+00:00", True),
        ("2026-02-01T01:00:00+01:00", True),
        ("2026-02-01T00:59:59+01:00", False),
        (1769904000, True),  # the same, in seconds
        (1769903999999, False),
        ("2026-02-28T23:59:59.999999Z", True),
        ("2026-03-01", False),
        ("2026-02-28T23:00:00-01:00", False),
    ],
)
def test_a_window_has_its_start_and_not_its_end(time: object, inside: bool) -> None:
    row = made(source={"timestamp": "t", "since": "2026-02-01", "until": "2026-03-01"}, timestamp=time)
    assert isinstance(row, Row) if inside else row is None


def test_a_window_needs_a_time_and_an_open_end_is_open() -> None:
    reason = "the timestamp is missing or is no point in time, and `since` or `until` needs it"
    for time in (None, "", "soon", [1], float("nan")):
        assert made(source={"since": "2026-02-01"}, timestamp=time) == reason
        assert made(source={"until": "2026-02-01"}, timestamp=time) == reason
        assert isinstance(made(timestamp=time), Row)
    assert isinstance(made(source={"since": "2026-02-01"}, timestamp="9999-01-01"), Row)
    assert isinstance(made(source={"until": "2026-02-01"}, timestamp="0001-01-01"), Row)


def test_a_row_outside_of_the_window_is_not_looked_at() -> None:
    assert made(source={"since": "2026-02-01"}, timestamp="2026-01-01", teacher=None) is None
    assert made(source={"since": "2026-02-01"}, timestamp="2026-02-01", teacher=None) == "the label (teacher) is null"


@pytest.mark.parametrize(
    "time",
    ["90d", "-90d", "now", "today", "yesterday", "last week", "P90D", "now-7d", "90", "20260131", "1.7e9", "2026-13-01", "1/2/2026"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["since", "until"])
def test_a_time_that_depends_on_today_is_refused(name: str, time: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(source={name: time})
    assert str(caught.value) == (
        f"traces: `{name}` of a.jsonl is {time!r}; expected a date or time such as 2026-01-31 or "
        "2026-01-31T12:00:00Z: a refit must not depend on the day on which it runs"
    )


def test_an_empty_window_is_refused() -> None:
    for until in ("2026-01-31", "2026-02-01", "2026-02-01T01:00:00+01:00"):
        with pytest.raises(ConfigError, match="not after `since`"):
            made(source={"since": "2026-02-01", "until": until})


# --- the sample -----------------------------------------------------------------------------------


def drawn(share: float, texts: list[str], seed: int = 0) -> set[str]:
    maker = RowMaker(TraceSource(path="a.jsonl", sample=share), seed)
    return {text for text in texts if maker.row(Call(text, (Answer("x"),)), "input", "teacher", False)}


TEXTS = [f"text number {i}" for i in range(4000)]


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_the_share_of_a_sample_is_that_of_a_fair_draw(share: float) -> None:
    """Within 4.5 standard deviations of the binomial, for each of some seeds."""
    spread = 4.5 * (share * (1 - share) * len(TEXTS)) ** 0.5
    for seed in range(4):
        assert abs(len(drawn(share, TEXTS, seed)) - share * len(TEXTS)) < spread
    assert drawn(share, TEXTS, 0) != drawn(share, TEXTS, 1)


def test_a_sample_is_sticky() -> None:
    some = drawn(0.3, TEXTS[:1000])
    assert some == drawn(0.3, TEXTS) & set(TEXTS[:1000])  # more traces
    assert some < drawn(0.4, TEXTS[:1000])  # a larger share
    assert drawn(1.0, TEXTS) == set(TEXTS)
    for text in TEXTS[:200]:  # the same text, however it is written
        assert len(drawn(0.3, [text])) == len(drawn(0.3, [f"  {text.replace(' ', chr(10))} "]))


def test_a_sample_says_nothing_about_the_side_of_the_split() -> None:
    share, seed = 0.3, 0
    inside = drawn(0.5, TEXTS, seed)
    held = {text for text in TEXTS if split_position(normalise(text), seed) < split_bound(share)}
    both, expected = len(inside & held), len(inside) * len(held) / len(TEXTS)
    assert abs(both - expected) < 4.5 * (share * (1 - share) * len(inside)) ** 0.5
    assert 0 < both < len(held)


# --- origin and weight ----------------------------------------------------------------------------


def test_origin_and_weight_come_along() -> None:
    for value, origin in ((None, "organic"), ("", "organic"), ("audit", "audit"), (b"deferred", "deferred")):
        row = made(source={"weight": 2.5}, origin=value)
        assert isinstance(row, Row) and (row.origin, row.weight) == (origin, 2.5)
    for value, shown in (
        ("Audit", "'Audit'"),
        ("handled", "'handled'"),
        (1, "'1'"),
        (True, "'true'"),
        ("x" * 99, f"'{'x' * 60}'"),
    ):
        assert made(origin=value) == f"the origin is {shown}; expected one of organic, audit, deferred"


def test_a_weight_that_cannot_be_added_up_exactly_is_refused() -> None:
    for weight in (1e-7, 1e7, 1e300):
        with pytest.raises(ValidationError):
            made(source={"weight": weight})
    for weight in (1e-6, 1e6):
        row = made(source={"weight": weight})
        assert isinstance(row, Row) and row.weight == weight
