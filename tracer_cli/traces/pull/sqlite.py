"""Rows of SQLite, whose columns have no types: what a column holds in the rows of the query decides.

The driver settles a column's type by the first rows that it meets, and fails at a later row that does not fit, or
that is the first with a value. So the types are asked for first, and a row that has them goes before all others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from tracer_cli.errors import ConfigError, DataError
from tracer_cli.traces.pull import adbc
from tracer_cli.traces.pull.rows import Rows
from tracer_cli.traces.pull.source import PullSource

_BATCH_ROWS = 4096
_FIRST = "tracer: types"


@dataclass(frozen=True)
class _Kind:
    """What a column holds. type: in the part; value: one of it, in SQL; mixed: to be cast; empty: nothing but null."""

    type: pa.DataType
    value: str
    mixed: bool = False
    empty: bool = False


# By what typeof() says of a column.
_TYPES = {
    "integer": _Kind(pa.int64(), "0"),
    "real": _Kind(pa.float64(), "0.0"),
    "text": _Kind(pa.string(), "''"),
    "blob": _Kind(pa.binary(), "x''"),
}


@contextlib.contextmanager
def opened_rows(source: PullSource, url: str, least: pa.Scalar | None) -> Iterator[Rows]:
    """The rows of the query; with `least`, those whose cursor is not below it, in its order.

    Raises ConfigError or DataError when the file is missing, no database, or the query is refused.
    """
    driver = adbc.driver("sqlite", source)
    path = database_file(source, url)
    query, cursor = adbc.statement(str(source.pull.query)), source.pull.cursor
    fails = "the query fails; it must be one SELECT that changes nothing"
    with contextlib.ExitStack() as stack:
        with adbc.errors(source, "cannot be opened"):
            connection = driver.connect(f"file:{quote(str(path))}?mode=ro")
        stack.callback(_close, connection)
        with adbc.errors(source, fails):
            names = _names(connection, query)
            adbc.require_columns(names, cursor, source)
            where = "" if cursor is None or least is None else _where(cursor, least)
            bound = () if least is None or cursor is None else (least.as_py(),)
            kinds = _kinds(connection, query, names, where, bound, source)
        order = ""
        if cursor is not None:
            kinds = [_or_as_before(kind, name, cursor, least) for name, kind in zip(names, kinds, strict=True)]
            _require_cursor(kinds[names.index(cursor)], cursor, least, source)
            order = f" order by pulled.{adbc.quoted(cursor)} collate binary"
        with adbc.errors(source, fails):
            statement = stack.enter_context(contextlib.closing(connection.cursor()))
            statement.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(_BATCH_ROWS)})
            statement.execute(_select(query, names, kinds, where + order), bound or None)
            reader = statement.fetch_record_batch()
        stack.callback(reader.close)
        schema = pa.schema([pa.field(name, kind.type) for name, kind in zip(names, kinds, strict=True)])
        yield Rows(schema, _batches(reader, schema, source))


def database_file(source: PullSource, url: str) -> Path:
    """`sqlite:///calls.db` is relative to tracer.yaml, `sqlite:////data/calls.db` is not."""
    scheme, _, rest = url.partition("://")
    if not rest.startswith("/") or len(rest) < 2 or "?" in rest:
        raise ConfigError(
            f"{source.key}.source: found {scheme}://{rest}; expected sqlite:///calls.db, relative to tracer.yaml, or "
            "sqlite:////data/calls.db with four slashes"
        )
    path = (source.root / rest[1:]).resolve()
    if not path.is_file():
        raise DataError(f"{source.key}: no such file: {rest[1:]} (looked for {path}); put it there, or correct the URL")
    return path


def _names(connection: Any, query: str) -> list[str]:
    with contextlib.closing(connection.cursor()) as statement:
        statement.execute(f"select * from {adbc.wrapped(query)} limit 0")
        return list(statement.fetch_record_batch().schema.names)


def _kinds(
    connection: Any, query: str, names: Sequence[str], where: str, bound: tuple[Any, ...], source: PullSource
) -> list[_Kind]:
    asked = ", ".join(f"group_concat(distinct typeof(pulled.{adbc.quoted(name)}))" for name in names)
    with contextlib.closing(connection.cursor()) as statement:
        statement.execute(f"select {asked} from {adbc.wrapped(query)}{where}", bound or None)
        row = statement.fetchone()
    return [_kind(name, set((told or "").split(",")), source) for name, told in zip(names, row, strict=True)]


def _kind(name: str, held: set[str], source: PullSource) -> _Kind:
    held = held - {"null", ""}
    if len(held) > 1 and "blob" in held:
        raise DataError(
            f"{source.key}.query: the column {name!r} holds {' and '.join(sorted(held))}; cast it in the query, such "
            f"as cast({name} as text) as {name}, or leave the rows of one kind out"
        )
    if len(held) == 1:
        return _TYPES[held.pop()]
    return replace(_TYPES["text"], mixed=bool(held), empty=not held)


def _select(query: str, names: Sequence[str], kinds: Sequence[_Kind], rest: str) -> str:
    first = ", ".join(f"{kind.value} as {adbc.quoted(name)}" for name, kind in zip(names, kinds, strict=True))
    values = ", ".join(
        f"cast(pulled.{adbc.quoted(name)} as text) as {adbc.quoted(name)}"
        if kind.mixed
        else f"pulled.{adbc.quoted(name)}"
        for name, kind in zip(names, kinds, strict=True)
    )
    return (
        f"select {first}, 1 as {adbc.quoted(_FIRST)} union all "
        f"select * from (select {values}, 0 as {adbc.quoted(_FIRST)} from {adbc.wrapped(query)}{rest})"
    )


def _where(cursor: str, least: pa.Scalar) -> str:
    column = f"pulled.{adbc.quoted(cursor)}"
    # Rows without a value are asked for as well: they are an error, and must not be left out without a word.
    return f" where {column} >= ? collate binary or {column} is null"


def _or_as_before(kind: _Kind, name: str, cursor: str, least: pa.Scalar | None) -> _Kind:
    """The cursor's column when nothing new is there to tell its type."""
    return replace(kind, type=least.type) if name == cursor and kind.empty and least is not None else kind


def _require_cursor(kind: _Kind, cursor: str, least: pa.Scalar | None, source: PullSource) -> None:
    shown = "numbers and text" if kind.mixed else kind.type
    advice = "expected whole numbers, or times as text that sorts, such as 2026-01-31 12:00:00"
    adbc.require_cursor(shown, not kind.mixed and kind.type != pa.binary(), cursor, source, advice)
    if least is not None and least.type != kind.type:
        raise DataError(adbc.other_type(cursor, kind.type, least.type, source))


def _batches(reader: Any, schema: pa.Schema, source: PullSource) -> Iterator[pa.RecordBatch]:
    while True:
        with adbc.errors(source, "the rows broke off"):
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
        rows = batch.filter(pc.equal(batch.column(_FIRST), 0))
        yield pa.RecordBatch.from_arrays(rows.columns[:-1], schema=schema)


def _close(connection: Any) -> None:
    with contextlib.suppress(Exception):
        connection.close()
