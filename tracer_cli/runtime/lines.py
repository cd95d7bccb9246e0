"""Routing a stream of JSON lines, in batches, one answer for each line and in their order."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

from tracer_cli.errors import TracerError
from tracer_cli.runtime.router import Router

TEXT_FIELDS = ("text", "input", "query", "prompt", "question")
VECTOR_FIELD = "embedding"


def route_lines(router: Router, lines: Iterable[bytes], batch_size: int) -> Iterator[dict[str, Any]]:
    """Answer each line that is not blank; a line that cannot be routed gives {"line", "error"}."""
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    while batch := list(itertools.islice(numbered, batch_size)):
        yield from _route_batch(router, batch)


def _route_batch(router: Router, batch: list[tuple[int, bytes]]) -> list[dict[str, Any]]:
    requests = [_parse(number, line) for number, line in batch]
    texts = [i for i, request in enumerate(requests) if isinstance(request.get("input"), str)]
    routed: dict[int, dict[str, Any]] = {}
    try:
        found = router.decide(router.embed([requests[i]["input"] for i in texts]))
        routed = {i: dict(found.one(at)) for at, i in enumerate(texts)}
    except TracerError:
        pass  # one of the texts: find out which below
    return [
        ({"id": request["id"]} if "id" in request else {}) | (routed.get(i) or _route_one(router, request))
        for i, request in enumerate(requests)
    ]


def _route_one(router: Router, request: dict[str, Any]) -> dict[str, Any]:
    if "error" in request:
        return {"line": request["line"], "error": request["error"]}
    try:
        return dict(router.predict(request["input"]))
    except (TracerError, ValueError, TypeError) as error:
        return {"line": request["line"], "error": str(error)}


def _parse(number: int, line: bytes) -> dict[str, Any]:
    """{"line", "input"} and "id" if there is one, or {"line", "error"}."""
    try:
        value = json.loads(line)
    except ValueError as error:
        return {"line": number, "error": f"not JSON: {error}"}
    if isinstance(value, str):
        return {"line": number, "input": value}
    if not isinstance(value, dict):
        return {"line": number, "error": "expected a string or an object"}
    request: dict[str, Any] = {"line": number} | ({"id": value["id"]} if "id" in value else {})
    for name in (*TEXT_FIELDS, VECTOR_FIELD):
        if name in value:
            kind, wanted = (list, "a list of numbers") if name == VECTOR_FIELD else (str, "a text")
            right = isinstance(value[name], kind)
            return request | ({"input": value[name]} if right else {"error": f"{name} must be {wanted}"})
    return request | {"error": f"expected one of the fields {', '.join((*TEXT_FIELDS, VECTOR_FIELD))}"}
