"""Which values are a text or a label, and which are not."""

from typing import Any

import pytest

from tracer_cli.config.schema import TraceSource
from tracer_cli.traces.calls import Answer, Call, UnusableError
from tracer_cli.traces.expressions import MISSING
from tracer_cli.traces.rows import Row, RowMaker


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
    assert made(id=["a"], timestamp="1970-01-01T00:00:01Z", ground_truth=" x ") == Row("hello", "greeting", '["a"]', 1_000_000, "x")
    assert made(untyped=True, ground_truth="nan") == made()
