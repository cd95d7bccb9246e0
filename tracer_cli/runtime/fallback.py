"""Calling what answers the deferred inputs, usually the LLM: with the inputs or without, directly or awaited.

Whatever the fallback raises reaches the caller as it is.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

from tracer_cli.errors import DataError

Fallback = Callable[..., Any]


def call(fallback: Fallback, value: Any) -> Any:
    """The label of one input: fallback(value), or fallback() where it takes no argument."""
    return _now(fallback, *_arguments(fallback, value))


def call_batch(fallback: Fallback, values: list[Any]) -> list[Any]:
    """The labels of several inputs: fallback(values), or fallback() for each where it takes no argument."""
    if takes_argument(fallback):
        return _labels(_now(fallback, values), len(values))
    return [_now(fallback) for _ in values]


async def acall(fallback: Fallback, value: Any) -> Any:
    return await _awaited(fallback, *_arguments(fallback, value))


async def acall_batch(fallback: Fallback, values: list[Any]) -> list[Any]:
    if takes_argument(fallback):
        return _labels(await _awaited(fallback, values), len(values))
    return [await _awaited(fallback) for _ in values]


def takes_argument(fallback: Fallback) -> bool:
    """Whether it must, or with *args may, be given a positional argument."""
    try:
        parameters = inspect.signature(fallback).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(
        p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) and p.default is p.empty
        for p in parameters
    )


def _arguments(fallback: Fallback, value: Any) -> tuple[Any, ...]:
    return (value,) if takes_argument(fallback) else ()


def _now(fallback: Fallback, *arguments: Any) -> Any:
    answer = fallback(*arguments)
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise DataError("the fallback is asynchronous: await apredict or apredict_batch instead")
    return answer


async def _awaited(fallback: Fallback, *arguments: Any) -> Any:
    """An async function runs in the event loop, any other in a thread."""
    own = inspect.iscoroutinefunction(fallback) or inspect.iscoroutinefunction(getattr(fallback, "__call__", None))  # noqa: B004
    answer = fallback(*arguments) if own else await asyncio.to_thread(_in_thread, fallback, *arguments)
    return await answer if inspect.isawaitable(answer) else answer


def _in_thread(fallback: Fallback, *arguments: Any) -> Any:
    try:
        return fallback(*arguments)
    except StopIteration as error:  # which no future can hold: the caller would wait for ever
        raise RuntimeError("the fallback raised StopIteration") from error


def _labels(answers: Any, count: int) -> list[Any]:
    rule = f"the fallback of a batch gets the list of deferred inputs ({count}) and returns a list of as many labels"
    if isinstance(answers, str | bytes | Mapping | Set) or not isinstance(answers, Iterable):
        raise DataError(f"{rule}; it returned {type(answers).__name__}")
    labels = list(answers)
    if len(labels) != count:
        raise DataError(f"{rule}; it returned {len(labels)}")
    return labels
