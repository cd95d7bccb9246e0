"""The SQL of a `where`: one condition over one record, and nothing that would make a refit depend on more than that.

DuckDB parses it and says which functions depend on a time, on chance or on a setting. The connection is the
condition's own, and can neither read a file nor load an extension.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

# A way to a value: names, and None for whichever element of a list.
Path = tuple[str | None, ...]

MEMORY_LIMIT = "512MB"

_REFUSED = {
    "SUBQUERY": "it holds a subquery; a condition sees one record (a list of values is written `x in ('a', 'b')`)",
    "WINDOW": "it holds a window function; a condition sees one record",
    "STAR": "it holds a star; name the fields",
    "PARAMETER": "it holds a parameter, and there is nothing to fill it in",
}
_CHANGING = "a refit must depend on the traces alone, and this is another value at another time or place"
# Consistent by DuckDB's own account, and still not the same everywhere.
_CHANGING_FUNCTIONS = ("version", "current_setting", "getvariable")
_NOT_SERIALIZED = "Only SELECT statements"


class ConditionError(Exception):
    """The condition is wrong; its text says how, without naming the condition."""


@dataclass(frozen=True)
class Condition:
    """text: as tracer.yaml has it. paths: what it looks at, each with the field's name first, as written there."""

    text: str
    paths: tuple[Path, ...]

    @property
    def roots(self) -> list[str]:
        """The fields, each once however its letters are written: DuckDB's names know no case."""
        return list({path[0].casefold(): path[0] for path in self.paths if path[0] is not None}.values())

    def sql(self) -> str:
        return f"(\n{self.text}\n)"


def connect() -> duckdb.DuckDBPyConnection:
    """A database in memory that reads no file, with one thread: rows come out as they went in."""
    connection = duckdb.connect(
        config={
            "enable_external_access": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": MEMORY_LIMIT,
            "threads": 1,
        }
    )
    connection.execute("set TimeZone = 'UTC'; set enable_progress_bar = false; set lock_configuration = true")
    return connection


def sentence(error: duckdb.Error) -> str:
    """What DuckDB says, without the query around the condition."""
    return str(error).partition("\n")[0].strip()


def parse(connection: duckdb.DuckDBPyConnection, text: str) -> Condition:
    """Raises ConditionError for what is no condition, or one that may not be."""
    _only_expression(_statements(connection, f"select {text}"))  # alone first: no message names a bracket of ours
    try:
        statements = _statements(connection, f"select (\n{text}\n)")
    except ConditionError:
        raise ConditionError("it is more than one condition") from None
    expression = _only_expression(statements)
    try:
        nodes = list(_nodes(expression))
    except RecursionError:
        raise ConditionError("it is nested too deeply") from None
    functions = _Functions(connection)
    for node in nodes:
        kind = node.get("class")
        if kind in _REFUSED:
            raise ConditionError(_REFUSED[kind])
        if kind == "FUNCTION":
            functions.check(str(node["function_name"]), len(_arguments(node)))
    own = {name for node in nodes if node.get("class") == "LAMBDA" for name in _names(node["lhs"])}
    paths = [path for path in map(_path, nodes) if path is not None and path[0] not in own]
    return Condition(text, tuple(dict.fromkeys(paths)))


