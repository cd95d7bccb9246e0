"""`where`: which rows count, with which types, and what is no condition."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracer_cli.config.schema import TraceSource
from tracer_cli.errors import ConfigError
from tracer_cli.traces import filters
from tracer_cli.traces.filters import RowFilter
from tracer_cli.traces.presets import preset_of
from tracer_cli.traces.read.files import find_files
from tracer_cli.traces.read.records import read_records

FIXTURES = Path(__file__).parent / "presets" / "fixtures"
Rows = Sequence[dict[str, Any] | str]
EXTENSIONS = ("jsonl", "csv", "parquet")


def write(path: Path, rows: Rows) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=3)
        return
    if path.suffix == ".csv":
        names = list(rows[0])
        cells = [names, *([str("" if row[name] is None else row[name]) for name in names] for row in rows)]
        path.write_text("".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\n" for row in cells))
        return
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def kept(root: Path, where: str, pattern: str = "a.*", expands: bool = False) -> list[int]:
    """The places of the rows that count, over all files."""
    files = find_files(root, pattern)
    condition = RowFilter(TraceSource(path=pattern, where=where), 0, expands, root)
    found = ((file, record) for file in files for record in read_records(file, None, root))
    chosen = [keep for _, _, keep in condition.chosen(files, found)]
    return [i for i, keep in enumerate(chosen) if keep]


def wrong(root: Path, where: str, pattern: str = "a.*") -> str:
    with pytest.raises(ConfigError) as caught:
        kept(root, where, pattern)
    message = str(caught.value)
    assert message.startswith(f"traces[0].where of {pattern} ({where}): ")
    return message.removeprefix(f"traces[0].where of {pattern} ({where}): ")


PLAIN: list[dict[str, Any]] = [
    {"kind": "chat", "cost": 0.25, "tokens": 10, "cached": True, "ts": "2026-01-01T00:00:00Z"},
    {"kind": "chat", "cost": 0.75, "tokens": 200, "cached": False, "ts": "2026-01-31T23:59:59Z"},
    {"kind": "embed", "cost": 1.5, "tokens": 3000, "cached": False, "ts": "2026-02-01T00:00:00Z"},
    {"kind": None, "cost": None, "tokens": None, "cached": None, "ts": None},
]


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("kind = 'chat'", [0, 1]),
        ("cost > 0.5", [1, 2]),
        ("cost > 0.5 and kind = 'chat'", [1]),
        ("tokens between 100 and 300 or kind in ('embed')", [1, 2]),
        ("cached", [0]),
        ("not cached", [1, 2]),
        ("KIND ilike 'CH%'", [0, 1]),
        ("kind is null", [3]),
        ("cost != 0.25", [1, 2]),
        ("ts >= '2026-01-31'", [1, 2]),
        ("ts::timestamp < timestamp '2026-02-01'", [0, 1]),
        ("year(ts::timestamp) = 2026 and month(ts::timestamp) = 2", [2]),
        ("coalesce(tokens, 0) < 100", [0, 3]),
        ("case when kind = 'embed' then tokens > 1000 else tokens > 100 end", [1, 2]),
        ("regexp_matches(kind, '^e') -- the others are chats", [2]),
        ("true", [0, 1, 2, 3]),
        ("null", []),
    ],
)
def test_every_format_answers_alike(tmp_path: Path, extension: str, where: str, expected: list[int]) -> None:
    write(tmp_path / f"a.{extension}", PLAIN)
    assert kept(tmp_path, where) == expected


@pytest.mark.parametrize("expands", [False, True])
def test_nested_json_is_structs_and_lists_and_numbers_compare_as_numbers(tmp_path: Path, expands: bool) -> None:
    rows = [
        {"meta": {"env": "prod", "cost": 0.7, "deep": {"er": [{"n": 1}, {"n": 9}]}}, "tags": ["a", "b"], "n": 1},
        {"meta": {"env": "dev", "cost": 12}, "tags": [], "n": 100},
        {"meta": None, "tags": None, "n": 20},
    ]
    write(tmp_path / "a.jsonl", rows)

    def asked(where: str) -> list[int]:
        return kept(tmp_path, where, expands=expands)

    assert asked("meta.env = 'prod'") == asked("meta['env'] = 'prod'") == asked("meta.cost < 1") == [0]
    assert asked("meta.cost > 3") == [1]
    assert asked("n > 3") == [1, 2]
    assert asked("list_contains(tags, 'b')") == asked("'b' in tags") == asked("tags[1] = 'a'") == [0]
    assert asked("len([x for x in tags if x > 'a']) = 1") == [0]
    assert asked("meta.deep.er[2].n = 9") == asked("meta.deep.er[-1].n::varchar = '9'") == [0]


def test_a_field_that_comes_late_counts_from_there_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "BATCH_ROWS", 10)
    rows: list[dict[str, Any]] = [{"n": i, "meta": {}} for i in range(25)]
    rows += [{"n": 25, "env": "prod", "meta": {"tags": [{"x": "y"}]}}, {"n": 26, "env": 5}, {"n": 27}]
    write(tmp_path / "a.jsonl", rows)
    assert kept(tmp_path, "env = 'prod'") == kept(tmp_path, "meta.tags[1].x = 'y'") == [25]
    assert kept(tmp_path, "env is null") == [*range(25), 27]
    assert kept(tmp_path, "env is null and n > 20") == [21, 22, 23, 24, 27]


def test_integers_become_fractions_when_the_first_one_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cast to the integers of the first rows, 0.7 would be 1."""
    monkeypatch.setattr(filters, "BATCH_ROWS", 10)
    rows = [{"score": i % 2} for i in range(15)] + [{"score": 0.7}, {"score": -0.2}, {"score": 1}]
    for extension in EXTENSIONS[:2]:
        write(tmp_path / f"{extension}.{extension}", rows)
        assert kept(tmp_path, "score > 0 and score < 1", f"{extension}.*") == [15]
        assert kept(tmp_path, "score < 0", f"{extension}.*") == [16]


