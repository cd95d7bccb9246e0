"""Rows of a real PostgreSQL server: every type, read-only, in the server's own words when it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date, datetime, timezone
from datetime import time as clock
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from postgres_server import OWNER, PASSWORD, Database, Server
from pull_support import VARIABLE, parts, pulled, rows, source, table
from support import REPOSITORY
from tracer_cli.errors import ConfigError, DataError, StorageError
from tracer_cli.traces.pull import pull as pulling
from tracer_cli.traces.pull.postgres import connectable


@pytest.fixture
def database(postgres: Server) -> Database:
    return postgres.database()


# --- types ----------------------------------------------------------------------------------------

UTC = timezone.utc

# How a value is written in SQL, the type of the column in the part, and the value there.
TYPES: dict[str, tuple[str, pa.DataType, Any]] = {
    "bool": ("true", pa.bool_(), True),
    "smallint": ("-3::smallint", pa.int16(), -3),
    "integer": ("2147483647", pa.int32(), 2**31 - 1),
    "bigint": ("9223372036854775807", pa.int64(), 2**63 - 1),
    "real": ("0.5::real", pa.float32(), 0.5),
    "double": ("0.1::float8", pa.float64(), 0.1),
    "text": ("'naïve \U0001f600\nline'", pa.string(), "naïve \U0001f600\nline"),
    "varchar": ("'ab'::varchar(9)", pa.string(), "ab"),
    "decimal": ("12.50::numeric(12, 2)", pa.decimal128(12, 2), Decimal("12.50")),
    "wide decimal": ("1.5::numeric(50, 3)", pa.string(), "1.500"),
    "numeric": ("0.1000000000000000000000000000000000000000001", pa.string(), "0." + "1" + "0" * 41 + "1"),
    "json": ("""'{"b": 1,  "a": "é"}'::json""", pa.string(), '{"b": 1,  "a": "é"}'),
    "jsonb": ("""'[{"role": "user"}]'::jsonb""", pa.string(), '[{"role": "user"}]'),
    "timestamptz": (
        "'2026-01-02 03:04:05.678901+02'::timestamptz",
        pa.timestamp("us", "UTC"),
        datetime(2026, 1, 2, 1, 4, 5, 678901, UTC),
    ),
    "timestamp": ("'2026-01-02 03:04:05.6'::timestamp", pa.timestamp("us"), datetime(2026, 1, 2, 3, 4, 5, 600000)),
    "date": ("'2026-01-02'::date", pa.date32(), date(2026, 1, 2)),
    "time": ("'03:04:05.5'::time", pa.time64("us"), clock(3, 4, 5, 500000)),
    "timetz": ("'03:04:05+02'::timetz", pa.string(), "03:04:05+02"),
    "interval": ("'1 month 2 days 3 hours'::interval", pa.string(), "1 mon 2 days 03:00:00"),
    "bytea": (r"'\x00ff'::bytea", pa.binary(), b"\x00\xff"),
    "uuid": ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", pa.string(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "enum": ("'sad'::mood", pa.string(), "sad"),
    "domain": ("'x'::shout", pa.string(), "x"),
    "money": ("12.5::money", pa.string(), "$12.50"),
    "inet": ("'10.0.0.1'::inet", pa.string(), "10.0.0.1/32"),
    "range": ("'[1,3)'::int4range", pa.string(), "[1,3)"),
    "zoned range": (
        "tstzrange('2026-01-01T00:00Z', null)",
        pa.string(),
        '["2026-01-01 00:00:00+00",)',
    ),
    "composite": ("row(1, 'a b')::pair", pa.string(), '(1,"a b")'),
    "oid": ("4294967295::oid", pa.string(), "4294967295"),
    "text[]": ("array['a', 'b,\"c', null]", pa.list_(pa.string()), ["a", 'b,"c', None]),
    "int[]": ("array[1, 2]", pa.list_(pa.int32()), [1, 2]),
    "numeric[]": ("array[1.50, 2]", pa.list_(pa.string()), ["1.50", "2"]),
    "jsonb[]": ("""array['{"a": 1}'::jsonb]""", pa.list_(pa.string()), ['{"a": 1}']),
    "enum[]": ("array['sad', 'happy']::mood[]", pa.list_(pa.string()), ["sad", "happy"]),
    "date[]": ("array['2026-01-02'::date]", pa.list_(pa.string()), ["2026-01-02"]),
    "empty[]": ("'{}'::text[]", pa.list_(pa.string()), []),
    "nothing": ("null", pa.string(), None),
}


def test_every_type_is_kept_or_becomes_text_and_null_stays_null(database: Database, tmp_path: Path) -> None:
    database.run(
        "create type mood as enum ('happy', 'sad'); create domain shout as text; create type pair as (a int, b text)"
    )
    values = ", ".join(f'{sql} as "{name}"' for name, (sql, _, _) in TYPES.items())
    database.run(f"create table every as select {values}; insert into every ({', '.join(quoted())}) values ({nulls()})")
    found = table(tmp_path, pulled(tmp_path, database.url(), "select * from every"))
    assert dict(zip(found.schema.names, found.schema.types, strict=True)) == {
        name: kind for name, (_, kind, _) in TYPES.items()
    }
    first, second = found.to_pylist()
    assert first == {name: value for name, (_, _, value) in TYPES.items()}
    assert second == dict.fromkeys(TYPES)
    assert not pulled(tmp_path, database.url(), "select * from every").new, "each value is found again"


def quoted() -> list[str]:
    return [f'"{name}"' for name in TYPES]


def nulls() -> str:
    return ", ".join("null" for _ in TYPES)


@pytest.mark.parametrize(
    "settings", ["timezone to 'Asia/Tokyo'", "datestyle to 'German'", "intervalstyle to 'iso_8601'"]
)
def test_the_settings_of_the_server_do_not_show_in_the_part(database: Database, tmp_path: Path, settings: str) -> None:
    query = "select '2026-01-02T00:30Z'::timestamptz::text as a, '2026-01-02T00:30Z'::timestamptz::date as b, '1 day'::interval as c"
    pulled(tmp_path, database.url(), query)
    database.run(f"alter database {database.name} set {settings}")
    assert not pulled(tmp_path, database.url(), query).new


@pytest.mark.parametrize("value", ["'infinity'::timestamptz", "'-infinity'::timestamp", "'infinity'::date"])
def test_infinity_is_no_time(database: Database, tmp_path: Path, value: str) -> None:
    with pytest.raises(DataError, match=r"the column 'at' holds infinity, .* nullif\(at, 'infinity'\) as at"):
        pulled(tmp_path, database.url(), f"select {value} as at")
    assert parts(tmp_path) == {}


def test_times_before_christ_and_after_the_year_9999_are_kept(database: Database, tmp_path: Path) -> None:
    query = "select '0044-03-15 BC'::timestamptz as a, '20000-01-01'::timestamp as b, '4713-01-01 BC'::date as c"
    found = table(tmp_path, pulled(tmp_path, database.url(), query))
    assert [str(value) for value in found.column("b").cast(pa.string())] == ["20000-01-01 00:00:00.000000"]
    assert not pulled(tmp_path, database.url(), query).new


def test_not_a_number_in_a_decimal_is_an_error_that_says_what_to_do(database: Database, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"the column 'price' holds a value that decimal128\(9, 2\) cannot hold .*price::text"
    ):
        pulled(tmp_path, database.url(), "select 'NaN'::numeric(9, 2) as price")


def test_arrays_of_arrays_are_not_made_flat(database: Database, tmp_path: Path) -> None:
    query = "select array[['a', 'b'], ['c', 'd']] as tags, array['x'] as flat"
    with pytest.raises(DataError, match=r"the column 'tags' holds arrays of arrays.*array_to_json\(tags\) as tags"):
        pulled(tmp_path, database.url(), query)
    done = pulled(
        tmp_path,
        database.url(),
        query.replace("as tags", "as t")
        .replace("select array", "select array_to_json(array", 1)
        .replace("]] as", "]]) as"),
    )
    assert rows(tmp_path, done) == [{"t": '[["a","b"],["c","d"]]', "flat": ["x"]}]


# --- queries --------------------------------------------------------------------------------------


@pytest.fixture
def tickets(database: Database) -> Database:
    database.run(
        "create table tickets as select x as id, 'text ' || x as input, 'l' || x % 3 as label from generate_series(1, 5) x"
    )
    return database


@pytest.mark.parametrize(
    "query",
    [
        "select * from tickets",
        "select * from tickets ;\n ",
        "select * from tickets -- all of them",
        "/* all */ table tickets",
        "with t as (select * from tickets) select * from t order by id desc",
        "select * from tickets where input like '%text%' or input = '$1'",
    ],
)
def test_a_query_may_end_and_begin_as_it_likes(tickets: Database, tmp_path: Path, query: str) -> None:
    done = pulled(tmp_path, tickets.url(), query)
    assert done.read == 5
    assert sorted(row["id"] for row in rows(tmp_path, done)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select *\n  from tickets where nope = 1", 'line 2, column 22 of the query: column "nope" does not exist'),
        ("select * form tickets", 'line 1, column 10 of the query: syntax error at or near "form"'),
        ("select * from nope", 'line 1, column 15 of the query: relation "nope" does not exist'),
        ("select é from tickets where inputs = ''", "line 1, column 8 of the query"),
        ("select lable from tickets", 'Perhaps you meant to reference the column "tickets.label"'),
        ("select 1 / (id - 3) as x from tickets", "division by zero"),
        ("select id, id from tickets", "gives 2 columns, and more than one is called 'id'"),
        ("select from tickets", "gives no column"),
        ("select 1 as a; select 2 as b", "cannot insert multiple commands into a prepared statement"),
    ],
)
def test_a_query_that_fails_is_told_with_its_place(tickets: Database, tmp_path: Path, query: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        pulled(tmp_path, tickets.url(), query)
    assert message in str(error.value)
    assert str(error.value).startswith("traces[0].pull")
    assert "\n" not in str(error.value)
    assert parts(tmp_path) == {}


@pytest.mark.parametrize(
    "query",
    [
        "delete from tickets returning *",
        "with gone as (delete from tickets returning *) select * from gone",
        "update tickets set label = 'x'",
        "select nextval('numbers') as n",
        "select * from tickets for update",
        "select * into copy from tickets",
        "drop table tickets",
        "select * from tickets) as pulled; delete from tickets; select * from (select 1",
        "select set_config('transaction_read_only', 'off', true) as a, forget() as b",
    ],
)
def test_no_query_changes_anything(tickets: Database, tmp_path: Path, query: str) -> None:
    tickets.run(
        "create sequence numbers; create function forget() returns int language sql as 'delete from tickets; select 1'"
    )
    with pytest.raises(DataError):
        pulled(tmp_path, tickets.url(), query)
    assert tickets.run("select count(*), last_value from tickets, numbers group by 2") == "5|1"
    assert parts(tmp_path) == {}


def test_names_of_columns_are_taken_as_they_are(database: Database, tmp_path: Path) -> None:
    query = 'select 1 as "a b", 2 as "Quo""te", array[1] as "select", now() as "é.at"'
    done = pulled(tmp_path, database.url(), query, cursor="é.at")
    assert table(tmp_path, done).schema.names == ["a b", 'Quo"te', "select", "é.at"]


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_server_that_is_not_there(tmp_path: Path, postgres: Server) -> None:
    with pytest.raises(DataError, match=r"cannot connect: .*Connection refused.*; check the value of TICKETS_URL"):
        pulled(tmp_path, "postgresql://ann:hunter22@127.0.0.1:1/db", "select 1 as a")
    with pytest.raises(DataError, match=r"could not translate host name .*; check the value of TICKETS_URL"):
        pulled(tmp_path, "postgresql://ann:hunter22@nowhere.invalid/db", "select 1 as a")


def test_a_database_that_is_not_there(database: Database, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'cannot connect: database "nope" does not exist'):
        pulled(tmp_path, database.url().replace(database.name, "nope"), "select 1 as a")


def test_without_permission(tickets: Database, tmp_path: Path) -> None:
    tickets.run(
        "drop role if exists bob; create role bob login password 'bobs-own'; grant usage on schema public to bob"
    )
    with pytest.raises(DataError, match=r"the query fails.*: permission denied for table tickets"):
        pulled(tmp_path, tickets.url(user="bob", password="bobs-own"), "select * from tickets")


def test_the_variables_of_libpq_apply(tickets: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = source(tmp_path, source=tickets.place, query="select * from tickets")
    monkeypatch.setenv("PGUSER", OWNER)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert pulling.pull(asked).read == 5
    monkeypatch.setenv("PGPASSWORD", "not-that-one")
    with pytest.raises(DataError) as error:
        pulling.pull(asked)
    assert "password authentication failed" in str(error.value)
    assert "; check the URL, and PGUSER and PGPASSWORD in the environment" in str(error.value)
    assert OWNER not in str(error.value) and "not-that-one" not in str(error.value)


@pytest.mark.parametrize("url", ["", "  "])
def test_an_empty_variable_is_named(tmp_path: Path, url: str) -> None:
    with pytest.raises(
        ConfigError, match=r"traces\[0\]\.pull\.source_env: the environment variable TICKETS_URL is empty"
    ):
        pulled(tmp_path, url, "select 1 as a")
    with pytest.raises(ConfigError, match="TICKETS_URL is not set; set it to the whole URL"):
        pulling.pull(source(tmp_path, source_env=VARIABLE, query="select 1 as a"), {})


def test_the_driver_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    with pytest.raises(ConfigError, match=r"run `pip install 'tracer-cli\[databases\]'`"):
        pulled(tmp_path, "postgresql://h/d", "select 1 as a")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://h/d", "postgresql://h/d?fallback_application_name=tracer&connect_timeout=15"),
        ("postgresql://h/d?", "postgresql://h/d?fallback_application_name=tracer&connect_timeout=15"),
        (
            "postgresql://u:p%40@h1,h2:5433/d?sslmode=require&connect_timeout=3",
            "postgresql://u:p%40@h1,h2:5433/d?sslmode=require&connect_timeout=3&fallback_application_name=tracer",
        ),
    ],
)
def test_a_server_that_does_not_answer_is_waited_for_a_while(url: str, shown: str, tmp_path: Path) -> None:
    assert connectable(url, source(tmp_path, source_env=VARIABLE, query="select 1")) == shown


def test_a_password_that_is_not_escaped_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="write @ as %40, / as %2F") as error:
        pulled(tmp_path, "postgresql://ann:pw/with@marks@h/d", "select 1 as a")
    assert "marks" not in str(error.value)


ENDLESS = "select x as id, repeat('a', 1000) as input from generate_series(1, 9999) x, generate_series(1, 9999) y"


class _Pull(threading.Thread):
    """A pull that is under way."""

    def __init__(self, root: Path, database: Database) -> None:
        super().__init__(daemon=True)
        self.root, self.database = root, database
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            pulled(self.root, self.database.url(), ENDLESS)
        except BaseException as error:
            self.error = error


def _reading(postgres: Server, root: Path) -> Iterator[list[int]]:
    """The sessions of a pull that has written something."""
    folder = root / "data" / "traces"
    for _ in range(600):
        if folder.is_dir() and sum(path.stat().st_size for path in folder.iterdir()) > 1000:
            yield postgres.sessions()
            return
        time.sleep(0.05)
    raise AssertionError("the pull has not begun")


def test_a_connection_that_is_lost_in_the_middle_leaves_no_part(
    postgres: Server, database: Database, tmp_path: Path
) -> None:
    thread = _Pull(tmp_path, database)
    thread.start()
    for pids in _reading(postgres, tmp_path):
        assert pids
        for pid in pids:
            postgres.psql(f"select pg_terminate_backend({pid})", "postgres")
    thread.join(60)
    assert isinstance(thread.error, DataError)
    assert "the rows broke off: " in str(thread.error)
    assert parts(tmp_path) == {}
    assert pulled(tmp_path, database.url(), "select 1 as id").new, "a retry works"


def test_a_pull_that_is_killed_leaves_no_part_and_the_next_one_works(
    postgres: Server, database: Database, tmp_path: Path
) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom pull_support import pulled\n"
        "pulled(Path(sys.argv[1]), os.environ['TICKETS_URL'], sys.argv[2])\n"
    )
    environment = {
        **os.environ,
        VARIABLE: database.url(),
        "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}",
    }
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), ENDLESS], env=environment)
    for pids in _reading(postgres, tmp_path):
        assert pids
        with pytest.raises(StorageError, match="another tracer run is writing"):
            pulled(tmp_path, database.url(), "select 1 as id")
        process.kill()
    process.wait()
    assert len(parts(tmp_path)) == 1
    assert not list((tmp_path / "data" / "traces").glob("*.parquet"))
    done = pulled(tmp_path, database.url(), "select 1 as id")
    assert list(parts(tmp_path)) == [Path(done.new[0].path).name]


def test_a_full_disk_leaves_no_part(database: Database, small_disk: Path) -> None:
    noise = "select x as id, md5(x::text) || md5((-x)::text) as input from generate_series(1, 200000) x"
    with pytest.raises(StorageError, match="the disk is full: free some space and run again"):
        pulled(small_disk, database.url(), noise)
    assert parts(small_disk) == {}


# --- what a part is -------------------------------------------------------------------------------


def test_the_same_rows_are_the_same_bytes(tickets: Database, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        pulled(tmp_path / folder, tickets.url(), "select * from tickets order by id")
    assert parts(tmp_path / "a") == parts(tmp_path / "b") != {}


def test_a_part_is_written_in_row_groups_of_bounded_size(database: Database, tmp_path: Path) -> None:
    query = "select x as id, repeat(md5(x::text), 32) as input from generate_series(1, 120000) x"
    done = pulled(tmp_path, database.url(), query)
    file = pq.ParquetFile(tmp_path / done.new[0].path)
    groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
    assert sum(group.num_rows for group in groups) == 120_000
    assert all(5_000 < group.num_rows <= 70_000 for group in groups[:-1]) and len(groups) > 2
    assert {group.column(0).compression for group in groups} == {"ZSTD"}


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(database: Database, tmp_path: Path) -> None:
    code = (
        "import json, os, resource, sys\nfrom pathlib import Path\nfrom pull_support import pulled\n"
        'query = "select x as id, repeat(md5(x::text), 32) as input from generate_series(1, %s) x" % sys.argv[2]\n'
        "for _ in range(2):\n    pulled(Path(sys.argv[1]), os.environ['TICKETS_URL'], query)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\n"
    )
    environment = {
        **os.environ,
        VARIABLE: database.url(),
        "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}",
    }
    used = []
    for count in (40_000, 160_000):
        command = [sys.executable, "-c", code, str(tmp_path / str(count)), str(count)]
        used.append(json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout))
    assert used[1] < used[0] + 50, used  # MB; the rows alone are 120 MB more
