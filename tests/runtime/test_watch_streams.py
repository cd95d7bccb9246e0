"""`watch` around what comes in pieces or later: passed on as it comes, logged at its end, and never half."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tracer_cli as tracer
from runtime.watch_support import pairs, run_async, written
from tracer_cli.runtime.trace_log import TraceLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TraceLog]:
    with TraceLog(tmp_path / "traces") as log:
        yield log


def test_a_generator_passes_through_and_is_logged_at_its_end(log: TraceLog) -> None:
    state: list[Any] = []

    @tracer.watch(log)
    def stream(text: str) -> Iterator[str]:
        state.append("begun")
        state.append((yield "half "))
        yield "label"
        return "value"

    assert inspect.isgeneratorfunction(stream)
    made = stream("one")
    assert inspect.isgenerator(made) and state == []
    assert next(made) == "half " and made.send("sent") == "label" and state == ["begun", "sent"]
    assert log.counts["accepted"] == 0
    with pytest.raises(StopIteration) as stop:
        next(made)
    assert stop.value.value == "value"
    assert list(stream("two")) == ["half ", "label"]
    assert pairs(log) == [("one", "half label"), ("two", "half label")]


def test_an_async_generator_too(log: TraceLog) -> None:
    state: list[Any] = []

    @tracer.watch(log)
    async def stream(text: str) -> AsyncIterator[str]:
        state.append((yield "half "))
        await asyncio.sleep(0)
        yield "label"

    assert inspect.isasyncgenfunction(stream)

    async def main() -> list[Any]:
        made: Any = stream("one")
        found = [await made.__anext__(), await made.asend("sent")]
        found += [piece async for piece in made]
        return found + [piece async for piece in stream("two")]

    assert run_async(main()) == ["half ", "label", "half ", "label"] and state == ["sent", None]
    assert pairs(log) == [("one", "half label"), ("two", "half label")]


def test_half_a_stream_is_no_label(log: TraceLog) -> None:
    ended: list[str] = []

    @tracer.watch(log)
    def stream(text: str) -> Iterator[str]:
        try:
            yield "half"
            if text == "fails":
                raise KeyError(text)
            yield "half"
        except ValueError:
            return
        finally:
            ended.append(text)

    @tracer.watch(log)
    async def astream(text: str) -> AsyncIterator[str]:
        try:
            yield "half"
            if text == "fails":
                raise KeyError(text)
            yield "half"
        except ValueError:
            return
        finally:
            ended.append(text)

    made = stream("closed")
    next(made)
    made.close()  # type: ignore[attr-defined]
    next(stream("forgotten"))
    with pytest.raises(KeyError):
        list(stream("fails"))
    made = stream("thrown")
    next(made)
    with pytest.raises(StopIteration):  # the generator ends in peace, and yet before its answer
        made.throw(ValueError("x"))  # type: ignore[attr-defined]

    async def main() -> None:
        made: Any = astream("closed")
        await made.__anext__()
        await made.aclose()
        async for _ in astream("left"):
            break
        with pytest.raises(KeyError):
            async for _ in astream("fails"):
                pass
        made = astream("thrown")
        await made.__anext__()
        with pytest.raises(StopAsyncIteration):
            await made.athrow(ValueError("x"))

    run_async(main())
    assert ended[:4] == ["closed", "forgotten", "fails", "thrown"]
    assert sorted(ended[4:]) == ["closed", "fails", "left", "thrown"]
    assert written(log) == []


def test_a_function_that_only_hands_on_something_to_come(log: TraceLog) -> None:
    async def ask(text: str) -> str:
        return "x"

    def pieces() -> Iterator[str]:
        yield from ("y", "z")

    async def async_pieces() -> AsyncIterator[str]:
        yield "w"

    pool = concurrent.futures.ThreadPoolExecutor(1)

    @tracer.watch(log)
    def hands_on(text: str) -> Any:
        kinds: dict[str, Callable[[], Any]] = {
            "coroutine": lambda: ask(text),
            "task": lambda: asyncio.ensure_future(ask(text)),
            "future": lambda: pool.submit(lambda: "f"),
            "failed": lambda: pool.submit(lambda: 1 // 0),
            "generator": pieces,
            "async generator": async_pieces,
            "iterator": lambda: iter(["i", "j"]),
        }
        return kinds[text]()

    async def main() -> None:
        assert await hands_on("coroutine") == "x"
        task = hands_on("task")
        assert isinstance(task, asyncio.Task) and await task == "x"
        assert hands_on("future").result() == "f"
        with pytest.raises(ZeroDivisionError):
            hands_on("failed").result()
        assert inspect.isgenerator(made := hands_on("generator")) and list(made) == ["y", "z"]
        assert inspect.isasyncgen(amade := hands_on("async generator"))
        assert [piece async for piece in amade] == ["w"]
        assert list(hands_on("iterator")) == ["i", "j"]

    run_async(main())
    pool.shutdown()
    assert dict(pairs(log)) == {
        "coroutine": "x",
        "task": "x",
        "future": "f",
        "generator": "yz",
        "async generator": "w",
        "iterator": "ij",
    }
