"""What a service may answer: found and put in order, or an error that says what is wrong with it."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedding_service import DIM, TEXTS, Reply, Service, first, made, running, vectors
from tracer_cli.embedders import Embedder, answer
from tracer_cli.errors import EmbedderError, EmbedderMismatchError


def test_base64_is_read_as_well(service: Service) -> None:
    service.shape = lambda texts, rows: {
        "data": [
            {"index": i, "embedding": base64.b64encode(np.array(row, "<f4").tobytes()).decode()}
            for i, row in enumerate(rows)
        ]
    }
    np.testing.assert_array_equal(made(service).embed(TEXTS), vectors(TEXTS))


@pytest.mark.parametrize(
    ("output_key", "shape"),
    [
        ("embeddings", lambda rows: {"embeddings": rows}),
        ("result.vectors", lambda rows: {"result": {"vectors": rows}}),
        ("data[*].vector", lambda rows: {"data": [{"vector": row} for row in rows]}),
        ("outputs[0].data", lambda rows: {"outputs": [{"data": rows}, 7]}),
        ("[*]", lambda rows: rows),
        ("[*].embedding.values", lambda rows: [{"embedding": {"values": row}} for row in rows]),
    ],
)
def test_another_services_json_is_found_by_its_keys(output_key: str, shape: Any) -> None:
    with running(input_key="inputs", shape=lambda texts, rows: shape(rows)) as service:
        embedder = made(service, shape="json", input_key="inputs", output_key=output_key, model="m", batch_size=3)
        np.testing.assert_array_equal(embedder.embed(TEXTS), vectors(TEXTS))
        assert set(service.requests[-1].body) == {"inputs", "model"}


DATA = {"index": 0, "embedding": [1.0] * DIM}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>hello</html>", "answered 200, but not with JSON: '<html>hello</html>'"),
        (b"", "answered 200, but not with JSON: ''"),
        (b"[" * 100_000, r"answered 200, but not with JSON: '\[\["),
        ([], r"did not answer as /v1/embeddings does .*; it is a list; for another service set embedder.shape: json"),
        ({"embeddings": []}, "it has 'embeddings';"),
        ({f"k{i}": 0 for i in range(9)}, "it has 'k0', 'k1', 'k2', 'k3', 'k4', ...;"),
        ({"data": {"0": 1}}, "did not answer as"),
        ({"data": [DATA, 3]}, "did not answer as"),
        ({"data": [DATA, {"index": 1}]}, "did not answer as"),
        ({"data": []}, "answered with 0 vectors for 2 texts"),
        ({"data": [DATA]}, "answered with 1 vectors for 2 texts"),
        ({"data": [DATA] * 3}, "answered with 3 vectors for 2 texts"),
        ({"data": [DATA, DATA]}, r"wrong places \(`index`\): expected each of 0 to 1 once"),
        ({"data": [DATA, {**DATA, "index": 2}]}, "wrong places"),
        ({"data": [DATA, {**DATA, "index": -1}]}, "wrong places"),
        ({"data": [DATA, {**DATA, "index": "1"}]}, "wrong places"),
        ({"data": [DATA, {**DATA, "index": True}]}, "wrong places"),
        ({"data": [DATA, {**DATA, "index": 1.0}]}, "wrong places"),
        ({"data": [DATA, {"embedding": [1.0] * DIM}]}, "wrong places"),
        ({"data": [DATA, {"index": 1, "embedding": [float("nan")] * DIM}]}, "NaN or an infinite value in row 1"),
        ({"data": [DATA, {"index": 1, "embedding": [1e300] * DIM}]}, "NaN or an infinite value in row 1"),
        ({"data": [DATA, {"index": 1, "embedding": [1.0] * (DIM - 1)}]}, "not numbers, or of unequal length"),
        ({"data": [DATA, {"index": 1, "embedding": ["x"] * DIM}]}, "not numbers, or of unequal length"),
        ({"data": [DATA, {"index": 1, "embedding": None}]}, "not numbers, or of unequal length"),
        ({"data": [DATA, {"index": 1, "embedding": "???"}]}, "text that is not base64 of float32"),
        ({"data": [DATA, {"index": 1, "embedding": "AAAA"}]}, "text that is not base64 of float32"),
        ({"data": [{"index": i, "embedding": []} for i in range(2)]}, "vectors of length 0"),
        ({"data": [{"index": i, "embedding": [1.0] * 3} for i in range(2)]}, f"of length 3, before with {DIM}"),
    ],
)
def test_a_wrong_answer_is_an_error_and_not_asked_for_again(service: Service, body: Any, message: str) -> None:
    service.behave = first(9, Reply(body))
    embedder = made(service)
    with pytest.raises((EmbedderError, EmbedderMismatchError), match=message) as info:
        embedder.embed(["a", "b"])
    assert service.texts == ["a", "b"] and "http://127.0.0.1" in str(info.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"vectors": []}, "the answer has no 'a.b\\[0\\]' .*; it has 'vectors'"),
        ({"a": []}, "the answer has no"),
        ({"a": {"b": {"0": 1}}}, "the answer has no"),
        ({"a": {"b": []}}, "the answer has no"),
        (3, "it is a int"),
        ({"a": {"b": ["x"]}}, "is no list of vectors"),
        ({"a": {"b": [[]]}}, "answered with 0 vectors for 1 texts"),
    ],
)
def test_a_json_answer_without_the_vectors(service: Service, body: Any, message: str) -> None:
    service.behave = lambda request: Reply(body)
    with pytest.raises(EmbedderError, match=message):
        made(service, shape="json", input_key="input", output_key="a.b[0]").embed(["a"])


@pytest.mark.parametrize("expression", [".", "a.", "a..b", "a[", "a[-1]", "a[x]", "a]b", "[*]x", "a b["])
def test_an_output_key_that_is_no_expression(expression: str) -> None:
    with pytest.raises(EmbedderError, match="is no way through an answer"):
        Embedder.from_endpoint("http://x/y", shape="json", output_key=expression)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
        max_leaves=12,
    ),
    st.sampled_from(["a", "a.b", "[*]", "a[*].b", "[0]", "[*][*]", "[*].a[0]"]),
    st.integers(1, 2),
)
def test_any_json_is_a_matrix_or_an_error(value: Any, output_key: str, rows: int) -> None:
    for read in (lambda: answer.of_json(value, output_key, rows, "x"), lambda: answer.of_openai(value, rows, "x")):
        try:
            found = read()
        except EmbedderError:
            continue
        assert found.shape[0] == rows and found.dtype == np.float32 and np.isfinite(found).all()
