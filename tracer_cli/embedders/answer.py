"""The vectors in a service's answer: found, put into the order of the texts, counted."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import numpy as np

from tracer_cli.embedders.base import Floats, checked
from tracer_cli.errors import EmbedderError

_STEP = re.compile(r"\[(\*|\d+)\]|(?:^|\.)([^.\[\]]+)")
_SHOWN = 5


def of_openai(answer: Any, rows: int, what: str) -> Floats:
    """(rows, dim) of {"data": [{"index": 0, "embedding": numbers or base64}, ...]}, which come in any order.

    what: names the service in an error. Raises EmbedderError.
    """
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or not all(isinstance(item, dict) and "embedding" in item for item in data):
        raise EmbedderError(
            f"{what} did not answer as /v1/embeddings does (a list `data` of objects with `embedding`){_has(answer)}; "
            "for another service set embedder.shape: json"
        )
    _require_count(len(data), rows, what)
    if any("index" in item for item in data):
        places = [item.get("index") for item in data]
        if not all(type(place) is int for place in places) or sorted(places) != list(range(rows)):
            raise EmbedderError(f"{what} answered with wrong places (`index`): expected each of 0 to {rows - 1} once")
        data = sorted(data, key=lambda item: int(item["index"]))
    return _matrix([_numbers(item["embedding"], what) for item in data], rows, what)


def of_json(answer: Any, output_key: str, rows: int, what: str) -> Floats:
    """(rows, dim) of the list of vectors that `output_key` leads to, in the order of the texts."""
    try:
        vectors = _follow(answer, steps(output_key))
    except (KeyError, IndexError, TypeError):
        raise EmbedderError(f"{what}: the answer has no {output_key!r} (embedder.output_key){_has(answer)}") from None
    if not isinstance(vectors, list):
        raise EmbedderError(f"{what}: {output_key!r} (embedder.output_key) is no list of vectors in the answer")
    _require_count(len(vectors), rows, what)
    return _matrix(vectors, rows, what)


def steps(expression: str) -> list[str | int]:
    """Names, positions, and `*` as -1 (each of a list) of an expression such as data[*].vector.

    Raises EmbedderError when it is none.
    """
    found: list[str | int] = []
    end = 0
    for match in _STEP.finditer(expression):
        if match.start() != end:
            break
        position, name = match.groups()
        found.append(name if position is None else -1 if position == "*" else int(position))
        end = match.end()
    if not found or end != len(expression):
        raise EmbedderError(
            f"embedder.output_key: {expression!r} is no way through an answer; expected names with dots between, "
            "[0] for one of a list, [*] for each: such as embeddings, result.vectors, data[*].vector or [*]"
        )
    return found


def _follow(value: Any, way: list[str | int]) -> Any:
    for i, step in enumerate(way):
        if step == -1:
            if not isinstance(value, list):
                raise TypeError
            return [_follow(item, way[i + 1 :]) for item in value]
        if not isinstance(value, dict if isinstance(step, str) else list):
            raise TypeError
        value = value[step]  # type: ignore[index]
    return value


def _numbers(embedding: Any, what: str) -> Any:
    if not isinstance(embedding, str):
        return embedding
    try:
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
    except (binascii.Error, ValueError):
        raise EmbedderError(f"{what} answered with text that is not base64 of float32 numbers") from None


def _matrix(vectors: list[Any], rows: int, what: str) -> Floats:
    try:
        return checked(vectors, rows, what=f"the answer of {what}")
    except EmbedderError as error:
        if error.__cause__ is None:
            raise
        raise EmbedderError(f"the answer of {what} has vectors that are not numbers, or of unequal length") from None


def _require_count(count: int, rows: int, what: str) -> None:
    if count != rows:
        raise EmbedderError(f"{what} answered with {count} vectors for {rows} texts")


def _has(answer: Any) -> str:
    if not isinstance(answer, dict):
        return f"; it is a {type(answer).__name__}"
    names = [repr(name[:40]) for name in sorted(answer)]
    return f"; it has {', '.join(names[:_SHOWN]) or 'nothing'}{', ...' if len(names) > _SHOWN else ''}"
