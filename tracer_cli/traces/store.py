"""All accepted rows, on disk: equal texts become one, and the split is drawn.

DuckDB does it with bounded memory; what does not fit is spilled to the folder that the caller gives. Every
result is ordered by a value that is unique, so it does not depend on the number of threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tracer_cli.errors import StorageError
from tracer_cli.traces.rows import Row
from tracer_cli.traces.text import normalise, split_bound, split_position, text_key

MEMORY_LIMIT = "512MB"
THREADS = 2  # each thread needs its own share of the memory limit
BATCH_ROWS = 2000
COMMIT_BATCHES = 20  # one commit for each batch doubles the time; one for all rows doubles the memory
GROUP_ROWS = 10_000

_SCHEMA = pa.schema(
    {
        "row": pa.int64(),
        "key": pa.string(),
        "position": pa.uint64(),
        "text": pa.string(),
        "label": pa.string(),
        "id": pa.string(),
        "timestamp": pa.int64(),
        "ground_truth": pa.string(),
    }
)

_MERGE = """
create table votes as
    select key, label, count(*) as label_count, min(row) as first from rows group by key, label;
create table winners as
    select key, label, label_count, kinds from (
        select *, count(*) over (partition by key) as kinds,
            row_number() over (partition by key order by label_count desc, first) as place
        from votes) where place = 1;
create table merged as
    select key, any_value(position) as position, count(*) as count, min(row) as first, min(timestamp) as timestamp,
        arg_min(ground_truth, row) filter (ground_truth is not null) as ground_truth
    from rows group by key;
"""

# Each artifact column; text and id are of the first occurrence.
_EXPRESSIONS = {
    "key": "m.key",
    "row": "m.first",
    "id": "r.id",
    "text": "r.text",
    "label": "w.label",
    "count": "m.count",
    "label_count": "w.label_count",
    "timestamp": "m.timestamp",
    "ground_truth": "m.ground_truth",
}


class Store:
    """Filled with `add`, closed for rows with `merge`, divided with `split_by_*`, read with `groups`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, seed: int) -> None:
        self._connection = connection
        self._seed = seed
        self._pending: list[tuple[Any, ...]] = []
        connection.execute("set enable_progress_bar = false")  # it would be printed among the results
        connection.execute(
            "create table rows (row bigint, key varchar, position ubigint, text varchar, label varchar, id varchar, "
            "timestamp bigint, ground_truth varchar)"
        )
        self._batches = 0
        connection.execute("begin")

    def add(self, number: int, row: Row) -> None:
        """number: the row's place among all rows read."""
        normal = normalise(row.text)
        position = split_position(normal, self._seed)
        self._pending.append(
            (number, text_key(normal), position, row.text, row.label, row.id, row.timestamp, row.ground_truth)
        )
        if len(self._pending) >= BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            columns = zip(*self._pending, strict=True)
            arrays = [pa.array(values, type) for values, type in zip(columns, _SCHEMA.types, strict=True)]
            with _disk_errors():
                self._connection.register("batch", pa.Table.from_arrays(arrays, schema=_SCHEMA))
                self._connection.execute("insert into rows select * from batch")
                self._connection.unregister("batch")
                self._batches += 1
                if self._batches % COMMIT_BATCHES == 0:
                    self._connection.execute("commit")
                    self._connection.execute("begin")
            self._pending.clear()

    def merge(self) -> dict[str, int]:
        """Put equal texts together; counts that do not depend on the split."""
        self._flush()
        with _disk_errors():
            self._connection.execute("commit")
            self._connection.execute(_MERGE)
        return {
            "rows_accepted": self._number("select count(*) from rows"),
            "distinct_texts": self._number("select count(*) from merged"),
            "labels": self._number("select count(distinct label) from winners"),
            "texts_seen_twice": self._number("select count(*) from merged where count > 1"),
            "conflicting_texts": self._number("select count(*) from winners where kinds > 1"),
        }

    def split_by_text(self, share: float) -> None:
        """The holdout is every text whose position is below the share: it never depends on other texts."""
        self._split("position < ?::ubigint", split_bound(share))

    def split_by_time(self, share: float) -> None:
        """The holdout is the newest share of the texts by their first occurrence; between equals, by key."""
        newest = int(share * self._number("select count(*) from merged"))
        self._split("row_number() over (order by timestamp desc, key) <= ?", newest)

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

    def groups(self, columns: tuple[str, ...], holdout: bool) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of one side in order of first appearance, GROUP_ROWS at a time."""
        joins = "merged m join split s using (key) join winners w using (key)"
        if "text" in columns or "id" in columns:
            joins += " join rows r on r.row = m.first"
        selected = ", ".join(_EXPRESSIONS[column] for column in columns)
        query = f"select {selected} from {joins} where s.holdout = ? order by m.first"
        with _disk_errors():
            cursor = self._connection.execute(query, [holdout])
            while rows := cursor.fetchmany(GROUP_ROWS):
                yield rows

    def _number(self, query: str, *parameters: object) -> int:
        with _disk_errors():
            found = self._connection.execute(query, list(parameters)).fetchone()
        return int(found[0]) if found else 0


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
        yield Store(connection, seed)
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
