"""All accepted rows, on disk: equal texts become one, and the split is drawn.

DuckDB does it with bounded memory, spilling to the folder that the caller gives. The texts themselves wait in a
file beside it, in the order in which they came: sorting rows of 20 KB each needs more memory than the limit, and
they are wanted in that order anyway. Every result is ordered by a value that is unique, so it does not depend on
the number of threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tracer_cli.artifacts import storage_errors
from tracer_cli.errors import StorageError
from tracer_cli.traces.calls import ORIGINS
from tracer_cli.traces.rows import Row
from tracer_cli.traces.text import normalise, split_bound, split_position, text_key

MEMORY_LIMIT = "512MB"
THREADS = 2  # each thread needs its own share of the memory limit
BATCH_ROWS = 10_000
GROUP_ROWS = 10_000
CHARACTERS = 8_000_000  # a batch or a group with more is closed early

_NARROW = pa.schema(
    {
        "row": pa.int64(),
        "key": pa.string(),
        "position": pa.uint64(),
        "label": pa.string(),
        "timestamp": pa.int64(),
        "ground_truth": pa.string(),
        "origin": pa.int8(),
        "weight": pa.float64(),
    }
)
_TEXTS = pa.schema({"row": pa.int64(), "id": pa.string(), "text": pa.string()})

_CREATE = """
set enable_progress_bar = false; -- it would be printed among the results
create table rows (
    row bigint, key varchar, position ubigint, label varchar, timestamp bigint, ground_truth varchar,
    origin tinyint, weight decimal(18, 6)); -- decimal: a sum that does not depend on its order
"""

_MERGE = """
create table votes as
    select key, label, count(*) as label_count, sum(weight) as vote, min(row) as first from rows group by key, label;
create table winners as
    select key, label, label_count, round(vote / label_count, 6) as weight, kinds from ( -- 0.3 / 3 is 0.1
        select *, count(*) over (partition by key) as kinds,
            row_number() over (partition by key order by vote desc, first) as place
        from votes) where place = 1;
create table merged as
    select key, any_value(position) as position, count(*) as count, min(row) as first, min(timestamp) as timestamp,
        min(origin) as origin,
        arg_min(ground_truth, row) filter (ground_truth is not null) as ground_truth
    from rows group by key;
