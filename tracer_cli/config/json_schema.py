"""The JSON Schema of tracer.yaml, made from the model, and what it says about one key in plain words."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from typing import Any

from tracer_cli.config.document import KeyPath
from tracer_cli.config.schema import Config

Node = dict[str, Any]


def json_schema() -> Node:
    """For editors: a field that holds text also takes an unquoted `0123` or `true`, as the loader does."""
    schema: Node = _unquoted(model_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "tracer.yaml", **schema}


def json_schema_text() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Spot:
    """Where in tracer.yaml an error of pydantic belongs, and what the schema asks for there."""

    path: KeyPath
    node: Node
    is_key: bool = False
    optional: bool = False


def locate(loc: KeyPath) -> Spot:
    """Follow pydantic's location through the schema; the names of union branches in it are not keys of the file."""
    node = resolved(model_schema())
    path: list[str | int] = []
    optional = False
    for index, part in enumerate(loc):
        node = _section_or_null(node)
        if "discriminator" in node:
            node = resolved({"$ref": node["discriminator"]["mapping"][str(part)]})
        elif part == "[key]":
            return Spot(tuple(path), {"type": "string", "minLength": 1, **node.get("propertyNames", {})}, is_key=True)
        elif "properties" in node:
            path.append(part)
            if part not in node["properties"]:
                return Spot(tuple(path), node, is_key=True)
            optional = part not in node.get("required", ())
            node = resolved(node["properties"][part])
        elif isinstance(part, int) and "items" in node:
            path.append(part)
            optional = False
            node = resolved(node["items"])
        elif isinstance(node.get("additionalProperties"), dict):
            path.append(part)
            if loc[index + 1 : index + 2] == ("[key]",):
                continue
            optional = False
            node = resolved(node["additionalProperties"])
        else:
            break
    return Spot(tuple(path), node, optional=optional)


@dataclass(frozen=True)
class Key:
    """A key of tracer.yaml. meaning: what the model says about it; node: its schema, with the default if it has one.

    kind: the `kind` that its section must have, as the path of that section and the word or words; None when any has
    the key.
    """

    meaning: str
    node: Node
    required: bool = False
    kind: tuple[KeyPath, str] | None = None

    @property
    def expected(self) -> str:
        return expectation(self.node)


def look_up(path: KeyPath, values: Any) -> Key | None:
    """The key at `path`, in the sections that `values` has, or else in those of any kind; None: no such key."""
    found = Key("", model_schema())
    for index, part in enumerate(path):
        inner = _inner(found, path[:index], part, values)
        if inner is None:
            return None
        found = replace(inner, kind=found.kind or inner.kind)
        values = value_at(values, part)
    return found


def _inner(outer: Key, at: KeyPath, part: str | int, values: Any) -> Key | None:
    node = _section_or_null(resolved(outer.node))
    if "discriminator" in node:
        kinds = list(node["discriminator"]["mapping"])
        now = values.get("kind") if isinstance(values, dict) else None
        having = [kind for kind in kinds if part in kind_section(node, kind)["properties"]]
        if having:
            key = _property(kind_section(node, str(now) if now in having else having[0]), str(part))
            if part == "kind":  # each section allows its own word alone
                words = {name: value for name, value in key.node.items() if name != "const"}
                return replace(key, node={**words, "enum": kinds})
            return key if now in having else replace(key, kind=(at, " or ".join(having)))
    elif part in node.get("properties", ()):
        return _property(node, str(part))
    elif isinstance(part, int) and "items" in node:
        return Key(described(node["items"]) or outer.meaning, node["items"], required=True)
    elif isinstance(part, str) and isinstance(node.get("additionalProperties"), dict):
        inner = node["additionalProperties"]
        value = value_at(values, part)
        section = kind_section(inner, value["kind"]) if isinstance(value, dict) and "discriminator" in inner else inner
        return Key(described(section), inner, required=True)
    return None


def kind_section(node: Node, kind: str) -> Node:
    """The section that a node with several kinds is for one of them."""
    return resolved({"$ref": node["discriminator"]["mapping"][kind]})


def _property(section: Node, name: str) -> Key:
    node = section["properties"][name]
    meaning = described(section) if name == "kind" and "description" not in node else described(node)
    return Key(meaning, node, required=name in section.get("required", ()))


def described(node: Node) -> str:
    """What the model says about a key, else about the section that it holds."""
    return " ".join(str(node.get("description") or resolved(node).get("description", "")).split())


def value_at(values: Any, part: str | int) -> Any:
    """One step into data; None when it does not lead anywhere."""
    try:
        return values[part]
    except (KeyError, IndexError, TypeError):
        return None


def expectation(node: Node) -> str:
    """What a value must be, for people: 'a whole number from 2 to 20'."""
    node = resolved(node)
    if "const" in node:
        return str(node["const"])
    if "enum" in node:
        return f"one of {', '.join(node['enum'])}"
    if "anyOf" in node:
        return " or ".join(expectation(branch) for branch in node["anyOf"])
    if "discriminator" in node:
        return f"a mapping with kind, one of {', '.join(node['discriminator']['mapping'])}"
    kind = node.get("type")
    if kind == "object" and "properties" in node:
        return f"a mapping with some of the keys {', '.join(node['properties'])}"
    if kind == "object":
        return "a mapping from a name to its settings"
    if kind == "array":
        return f"a list{_span(node, 'minItems', 'maxItems')} (each: {expectation(node['items'])})"
    if kind == "string":
        most = node.get("maxLength")
        return f"text of 1 to {most} characters" if most else "text"
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _bounds(node)
    return {"boolean": "true or false", "null": "null"}[str(kind)]


def choices(node: Node) -> list[str]:
    """The words that a value may be, or the keys that a mapping may have."""
    node = resolved(node)
    if "anyOf" in node:
        return [word for branch in node["anyOf"] for word in choices(branch)]
    if "discriminator" in node:
        return list(node["discriminator"]["mapping"])
    if "const" in node:
        return [str(node["const"])]
    return [str(word) for word in node.get("enum") or node.get("properties") or ()]


@functools.cache
def model_schema() -> Node:
    """As pydantic makes it: one type for each field."""
    return Config.model_json_schema()


def resolved(node: Node) -> Node:
    """The section that a reference stands for."""
    while "$ref" in node:
        node = model_schema()["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node


def _section_or_null(node: Node) -> Node:
    """The section of a node that is one or null: pydantic's location does not name the branch."""
    sections = [branch for branch in map(resolved, node.get("anyOf", ())) if "properties" in branch]
    return sections[0] if len(sections) == 1 else node


def _span(node: Node, low: str, high: str) -> str:
    least, most = node.get(low), node.get(high)
    if least is not None and most is not None:
        return f" of {least} to {most} items"
    return f" of at least {least} item{'s' if least > 1 else ''}" if least is not None else ""


def _bounds(node: Node) -> str:
    least, most = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if least is not None and most is not None:
        return f" from {least} to {most}"
    if above is not None and below is not None:
        return f" above {above} and below {below}"
    if above is not None:
        return f" above {above}" + (f" and at most {most}" if most is not None else "")
    return f" of at least {least}" if least is not None else ""


def _unquoted(node: Any) -> Any:
    if isinstance(node, list):
        return [_unquoted(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _unquoted(value) for key, value in node.items() if key != "title" or not isinstance(value, str)}
    if node.get("type") == "string" and "enum" not in node and "const" not in node:
        node["type"] = ["string", "number", "boolean"]
    return node
