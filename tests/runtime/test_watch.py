"""`watch`: the function does what it always did, and what is logged is what ingest makes of the same call."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mypy import api as mypy

import tracer_cli as tracer
from runtime.watch_support import USER, pairs, run_async, written
from support import REPOSITORY
from tracer_cli.runtime.trace_log import TraceLog, opened
from tracer_cli.traces.presets.messages import context_of


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TraceLog]:
    with TraceLog(tmp_path / "traces") as log:
        yield log


def test_a_function(log: TraceLog) -> None:
    @tracer.watch(log)
    def classify(text: str, hint: int = 1) -> str:
        """Doc."""
        return f"label {hint}"

    assert classify("one") == "label 1" and classify(text="two", hint=2) == "label 2"
    assert (classify.__name__, classify.__doc__) == ("classify", "Doc.")
    assert str(inspect.signature(classify)) == "(text: 'str', hint: 'int' = 1) -> 'str'"
    first, second = written(log)
    assert (first["input"], first["teacher"], second["input"], second["teacher"]) == (
        "one",
        "label 1",
        "two",
        "label 2",
    )
    assert (first["origin"], first["probability"]) == ("organic", 1.0)
    assert first["id"] != second["id"] and len(first["id"]) == 32
    assert [first[key] for key in ("policy", "decision", "label", "score", "target", "model", "context")] == [None] * 7
    assert 0 <= first["latency_ms"] < 5000


def test_without_settings_it_writes_into_the_folder_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    @tracer.watch
    def classify(text: str) -> str:
        return "x"

    @tracer.watch()
    def other(text: str) -> str:
        return "y"

    classify("a")
    other("b")
    log = opened("traces")
    assert pairs(log) == [("a", "x"), ("b", "y")]
    assert log.folder == tmp_path / "traces" and len(list(log.folder.iterdir())) == 1, "one log, one file"


def test_an_async_function_is_awaited(log: TraceLog) -> None:
    @tracer.watch(log)
    async def classify(text: str) -> str:
        await asyncio.sleep(0.05)
        return "x"

    assert inspect.iscoroutinefunction(classify)

    async def main() -> list[str]:
        return list(await asyncio.gather(*(classify(f"text {number}") for number in range(20))))

    assert run_async(main()) == ["x"] * 20
    found = written(log)
    assert sorted(line["input"] for line in found) == sorted(f"text {number}" for number in range(20))
    assert all(line["latency_ms"] >= 50 for line in found), "until the answer, not until the coroutine"


def test_what_the_function_raises_is_raised_and_nothing_is_logged(log: TraceLog) -> None:
    class OwnError(BaseException):
        pass

    @tracer.watch(log)
    def classify(text: str) -> str:
        raise OwnError(text)

    @tracer.watch(log)
    async def aclassify(text: str) -> str:
        await asyncio.sleep(30)
        return "x"

    with pytest.raises(OwnError) as error:
        classify("a")
    assert error.value.__cause__ is None and error.value.__context__ is None
    with pytest.raises(TypeError, match="unexpected keyword"):
        classify("a", wrong=1)  # type: ignore[call-arg]

    async def cancelled() -> None:
        task = asyncio.ensure_future(aclassify("a"))
        await asyncio.sleep(0.02)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        run_async(cancelled())
    assert written(log) == []


def test_methods(log: TraceLog) -> None:
    watch = tracer.watch(log)

    class Service:
        @watch
        def method(self, text: str) -> str:
            return "method"

        @classmethod
        @watch
        def inner_class(cls, text: str) -> str:
            return cls.__name__

        @watch
        @classmethod
        def outer_class(cls, text: str) -> str:
            return cls.__name__

        @staticmethod
        @watch
        def inner_static(text: str) -> str:
            return "static"

        @watch
        @staticmethod
        def outer_static(text: str) -> str:
            return "static"

        @watch
        async def coroutine(self, text: str) -> str:
            return "coroutine"

        @watch
        async def stream(self, text: str) -> AsyncIterator[str]:
            yield "stream"

        def __call__(self, text: str) -> str:
            return "called"

        def bound(self, text: str) -> str:
            return "bound"

    class AsyncCalled:
        async def __call__(self, text: str) -> str:
            return "async called"

    service = Service()
    assert service.method("a") == "method" and Service.method(service, text="b") == "method"
    assert service.inner_class("c") == Service.outer_class("d") == "Service"
    assert service.inner_static("e") == Service.outer_static("f") == "static"
    assert watch(service)("g") == "called" and watch(service.bound)("h") == "bound"
    assert watch(functools.partial(service.bound, text="i"))() == "bound"
    assert watch(functools.partial(service.bound))("j") == "bound"

    async def main() -> None:
        await service.coroutine("k")
        assert [piece async for piece in service.stream("l")] == ["stream"]
        assert await watch(AsyncCalled())("m") == "async called"

    run_async(main())
    found = dict(pairs(log))
    expected = ["method", "method", "Service", "Service", "static", "static", "called", "bound"]
    assert [found.get(name) for name in "abcdefgh"] == expected
    assert [found.get(name) for name in "ijklm"] == ["bound", "bound", "coroutine", "stream", "async called"]


def test_context_variables_and_identity_pass_through(log: TraceLog) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    class Label(str):
        pass

    given = Label("x")

    @tracer.watch(log)
    async def classify(text: str) -> str:
        variable.set("set inside")
        return given

    async def main() -> None:
        assert await classify("a") is given
        assert variable.get() == "set inside"

    run_async(main())
    assert pairs(log) == [("a", "x")]


def test_types_are_kept(tmp_path: Path) -> None:
    """mypy sees the function's own signature through the decorator."""
    source = tmp_path / "typed.py"
    source.write_text(
        "from collections.abc import AsyncIterator\n"
        "from tracer_cli.runtime import watch as tracer\n"
        "@tracer.watch\ndef a(text: str) -> int: return 1\n"
        "@tracer.watch('x', sample=0.5)\nasync def b(text: str, n: int = 2) -> str: return ''\n"
        "class C:\n    @tracer.watch()\n    def d(self, text: str) -> bytes: return b''\n"
        "reveal_type(a)\nreveal_type(b)\nreveal_type(C().d)\na(3)\n"
        "with tracer.capture('x', 'y') as call: call.answer('z')\n"
    )
    arguments = ["--config-file", str(REPOSITORY / "pyproject.toml"), "--follow-imports=skip", "--cache-dir"]
    sources = [source, REPOSITORY / "tracer_cli" / "runtime" / "watch.py"]  # the rest would take ten times as long
    out, _, _ = mypy.run([*arguments, str(tmp_path / "cache"), *map(str, sources)])
    for expected in (
        'Revealed type is "def (text: str) -> int"',
        "-> Coroutine[Any, Any, str]",
        'Revealed type is "def (text: str) -> bytes"',
        'Argument 1 to "a" has incompatible type "int"; expected "str"',
    ):
        assert expected in out.replace("builtins.", "").replace("types.", "").replace("typing.", ""), out