def test_a_value_of_another_type_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "BATCH_ROWS", 10)
    for extension in EXTENSIONS[:2]:
        rows = [{"n": i, "x": i} for i in range(12)] + [{"n": 12, "x": "n/a"}, {"n": 13, "x": 13}]
        write(tmp_path / f"{extension}.{extension}", rows)
        assert kept(tmp_path, "x >= 11", f"{extension}.*") == [11, 13]
        assert kept(tmp_path, "x is null", f"{extension}.*") == [12]


def test_values_of_several_types_among_the_first_are_text(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{"x": 1}, {"x": "one"}, {"x": {"a": "b"}}, {"x": [1]}, {"x": True}, {"x": None}])
    assert kept(tmp_path, "x in ('1', 'one', 'true')") == [0, 1, 4]
    assert kept(tmp_path, "case when json_valid(x) then x->>'a' = 'b' end") == [2]
    assert "explicit cast is required" in wrong(tmp_path, "x > 0.5")
    assert kept(tmp_path, "try_cast(x as double) > 0.5") == [0]


def test_types_are_the_source_s_over_all_its_files(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", [{"n": 1}, {"n": 2}])
    write(tmp_path / "2.jsonl", [{"n": 3, "env": "prod"}, {"n": 4, "env": "dev"}])
    assert kept(tmp_path, "env = 'prod'", "*.jsonl") == [2]
    write(tmp_path / "1.csv", [{"n": 1, "env": ""}])
    write(tmp_path / "2.csv", [{"n": 2.5, "env": "prod"}])
    write(tmp_path / "3.csv", [{"n": 3}])
    assert kept(tmp_path, "env = 'prod' or n > 2.6", "*.csv") == [1, 2]
    assert kept(tmp_path, "env is null", "*.csv") == [0, 2]
    write(tmp_path / "1.parquet", [{"n": 1}])
    write(tmp_path / "2.parquet", [{"n": 2, "env": "prod"}])
    assert kept(tmp_path, "env = 'prod'", "*.parquet") == [1]


def test_csv_columns_have_the_types_of_their_cells(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "i,d,t,z,b,v,e\n1,1,2026-01-01,2026-01-01T01:00:00+02:00,true,1x,\n02,2.5,2026-02-01 10:00,2026-01-01,FALSE,2,\n"
    )
    types = {"i": "BIGINT", "d": "DOUBLE", "t": "TIMESTAMP", "z": "TIMESTAMP", "b": "BOOLEAN", "v": "VARCHAR"}
    for name, type in types.items():
        assert kept(tmp_path, f"typeof({name}) = '{type}'") == [0, 1], name
    assert kept(tmp_path, "z < '2026-01-01'") == [0]  # 23:00 of the day before, in UTC
    assert kept(tmp_path, "e is null and i = 2") == [1]


def test_parquet_keeps_its_own_types(tmp_path: Path) -> None:
    rows = [
        {
            "ts": datetime(2026, 1, day, tzinfo=timezone.utc),
            "price": Decimal("0.10") * day,
            "meta": {"tags": ["x" * day], "n": day},
            "big": 2**63 - day,
        }
        for day in range(1, 8)
    ]
    write(tmp_path / "a.parquet", rows)
    assert kept(tmp_path, "ts >= '2026-01-06'") == [5, 6]
    assert kept(tmp_path, "price = 0.3 and meta.n = 3") == [2]
    assert kept(tmp_path, "meta.tags[1] = 'xx'") == [1]
    assert kept(tmp_path, f"big = {2**63 - 7}") == [6]


def test_parquet_is_in_step_over_batches_and_archives(tmp_path: Path) -> None:
    rows = [{"n": i, "even": i % 2 == 0} for i in range(4500)]
    write(tmp_path / "1.parquet", rows)
    write(tmp_path / "2.parquet", rows[:10])
    expected = [i for i in range(4500) if i % 2 == 0 and i > 1990] + []
    assert kept(tmp_path, "even and n > 1990", "*.parquet") == expected
    assert kept(tmp_path, "n = 7", "*.parquet") == [7, 4507]


def test_broken_rows_are_not_asked(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{"n": 1}, "broken", {"n": 2}, "[]", "\x00", '{"n": 2'])
    assert kept(tmp_path, "n = 2") == [1, 2, 3, 4, 5]
    (tmp_path / "b.csv").write_bytes(b'n,m\n1,2\n"\n2,3\n\xff,4\n5\n')
    assert kept(tmp_path, "n = 2", "b.csv") == [1, 2, 3, 4]
    write(tmp_path / "c.jsonl", ["broken", "too"])
    assert kept(tmp_path, "n = 2", "c.jsonl") == [0, 1]


