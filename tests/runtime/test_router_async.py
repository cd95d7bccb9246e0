"""The async methods: the same answers, with an event loop that is never held up."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

import tracer_cli as tracer
from support import REPOSITORY, example_traces
from tracer_cli.api import FitResult
from tracer_cli.errors import DataError

TEXTS = [trace["input"] for trace in example_traces(1300)[1200:]]
DIM = 64


@pytest.fixture(scope="module")
def router(fitted: FitResult) -> tracer.Router:
    return tracer.load_router(fitted.path)


@pytest.fixture(scope="module")
def deferred(router: tracer.Router) -> str:
    return next(text for text in TEXTS if router.predict(text)["decision"] == "deferred")


async def longest_pause(work: Awaitable[Any]) -> tuple[Any, float]:
    """The result, and the longest time for which the event loop did nothing else."""
    worst, running = 0.0, True

    async def tick() -> None:
        nonlocal worst
        while running:
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - start)

    ticking = asyncio.create_task(tick())
    result = await work
    running = False
    await ticking
    return result, worst


def test_the_answers_of_the_other_methods(router: tracer.Router) -> None:
    async def both() -> None:
        vectors = router.embed(TEXTS)
        assert await asyncio.gather(*map(router.apredict, TEXTS)) == [router.predict(text) for text in TEXTS]
        assert await router.apredict(vectors[0], target=0.7) == router.predict(vectors[0], target=0.7)
        for batch in (TEXTS, vectors):
            found, expected = await router.apredict_batch(batch, target=0.7), router.predict_batch(batch, target=0.7)
            assert {name: list(values) for name, values in found.items()} == {  # type: ignore[call-overload]
                name: list(values)  # type: ignore[call-overload]
                for name, values in expected.items()
            }
        for bad in ("", None, np.zeros(3)):
            with pytest.raises(Exception, match=r"input|vector") as info:
                await router.apredict(bad)  # type: ignore[arg-type]
            with pytest.raises(type(info.value)):
                router.predict(bad)  # type: ignore[arg-type]

    asyncio.run(both())


def test_neither_a_slow_embedder_nor_a_slow_fallback_holds_up_the_loop(fitted: FitResult) -> None:
    def slow(texts: Any) -> Any:
        time.sleep(0.5)
        return np.zeros((len(texts), DIM))

    def llm(text: Any) -> Any:
        time.sleep(0.5)
        return [threading.current_thread().name] * (1 if isinstance(text, str) else len(text))

    async def run() -> None:
        router = tracer.load_router(fitted.path, embedder=slow)
        loops = threading.current_thread().name
        found, pause = await longest_pause(router.apredict("x", fallback=llm))
        assert found["decision"] == "deferred" and found["label"] != [loops] and pause < 0.4
        found, pause = await longest_pause(router.apredict_batch(["x", "y"], fallback=llm))
        assert loops not in found["labels"] and len(found["labels"]) == 2 and pause < 0.4

    asyncio.run(run())


class Caller:
    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    async def __call__(self, value: Any) -> Any:
        return await self.method(value)

    async def method(self, value: Any) -> Any:
        await asyncio.sleep(0)
        self.seen.append((threading.current_thread(), value))
        return [f"LLM on {item}" for item in value] if isinstance(value, list) else f"LLM on {value}"

    async def prefixed(self, prefix: str, value: Any) -> Any:
        return await self.method(value)


@pytest.mark.parametrize(
    "made",
    [
        lambda caller: caller,
        lambda caller: caller.method,
        lambda caller: functools.partial(caller.prefixed, "x"),
        lambda caller: lambda value: caller.method(value),
    ],
    ids=["object", "method", "partial", "lambda"],
)
def test_an_async_fallback_is_awaited_in_the_loop(
    router: tracer.Router, deferred: str, made: Callable[[Caller], Any]
) -> None:
    seen: list[Any] = []
    fallback = made(Caller(seen))
    found = asyncio.run(router.apredict(deferred, fallback=fallback))
    assert found["label"] == f"LLM on {deferred}"
    batch = asyncio.run(router.apredict_batch(TEXTS, fallback=fallback))
    inputs = [text for text, decision in zip(TEXTS, batch["decisions"], strict=True) if decision == "deferred"]
    assert [label for label in batch["labels"] if label.startswith("LLM")] == [f"LLM on {text}" for text in inputs]
    assert seen == [(threading.main_thread(), deferred), (threading.main_thread(), inputs)]


def test_a_fallback_without_an_argument(router: tracer.Router, deferred: str) -> None:
    count = iter(range(1000))

    async def answer() -> int:
        return next(count)

    assert asyncio.run(router.apredict(deferred, fallback=answer))["label"] == 0
    labels = asyncio.run(router.apredict_batch(TEXTS, fallback=answer))["labels"]
    assert [label for label in labels if isinstance(label, int)] == list(range(1, next(count)))
    assert asyncio.run(router.apredict(deferred, fallback=lambda: "x"))["label"] == "x"


def test_a_wrong_number_of_labels(router: tracer.Router) -> None:
    async def answer(inputs: list[str]) -> list[str]:
        return ["x"]

    with pytest.raises(DataError, match="returns a list of as many labels; it returned 1"):
        asyncio.run(router.apredict_batch(TEXTS, fallback=answer))


def test_what_the_fallback_raises_comes_as_it_is(router: tracer.Router, deferred: str) -> None:
    error = KeyError("the LLM is down")

    async def awaited(value: Any) -> Any:
        raise error

    def threaded(value: Any) -> Any:
        raise error

    for fallback in (awaited, threaded):
        for call in (
            lambda f=fallback: router.apredict(deferred, f),
            lambda f=fallback: router.apredict_batch(TEXTS, f),
        ):
            with pytest.raises(KeyError) as info:
                asyncio.run(call())
            assert info.value is error
    with pytest.raises(RuntimeError, match="StopIteration"):  # which would leave a future waiting for ever
        asyncio.run(asyncio.wait_for(router.apredict(deferred, fallback=lambda: next(iter(()))), 20))


def test_cancelling_cancels_the_fallback_and_nothing_else(router: tracer.Router, deferred: str) -> None:
    async def run() -> None:
        started, ended = asyncio.Event(), asyncio.Event()

        async def answer(value: Any) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        for call in (router.apredict(deferred, answer), router.apredict_batch(TEXTS, answer)):
            started.clear(), ended.clear()
            task = asyncio.create_task(call)
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ended.is_set()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(router.apredict(deferred, answer), 0.05)
        assert await router.apredict(deferred) == router.predict(deferred)

    asyncio.run(run())


def test_cancelling_does_not_wait_for_the_embedder(fitted: FitResult) -> None:
    release, started = threading.Event(), threading.Event()

    def embed(texts: Any) -> Any:
        started.set()
        release.wait(20)
        return np.zeros((len(texts), DIM))

    async def run() -> None:
        router = tracer.load_router(fitted.path, embedder=embed)
        called = []
        task = asyncio.create_task(router.apredict("x", fallback=called.append))
        while not started.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        start = time.perf_counter()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.perf_counter() - start < 5 and not called
        release.set()
        assert (await router.apredict("x"))["decision"] == "deferred" and not called

    asyncio.run(run())


def test_slow_fallbacks_do_not_hold_up_other_requests(router: tracer.Router, deferred: str) -> None:
    """More of them than asyncio has threads."""
    release = threading.Event()

    async def run() -> None:
        waiting = [asyncio.create_task(router.apredict(deferred, lambda: release.wait(60))) for _ in range(40)]
        await asyncio.sleep(0.1)
        found = await asyncio.wait_for(asyncio.gather(*map(router.apredict, TEXTS)), 30)
        assert len(found) == len(TEXTS) and not any(task.done() for task in waiting)
        release.set()
        assert all(one["label"] is True for one in await asyncio.gather(*waiting))

    asyncio.run(run())


def test_context_variables_reach_the_embedder_and_the_fallback(fitted: FitResult) -> None:
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request")
    seen: list[str] = []

    def embed(texts: Any) -> Any:
        seen.append(request.get())
        return np.zeros((len(texts), DIM))

    async def run() -> None:
        request.set("r1")
        router = tracer.load_router(fitted.path, embedder=embed)
        assert (await router.apredict("x", fallback=lambda: request.get()))["label"] == "r1"
        assert seen == ["r1"]

    asyncio.run(run())


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="the system has no fork")
def test_a_forked_child_has_threads_of_its_own(fitted: FitResult) -> None:
    code = f"""
import asyncio, os, tracer_cli as tracer
router = tracer.load_router({str(fitted.path)!r})
ask = lambda: asyncio.run(asyncio.wait_for(router.apredict({TEXTS[0]!r}), 30))
expected = ask()
child = os.fork()
if child == 0:
    os._exit(0 if ask() == expected else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "0", done.stderr