def _statements(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    try:
        ((found,),) = connection.execute("select json_serialize_sql(?)", [query]).fetchall()
    except duckdb.Error as error:
        raise ConditionError(sentence(error)) from None
    parsed: dict[str, Any] = json.loads(found)
    if parsed["error"]:
        message = str(parsed["error_message"])
        raise ConditionError("it is more than one condition" if message.startswith(_NOT_SERIALIZED) else message)
    return list(parsed["statements"])


def _only_expression(statements: list[dict[str, Any]]) -> Any:
    """The one expression of the one statement, which has no other part: brackets may have been closed too early."""
    plain = {"type": "SELECT_NODE", "aggregate_handling": "STANDARD_HANDLING", "cte_map": {"map": []}}
    if len(statements) == 1:
        node = dict(statements[0]["node"])
        selected, table = node.pop("select_list", []), node.pop("from_table", {})
        rest = {name: value for name, value in node.items() if value and value != plain.get(name)}
        if len(selected) == 1 and table.get("type") == "EMPTY" and not rest:
            return selected[0]
    raise ConditionError("it is more than one condition")


# --- the tree -------------------------------------------------------------------------------------


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every expression, the outer ones first."""
    if isinstance(value, dict):
        if "class" in value:
            yield value
        for part in value.values():
            yield from _nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from _nodes(part)


def _arguments(node: dict[str, Any]) -> list[Any]:
    return list(node.get("arguments") or node.get("children") or [])


def _names(node: Any) -> set[str]:
    """The names of a lambda's parameters."""
    return {part["column_names"][0] for part in _nodes(node) if part.get("class") == "COLUMN_REF"}


def _path(node: dict[str, Any]) -> Path | None:
    """The way that `a.b`, `a['b']` or `a[1].b` describes; None for every other expression."""
    if node.get("class") == "COLUMN_REF":
        return tuple(node["column_names"])
    if node.get("type") not in ("STRUCT_EXTRACT", "ARRAY_EXTRACT"):
        return None
    inner, step = node["children"]
    path = _path(inner)
    if path is None or step.get("class") != "CONSTANT":
        return path
    text, is_text = _constant(step)
    return (*path, text if is_text else None)


def _constant(node: dict[str, Any]) -> tuple[str, bool]:
    """The constant, and whether it is text; DuckDB 2 writes a literal, DuckDB 1 a value with its type."""
    if "literal" in node:
        return str(node["literal"]["text"]), node["literal"]["kind"] == "STRING"
    value = node["value"]
    return str(value.get("value")), value["type"]["id"] == "VARCHAR"


# --- functions ------------------------------------------------------------------------------------


class _Functions:
    """What DuckDB's own catalogue says of its functions."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._macros: set[str] = set()

    def check(self, name: str, arguments: int) -> None:
        """Raises ConditionError for what is no function of one record, or not the same each time.

        An unknown name is left to DuckDB, which knows the nearest. Only some overloads of a function of time depend
        on the time zone, which is fixed here; so it is refused when no overload is consistent.
        """
        name = name.casefold()
        found = self._connection.execute(
            "select function_type, stability, macro_definition from duckdb_functions() where lower(function_name) = ?",
            [name],
        ).fetchall()
        kinds = {kind for kind, _, _ in found}
        scalar = {stability for kind, stability, _ in found if kind == "scalar"}
        if found and not kinds & {"scalar", "macro"}:
            raise ConditionError(f"{name} is no function of one record ({', '.join(sorted(kinds))} function)")
        since_now = name == "age" and arguments == 1
        if name in _CHANGING_FUNCTIONS or since_now or (scalar and "CONSISTENT" not in scalar) or "VOLATILE" in scalar:
            raise ConditionError(f"it calls {name}(): {_CHANGING}")
        for kind, _, definition in found:
            if kind == "macro" and name not in self._macros:
                self._macros.add(name)
                self._check_macro(name, definition)

    def _check_macro(self, name: str, definition: str) -> None:
        """What a macro stands for is checked like what is written out; one that cannot be looked into is refused."""
        try:
            parts = list(_nodes(_only_expression(_statements(self._connection, f"select {definition}"))))
            if any(part.get("class") == "SUBQUERY" for part in parts):
                raise ConditionError("it looks things up")
            for part in parts:
                if part.get("class") == "FUNCTION":
                    self.check(str(part["function_name"]), len(_arguments(part)))
                elif part.get("class") == "COLUMN_REF" and len(part["column_names"]) == 1:
                    self._check_bare(part["column_names"][0])
        except ConditionError:
            raise ConditionError(f"it calls {name}(): {_CHANGING}") from None

    @staticmethod
    def _check_bare(name: str) -> None:
        """`current_timestamp` without brackets looks like a column; a macro's own parameters look so too."""
        if name.casefold().startswith(("current_", "local")):
            raise ConditionError(name)