def test_json_that_only_python_reads_is_asked_all_the_same(tmp_path: Path) -> None:
    lines = [
        '{"x": "\\ud83d", "n": 1}', '{"x": "\\u0000", "n": 1}', '{"x": NaN, "n": 1}', '{"x": 1e999, "n": 1}',
        '{"x": 1, "x": 2, "n": 1}', '{"x": 1, "X": 2, "N": 7, "n": 1}', '{"": 1, "n": 1}', '{"n": 1, "x": {}}',
        '{"n": 1, "x": {"": 1, "a": 1, "A": 2}}', '{"n": 2}', '{"x":' + "[" * 900 + "]" * 900 + ', "n": 1}',
        '{"n": 123456789012345678901234567890}', '\t{"n" : 1 } \r',
    ]  # fmt: skip
    write(tmp_path / "a.jsonl", lines)
    expected = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12]
    for expands in (False, True):
        assert kept(tmp_path, "n = 1", expands=expands) == expected
        assert kept(tmp_path, "n = 1 and (x is null or x is not null)", expands=expands) == expected


def test_names_that_sql_must_quote(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{"gen_ai.model": "m", 'a"b': 1, "order": 2, "s": 3, "line": 4, "it's": 5}, {"s": 1}])
    assert kept(tmp_path, '"gen_ai.model" = \'m\' and "a""b" = 1 and "order" = 2') == [0]
    assert kept(tmp_path, 's = 3 and line = 4 and "it\'s" = 5') == [0]


def test_an_object_whose_keys_are_data_stays_small(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{"per": {f"user{i}": i}} for i in range(5000)])
    condition = RowFilter(TraceSource(path="a.jsonl", where="per.user4321 = 4321"), 0, False, tmp_path)
    files = find_files(tmp_path, "a.jsonl")
    chosen = condition.chosen(files, ((files[0], record) for record in read_records(files[0], None, tmp_path)))
    assert [i for i, (_, _, keep) in enumerate(chosen) if keep] == [4321]
    assert len(condition._fields.selected()["per"]) <= 202


