"""Whatever is given to a router: an answer, or an error of the caller's that says what is wrong."""

from __future__ import annotations

import array
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer_cli as tracer
from tracer_cli.api import FitResult
from tracer_cli.errors import DataError, EmbedderMismatchError, TracerError
from tracer_cli.runtime.inputs import LONGEST_TEXT

DIM = 64
VECTOR = np.random.default_rng(0).standard_normal(DIM).astype(np.float32)


@pytest.fixture(scope="module")
def router(fitted: FitResult) -> tracer.Router:
    return tracer.load_router(fitted.path)


class Tensor:
    """As a library with arrays of its own has them."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return VECTOR


class Refusing:
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise RuntimeError("on another device")


@pytest.mark.parametrize(
    "value",
    [
        VECTOR,
        VECTOR.astype(np.float64),
        VECTOR.astype(np.longdouble),
        VECTOR.astype(">f4"),
        np.stack([VECTOR, VECTOR], axis=1)[:, 0],
        np.lib.stride_tricks.as_strided(VECTOR, writeable=False),
        VECTOR.tolist(),
        tuple(VECTOR.tolist()),
        list(VECTOR),
        array.array("f", VECTOR.tolist()),
        memoryview(VECTOR),
        pd.Series(VECTOR),
        Tensor(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_of_every_kind_are_one_vector(router: tracer.Router, value: Any) -> None:
    assert router.predict(value) == router.predict(VECTOR)


def test_half_precision_and_whole_numbers(router: tracer.Router) -> None:
    for kind in (np.float16, np.int64, np.uint8):
        value = (np.abs(VECTOR) * 10).astype(kind)
        assert router.predict(value) == router.predict(value.astype(np.float32))


@pytest.mark.parametrize(
    "batch",
    [
        np.stack([VECTOR, -VECTOR]),
        np.asfortranarray(np.stack([VECTOR, -VECTOR]).astype(np.float64)),
        [VECTOR, -VECTOR],
        (VECTOR.tolist(), (-VECTOR).tolist()),
        pd.DataFrame(np.stack([VECTOR, -VECTOR])),
        memoryview(np.stack([VECTOR, -VECTOR])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_matrices_of_every_kind(router: tracer.Router, batch: Any) -> None:
    found, seen = router.predict_batch(batch, fallback=list), []
    router.predict_batch(batch, fallback=lambda rows: seen.extend(rows) or rows)
    assert found["accept_scores"].tolist() == [router.predict(v)["accept_score"] for v in (VECTOR, -VECTOR)]
    assert len(seen) == (~found["handled"]).sum() > 0 and all(len(row) == DIM for row in seen)


@pytest.mark.parametrize(
    "texts",
    [
        ["where is my order?", "hm"],
        ("where is my order?", "hm"),
        np.array(["where is my order?", "hm"]),
        np.array(["where is my order?", "hm"], object),
        pd.Series(["where is my order?", "hm"], index=[7, 9]),
        pd.Series(["where is my order?", "hm"], dtype="category"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_texts_of_every_kind(router: tracer.Router, texts: Any) -> None:
    found = router.predict_batch(texts)
    assert found["accept_scores"] == pytest.approx([router.predict(t)["accept_score"] for t in texts], abs=1e-6)


def test_the_callers_arrays_are_never_changed(router: tracer.Router) -> None:
    for kind in (np.float32, np.float64, np.int64):
        matrix = (np.stack([VECTOR, VECTOR * 1e3]) * 7).astype(kind)
        before = matrix.copy()
        matrix.flags.writeable = False
        router.predict_batch(matrix, fallback=lambda rows: [None] * len(rows))
        router.predict(matrix[0], fallback=lambda row: None)
        router.decide(matrix)
        assert (matrix == before).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "the input must be a text or a vector of numbers, not None"),
        (b"where is my order?", "the input must be a text or a vector of numbers, not b'where is"),
        (bytearray(b"x"), "the input must be made of real numbers|has dimension 1"),
        ({"text": "x"}, "the input must be a text or a vector of numbers, not {'text': 'x'}"),
        (5, "the input must be a text or a vector of numbers, not a single number"),
        ([], "the vector has dimension 0, this policy was fitted with 64"),
        (["a text"], r"the input must be made of real numbers, not \['a text'\]"),
        ([1.0] * 63 + [None], "the input must be made of real numbers"),
        ([1.0] * 63 + ["1"], "the input must be made of real numbers"),
        ([[1.0], [1.0, 2.0]], "its rows differ in length"),
        ([Fraction(1)] * DIM, "the input must be made of real numbers"),
        ([10**400] * DIM, "the input must be made of real numbers"),
        (VECTOR.astype(complex), "the input must be made of real numbers"),
        (VECTOR > 0, "the input must be made of real numbers"),
        (VECTOR[:-1], "the vector has dimension 63, this policy was fitted with 64"),
        (np.zeros((1, DIM)), "the vector has dimension 1x64, this policy was fitted with 64"),
        (np.where(VECTOR > 0, np.nan, 0), "the vector has a NaN or infinite value"),
        (np.full(DIM, -np.inf), "the vector has a NaN or infinite value"),
        (np.full(DIM, 1e300), "the vector has a NaN or infinite value .or one beyond float32."),
        (Refusing(), "on another device"),
        ("", "the input is not a text with at least one character: ''"),
        (" \n\t\u00a0", "the input is not a text with at least one character"),
        ("x\ud83d", "the input is not valid text: it holds half of a surrogate pair"),
        ("x" * 5_000_000, "the input is too long: 5,000,000 characters, of which 1,000,000 are allowed"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_input_is_named(router: tracer.Router, value: Any, message: str) -> None:
    called = []
    with pytest.raises((DataError, EmbedderMismatchError), match=message) as info:
        router.predict(value, fallback=called.append)
    assert not called and len(str(info.value)) < 400
    if isinstance(value, str | bytes | None):
        with pytest.raises(DataError, match="input 1 is" if value else "input 0 is"):
            router.predict_batch(["fine" if value else value, value], fallback=called.append)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ("a text", "expected a list of texts or a matrix, not one str; predict takes one text"),
        (b"bytes", "expected a list of texts or a matrix, not one bytes"),
        (None, "expected a list of texts or a matrix, not None"),
        ({"a", "b"}, "expected a list of texts or a matrix, not {"),
        ((text for text in "ab"), "expected a list of texts or a matrix, not <generator"),
        (["fine", 3], "input 1 is not a text: 3"),
        (["fine", ""], "input 1 is not a text with at least one character"),
        ([None, "fine"], "input 0 is not a text: None"),
        (["fine", b"x"], "input 1 is not a text: b'x'"),
        (["fine", "x" * (LONGEST_TEXT + 1)], "input 1 is too long"),
        (VECTOR, r"the matrix has the shape \(64,\), expected \(n, 64\)"),
        (np.zeros((2, 3, DIM)), "the matrix has dimension 3x64"),
        ([VECTOR, VECTOR[:-1]], "its rows differ in length"),
        (np.stack([VECTOR, VECTOR * np.nan]), "the matrix has a NaN or infinite value .* in row 1"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else type(value).__name__,  # the same in every process
)
def test_what_is_no_batch_is_named(router: tracer.Router, batch: Any, message: str) -> None:
    with pytest.raises((DataError, EmbedderMismatchError), match=message):
        router.predict_batch(batch)


def test_an_empty_batch(router: tracer.Router) -> None:
    for batch in ([], (), np.empty((0, DIM)), np.array([], object)):
        found = router.predict_batch(batch, fallback=lambda inputs: 1 / 0)
        assert found["labels"] == found["decisions"] == [] and all(len(values) == 0 for values in found.values())  # type: ignore[arg-type]


@pytest.mark.parametrize("target", [0.5, "0.85", float("nan"), [0.85], -1])
def test_a_target_that_is_none_is_named_before_any_work(router: tracer.Router, target: Any) -> None:
    for call in (router.predict, router.predict_batch):
        with pytest.raises(DataError, match=r"is not certified by this policy; certified: 0\.7, 0\.85"):
            call(None, target=target)


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=8,
)


@given(JUNK)
@settings(max_examples=150)
def test_junk_is_an_answer_or_an_error_of_the_callers(router: tracer.Router, value: Any) -> None:
    for call in (router.predict, router.predict_batch, router.embed, router.decide):
        try:
            call(value)
        except TracerError as error:
            assert str(error)
