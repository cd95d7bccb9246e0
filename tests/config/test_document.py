"""Plain scalars against ruamel.yaml, the reader that DVC uses."""

import contextlib
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tracer_cli.config.document import core_value, key_path, parse
from tracer_cli.config.scalars import Scalar

ALIKE = [
    *["yes", "no", "on", "off", "Yes", "NO", "y", "n", "~", "null", "Null", "NULL", "nULL"],
    *["true", "True", "TRUE", "tRue", "false", "False", "FALSE", ".inf", ".Inf", ".INF", "-.inf", "+.inf"],
    *[".nan", ".NaN", ".NAN", "1e-3", "1e3", "1.5e+3", "1E5", ".5", "5.", "-0", "+12", "-0.0", "0", "00", "007"],
    *["0123", "0o14", "0o8", "0x1F", "0x", "0b", "+", ".", "..", "12:30", "1:2:3", "1.2.3", "1e", ".e3", "e3"],
    *["--1", "1-"],
]

# Spellings that ruamel.yaml takes for a value (or cannot read) and the core schema takes for text. In tracer.yaml
# they are text; params.yaml quotes them.
TEXT_TO_US = [
    "1_000",
    "1__0",
    "1_0.5",
    "0b11",
    "-0x1F",
    "+0o14",
    "2001-01-01",
    "2001-12-14t21:59:43.10-05:00",
    "=",
    "<<",
]


def ruamel(text: str) -> object:
    return YAML(typ="safe").load(f"a: {text}\n")["a"]


def ours(text: str) -> object:
    return parse(f"a: {text}\n", "x").plain()["a"]


@pytest.mark.parametrize("text", ALIKE)
def test_a_plain_scalar_is_what_dvc_reads(text: str) -> None:
    found, expected = ours(text), ruamel(text)
    assert type(found) is type(expected)
    assert found == expected or (isinstance(found, float) and math.isnan(found) and math.isnan(expected))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", TEXT_TO_US)
def test_where_ruamel_goes_beyond_the_core_schema_we_read_text(text: str) -> None:
    with contextlib.suppress(YAMLError):
        assert not isinstance(ruamel(text), str)
    assert ours(text) == text


@given(st.from_regex(r"[-+]?[0-9xob_.eE:a-fTZ-]{1,8}", fullmatch=True))
@example("0o0")
def test_we_never_see_another_value_than_ruamel_only_text(text: str) -> None:
    value = core_value(text)
    if isinstance(value, str):
        return
    assert value == ruamel(text)


@pytest.mark.parametrize("text", ["0123", "1e-3", "true", "0x1F"])
def test_a_quoted_scalar_is_text_and_a_plain_one_keeps_its_spelling(text: str) -> None:
    data = parse(f"q: '{text}'\nd: \"{text}\"\np: {text}\n", "x").data
    assert data["q"] == data["d"] == text
    assert isinstance(data["p"], Scalar)
    assert data["p"].text == text


def test_places_are_those_of_keys_and_values() -> None:
    document = parse("a:\n  - b: 1\n    é😀: [2, 3]\n", "x")
    place = document.place(("a", 0, "é😀", 1))
    assert (place.line, place.column) == (3, 13)
    assert document.place(("a", 0, "é😀"), key=True).column == 5
    assert document.place(("a", 0, "missing", 4)).line == 2


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_with_a_problem_that_has_a_place(text: str) -> None:
    document = parse(text, "x")
    for problem in document.problems:
        assert problem.place.line >= 1
        assert problem.place.column >= 1
    document.error(document.problems)


def test_a_key_path_reads_like_the_file() -> None:
    assert key_path(("traces", 0, "path")) == "traces[0].path"
    assert key_path(("zoo", "a.b", "C")) == "zoo['a.b'].C"