@pytest.mark.parametrize(
    ("source", "where", "expected"),
    [
        ({"path": "otlp.jsonl", "preset": "otel"}, 'attributes."gen_ai.usage.input_tokens" > 5', {True, False}),
        ({"path": "otlp.jsonl", "preset": "otel"}, "resource.\"service.name\" = 'support'", {True, False}),
        ({"path": "otlp.jsonl", "preset": "otel"}, 'attributes."gen_ai.usage.input_tokens" < 0', {False}),
        (
            {"path": "openai_batch_input.jsonl", "results": "openai_batch_output.jsonl", "preset": "openai-batch"},
            "response.status_code = 200 and response.body.usage.total_tokens > 20",
            {True},
        ),
        ({"path": "langfuse-blob.csv", "preset": "langfuse"}, "type = 'GENERATION'", {True, False}),
        ({"path": "litellm.jsonl", "preset": "litellm"}, "spend > 0 or total_tokens > 0", {True}),
        ({"path": "trace-log.jsonl", "preset": "tracer"}, "origin = 'deferred'", {True, False}),
    ],
)
def test_the_records_of_presets(tmp_path: Path, source: dict[str, Any], where: str, expected: set[bool]) -> None:
    """Where a preset makes the records, the condition is asked of those, and their numbers are numbers."""
    settings = TraceSource(where=where, **source)
    preset, files = preset_of(settings, FIXTURES, tmp_path), find_files(FIXTURES, settings.path)
    condition = RowFilter(settings, 0, preset.expands, tmp_path)
    chosen = condition.chosen(files, preset.read(files))
    assert {keep for _, record, keep in chosen if record.fields is not None} == expected


# --- what is no condition -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("n = ", "syntax error at or near \"=\"|end of input"),
        ("n = = 1", "syntax error|=__postfix"),
        ("n = 1; drop table x", "it is more than one condition"),
        ("n = 1;", "it is more than one condition"),
        ("n = 1, n = 2", "it is more than one condition"),
        ("n = 1) from x where (n = 1", "syntax error"),
        ("1) union select (1", "syntax error"),
        ("n = 1 from read_text('/etc/passwd')", "it is more than one condition"),
        ("n = 1 order by n", "it is more than one condition"),
        ("(select true)", "it holds a subquery"),
        ("n in (select n from read_csv('/etc/passwd'))", "it holds a subquery"),
        ("exists (from glob('*'))", "it holds a subquery"),
        ("row_number() over () < 10", "it holds a window function"),
        ("count(*) > 1", "count_star is no function of one record (aggregate function)"),
        ("max(n) = n", "max is no function of one record"),
        ("unnest([n]) = 1", "no function of one record|UNNEST|unnest"),
        ("*", "it holds a star"),
        ("columns('n') = 1", "it holds a star"),
        ("n = ?", "it holds a parameter"),
        ("n = $n", "it holds a parameter"),
        ("ts::timestamp > now()", "it calls now(): a refit must depend on the traces alone"),
        ("ts::date > today()", "it calls today(): "),
        ("ts::timestamp > get_current_timestamp()", "it calls get_current_timestamp(): "),
        ("age(ts::timestamp) < interval 3 days", "it calls age(): "),
        ("ts::timestamp > ago(interval 3 days)", "ago"),
        ("random() < 0.5", "it calls random(): "),
        ("uuid() > kind", "it calls uuid(): "),
        ("n < 3 and (kind = 'a' or list_contains([setseed(0.5)], null))", "it calls setseed(): "),
        ("[x for x in [1] if x > random()] = [1]", "it calls random(): "),
        ("current_setting('threads') = n", "it calls current_setting(): "),
        ("getvariable('x') = n", "it calls getvariable(): "),
        ("version() = kind", "it calls version(): "),
        ("ts > current_date", "no row has a field 'current_date'"),
        ("n = nosuch(1)", "nosuch"),
        ("n + kind = 1", "No function matches|Could not|explicit"),
        ("n", "it is '0' for a row, neither true nor false"),
        ("kind", "it is 'chat' for a row, neither true nor false"),
        ("kin = 'chat'", "no row has a field 'kin' (did you mean 'kind'?); the fields are: "),
        ("meta.envv = 'prod'", "no row has a field 'meta.envv'"),
        ("kind.x = 1", "kind"),
        ("kind::int = 1", "a.jsonl, line 1: Conversion Error: Could not convert string 'chat' to INT"),
        ("n = 5 or kind::int = 1", "a.jsonl, line 1: "),
        ("regexp_matches(kind, '(')", "missing )"),

    ],
)  # fmt: skip
def test_what_is_no_condition_is_told_with_duckdb_s_words(tmp_path: Path, where: str, message: str) -> None:
    write(tmp_path / "a.jsonl", [{"n": i, "kind": "chat", "ts": "2026-01-01", "meta": {"env": "x"}} for i in range(5)])
    told = wrong(tmp_path, where)
    assert any(part in told for part in message.split("|")), told
    assert "LINE 1" not in told and "\n" not in told


