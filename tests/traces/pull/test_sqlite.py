"""Rows of a real SQLite file, whose columns have no types."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pull_support import parts, pulled, rows, source, table
from tracer_cli.errors import ConfigError, DataError
from tracer_cli.traces.pull.pull import pull

URL = "sqlite:///logs/calls.db"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    """Runs statements in the file, each with values or without."""
    path = tmp_path / "logs" / "calls.db"
    path.parent.mkdir()

    def run(sql: str, *values: Any) -> None:
        database = sqlite3.connect(path)
        with database:
            database.executemany(sql, values) if values else database.executescript(sql)
        database.close()

    return run


def test_each_column_has_the_type_of_what_it_holds(run: Callable[..., None], tmp_path: Path) -> None:
    run("create table t (id integer primary key, real, text, blob, late, mixed, numbers, none)")
    late = [
        (i, i / 3, f"é{i}", b"\x00\xff", None, i if i % 2 else "x", i if i % 2 else i + 0.5, None) for i in range(5000)
    ]
    run("insert into t values (?, ?, ?, ?, ?, ?, ?, ?)", *late, (5000, 1.5, "", b"", "at last", None, None, None))
    found = table(tmp_path, pulled(tmp_path, URL, "select * from t"))
    assert dict(zip(found.schema.names, found.schema.types, strict=True)) == {
        "id": pa.int64(),
        "real": pa.float64(),
        "text": pa.string(),
        "blob": pa.binary(),
        "late": pa.string(),  # nothing but null in the first thousands of rows
        "mixed": pa.string(),
        "numbers": pa.string(),
        "none": pa.string(),
    }
    assert found.num_rows == 5001
    first = {"id": 1, "real": 1 / 3, "text": "é1", "blob": b"\x00\xff", "late": None, "mixed": "1", "numbers": "1"}
    last = {"id": 5000, "real": 1.5, "text": "", "blob": b"", "late": "at last", "mixed": None, "numbers": None}
    assert found.slice(1, 1).to_pylist() == [first | {"none": None}]
    assert found.slice(5000, 1).to_pylist() == [last | {"none": None}]
    assert found.column("numbers").to_pylist()[:4] == ["0.5", "1", "2.5", "3"]
    assert not pulled(tmp_path, URL, "select * from t order by id desc").new


def test_bytes_beside_text_are_an_error(run: Callable[..., None], tmp_path: Path) -> None:
    run("create table t (x); insert into t values ('a'), (x'00')")
    with pytest.raises(DataError, match=r"the column 'x' holds blob and text; .*cast\(x as text\) as x"):
        pulled(tmp_path, URL, "select * from t")
    assert parts(tmp_path) == {}


def test_a_row_stays_the_same_row_when_its_column_becomes_text(run: Callable[..., None], tmp_path: Path) -> None:
    run("create table t (x); insert into t values (1), (2)")
    pulled(tmp_path, URL, "select * from t")
    run("insert into t values ('three')")
    assert rows(tmp_path, pulled(tmp_path, URL, "select * from t")) == [{"x": "three"}]


def test_text_that_is_no_utf8_is_kept_as_it_is(run: Callable[..., None], tmp_path: Path) -> None:
    run("create table t (x); insert into t values (cast(x'ff41' as text))")
    found = table(tmp_path, pulled(tmp_path, URL, "select * from t"))
    assert found.column("x").cast(pa.binary()).to_pylist() == [b"\xffA"]
    assert not pulled(tmp_path, URL, "select * from t").new


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["1"], ["1", "2"]),
        (["0.5"], ["0.5", "0.75"]),
        (["'2026-01-02 10:00:00'"], ["'2026-01-02 10:00:00'", "'2026-01-02 10:00:00.5'"]),
        (["'b'", "'B'"], ["'a'", "'é'"]),
    ],
)
def test_a_cursor(run: Callable[..., None], tmp_path: Path, first: list[str], second: list[str]) -> None:
    run("create table t (id integer primary key, at collate nocase)")
    for values in (first, second):
        run("; ".join(f"insert into t (at) values ({value})" for value in values))
        pulled(tmp_path, URL, "select * from t", "at")
    done = pulled(tmp_path, URL, "select * from t", "at")
    assert done.new == ()
    assert done.read < len(first) + len(second) + 1
    assert len(parts(tmp_path)) == 2


@pytest.mark.parametrize("values", ["(1), ('2026')", "(x'00')", "(1), (0.5)"])
def test_what_may_not_be_a_cursor(run: Callable[..., None], tmp_path: Path, values: str) -> None:
    run(f"create table t (at); insert into t values {values}")
    with pytest.raises(DataError, match=r"traces\[0\]\.pull\.cursor: the column 'at' is .*, which does not tell older"):
        pulled(tmp_path, URL, "select * from t", "at")


def test_a_cursor_without_a_value_is_an_error_also_later(run: Callable[..., None], tmp_path: Path) -> None:
    run("create table t (id, at); insert into t values (1, 1)")
    pulled(tmp_path, URL, "select * from t", "at")
    run("insert into t values (2, null)")
    with pytest.raises(DataError, match="the column 'at' has rows without a value"):
        pulled(tmp_path, URL, "select * from t", "at")


def test_nothing_at_all_is_nothing_new(run: Callable[..., None], tmp_path: Path) -> None:
    run("create table t (id, at)")
    assert not pulled(tmp_path, URL, "select * from t", "at").new
    run("insert into t values (1, 1)")
    assert pulled(tmp_path, URL, "select * from t", "at").new
    run("delete from t")
    assert not pulled(tmp_path, URL, "select * from t", "at").new


@pytest.mark.parametrize(
    "query",
    [
        "delete from t",
        "insert into t values (9) returning *",
        "select 1 as a; delete from t",
        "attach 'other.db' as o",
        "select * from t) as pulled; delete from t; --",
        "pragma user_version = 3",
        "select * form t",
        "select nope from t",
    ],
)
def test_a_query_that_fails_is_a_sentence_and_changes_nothing(
    run: Callable[..., None], tmp_path: Path, query: str
) -> None:
    run("create table t (x); insert into t values (1), (2)")
    before = (tmp_path / "logs" / "calls.db").read_bytes()
    with pytest.raises(DataError) as error:
        pulled(tmp_path, URL, query)
    assert str(error.value).startswith("traces[0].pull") and "\n" not in str(error.value)
    assert (tmp_path / "logs" / "calls.db").read_bytes() == before
    assert sorted(path.name for path in tmp_path.rglob("*.db")) == ["calls.db"]
    assert parts(tmp_path) == {}


def test_a_file_that_is_missing_or_no_database(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file: logs/calls\.db \(looked for /.*\); put it there"):
        pulled(tmp_path, URL, "select 1 as a")
    assert not list(tmp_path.iterdir())
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "calls.db").write_text("a,b\n" * 999)
    with pytest.raises(DataError, match="file is not a database"):
        pulled(tmp_path, URL, "select 1 as a from sqlite_master")


@pytest.mark.parametrize("url", ["sqlite://calls.db", "sqlite:///", "sqlite:///calls.db?mode=rwc"])
def test_a_url_of_another_form(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"expected sqlite:///calls\.db, relative to tracer\.yaml"):
        pulled(tmp_path, url, "select 1 as a")


def test_the_path_is_relative_to_the_project_or_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a b#%41'.db"
    database = sqlite3.connect(path)
    with database:
        database.execute("create table t as select 1 as a")
    database.close()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for url in (f"sqlite:///{path.name}", f"sqlite:///{path}"):
        done = pull(source(tmp_path, f"{len(url)}/*.parquet", source=url, query="select * from t"), {})
        assert rows(tmp_path, done) == [{"a": 1}]


def test_a_database_that_is_being_written_is_read_as_it_was(run: Callable[..., None], tmp_path: Path) -> None:
    run("pragma journal_mode = wal; create table t (x); insert into t values (1)")
    writer = sqlite3.connect(tmp_path / "logs" / "calls.db", isolation_level=None)
    writer.execute("begin immediate")
    writer.execute("insert into t values (2)")
    assert rows(tmp_path, pulled(tmp_path, URL, "select * from t")) == [{"x": 1}]
    writer.execute("commit")
    writer.close()
    assert rows(tmp_path, pulled(tmp_path, URL, "select * from t")) == [{"x": 2}]
