"""What a later pull adds: the rows that are not here yet, each once, by what the parts themselves hold."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postgres_server import Database, Server
from pull_support import parts, pulled, rows
from tracer_cli.errors import DataError, StorageError
from tracer_cli.traces.parts import add_part
from tracer_cli.traces.pull.known import Known, known_parts, row_digests


@pytest.fixture
def calls(postgres: Server) -> Database:
    database = postgres.database()
    database.run("create table calls (id bigint, input text, label text, at timestamptz)")
    return database


def insert(calls: Database, *values: str) -> None:
    calls.run(f"insert into calls values {', '.join(values)}")


def call(number: int, at: str) -> str:
    return f"({number}, 'text {number}', 'a', '2026-01-02 {at}')"


def ids(root: Path) -> list[list[int]]:
    """The ids in each part, in the order in which the parts were made."""
    found = sorted((root / "data" / "traces").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return [pq.read_table(path).column("id").to_pylist() for path in found]


# --- with a cursor --------------------------------------------------------------------------------


def test_a_later_pull_brings_what_is_new_and_then_nothing(calls: Database, tmp_path: Path) -> None:
    insert(calls, call(2, "10:00:00.000002Z"), call(1, "10:00:00.000001Z"))
    first = pulled(tmp_path, calls.url(), "select * from calls", "at")
    before = parts(tmp_path)
    insert(calls, call(3, "10:00:00.000003Z"), call(4, "11:00Z"))
    second = pulled(tmp_path, calls.url(), "select * from calls", "at")
    third = pulled(tmp_path, calls.url(), "select * from calls", "at")
    assert ids(tmp_path) == [[1, 2], [3, 4]], "in the order of the cursor"
    assert (first.read, second.read, third.read) == (2, 3, 1), "only the rows from the greatest value on are asked for"
    assert third.new == ()
    assert before.items() <= parts(tmp_path).items()


def test_a_row_with_the_greatest_value_that_came_later_is_not_missed(calls: Database, tmp_path: Path) -> None:
    insert(calls, call(1, "10:00Z"), call(2, "10:00Z"))
    pulled(tmp_path, calls.url(), "select * from calls", "at")
    insert(calls, call(3, "10:00Z"))
    pulled(tmp_path, calls.url(), "select * from calls", "at")
    assert ids(tmp_path) == [[1, 2], [3]]
    assert not pulled(tmp_path, calls.url(), "select * from calls", "at").new


def test_rows_that_are_alike_are_counted(calls: Database, tmp_path: Path) -> None:
    insert(calls, *[call(1, "10:00Z")] * 2)
    pulled(tmp_path, calls.url(), "select * from calls", "at")
    insert(calls, *[call(1, "10:00Z")] * 3)
    pulled(tmp_path, calls.url(), "select * from calls", "at")
    assert ids(tmp_path) == [[1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("cursor", "earlier", "later"),
    [
        ("smallint", "1", "2"),
        ("integer", "-1", "2147483647"),
        ("bigint", "9007199254740993", "9007199254740994"),
        ("double precision", "0.1", "0.30000000000000004"),
        ("numeric(30, 9)", "0.000000001", "0.000000002"),
        ("date", "'2026-01-01'", "'2026-01-02'"),
        ("timestamp", "'2026-01-01 00:00:00.000001'", "'2026-01-01 00:00:00.000002'"),
        ("timestamptz", "'2026-01-01 00:00:00.000001+05'", "'2026-01-01 00:00:00.000002+05'"),
    ],
)
def test_what_may_be_a_cursor(postgres: Server, tmp_path: Path, cursor: str, earlier: str, later: str) -> None:
    database = postgres.database()
    database.run(f'create table t (id int, "the ""At" {cursor})')
    for number, value in enumerate((earlier, later)):
        database.run(f"insert into t values ({number}, {value})")
        assert len(pulled(tmp_path, database.url(), "select * from t", 'the "At').new) == 1
        assert not pulled(tmp_path, database.url(), "select * from t", 'the "At').new
    assert ids(tmp_path) == [[0], [1]]


@pytest.mark.parametrize("cursor", ["text", "numeric", "uuid", "boolean", "jsonb", "bytea", "int[]", "time", "real"])
def test_what_may_not_be_a_cursor(postgres: Server, tmp_path: Path, cursor: str) -> None:
    database = postgres.database()
    database.run(f"create table t (id int, at {cursor})")
    with pytest.raises(DataError, match=r"traces\[0\]\.pull\.cursor: the column 'at' is .*, which does not tell older"):
        pulled(tmp_path, database.url(), "select * from t", "at")


def test_a_cursor_without_a_value_is_an_error_also_later(calls: Database, tmp_path: Path) -> None:
    query = "select * from calls"
    insert(calls, call(1, "10:00Z"), "(2, 'x', 'a', null)")
    with pytest.raises(DataError, match=r"the column 'at' has rows without a value, .*where at is not null"):
        pulled(tmp_path, calls.url(), query, "at")
    assert parts(tmp_path) == {}
    calls.run("delete from calls where id = 2")
    pulled(tmp_path, calls.url(), query, "at")
    insert(calls, call(3, "11:00Z"), "(2, 'x', 'a', null)")
    with pytest.raises(DataError, match="rows without a value"):
        pulled(tmp_path, calls.url(), query, "at")
    assert ids(tmp_path) == [[1]]
    pulled(tmp_path, calls.url(), f"{query} where at is not null", "at")
    assert ids(tmp_path) == [[1], [3]]


def test_a_cursor_that_is_no_column_names_the_columns(calls: Database, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the query gives no column 'time'; its columns are id, input, label, at"):
        pulled(tmp_path, calls.url(), "select * from calls", "time")


def test_not_a_number_is_no_cursor(postgres: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="rows without a value"):
        pulled(tmp_path, postgres.database().url(), "select 1 as id, 'NaN'::float8 as at", "at")


def test_a_cursor_of_another_type_than_in_the_parts(calls: Database, tmp_path: Path) -> None:
    insert(calls, call(1, "10:00Z"))
    pulled(tmp_path, calls.url(), "select * from calls", "at")
    with pytest.raises(DataError, match=r"'at' is date32\[day\] now and timestamp\[us, tz=UTC\] in the parts"):
        pulled(tmp_path, calls.url(), "select id, input, label, at::date as at from calls", "at")


def test_nothing_in_a_value_of_a_part_is_sql(postgres: Server, tmp_path: Path) -> None:
    """SQLite has cursors of text, which anybody may have written."""
    path = tmp_path / "calls.db"
    nasty = "z' or 1=1; drop table t --"
    with sqlite3.connect(path) as database:
        database.execute("create table t (id integer, at text)")
        database.execute("insert into t values (1, ?)", (nasty,))
    database.close()
    query = "select * from t"
    assert rows(tmp_path, pulled(tmp_path, "sqlite:///calls.db", query, "at")) == [{"id": 1, "at": nasty}]
    assert not pulled(tmp_path, "sqlite:///calls.db", query, "at").new


# --- without one ----------------------------------------------------------------------------------


def test_without_a_cursor_rows_in_another_order_are_nothing_new(calls: Database, tmp_path: Path) -> None:
    insert(calls, *(call(number, "10:00Z") for number in range(50)))
    pulled(tmp_path, calls.url(), "select * from calls order by id")
    done = pulled(tmp_path, calls.url(), "select at, label, input, id from calls order by id desc")
    assert (done.read, done.new) == (50, ())


def test_without_a_cursor_a_changed_row_comes_beside_the_old_one(calls: Database, tmp_path: Path) -> None:
    insert(calls, call(1, "10:00Z"), call(2, "10:00Z"))
    pulled(tmp_path, calls.url(), "select * from calls")
    calls.run("update calls set label = 'b' where id = 2; insert into calls values (0, 'x', 'a', '2020-01-01')")
    done = pulled(tmp_path, calls.url(), "select * from calls order by id")
    assert [(row["id"], row["label"]) for row in rows(tmp_path, done)] == [(0, "a"), (2, "b")]


def test_no_rows_are_no_part(calls: Database, tmp_path: Path) -> None:
    for cursor in (None, "at"):
        done = pulled(tmp_path, calls.url(), "select * from calls", cursor)
        assert (done.read, done.new) == (0, ())
    assert parts(tmp_path) == {}


# --- parts ----------------------------------------------------------------------------------------


def test_parts_that_came_another_way_are_no_rows_of_the_query(calls: Database, tmp_path: Path) -> None:
    (tmp_path / "data" / "traces").mkdir(parents=True)
    later = pa.table({"id": [9], "at": pa.array([4102444800000000], pa.timestamp("us", "UTC"))})
    add_part(tmp_path / "data" / "traces", lambda path: pq.write_table(later, path), ".parquet")
    pq.write_table(later, tmp_path / "data" / "traces" / "old.parquet")
    insert(calls, call(1, "10:00Z"))
    assert pulled(tmp_path, calls.url(), "select * from calls", "at").new


def test_a_query_with_other_columns_or_of_another_text_is_told(
    calls: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(calls, call(1, "10:00Z"))
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    monkeypatch.setattr(handler, "emit", lambda record: messages.append(record.getMessage()))
    monkeypatch.setattr(logging.getLogger("tracer"), "handlers", [handler])  # whoever listened before in this process
    pulled(tmp_path, calls.url(), "select * from calls", "at")
    pulled(tmp_path, calls.url(), "select *\n  from calls", "at")
    assert messages == []
    pulled(tmp_path, calls.url(), "select * from calls where label = 'a'", "at")
    pulled(tmp_path, calls.url(), "select id, at from calls", "at")
    other_query, other_columns, both = messages
    assert other_query.startswith("traces[0].pull: the query is another one than that of part-")
    assert "only rows from 2026-01-02 10:00:00+00:00 on are asked for" in other_query
    assert ".parquet has other columns than the query gives now" in other_columns
    assert both.startswith("traces[0].pull: the query is another one")


@pytest.mark.parametrize("damage", [b"", b"PAR1 no more"])
def test_a_damaged_part_is_named(calls: Database, tmp_path: Path, damage: bytes) -> None:
    insert(calls, call(1, "10:00Z"))
    done = pulled(tmp_path, calls.url(), "select * from calls", "at")
    (tmp_path / done.new[0].path).write_bytes(damage)
    with pytest.raises(
        (DataError, StorageError), match=r"part-[0-9a-f]{16}\.parquet: cannot be read as Parquet .*dvc ch"
    ):
        pulled(tmp_path, calls.url(), "select * from calls", "at")


# --- the counting itself --------------------------------------------------------------------------

_VALUES = st.one_of(st.none(), st.integers(-3, 3).map(str), st.text(max_size=3))
_ROWS = st.lists(st.tuples(_VALUES, _VALUES), max_size=12)


def _batch(values: list[tuple[Any, Any]]) -> pa.RecordBatch:
    columns = list(zip(*values, strict=True)) or [(), ()]
    return pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in columns], names=["a", "b"])


class _Part:
    def __init__(self, values: list[tuple[Any, Any]]) -> None:
        self.values = values

    def batches(self) -> list[pa.RecordBatch]:
        return [_batch(self.values)]


@given(st.lists(_ROWS, max_size=3), st.lists(_ROWS, max_size=3))
@settings(max_examples=200)
def test_new_are_the_rows_less_those_that_are_here(here: list[Any], asked: list[Any]) -> None:
    known = Known([_Part(values) for values in here], None, None)  # type: ignore[list-item]
    found: list[tuple[Any, Any]] = []
    for values in asked:
        found += [(row["a"], row["b"]) for row in known.new(_batch(values)).to_pylist()]
    every = [row for values in asked for row in values]
    assert Counter(found) == Counter(every) - Counter(row for values in here for row in values)


@given(_ROWS, _ROWS)
def test_digests_are_equal_where_rows_are(left: list[Any], right: list[Any]) -> None:
    digests = np.concatenate([row_digests(_batch(left)), row_digests(_batch(right))])
    every = left + right
    for i, digest in enumerate(digests):
        for j in range(i):
            assert (digest == digests[j]) == (every[i] == every[j])


def test_a_folder_that_is_not_there_has_no_parts(tmp_path: Path) -> None:
    assert known_parts(tmp_path / "nope") == []
