"""One call of an LLM while it happens: what was asked, what comes back, and the trace that is made of both.

Nothing raises: what goes wrong costs the trace, and is told once for each function and reason on the logger `tracer`.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from tracer_cli.runtime.audit import Audit
from tracer_cli.runtime.exchange import Answered, Asked, Turns, answered, asked, streamed
from tracer_cli.runtime.trace_log import TraceLog
from tracer_cli.traces.calls import UnusableError
from tracer_cli.traces.log_format import Entry, context_fields

MOST_PIECES = 100_000
MOST_CHARACTERS = 16 << 20  # of a stream of text
_MOST_TOLD = 100

logger = logging.getLogger("tracer")
_told: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class Recorder:
    """What the calls of one function have in common. name: of the function; answer: from its value to the answer."""

    log: TraceLog
    sample: Audit
    turns: Turns = "single"
    model: str | None = None
    answer: Callable[[Any], Any] | None = None
    name: str = "tracer.capture"

    def named(self, name: str) -> Recorder:
        return replace(self, name=name)

    def begin(self, value: Callable[[], Any], arguments: Mapping[str, Any]) -> Recording:
        """value: gives the text or the messages; arguments: those of the call, by name."""
        try:
            draw = self.sample.draw()
            if draw.audit:
                return Recording(self, asked(value(), arguments, self.turns), draw.probability)
        except Exception as error:
            self.trouble(error)
        return Recording(self, None, 0.0)

    def trouble(self, error: Exception) -> None:
        """Tell why a call is not logged; of an error that is not ours only its kind, since it may hold anything."""
        reason = str(error) if isinstance(error, UnusableError) else f"{type(error).__name__} while it was read"
        key = (self.name, reason[:40])
        if key not in _told and len(_told) < _MOST_TOLD:
            _told.add(key)
            with contextlib.suppress(Exception):  # a filter of the application's logging may raise
                logger.warning("%s: a call was not logged: %s (told once)", self.name, reason)


class Recording:
    """One call. asked: None for a call that is not to be logged."""

    __slots__ = ("_asked", "_began", "_length", "_pieces", "_probability", "_recorder", "_time", "_took")

    def __init__(self, recorder: Recorder, asked: Asked | None, probability: float) -> None:
        self._recorder = recorder
        self._asked = asked
        self._probability = probability
        self._pieces: list[Any] = []
        self._length = 0
        self._time = datetime.now(timezone.utc)
        self._began = time.perf_counter()
        self._took: float | None = None

    def stop(self) -> None:
        """The answer is there now, whenever it is looked at."""
        self._took = time.perf_counter() - self._began

    def result(self, value: Any) -> Any:
        """The value that a function returned; of what is still to come an equal that records while it comes."""
        if self._asked is None:
            return value
        try:
            return self._kept(value)
        except Exception as error:
            self._recorder.trouble(error)
            return value

    def _kept(self, value: Any) -> Any:
        kind = type(value)
        if isinstance(value, str):
            self.answered(value)
        elif inspect.iscoroutine(value):
            return self._awaited(value)
        elif callable(getattr(kind, "add_done_callback", None)):
            value.add_done_callback(self._done)
        elif inspect.isgenerator(value):
            return _generator(Pieces(self, value))
        elif inspect.isasyncgen(value):
            return passed_on(lambda: AsyncPieces(self, value))()
        elif hasattr(kind, "__anext__"):
            return AsyncPieces(self, value)
        elif hasattr(kind, "__next__"):
            return Pieces(self, value)
        else:
            self.answered(value)
        return value

    async def _awaited(self, coming: Any) -> Any:
        return self.result(await coming)

    def _done(self, future: Any) -> None:
        if not future.cancelled() and future.exception() is None:
            self.answered(future.result())

    # --- the answer -------------------------------------------------------------------------------

    def piece(self, piece: Any) -> None:
        """What a stream gave."""
        if self._asked is not None:
            self._pieces.append(piece)
            self._length += len(piece) if isinstance(piece, str) else 0
            if len(self._pieces) > MOST_PIECES or self._length > MOST_CHARACTERS:
                self.drop()
                self._recorder.trouble(UnusableError("the stream is longer than any label is"))

    def drop(self) -> None:
        """There will be no whole answer."""
        self._asked = None
        self._pieces.clear()

    def ended(self) -> None:
        """The stream came to its end."""
        pieces, self._pieces = self._pieces, []
        if self._recorder.answer is not None:
            self.answered(pieces)
        else:
            self._log(lambda: streamed(pieces))

    def answered(self, value: Any) -> None:
        """The whole answer."""
        read = self._recorder.answer
        self._log(lambda: answered(value if read is None else read(value)))

    def _log(self, find: Callable[[], Answered]) -> None:
        asked, self._asked = self._asked, None
        if asked is None:
            return
        if self._took is None:
            self.stop()
        try:
            found = find()
            self._recorder.log.append(
                Entry(
                    id=uuid.uuid4().hex,
                    time=self._time,
                    input=asked.text,
                    teacher=found.teacher,
                    origin="organic",
                    tool_calls=found.tool_calls,
                    probability=self._probability,
                    latency_ms=round((self._took or 0.0) * 1000, 3),
                    model=self._recorder.model or found.model or asked.model,
                    context=context_fields(asked.context),
                )
            )
        except Exception as error:
            self._recorder.trouble(error)


# --- streams --------------------------------------------------------------------------------------


class _Passed:
    """Passes for the stream that it holds, also to `isinstance`."""

    def __init__(self, recording: Recording, stream: Any) -> None:
        self._recording = recording
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._stream)


class Pieces(_Passed):
    """A generator, or another iterator such as a client's stream."""

    def __iter__(self) -> Pieces:
        return self

    def __next__(self) -> Any:
        return self._recorded(self._stream.__next__)

    def send(self, value: Any) -> Any:
        return self._recorded(self._stream.send, value)

    def throw(self, *error: Any) -> Any:
        self._recording.drop()
        return self._recorded(self._stream.throw, *error)

    def __enter__(self) -> Any:
        entered = self._stream.__enter__()
        return self if entered is self._stream else entered

    def __exit__(self, *error: Any) -> Any:
        return self._stream.__exit__(*error)

    def _recorded(self, step: Callable[..., Any], *arguments: Any) -> Any:
        try:
            piece = step(*arguments)
        except StopIteration:
            self._recording.ended()
            raise
        self._recording.piece(piece)
        return piece


