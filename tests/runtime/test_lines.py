"""`tracer route` on a stream: one answer for each line, whatever the line is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer_cli as tracer
from support import example_traces
from support import tracer as run
from tracer_cli.api import FitResult
from tracer_cli.errors import DataError
from tracer_cli.runtime.lines import route_lines

NASTY = [
    b'"where is my order?"',
    b'{"id": 7, "text": "refund please"}',
    b'{"input": "\\u0645\\u0631\\u062d\\u0628\\u0627 \xf0\x9f\x98\x80"}',
    b"{bad",
    b"[]",
    b"3",
    b"",
    b'{"id": "x"}',
    b'{"text": ""}',
    b'{"text": null}',
    b'{"embedding": [1, 2]}',
    b'{"embedding": "x"}',
    b'{"embedding": [NaN]}',
    b"\xff\xfe",
]


def test_every_line_is_answered_in_order(fitted: FitResult) -> None:
    router = tracer.load_router(fitted.path)
    vector = [0.1] * 64
    lines = [*NASTY, json.dumps({"id": "v", "embedding": vector}).encode()]
    for batch_size in (1, 3, 100):
        answers = list(route_lines(router, lines, batch_size))
        assert len(answers) == len([line for line in lines if line.strip()])
        expected = router.predict("where is my order?")
        assert answers[0].keys() == expected.keys() and answers[0]["label"] == expected["label"]
        assert answers[0]["accept_score"] == pytest.approx(expected["accept_score"], abs=1e-5)
        assert answers[1]["id"] == 7 and answers[1]["label"] == router.predict("refund please")["label"]
        assert answers[3]["line"] == 4 and answers[3]["error"].startswith("not JSON")
        assert answers[6]["id"] == "x" and "expected one of the fields text, input" in answers[6]["error"]
        assert answers[-1]["id"] == "v" and answers[-1]["decision"] == router.predict(vector)["decision"]
        assert [("error" in a) for a in answers] == [False] * 3 + [True] * 10 + [False]


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from(NASTY)), max_size=12), st.integers(1, 5))
@settings(max_examples=100)
def test_no_line_is_lost(lines: list[bytes], batch_size: int) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]

    class Stub(tracer.Router):
        def __init__(self) -> None:
            pass

        def predict(self, value, fallback=None, target=None):
            raise DataError("no")

        def embed(self, texts):
            raise DataError("no")

    answers = list(route_lines(Stub(), lines, batch_size))
    assert len(answers) == len([line for line in lines if line.strip()])


def test_the_command(fitted: FitResult) -> None:
    folder = fitted.path.parent
    texts = [trace["input"] for trace in example_traces(40)]
    stdin = "\n".join(json.dumps({"id": i, "input": text}) for i, text in enumerate(texts)).encode()
    done = run("route", cwd=folder, stdin=stdin)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and [a["id"] for a in answers] == list(range(40))
    done = run("route", texts[0], texts[1], cwd=folder)
    assert [json.loads(line)["decision"] for line in done.stdout.splitlines()] == [a["decision"] for a in answers[:2]]
    done = run("route", cwd=folder, stdin=b'"fine"\n{bad\n')
    assert done.returncode == 2 and len(done.stdout.splitlines()) == 2
    assert done.stderr == "error: 1 lines could not be routed: see their `error` fields\n"
