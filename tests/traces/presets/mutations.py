"""Records that something went wrong with: values dropped, replaced, or turned into another type, anywhere in the tree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

STRANGE: list[Any] = [
    *(None, True, False, 0, -1, 7, 10**30, 1.5, float("nan"), float("inf")),
    *("", " \n", "x", "0", "-1", "9" * 40, "NaN", "\ud800", "\x00", "GENERATION", "failure", "2", "tool_call"),
    *("[", "{", "[]", "{}", "null", "[null]", "[[]]", '{"role": "user"}', '[{"role": "user", "content": "x"}]'),
    *('{"choices": [{}]}', "[" * 2000, '[{"a": ' * 60 + "1" + "}]" * 60),
    *(b"", b"x", b"\xff", b"[]"),
    *([], [None], [[]], ["x"], [{}], [{"role": "user", "content": None}], [("a", "b")], {}, {"a": None}),
    *({"role": 1}, {"type": "text"}, {"type": []}, {"content": [[]]}, {"values": 1}, {"stringValue": None}),
    *({"kvlistValue": {"values": [{"key": 1}]}}, {"arrayValue": [1]}, {"messages": "[{}]"}, {"index": "x"}),
]


@st.composite
def mutated(draw: st.DrawFn, records: Sequence[Mapping[str, Any]]) -> Any:
    """One of the records after one to four changes; JSON text in it is changed inside too."""
    record = deepcopy(draw(st.sampled_from(records)))
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(record))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        kind = draw(st.sampled_from(("drop", "replace", "retype", "inside")))
        if kind == "drop":
            del holder[key]
        elif kind == "replace":
            holder[key] = deepcopy(draw(st.sampled_from(STRANGE)))
        elif kind == "retype":
            holder[key] = _retyped(holder[key])
        else:
            holder[key] = _inside(draw, holder[key])
    return record


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for key in [*value] if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _retyped(value: Any) -> Any:
    """The same thing in another guise: objects as JSON text or pairs, text as an object, a value as a list of it."""
    if isinstance(value, dict):
        return json.dumps(value, default=str) if len(value) % 2 else [*value.items()]
    if isinstance(value, list):
        return {str(number): item for number, item in enumerate(value)}
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass") if len(value) % 2 else {"content": value}
    return [value]


def _inside(draw: st.DrawFn, value: Any) -> Any:
    """A change in what the JSON text holds."""
    try:
        found = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return value
    places = list(_places(found))
    if not places:
        return value
    holder, key = draw(st.sampled_from(places))
    strange = draw(st.sampled_from(STRANGE))
    holder[key] = str(strange) if isinstance(strange, bytes) else _jsonable(strange)
    return json.dumps(found, default=str)


def _jsonable(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))