"""

# Each artifact column; text and id are filled in from the file of texts.
_EXPRESSIONS = {
    "key": "m.key",
    "row": "m.first",
    "id": "null",
    "text": "null",
    "label": "w.label",
    "count": "m.count",
    "label_count": "w.label_count",
    "timestamp": "m.timestamp",
    "ground_truth": "m.ground_truth",
    "origin": f"{list(ORIGINS)}[m.origin + 1]",
    "weight": "w.weight",
}


_EVIDENCE = f"(origin != {ORIGINS.index('deferred')})"


class Store:
    """Filled with `add`, closed for rows with `merge`, divided with `split_by_*`, read with `groups`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, texts: Path, seed: int) -> None:
        self._connection = connection
        self._texts = texts
        self._writer = pa.ipc.new_stream(str(texts), _TEXTS)
        self._seed = seed
        self._narrow: list[tuple[Any, ...]] = []
        self._wide: list[tuple[Any, ...]] = []
        self._characters = 0
        connection.execute(_CREATE)

    def add(self, number: int, row: Row) -> None:
        """number: the row's place among all rows read, larger than that of every row before."""
        normal = normalise(row.text)
        position = split_position(normal, self._seed)
        self._narrow.append(
            (
                number,
                text_key(normal),
                position,
                row.label,
                row.timestamp,
                row.ground_truth,
                ORIGINS.index(row.origin),
                row.weight,
            )
        )
        self._wide.append((number, row.id, row.text))
        self._characters += len(row.text)
        if len(self._wide) >= BATCH_ROWS or self._characters >= CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        if self._wide:
            with _disk_errors():
                self._connection.register("batch", _table(self._narrow, _NARROW))
                self._connection.execute("insert into rows select * from batch")
                self._connection.unregister("batch")
            with storage_errors(self._texts):
                self._writer.write_table(_table(self._wide, _TEXTS))
            self._narrow, self._wide, self._characters = [], [], 0

    def merge(self) -> dict[str, int]:
        """Put equal texts together; counts that do not depend on the split."""
        self._flush()
        self.close()
        with _disk_errors():
            self._connection.execute(_MERGE)
        return {
            "rows_accepted": self._number("select count(*) from rows"),
            "distinct_texts": self._number("select count(*) from merged"),
            "labels": self._number("select count(distinct label) from winners"),
            "texts_seen_twice": self._number("select count(*) from merged where count > 1"),
            "conflicting_texts": self._number("select count(*) from winners where kinds > 1"),
            "audit_texts": self._number(f"select count(*) from merged where origin = {ORIGINS.index('audit')}"),
            "deferred_texts": self._number(f"select count(*) from merged where not {_EVIDENCE}"),
        }

    def close(self) -> None:
        """Close the file of texts."""
        with storage_errors(self._texts):
            self._writer.close()

    def split_by_text(self, share: float) -> None:
        """The holdout is every text whose position is below the share: it never depends on other texts.

        A text that only ever came as `deferred` is no evidence, and so is always on the fit side.
        """
        self._split(f"position < ?::ubigint and {_EVIDENCE}", split_bound(share))

    def split_by_time(self, share: float) -> None:
        """The holdout is the newest share of the evidence by its first occurrence; between equals, by key."""
        newest = int(share * self._number(f"select count(*) from merged where {_EVIDENCE}"))
        self._split(
            f"{_EVIDENCE} and row_number() over (partition by {_EVIDENCE} order by timestamp desc, key) <= ?", newest
        )

    def _split(self, condition: str, bound: int) -> None:
        with _disk_errors():
            self._connection.execute(f"create table split as select key, {condition} as holdout from merged", [bound])

    def side(self, holdout: bool) -> int:
        """How many texts the side has."""
        return self._number("select count(*) from split where holdout = ?", holdout)

    def fit_labels(self) -> list[str]:
        """The labels of the fit side, sorted."""
        with _disk_errors():
            rows = self._connection.execute(
                "select distinct label from winners join split using (key) where not holdout"
            ).fetchall()
        return sorted(label for (label,) in rows)

    def groups(self, columns: Sequence[str], holdout: bool) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of one side in order of first appearance, at most GROUP_ROWS or about CHARACTERS at a time."""
        rows = self._narrow_rows(columns, holdout)
        return _grouped(self._filled(rows, columns) if "text" in columns else rows)

    def _narrow_rows(self, columns: Sequence[str], holdout: bool) -> Iterator[tuple[Any, ...]]:
        selected = ", ".join(_EXPRESSIONS[column] for column in columns)
        joins = "merged m join split s using (key) join winners w using (key)"
        with _disk_errors():
            cursor = self._connection.execute(
                f"select {selected} from {joins} where s.holdout = ? order by m.first", [holdout]
            )
            while rows := cursor.fetchmany(GROUP_ROWS):
                yield from rows

    def _filled(self, rows: Iterable[tuple[Any, ...]], columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Both come in the order of `row`, so one pass over the texts finds all."""
        at_row, at_id, at_text = (columns.index(name) for name in ("row", "id", "text"))
        texts = self._all_texts()
        for row in rows:
            values = list(row)
            values[at_id], values[at_text] = next(rest for number, *rest in texts if number == row[at_row])
            yield tuple(values)

    def _all_texts(self) -> Iterator[tuple[Any, ...]]:
        with (
            storage_errors(self._texts, "read"),
            pa.OSFile(str(self._texts)) as file,
            pa.ipc.open_stream(file) as stream,
        ):
            for batch in stream:
                yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def _number(self, query: str, *parameters: object) -> int:
        with _disk_errors():
            found = self._connection.execute(query, list(parameters)).fetchone()
        return int(found[0]) if found else 0


def _table(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(values, type) for values, type in zip(zip(*rows, strict=True), schema.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _grouped(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    group: list[tuple[Any, ...]] = []
    characters = 0
    for row in rows:
        group.append(row)
        characters += sum(len(value) for value in row if isinstance(value, str))
        if len(group) >= GROUP_ROWS or characters >= CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


@contextlib.contextmanager
def opened_store(folder: Path, seed: int) -> Iterator[Store]:
    """A store in `folder`, which the caller removes."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "threads": THREADS,
        "temp_directory": str(folder / "spill"),
        "preserve_insertion_order": False,
    }
    with _disk_errors():
        connection = duckdb.connect(str(folder / "rows.duckdb"), config=settings)
    try:
        store = Store(connection, folder / "texts.arrow", seed)
        try:
            yield store
        finally:
            store.close()
    finally:
        connection.close()


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """DuckDB's own errors about its folder, in words that say what to do."""
    try:
        yield
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise StorageError(
            "the temporary folder is full or cannot be written while equal texts are put together "
            f"(TMPDIR chooses another one): {error}"
        ) from error
