"""Capture before there is a policy: what an application asks its LLM, and what it answers, into the trace log.

The function that is watched does what it always did. Its value, its exceptions and its stream pass through unchanged;
what goes wrong here costs a trace and never a call. Half an answer is no trace: a call that fails, and a stream that
fails or that its reader leaves before its end, are not logged.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Generator, Mapping
from functools import wraps
from importlib import import_module
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from tracer_cli.errors import ConfigError
from tracer_cli.runtime.audit import Audit, checked_share
from tracer_cli.runtime.exchange import Turns
from tracer_cli.runtime.recording import AsyncPieces, Pieces, Recorder, Recording, passed_on
from tracer_cli.runtime.trace_log import TraceLog, opened
from tracer_cli.traces.calls import UnusableError

P = ParamSpec("P")
R = TypeVar("R")
Log = TraceLog | str | os.PathLike[str]

FOLDER = "traces"
MESSAGES = "messages"
_NAMED = (MESSAGES, "model", "tools", "functions", "response_format")
_SELF = ("self", "cls", "mcs")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_TURNS = ("single", "last", "all")
_READERS = "tracer_cli.traces.presets.answers"


@overload
def watch(log: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def watch(
    log: Log = FOLDER,
    *,
    input: Callable[..., Any] | None = None,
    answer: Callable[[Any], Any] | None = None,
    turns: Turns = "single",
    model: str | None = None,
    sample: float = 1.0,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def watch(
    log: Log | Callable[..., Any] = FOLDER,
    *,
    input: Callable[..., Any] | None = None,
    answer: Callable[[Any], Any] | None = None,
    turns: Turns = "single",
    model: str | None = None,
    sample: float = 1.0,
) -> Any:
    """Decorate a function that asks an LLM, so that each of its calls becomes a trace (origin: organic).

    The function may be sync or async, a generator or an async generator, a method, or one that returns a stream.
    log: a folder, or a TraceLog with settings of its own. input: called with the arguments of the call, returns the
    text or the messages; default: `messages`, else the first argument. answer: called with the returned value (of a
    stream: with the list of its pieces), returns the answer; default: the value itself, which is a text, or what a
    client returns, such as a chat completion. turns: what of a conversation is the text, as in tracer.yaml. model: the
    LLM's name, where neither the answer nor an argument `model` tells it. sample: the share of the calls that are
    logged, drawn at random. Instructions and tools are those of the arguments: where they matter, watch the client's
    own function and not one that adds them. Raises ConfigError for a setting that cannot be meant.
    """
    if not isinstance(log, str | os.PathLike | TraceLog):
        return watch(FOLDER)(log)
    recorder = _recorder(log, turns, model, sample, answer)
    return lambda function: _watched(function, recorder, input)


class capture:  # noqa: N801  (reads as a statement: with tracer.capture(...) as call)
    """One call of an LLM, for code that is no function of its own; `with` and `async with`.

        with tracer.capture("traces/", text) as call:
            call.answer(client.ask(text))

    Without an answer, and after an exception, nothing is logged. text, model and the others: as for `watch`; tools and
    response_format: those of the request, where `text` is its messages.
    """

    def __init__(
        self,
        log: Log,
        text: Any,
        *,
        turns: Turns = "single",
        model: str | None = None,
        sample: float = 1.0,
        tools: Any = None,
        response_format: Any = None,
    ) -> None:
        self._recorder = _recorder(log, turns, model, sample, None)
        self._text = text
        self._arguments: Mapping[str, Any] = {"tools": tools, "response_format": response_format}
        self._recording: Recording | None = None
        self._answer: tuple[Any] | None = None

    def answer(self, value: Any) -> None:
        """What the LLM answered: a text, or what its client returned. The last one counts."""
        if self._recording is not None:
            self._recording.stop()
        self._answer = (value,)

    def __enter__(self) -> capture:
        self._answer = None
        self._recording = self._recorder.begin(lambda: self._text, self._arguments)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and self._recording is not None and self._answer is not None:
            self._recording.answered(self._answer[0])
        self._recording = None

    async def __aenter__(self) -> capture:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def _recorder(
    log: Log, turns: Turns, model: str | None, sample: float, answer: Callable[[Any], Any] | None
) -> Recorder:
    if turns not in _TURNS:
        raise ConfigError(f"turns is {turns!r}; expected one of {', '.join(_TURNS)}")
    share = Audit(checked_share(sample, "sample"))
    return Recorder(opened(log), share, turns, model, answer)


def _watched(function: Any, recorder: Recorder, input: Callable[..., Any] | None) -> Any:
    if isinstance(function, staticmethod | classmethod):
        return type(function)(_watched(function.__func__, recorder, input))
    if not callable(function) or isinstance(function, type):
        raise ConfigError(f"tracer.watch takes a function, not {function!r}")
    recorder = recorder.named(getattr(function, "__qualname__", None) or type(function).__qualname__)
    arguments = _Arguments(function)

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recording:
        found = arguments.of(args, kwargs)
        return recorder.begin(lambda: arguments.asked(found) if input is None else input(*args, **kwargs), found)

    made: Any
    if _is(function, inspect.isasyncgenfunction):
        made = passed_on(lambda *args, **kwargs: AsyncPieces(begin(args, kwargs), function(*args, **kwargs)))
    elif _is(function, inspect.isgeneratorfunction):

        def made(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            return (yield from Pieces(begin(args, kwargs), function(*args, **kwargs)))

    elif _is(function, inspect.iscoroutinefunction):

        async def made(*args: Any, **kwargs: Any) -> Any:
            call = begin(args, kwargs)
            return call.result(await function(*args, **kwargs))

    else:

        def made(*args: Any, **kwargs: Any) -> Any:
            call = begin(args, kwargs)
            return call.result(function(*args, **kwargs))

    return wraps(function)(made)


def _is(function: Any, test: Callable[[Any], bool]) -> bool:
    """Also of an object that is called like a function."""
    return test(function) or (not inspect.isroutine(function) and test(type(function).__call__))


class _Arguments:
    """Where in a call of a function the values lie that a trace is made of; those of `partial` and defaults count."""

    def __init__(self, function: Any) -> None:
        try:
            known = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # of a built-in function nothing is known
            known = []
        place = 1 if known and known[0].name in _SELF else 0
        self._first = known[place].name if place < len(known) else ""
        self._named: dict[str, int | None] = {**dict.fromkeys(_NAMED), self._first: place}
        self._defaults: dict[str, Any] = {}
        for position, parameter in enumerate(known):
            if parameter.name in self._named:
                if parameter.kind in _POSITIONAL:
                    self._named[parameter.name] = position
                if parameter.default is not parameter.empty:
                    self._defaults[parameter.name] = parameter.default
        if MESSAGES in (parameter.name for parameter in known):
            import_module(_READERS)  # now, and not in the first call

    def of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the call that have one of the names, and the first under "" where no name is known for it."""
        found = dict(self._defaults)
        for name, position in self._named.items():
            if name in kwargs:
                found[name] = kwargs[name]
            elif position is not None and position < len(args):
                found[name] = args[position]
        return found

    def asked(self, found: Mapping[str, Any]) -> Any:
        """The messages, else the first argument that is not the object itself."""
        for name in (MESSAGES, self._first):
            if found.get(name) is not None:
                return found[name]
        raise UnusableError("the call has no first argument; set `input`")
