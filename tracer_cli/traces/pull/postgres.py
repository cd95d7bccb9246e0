"""Rows of PostgreSQL: one read-only transaction, streamed as the server sends them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tracer_cli.errors import ConfigError, DataError
from tracer_cli.traces.pull import adbc
from tracer_cli.traces.pull.postgres_types import Column, type_of
from tracer_cli.traces.pull.rows import Rows
from tracer_cli.traces.pull.source import PullSource

CONNECT_SECONDS = 15

_SETTING = "tracer.cursor"  # holds the greatest value for the transaction: a COPY takes no parameters
_NESTED = "tracer: arrays of arrays"
# What is read must not change under the reader, nor by its hand, nor with the settings of a server or a person.
_SESSION = (
    "session characteristics as transaction isolation level repeatable read, read only",
    "timezone to 'UTC'",
    "datestyle to 'ISO'",
    "intervalstyle to 'postgres'",
)

# The types that may be a cursor, and what a value's text is cast to there.
_CURSORS = (
    (pa.types.is_integer, "bigint"),
    (pa.types.is_float64, "double precision"),
    (pa.types.is_date32, "date"),
    (pa.types.is_decimal, "numeric"),
    (lambda kind: pa.types.is_timestamp(kind) and kind.tz is not None, "timestamptz"),
    (pa.types.is_timestamp, "timestamp"),
)


@contextlib.contextmanager
def opened_rows(source: PullSource, url: str, least: pa.Scalar | None) -> Iterator[Rows]:
    """The rows of the query; with `least`, those whose cursor is not below it, in its order.

    Raises ConfigError or DataError, in the server's words, when it cannot be reached or refuses.
    """
    driver = adbc.driver("postgresql", source)
    query, cursor = adbc.statement(str(source.pull.query)), source.pull.cursor
    with contextlib.ExitStack() as stack:
        with adbc.errors(source, "cannot connect", advice=_advice(source)):
            connection = driver.connect(connectable(url, source))
        stack.callback(_close, connection)
        with adbc.errors(source, "cannot begin to read"), connection.cursor() as prepared:
            for setting in _SESSION:
                prepared.execute(f"set {setting}")
            connection.commit()
        with adbc.errors(source, "the query fails", query):
            fields = list(_described(connection, query))
        adbc.require_columns([field.name for field in fields], cursor, source)
        fails = "the query fails; it must be one SELECT that changes nothing"
        with adbc.errors(source, fails):
            names = _type_names(connection, query, fields)
        columns = [Column(field, name) for field, name in zip(fields, names, strict=True)]
        where = _where(connection, source, columns, least) if cursor is not None else ""
        select = ", ".join([*(column.sql for column in columns), *_nested(columns)])
        text = f"select {select} from {adbc.wrapped(query)}{where}"
        with adbc.errors(source, fails):
            cursor_object = stack.enter_context(contextlib.closing(connection.cursor()))
            cursor_object.execute(text)
            reader = cursor_object.fetch_record_batch()
        stack.callback(reader.close)
        schema = pa.schema([pa.field(column.name, column.kind) for column in columns])
        yield Rows(schema, _batches(reader, columns, schema, source))


def _described(connection: Any, query: str) -> Iterator[pa.Field]:
    """The columns of the query as it stands, so that an error's position is one in it."""
    with connection.cursor() as prepared:
        yield from prepared.adbc_execute_schema(query)


def _type_names(connection: Any, query: str, fields: list[pa.Field]) -> list[str]:
    """Of one row that has no values but their types: no row of the query is computed for it."""
    asked = ", ".join(type_of(f"pulled.{adbc.quoted(field.name)}") for field in fields)
    with connection.cursor() as statement:
        statement.execute(f"select {asked} from (select 1) as one left join {adbc.wrapped(query)} on false")
        return [str(name) for name in statement.fetchone()]


def _where(connection: Any, source: PullSource, columns: list[Column], least: pa.Scalar | None) -> str:
    cursor = str(source.pull.cursor)
    kind = next(column.kind for column in columns if column.name == cursor)
    cast = next((name for is_kind, name in _CURSORS if is_kind(kind)), None)
    advice = f"expected a whole number or a time; cast it in the query, such as {cursor}::timestamptz as {cursor}"
    adbc.require_cursor(kind, cast is not None, cursor, source, advice)
    column = f"pulled.{adbc.quoted(cursor)}"
    if least is None:
        return f" order by {column}"
    if least.type != kind:
        raise DataError(adbc.other_type(cursor, kind, least.type, source))
    with adbc.errors(source, "cannot begin to read"), connection.cursor() as setting:
        setting.execute(f"select set_config('{_SETTING}', $1, true)", (pc.cast(least, pa.string()).as_py(),))
        setting.fetchall()
    # Rows without a value are asked for as well: they are an error, and must not be left out without a word.
    value = f"current_setting('{_SETTING}')::{cast}"
    return f" where {column} >= {value} or {column} is null order by {column}"


def _nested(columns: list[Column]) -> Iterator[str]:
    """For each column of arrays, whether a row holds an array of arrays: the driver makes it a flat one."""
    lists = (column for column in columns if column.is_list)
    for number, column in enumerate(lists):
        yield f"coalesce(array_ndims({adbc.quoted(column.name)}) > 1, false) as {adbc.quoted(f'{_NESTED} {number}')}"


def _batches(reader: Any, columns: list[Column], schema: pa.Schema, source: PullSource) -> Iterator[pa.RecordBatch]:
    while True:
        with adbc.errors(source, "the rows broke off"):
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
        nested = zip((column.name for column in columns if column.is_list), batch.columns[len(columns) :], strict=True)
        for name, found in nested:
            if pc.any(found).as_py():
                raise DataError(
                    f"{source.key}.query: the column {name!r} holds arrays of arrays, which come without their form; "
                    f"select them as JSON: array_to_json({name}) as {name}"
                )
        arrays = [column.plain(array, source) for column, array in zip(columns, batch.columns, strict=False)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def connectable(url: str, source: PullSource) -> str:
    """The URL, with a limit to the wait for a server that does not answer, and a name in its list of sessions."""
    login, at, place = url.partition("://")[2].rpartition("@")
    if at and re.search(r"[@/?#\s]", login):
        raise ConfigError(
            f"{source.key}: the URL holds @, /, ? or # where they stand for something else; in user, password and "
            "parameters write @ as %40, / as %2F, ? as %3F, # as %23"
        )
    wanted = {"fallback_application_name": "tracer"}
    if "PGCONNECT_TIMEOUT" not in os.environ:
        wanted["connect_timeout"] = str(CONNECT_SECONDS)
    _, asked, query = place.partition("?")
    more = "&".join(f"{name}={value}" for name, value in wanted.items() if f"{name}=" not in query)
    return url if not more else f"{url}{'&' if asked and query else '' if asked else '?'}{more}"


def _advice(source: PullSource) -> str:
    if source.pull.source_env is not None:
        return f"check the value of {source.pull.source_env}"
    return "check the URL, and PGUSER and PGPASSWORD in the environment"


def _close(connection: Any) -> None:
    """Even when it is lost: the driver's complaint about that would hide the error that is told."""
    with contextlib.suppress(Exception):
        connection.rollback()
    with contextlib.suppress(Exception):
        connection.close()
