"""The types of PostgreSQL's columns, and what becomes of each in a part.

The names are asked of the server: what a driver says of a type differs between its versions.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from tracer_cli.errors import DataError
from tracer_cli.traces.pull import adbc
from tracer_cli.traces.pull.source import PullSource

_DECIMAL_DIGITS = 38

# The server counts from 2000 on, and its infinity, the greatest and the least number, runs over when it is counted
# from 1970: both then lie below all times that it has.
_INFINITE_TIMESTAMP = -(2**63) + 2**53
_INFINITE_DATE = -(2**31) + 2**20

# The server's types that a part keeps, by their names in the catalogue; every other is selected as text.
KEPT_ITEMS = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "numeric": pa.string(),
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "json", "jsonb"), pa.string()),
}
KEPT = {
    **KEPT_ITEMS,
    "bytea": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
}


class Column:
    """One column: what is selected for it, and its type in the part. What Parquet has no type for becomes text."""

    def __init__(self, field: pa.Field, type_name: str) -> None:
        """field: as the driver describes it; type_name: as `type_of` gives it."""
        self.name: str = field.name
        self.is_list = type_name.startswith("_")
        self.sql = adbc.quoted(field.name)
        kind = KEPT_ITEMS.get(type_name[1:]) if self.is_list else KEPT.get(type_name)
        if type_name == "numeric":
            kind = _decimal(field.metadata or {})
        if kind is None:
            self.sql += f"::{'text[]' if self.is_list else 'text'} as {self.sql}"
        kind = kind or pa.string()
        self.kind = pa.list_(kind) if self.is_list else kind

    def plain(self, array: pa.Array, source: PullSource) -> pa.Array:
        """Without the driver's own types. Raises DataError for what the type of the part cannot hold."""
        storage = _storage(array)
        if self.is_list:
            storage = pa.ListArray.from_arrays(storage.offsets, _storage(storage.values), mask=storage.is_null())
        if pa.types.is_timestamp(self.kind) or pa.types.is_date(self.kind):
            self._require_finite(storage, source)
        try:
            return storage if storage.type == self.kind else storage.cast(self.kind)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{source.key}.query: the column {self.name!r} holds a value that {self.kind} cannot hold ({error}); "
                f"select it as text: {self.name}::text as {self.name}"
            ) from error

    def _require_finite(self, storage: pa.Array, source: PullSource) -> None:
        is_date = pa.types.is_date(self.kind)
        numbers = storage.view(pa.int32() if is_date else pa.int64())
        if pc.any(pc.less(numbers, _INFINITE_DATE if is_date else _INFINITE_TIMESTAMP)).as_py():
            raise DataError(
                f"{source.key}.query: the column {self.name!r} holds infinity, which is no time that Parquet knows; "
                f"select another value for it, such as nullif({self.name}, 'infinity') as {self.name}"
            )


def type_of(column: str) -> str:
    """SQL for the name of a column's type in the catalogue: of an array `_` and that of its items, of a domain that of
    its base; `column`: as SQL spells it."""
    catalogue = "pg_catalog.pg_type where oid"
    base = f"select coalesce(nullif(typbasetype, 0), oid) from {catalogue} = pg_catalog.pg_typeof({column})"
    return f"(select typname::text from {catalogue} = ({base}))"


def _decimal(metadata: dict[bytes, bytes]) -> pa.DataType:
    """numeric(precision, scale) as such; text, which loses nothing, when there is no size, or an old driver."""
    modifier = int(metadata.get(b"POSTGRESQL:typmod", b"-1"))
    precision, scale = (modifier - 4) >> 16, (modifier - 4) & 0x7FF
    if modifier < 4 or precision > _DECIMAL_DIGITS or scale > precision:
        return pa.string()
    return pa.decimal128(precision, scale)


def _storage(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array, pa.ExtensionArray) else array
