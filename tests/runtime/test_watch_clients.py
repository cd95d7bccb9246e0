"""`watch` around the real OpenAI client, over HTTP, and what `fit` and `update` make of what it wrote."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import tracer_cli as tracer
from runtime import llm_server
from runtime.log_support import files, finished, lines, program
from runtime.watch_support import run_async, written
from support import absent, example_traces, quick
from support import tracer as run
from tracer_cli.runtime.trace_log import TraceLog
from tracer_cli.traces.presets.messages import context_of
from traces.presets.accounting import accounted, ingested


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TraceLog]:
    with TraceLog(tmp_path / "traces") as log:
        yield log


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with llm_server.serving() as url:
        yield url


@pytest.fixture(scope="module")
def openai() -> Any:
    try:
        import openai
    except ImportError:
        absent("the package openai is not installed")
    return openai


def messages(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Classify."}, {"role": "user", "content": text}]


def expected_context() -> str:
    context = context_of(messages("x"))
    assert context is not None
    return context.sha256


def test_the_openai_client(log: TraceLog, endpoint: str, openai: Any) -> None:
    with openai.OpenAI(base_url=endpoint, api_key="sk-secret", max_retries=0) as client:
        create = tracer.watch(log)(client.chat.completions.create)
        done = create(model="m", messages=messages("card"))
        assert isinstance(done, openai.types.chat.ChatCompletion)
        assert done.choices[0].message.content == "label of card"
        stream = create(model="m", messages=messages("stream"), stream=True)
        assert isinstance(stream, openai.Stream)
        told = [piece.choices[0].delta.content for piece in stream if piece.choices]
        assert told == ["", "label ", "of ", "stream", None]
        with create(model="m", messages=messages("entered"), stream=True) as stream:
            assert stream.response.status_code == 200 and len(list(stream)) == 6
        with create(model="m", messages=messages("left"), stream=True) as stream:
            next(stream)
        with pytest.raises(openai.BadRequestError):
            create(model="m", messages=messages("fail"))
        create(model="m", messages=messages("long"))
        form = {"type": "json_object"}
        create(model="m", messages=messages("form"), response_format=form, tools=openai.NOT_GIVEN)
    found = written(log)
    assert [(line["input"], line["teacher"]) for line in found] == [
        (text, f"label of {text}") for text in ("card", "stream", "entered", "form")
    ]
    assert {line["model"] for line in found} == {llm_server.MODEL}
    assert [line["context"]["sha256"] for line in found[:3]] == [expected_context()] * 3
    with_form = context_of(messages("x"), None, form)
    assert with_form and found[3]["context"]["sha256"] == with_form.sha256
    assert "sk-secret" not in repr(found)


def test_the_async_openai_client_and_its_tools(log: TraceLog, endpoint: str, openai: Any) -> None:
    tools = [{"type": "function", "function": {"name": "route", "parameters": {"type": "object"}}}]

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=endpoint, api_key="k", max_retries=0) as client:
            create = tracer.watch(log)(client.chat.completions.create)

            @tracer.watch(log)
            async def texts(text: str) -> AsyncIterator[str]:
                async for piece in await client.chat.completions.create(
                    model="m", messages=messages(text), stream=True
                ):
                    if piece.choices:
                        yield piece.choices[0].delta.content or ""

            done = await create(model="m", messages=messages("card"), tools=tools)
            assert done.choices[0].message.tool_calls[0].function.name == "route"
            stream = await create(model="m", messages=messages("stream"), stream=True)
            assert isinstance(stream, openai.AsyncStream) and len([piece async for piece in stream]) == 6
            async with await create(model="m", messages=messages("left"), stream=True) as stream:
                await stream.__anext__()
            assert "".join([piece async for piece in texts("texts")]) == "label of texts"

    run_async(main())
    log.close()
    first, *others = lines(log.folder)
    assert first["tool_calls"] == [{"name": "route", "arguments": '{"intent": "card"}'}] and first["teacher"] is None
    assert [(line["input"], line["teacher"]) for line in others] == [
        ("stream", "label of stream"),
        ("texts", "label of texts"),
    ]
    parse = {"kind": "tool", "tool": "route", "argument": "intent"}
    found = accounted(log.folder, path="*.jsonl", preset="tracer", max_rejected=1, parse=parse)
    assert found[0].short == ("card", "card")


def test_what_watch_writes_is_what_fit_reads(tmp_path: Path) -> None:
    """From a call to a certified policy, with nothing in between."""
    answers = {trace["input"]: trace["teacher"] for trace in example_traces(600)}
    log = TraceLog(tmp_path / "traces", max_bytes=150_000)

    @tracer.watch(log)
    async def classify(text: str) -> str:
        return answers[text]

    async def main() -> None:
        for text in answers:
            await classify(text)

    run_async(main())
    assert log.close()
    first, second = files(log.folder)
    collected, accepted, rejected = ingested(tmp_path, path="traces/*.jsonl", preset="tracer", max_rejected=0)
    assert (collected.read, accepted, rejected) == (len(answers), len(answers), [])
    result = tracer.fit(first, tmp_path / ".tracer", config=quick())
    assert set(result.manifest["labels"]) <= set(answers.values())
    done = run("update", second, "--artifact-dir", ".tracer", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    counted = json.loads((tmp_path / ".tracer" / "work" / "metrics" / "traces.json").read_text())
    assert (counted["rows_accepted"], counted["rows_rejected"]) == (len(answers), 0)


def test_watching_a_text_function_brings_in_nothing_heavy(tmp_path: Path) -> None:
    code = """
import sys
import tracer_cli as tracer
@tracer.watch(sys.argv[1])
def classify(text):
    return "x"
classify("a")
light = [name for name in ("numpy", "pyarrow", "pydantic", "duckdb") if name in sys.modules]
@tracer.watch(sys.argv[1])
def chat(messages):
    return {"role": "assistant", "content": "y"}
before = set(sys.modules)
chat([{"role": "user", "content": "b"}])
print(light, "duckdb" in sys.modules, sorted(name for name in set(sys.modules) - before if "tracer" in name))
"""
    assert finished(program(code, tmp_path)) == "[] False []\n"
    assert [(line["input"], line["teacher"]) for line in lines(tmp_path)] == [("a", "x"), ("b", "y")]
