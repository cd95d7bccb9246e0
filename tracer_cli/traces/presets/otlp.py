"""OTLP JSON lines: from a line of the collector's file exporter to its spans and log records, as plain records.

The shape is TracesData and LogsData of opentelemetry-proto 1.x in the JSON Protobuf encoding of the OTLP specification
(stable since 1.0.0): names in lowerCamelCase, ids in hex, 64-bit integers as text, a value as {"stringValue": ...} and
its like. Names in snake_case and attributes as a plain object are read as well, as some exporters write them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from tracer_cli.traces.calls import UnusableError
from tracer_cli.traces.read.records import Number
from tracer_cli.traces.timestamps import EPOCH

# Deeper values than any instrumentation writes; what is kept of a line can be walked without a thought for recursion.
DEEPEST = 50

_SIGNALS = (
    ("resourceSpans", "resource_spans", "scopeSpans", "scope_spans", "spans", "spans"),
    ("resourceLogs", "resource_logs", "scopeLogs", "scope_logs", "logRecords", "log_records"),
)
_VALUES = frozenset(
    (
        *("stringValue", "boolValue", "intValue", "doubleValue", "bytesValue", "arrayValue", "kvlistValue"),
        *("string_value", "bool_value", "int_value", "double_value", "bytes_value", "array_value", "kvlist_value"),
    )
)

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)

Item = dict[str, Any] | str


def items_of(line: Mapping[str, Any]) -> list[Item]:
    """Each span and log record of the line; text instead of one says why it cannot be read.

    Raises UnusableError when the line is no OTLP.
    """
    found: list[Item] = []
    known = "resourceMetrics" in line or "resource_metrics" in line
    for camel, snake, scopes, scopes_snake, leaves, leaves_snake in _SIGNALS:
        groups = line.get(camel, line.get(snake))
        if groups is None:
            continue
        known = True
        for at, group in enumerate(_list(groups, camel)):
            place = f"{camel}[{at}]"
            found += _in_group(group, place, (scopes, scopes_snake, leaves, leaves_snake))
    if not known:
        raise UnusableError("not OTLP: there is no `resourceSpans`")
    return found


def nanoseconds(value: Any) -> str | None:
    """A time in nanoseconds since 1970 as ISO text; None when it is none. 0 means unknown."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not text.isdecimal() or not text.isascii() or len(text) > 19 or not int(text):
        return None
    return (EPOCH + timedelta(microseconds=int(text) // 1000)).isoformat()


def _in_group(group: Any, place: str, names: tuple[str, str, str, str]) -> Iterator[Item]:
    """names: of the scopes in the group and of the leaves in a scope, in both spellings."""
    scopes, scopes_snake, leaves, leaves_snake = names
    try:
        if not isinstance(group, Mapping):
            raise UnusableError(f"{place} is not an object")
        resource = _attributes(_mapping(group.get("resource")).get("attributes"))
        inner = _list(group.get(scopes, group.get(scopes_snake, [])), f"{place}.{scopes}")
    except UnusableError as error:
        yield str(error)
        return
    for at, scope in enumerate(inner):
        where = f"{place}.{scopes}[{at}]"
        try:
            if not isinstance(scope, Mapping):
                raise UnusableError(f"{where} is not an object")
            described = _mapping(scope.get("scope"))
            told = {key: described[key] for key in ("name", "version") if isinstance(described.get(key), str)}
            children = _list(scope.get(leaves, scope.get(leaves_snake, [])), f"{where}.{leaves}")
        except UnusableError as error:
            yield str(error)
            continue
        for number, leaf in enumerate(children):
            try:
                yield {**_leaf(leaf, f"{where}.{leaves}[{number}]"), "resource": resource, "scope": told}
            except UnusableError as error:
                yield str(error)


def _leaf(leaf: Any, place: str) -> dict[str, Any]:
    """A span or a log record. Of a log record the body joins the attributes, and its event name is its name."""
    if not isinstance(leaf, Mapping):
        raise UnusableError(f"{place} is not an object")
    attributes = _attributes(leaf.get("attributes"))
    name = _either(leaf, "name", "name") or _either(leaf, "eventName", "event_name")
    body = _value(leaf.get("body"), 0)
    if isinstance(body, dict):
        attributes = {**body, **attributes}
    start = _either(leaf, "startTimeUnixNano", "start_time_unix_nano")
    return {
        "name": name or attributes.get("event.name"),
        "traceId": _either(leaf, "traceId", "trace_id"),
        "spanId": _either(leaf, "spanId", "span_id"),
        "parentSpanId": _either(leaf, "parentSpanId", "parent_span_id"),
        "startTimeUnixNano": start or _either(leaf, "timeUnixNano", "time_unix_nano"),
        "endTimeUnixNano": _either(leaf, "endTimeUnixNano", "end_time_unix_nano"),
        "status": {key: _either(_mapping(leaf.get("status")), key, key) for key in ("code", "message")},
        "attributes": attributes,
        "events": [
            {
                "name": _either(event, "name", "name"),
                "timeUnixNano": _either(event, "timeUnixNano", "time_unix_nano"),
                "attributes": _attributes(event.get("attributes")),
            }
            for event in _list(leaf.get("events") or [], f"{place}.events")
            if isinstance(event, Mapping)
        ],
    }


def _either(fields: Mapping[str, Any], camel: str, snake: str) -> Any:
    """A plain value by either name; None for an object or a list, which no time and no id is."""
    value = fields.get(camel, fields.get(snake))
    return None if isinstance(value, Mapping | list) else value


def _attributes(pairs: Any) -> dict[str, Any]:
    """Flat: the names of attributes have dots in them, and stay whole."""
    if isinstance(pairs, Mapping):
        return {str(key): _value(value, 0) for key, value in pairs.items()}
    return _pairs(pairs or [], 0)


def _pairs(pairs: Any, depth: int) -> dict[str, Any]:
    if not isinstance(pairs, list):
        raise UnusableError("attributes is not a list")
    return {
        pair["key"]: _value(pair.get("value"), depth)
        for pair in pairs
        if isinstance(pair, Mapping) and isinstance(pair.get("key"), str)
    }


def _value(value: Any, depth: int) -> Any:
    """The plain value of an AnyValue, or of what stands for one."""
    if depth > DEEPEST:
        raise UnusableError(f"a value is nested more than {DEEPEST} deep")
    if isinstance(value, list):
        return [_value(item, depth + 1) for item in value]
    if not isinstance(value, Mapping):
        return value
    if len(value) > 1 or not _VALUES.issuperset(value):
        return {str(key): _value(item, depth + 1) for key, item in value.items()}
    for name, held in value.items():
        if name in ("arrayValue", "array_value"):
            return [_value(item, depth + 1) for item in _list(_mapping(held).get("values") or [], name)]
        if name in ("kvlistValue", "kvlist_value"):
            return _pairs(_mapping(held).get("values") or [], depth + 1)
        if name in ("intValue", "int_value") and isinstance(held, str) and _INTEGER.fullmatch(held):
            return Number(held)  # JSON has no integers of 64 bits, so OTLP writes them as text
        return _value(held, depth + 1)
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise UnusableError(f"{place} is not a list")
    return value