def test_no_file_is_read_and_no_extension_loaded(tmp_path: Path) -> None:
    """Whatever came past the parser."""
    connection = filters.connect()
    (tmp_path / "x.csv").write_text("a\n1\n")
    for query in (
        f"select * from read_csv('{tmp_path}/x.csv')", f"copy (select 1) to '{tmp_path}/y.csv'", "install httpfs",
        "load spatial", f"attach '{tmp_path}/z.db'", "set enable_external_access = true", "set threads = 2",
    ):  # fmt: skip
        with pytest.raises(Exception, match=r"disabled|locked|Permission|Cannot"):
            connection.execute(query)
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


def test_an_unknown_column_of_a_table_is_told_before_any_row_is_read(tmp_path: Path) -> None:
    for extension in EXTENSIONS[1:]:
        write(tmp_path / f"a.{extension}", PLAIN)
        source = TraceSource(path=f"a.{extension}", where="knd = 'chat'")
        condition = RowFilter(source, 3, False, tmp_path)

        def none() -> Iterator[Any]:
            raise AssertionError("read")
            yield

        with pytest.raises(ConfigError, match=r"traces\[3\].*did you mean 'kind'"):
            list(condition.chosen(find_files(tmp_path, f"a.{extension}"), none()))


def test_an_error_in_one_row_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "BATCH_ROWS", 10)
    rows = [{"n": str(i)} for i in range(25)] + [{"n": "many"}]
    for extension in EXTENSIONS:
        write(tmp_path / f"a.{extension}", [{"n": "x"}] if extension == "csv" else rows)
        where = "n::int > 3"
        line = {"jsonl": "a.jsonl, line 26", "csv": "a.csv, line 2", "parquet": "a.parquet, row 26"}[extension]
        assert wrong(tmp_path, where, f"a.{extension}").startswith(f"{line}: Conversion Error")
    assert "line 26" in wrong(
        tmp_path, "n = 'x' and n::int > 3", "a.jsonl"
    )  # every part is computed, whatever DuckDB prefers


# --- properties -----------------------------------------------------------------------------------

VALUES = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5).map(lambda x: round(x, 2)) | st.sampled_from(
    ["prod", "dev", "1", "", "\u05d0", "a'b"]
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries({"n": st.integers(-5, 5) | st.floats(-5, 5)}, optional={"x": VALUES, "m": st.fixed_dictionaries({}, optional={"e": VALUES})}), min_size=1, max_size=30), size=st.integers(3, 30), expands=st.booleans())  # fmt: skip
def test_numbers_are_compared_as_python_does_whatever_the_batches(
    tmp_path: Path, rows: Rows, size: int, expands: bool
) -> None:
    write(tmp_path / "a.jsonl", rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters, "BATCH_ROWS", size)
        expected = [i for i, row in enumerate(rows) if isinstance(row, dict) and row["n"] > 0.5]
        assert kept(tmp_path, "n > 0.5", expands=expands) == expected


def test_threads_of_other_connections_and_time_zones_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.csv", [{"ts": f"2026-01-01T{hour:02}:00:00Z"} for hour in range(24)])
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        assert kept(tmp_path, "ts::date = '2026-01-01' and hour(ts::timestamptz) < 2") == [0, 1]
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
