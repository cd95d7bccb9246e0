"""Capture: settings, samples, the context manager, and faults of ours that nobody but the log hears of."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

import tracer_cli as tracer
from runtime.watch_support import CHOICE, USER, run_async, written
from tracer_cli.errors import ConfigError
from tracer_cli.runtime import recording
from tracer_cli.runtime.trace_log import TraceLog


@pytest.fixture(autouse=True)
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    recording._told.clear()
    return caplog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TraceLog]:
    with TraceLog(tmp_path / "traces") as log:
        yield log


def test_our_faults_never_reach_the_caller_and_are_told_once(log: TraceLog, warnings: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("key sk-123")

    @tracer.watch(log, input=broken)
    def one(text: str) -> str:
        return "x"

    @tracer.watch(log, answer=broken)
    async def two(text: str) -> str:
        return "x"

    @tracer.watch(log)
    def three(number: int) -> str:
        return "x"

    @tracer.watch(log)
    def four(messages: Any = None) -> str:
        return "x"

    @tracer.watch(log, answer=broken)
    def five(text: str) -> Iterator[str]:
        yield "x"

    @tracer.watch(log)
    def six(messages: Any) -> str:
        return "x"

    @tracer.watch(log)
    def seven(text: str) -> str:
        return ""

    for _ in range(3):
        assert one("a") == "x" and run_async(two("a")) == "x" and three(3) == "x" and four() == "x"
        assert list(five("a")) == ["x"] and six([{"role": "tool"}]) == "x" and six(messages=[]) == "x"
        assert seven("a") == "" and one("") == "x"
    assert written(log) == []
    told = [record.message.replace(f"{__name__}.", "") for record in warnings.records]
    assert len(told) == len(set(told)) == 8
    assert all(" a call was not logged: " in message and message.endswith(" (told once)") for message in told)
    assert "sk-123" not in warnings.text
    for reason in (
        "one: a call was not logged: RuntimeError while it was read",
        "three: a call was not logged: what is asked is of the type int, neither a text nor messages; set `input`",
        "four: a call was not logged: the call has no first argument; set `input`",
        "six: a call was not logged: there is no message of the user",
        "seven: a call was not logged: the answer is empty",
    ):
        assert reason in warnings.text


def test_a_warning_that_fails_does_not_reach_the_caller_either(log: TraceLog) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise RuntimeError("a filter of the application")

    @tracer.watch(log)
    def classify(text: str) -> str:
        return ""

    recording.logger.addFilter(refuse)
    try:
        assert classify("a") == ""
    finally:
        recording.logger.removeFilter(refuse)


def test_an_endless_stream_is_not_kept(
    log: TraceLog, monkeypatch: pytest.MonkeyPatch, warnings: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording, "MOST_CHARACTERS", 1000)
    monkeypatch.setattr(recording, "MOST_PIECES", 50)

    @tracer.watch(log)
    def stream(text: str) -> Iterator[str]:
        for _ in range(200):
            yield text

    assert len(list(stream("x" * 30))) == len(list(stream("x"))) == 200
    assert written(log) == [] and "the stream is longer than any label is" in warnings.text


def test_a_sample_of_the_calls(log: TraceLog) -> None:
    looked: list[str] = []

    def look(text: str) -> str:
        looked.append(text)
        return text

    @tracer.watch(log, sample=0.25, input=look)
    def classify(text: str) -> str:
        return "x"

    @tracer.watch(log, sample=0)
    def never(text: str) -> str:
        return "x"

    @tracer.watch(log, sample=0)
    def never_streamed(text: str) -> Iterator[str]:
        yield "x"

    for number in range(4000):
        assert classify(str(number)) == never("a") == "x"
    assert list(never_streamed("a")) == ["x"]
    found = written(log)
    assert binomtest(len(found), 4000, 0.25).pvalue > 1e-8
    assert {line["probability"] for line in found} == {0.25} and len(looked) == len(found)


def test_settings_that_cannot_be_meant(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sample is 2; expected a number from 0 to 1"):
        tracer.watch(tmp_path, sample=2)
    with pytest.raises(ConfigError, match="turns is 'first'; expected one of single, last, all"):
        tracer.watch(tmp_path, turns="first")  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="the trace log is a folder of files"):
        tracer.watch("traces.jsonl")
    for wrong in (3, None, int):
        with pytest.raises(ConfigError, match=r"tracer\.watch takes a function"):
            tracer.watch(tmp_path)(wrong)  # type: ignore[type-var]
    with pytest.raises(ConfigError, match=r"tracer\.watch takes a function, not None"):
        tracer.watch(None)  # type: ignore[call-overload]


def test_capture(log: TraceLog) -> None:
    with tracer.capture(log, "one", model="m") as call:
        call.answer("first")
        call.answer({"choices": [CHOICE]})
    with tracer.capture(log, USER, tools=[{"name": "t"}]) as call:
        call.answer("y")

    async def main() -> None:
        async with tracer.capture(log, "two") as call:
            await asyncio.sleep(0.01)
            call.answer("z")
            await asyncio.sleep(0.3)

    run_async(main())
    first, second, third = written(log)
    assert (first["input"], first["teacher"], first["model"]) == ("one", "x", "m")
    assert (second["input"], second["context"]["tools"]) == ("my card", ["t"])
    assert (third["input"], third["teacher"]) == ("two", "z")
    assert 10 <= third["latency_ms"] < 300, "until the answer, not until the block's end"


def test_capture_of_what_has_no_answer_logs_nothing(log: TraceLog, warnings: pytest.LogCaptureFixture) -> None:
    with tracer.capture(log, "no answer"):
        pass
    with pytest.raises(ZeroDivisionError), tracer.capture(log, "fails") as call:
        call.answer("x")
        raise ZeroDivisionError
    with tracer.capture(log, 3) as call:
        call.answer("x")
    with tracer.capture(log, "not drawn", sample=0) as call:
        call.answer("x")
    call.answer("after the end")
    assert written(log) == []
    assert [record.message for record in warnings.records] == [
        "tracer.capture: a call was not logged: what is asked is of the type int, neither a text nor messages; "
        "set `input` (told once)"
    ]
