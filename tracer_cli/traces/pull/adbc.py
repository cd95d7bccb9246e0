"""What the databases have in common: their ADBC drivers, loaded late, and what those say when they fail."""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from tracer_cli.errors import ConfigError, DataError
from tracer_cli.traces.pull.source import PullSource

_PREFIX = re.compile(r"^(?:[A-Z_]+: )?(?:\[\w+\] )?(?:Failed to \w+(?: query)?: )?(?:could not begin COPY: )?")
_SUFFIX = re.compile(r"\n+(?:Query was: |query: ).*", re.DOTALL)
_SERVER = re.compile(r"^.*?(?:ERROR|FATAL): +", re.DOTALL)


def driver(name: str, source: PullSource) -> Any:
    """The DBAPI module of a driver. Raises ConfigError when the extra is not installed."""
    try:
        return importlib.import_module(f"adbc_driver_{name}.dbapi")
    except ImportError as error:
        raise ConfigError(
            f"{source.key}: databases are read through ADBC, and {error.name or name} is not installed; run "
            "`pip install 'tracer-cli[databases]'`"
        ) from error


@contextlib.contextmanager
def errors(source: PullSource, doing: str, query: str | None = None, advice: str = "") -> Iterator[None]:
    """What a driver raises in the block becomes a DataError in the database's own words.

    query: the SQL that is running as the user wrote it, when a position that is told counts in it; advice: what to do.
    """
    begin, end = f"{source.key}: {source.shown}: {doing}: ", f"; {advice}" if advice else ""
    try:
        yield
    except (OSError, pa.ArrowException) as error:  # from a stream of batches
        raise DataError(f"{begin}{_plain(str(error))}{end}") from error
    except Exception as error:
        if not type(error).__module__.startswith("adbc_driver"):
            raise
        raise DataError(f"{begin}{_told(error, query)}{end}") from error


def _told(error: Exception, query: str | None) -> str:
    details = {key: value.decode(errors="replace") for key, value in getattr(error, "details", None) or []}
    text = details.get(_key("PG_DIAG_MESSAGE_PRIMARY", details)) or _plain(str(error))
    hint = details.get(_key("PG_DIAG_MESSAGE_HINT", details))
    position = details.get(_key("PG_DIAG_STATEMENT_POSITION", details))
    if position and position.isdecimal() and query is not None:
        before = query[: int(position) - 1]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        text = f"line {line}, column {column} of the query: {text}"
    return f"{text} ({hint.rstrip('.')})" if hint else text


def _key(name: str, details: dict[Any, str]) -> Any:
    """Details are named by bytes or by text, depending on the driver manager's version."""
    return name.encode() if name.encode() in details else name


def _plain(text: str) -> str:
    text = _SUFFIX.sub("", text)
    text = _SERVER.sub("", text) if _SERVER.match(text) else _PREFIX.sub("", text)
    return " ".join(text.split()) or "it says nothing"


def wrapped(query: str) -> str:
    """The query as a table, which only a query that reads can be; on lines of its own, for it may end in a comment."""
    return f"(\n{query}\n) as pulled"


def statement(query: str) -> str:
    """The query without what ends a statement."""
    return query.strip().rstrip(";").rstrip()


def quoted(name: str) -> str:
    """An identifier as it is, in SQL."""
    return '"' + name.replace('"', '""') + '"'


def require_columns(names: Sequence[str], cursor: str | None, source: PullSource) -> None:
    """Raises DataError when the columns of the query cannot be those of a table, or lack the cursor."""
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise DataError(
            f"{source.key}.query: gives {len(names)} columns, and more than one is called {twice[0]!r}; name each "
            "differently with `as`"
        )
    if not names:
        raise DataError(f"{source.key}.query: gives no column; name the columns that the traces are made of")
    if cursor is not None and cursor not in names:
        raise DataError(
            f"{source.key}.cursor: the query gives no column {cursor!r}; its columns are {', '.join(names)}"
        )


def require_cursor(kind: object, allowed: bool, cursor: str, source: PullSource, advice: str) -> None:
    if not allowed:
        raise DataError(
            f"{source.key}.cursor: the column {cursor!r} is {kind}, which does not tell older from newer; {advice}"
        )


def other_type(cursor: str, now: pa.DataType, before: pa.DataType, source: PullSource) -> str:
    return (
        f"{source.key}.cursor: the column {cursor!r} is {now} now and {before} in the parts, so a pull cannot tell "
        "where to go on; cast it in the query, or remove the parts and pull again"
    )