class AsyncPieces(_Passed):
    """The same of an async one."""

    def __aiter__(self) -> AsyncPieces:
        return self

    async def __anext__(self) -> Any:
        return await self._recorded(self._stream.__anext__)

    async def asend(self, value: Any) -> Any:
        return await self._recorded(self._stream.asend, value)

    async def athrow(self, *error: Any) -> Any:
        self._recording.drop()
        return await self._recorded(self._stream.athrow, *error)

    async def __aenter__(self) -> Any:
        entered = await self._stream.__aenter__()
        return self if entered is self._stream else entered

    async def __aexit__(self, *error: Any) -> Any:
        return await self._stream.__aexit__(*error)

    async def _recorded(self, step: Callable[..., Any], *arguments: Any) -> Any:
        try:
            piece = await step(*arguments)
        except StopAsyncIteration:
            self._recording.ended()
            raise
        self._recording.piece(piece)
        return piece


def _generator(pieces: Pieces) -> Generator[Any, Any, Any]:
    return (yield from pieces)


def passed_on(begin: Callable[..., AsyncPieces]) -> Callable[..., AsyncGenerator[Any, Any]]:
    """An async generator function around the stream that `begin` makes of its arguments: `yield from`, async."""

    async def generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        pieces = begin(*args, **kwargs)
        try:
            piece = await pieces.__anext__()
            while True:
                try:
                    sent = yield piece
                except GeneratorExit:
                    await pieces.aclose()
                    raise
                except BaseException as error:
                    piece = await pieces.athrow(error)
                else:
                    piece = await pieces.asend(sent)
        except StopAsyncIteration:
            return

    return generator