def test_messages_are_read_as_ingest_reads_them(log: TraceLog) -> None:
    tools = [{"type": "function", "function": {"name": "route", "parameters": {"type": "object"}}}]

    @tracer.watch(log, turns="last")
    def chat(model: str, messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        messages.append({"role": "assistant", "content": "added afterwards"})
        return {
            "model": "m-2026",
            "choices": [{"message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
        }

    @tracer.watch(log)
    def first(history: list[dict[str, Any]]) -> str:
        return "y"

    form = {"type": "json_object"}
    chat("m", list(USER), tools=tools, response_format=form)
    ready = functools.partial(lambda messages, tools, response_format: "x", tools=tools)
    tracer.watch(log)(ready)(list(USER), response_format=form)
    tracer.watch(log)(lambda model, messages, tools, response_format=form: "x")("n", list(USER), tools)
    chat(messages=[*USER, {"role": "assistant", "content": "?"}, {"role": "user", "content": "lost"}], model="m")
    first(list(USER))
    tracer.watch(log)(lambda text, messages=None: "z")("plain")
    found = written(log)
    assert found.pop()["input"] == "plain"
    assert len({str(line["context"]) for line in found[:3]}) == 1, "wherever tools and form come from"
    assert found[2]["model"] == "n"
    del found[1:3]
    assert [(line["input"], line["teacher"]) for line in found] == [("my card", "x"), ("lost", "x"), ("my card", "y")]
    assert [line["model"] for line in found] == ["m-2026", "m-2026", None]
    context = context_of(USER, tools, form)
    assert context and found[0]["context"] == {"sha256": context.sha256, "system": "Classify.", "tools": ["route"]}
    plain = context_of(USER)
    assert plain and [line["context"]["sha256"] for line in found[1:]] == [plain.sha256] * 2


def test_input_and_answer_say_what_is_meant(log: TraceLog) -> None:
    @dataclass
    class Mail:
        subject: str
        body: str

    @tracer.watch(log, input=lambda mail, *_: f"{mail.subject}\n{mail.body}", answer=lambda found: found[1], model="m")
    def classify(mail: Mail, hint: object) -> tuple[float, str]:
        return 0.5, "x"

    @tracer.watch(log, answer=lambda pieces: pieces[-1]["label"])
    def stream(text: str) -> Iterator[dict[str, str]]:
        yield {"thought": "hm"}
        yield {"label": "y"}

    assert classify(Mail("s", "b"), None) == (0.5, "x")
    assert list(stream("t")) == [{"thought": "hm"}, {"label": "y"}]
    found = written(log)
    assert [(line["input"], line["teacher"], line["model"]) for line in found] == [("s\nb", "x", "m"), ("t", "y", None)]


def test_what_the_application_changes_later_is_written_as_it_was(log: TraceLog) -> None:
    arguments = {"intent": "before"}

    @tracer.watch(log)
    def classify(text: str) -> dict[str, Any]:
        return {"role": "assistant", "content": None, "tool_calls": [{"name": "route", "arguments": arguments}]}

    classify("a")
    arguments["intent"] = "after"
    assert written(log)[0]["tool_calls"] == [{"name": "route", "arguments": '{"intent": "before"}'}]
