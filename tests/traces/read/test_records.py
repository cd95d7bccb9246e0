"""The readers: what each format makes of good and bad rows."""

import csv
import datetime
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_cli.errors import DataError
from tracer_cli.traces.read.files import trace_file
from tracer_cli.traces.read.lines import MAX_LINE_BYTES
from tracer_cli.traces.read.parquet import Unreadable
from tracer_cli.traces.read.records import Record, header, read_records, sample_fields


def read(path: Path, data: bytes | str | None = None, columns: set[str] | None = None) -> list[Record]:
    if data is not None:
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return list(read_records(trace_file(path, path.parent), columns, path.parent))


def fields(records: list[Record]) -> list[object]:
    return [record.fields for record in records]


def problems(records: list[Record]) -> list[tuple[int, str | None]]:
    return [(record.line, record.problem) for record in records]


# --- JSONL ----------------------------------------------------------------------------------------


def test_jsonl_keeps_numbers_as_they_are_written(tmp_path: Path) -> None:
    (record,) = read(tmp_path / "a.jsonl", '{"a": 1.0, "b": 0.10, "c": 1e3, "d": 007}'.replace("007", "7"))
    assert record.fields == {"a": "1.0", "b": "0.10", "c": "1e3", "d": "7"}


def test_jsonl_line_numbers_count_blank_lines_which_are_no_rows(tmp_path: Path) -> None:
    found = read(tmp_path / "a.jsonl", '\n{"a":"1"}\r\n \t\n\r\n{"a":"2"}')
    assert [(record.line, record.fields) for record in found] == [(2, {"a": "1"}), (5, {"a": "2"})]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": "x"', "not valid JSON: "),
        (b'{"a": "x"} {"a": "y"}', "not valid JSON: Extra data (column 12)"),
        (b'{"a": "x\ty"}', "not valid JSON: Invalid control character"),
        (b"[1, 2]", "not a JSON object with named fields"),
        (b'"text"', "not a JSON object with named fields"),
        (b'{"a": "\xff"}', "not UTF-8: byte 8 of the line is 0xff"),
        (b"\x00", "not valid JSON: "),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b"9" * 100_000, "not a JSON object"),
    ],
)
def test_a_bad_jsonl_line_is_a_record_with_a_reason(tmp_path: Path, line: bytes, reason: str) -> None:
    good, bad, after = read(tmp_path / "a.jsonl", b'{"a": "1"}\n' + line + b'\n{"a": "2"}\n')
    assert (good.fields, after.fields) == ({"a": "1"}, {"a": "2"})
    assert bad.fields is None and bad.line == 2 and bad.raw == line
    assert bad.problem is not None and reason in bad.problem


def test_a_line_beyond_the_limit_is_a_reason_not_a_crash(tmp_path: Path) -> None:
    found = read(tmp_path / "a.jsonl", b'{"a": "' + b"x" * MAX_LINE_BYTES + b'"}\n{"a": "2"}\n')
    assert problems(found) == [
        (1, f"the line has {MAX_LINE_BYTES + 9:,} bytes, more than {MAX_LINE_BYTES:,}"),
        (2, None),
    ]


# --- CSV ------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(*[st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)] * 2),
        max_size=12,
    ),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_the_csv_writer_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str, end: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("input", "teacher"), *rows])
    found = read(tmp_path_factory.getbasetemp() / "round.csv", text.getvalue())
    assert fields(found) == [{"input": a, "teacher": b} for a, b in rows]


def test_csv_lines_are_those_of_the_file_after_a_quoted_newline(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", 'input,teacher\n"a\nb",x\n\nc,y\nd\ne,z\n')
    assert [record.line for record in found] == [2, 5, 6, 7]
    assert found[0].fields == {"input": "a\nb", "teacher": "x"}
    assert found[2].problem == "not valid CSV: 1 fields, the header has 2"


def test_an_unclosed_quote_costs_one_line_not_the_rest_of_the_file(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", 'input,teacher\na,x\n"b,x\nc,y\n"d",z\ne,x\n"f,x\n')
    good = [record.fields["input"] for record in found if record.fields]
    assert good == ["a", "c", "d", "e"]
    assert [record.line for record in found if record.problem] == [3, 7]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a,b,c", "not valid CSV: 3 fields, the header has 2"),
        (b'"a"x,b', "not valid CSV: "),
        (b"a\rb,c", "not valid CSV: "),
        (b"\xff,b", "not UTF-8: byte 1 of the line is 0xff"),
        (b"a\x00,b", "not CSV: the line holds a NUL byte"),
    ],
)
def test_a_bad_csv_line_is_a_record_with_a_reason(tmp_path: Path, line: bytes, reason: str) -> None:
    good, bad, after = read(tmp_path / "a.csv", b"input,teacher\n1,2\n" + line + b"\n3,4\n")
    assert [good.line, bad.line, after.line] == [2, 3, 4]
    assert bad.fields is None and bad.raw == line
    assert bad.problem is not None and bad.problem.startswith(reason)


def test_a_csv_field_of_ten_megabytes_is_read(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "input,teacher\n" + "x" * 10_000_000 + ",a\nb,c\n")
    assert [len(record.fields["input"]) for record in found if record.fields] == [10_000_000, 1]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\ninp\xfft,teacher\na,b\n", "line 2: the header cannot be read: not UTF-8"),
        (b"input,teacher\ra,b\rc,d\r", "line 1: the header cannot be read: it holds a lone carriage return"),
        (b"in\0put,teacher\n", "line 1: the header cannot be read: not CSV: the line holds a NUL byte"),
    ],
)
def test_a_csv_header_that_cannot_be_read_is_an_error(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(DataError) as error:
        read(tmp_path / "a.csv", data)
    assert str(error.value).startswith(f"a.csv, {problem}")


@given(st.lists(st.sampled_from(['"', ",", "\n", "\r", "a", "b c", '""', "\0", "\udcff"]), max_size=40))
def test_every_csv_line_ends_up_in_exactly_one_record(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str]
) -> None:
    body = "".join(pieces).encode("utf-8", "surrogateescape")
    found = read(tmp_path_factory.getbasetemp() / "nasty.csv", b"input,teacher\n" + body)
    lines = body.split(b"\n")
    covered: list[int] = []
    for record in found:
        assert record.raw is not None
        covered += range(record.line, record.line + record.raw.count(b"\n") + 1)
        assert b"\n".join(lines[record.line - 2 : record.line - 1 + record.raw.count(b"\n")]) == record.raw
    assert len(covered) == len(set(covered))
    assert {number for number, line in enumerate(lines, 2) if line.strip()} <= set(covered)


# --- Parquet --------------------------------------------------------------------------------------


def write(path: Path, columns: dict[str, pa.Array]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_reads_the_wanted_columns_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"input": pa.array(["a"]), "vector": pa.array([[1.0, 2.0]])})
    assert fields(read(path, columns={"input"})) == [{"input": "a"}]
    assert header(trace_file(path, tmp_path), tmp_path) == ["input", "vector"]


def test_parquet_times_of_any_unit_zone_and_year_are_text(tmp_path: Path) -> None:
    moment = datetime.datetime(2024, 5, 6, 12, tzinfo=datetime.timezone.utc)
    path = write(
        tmp_path / "a.parquet",
        {
            "ns": pa.array([moment], pa.timestamp("ns", "Europe/Berlin")),
            "s": pa.array([moment.replace(tzinfo=None)], pa.timestamp("s")),
            "far": pa.array([10**13], pa.timestamp("s")),
            "date": pa.array([moment.date()]),
        },
    )
    (row,) = read(path)
    assert row.fields is not None
    assert row.fields["ns"] == row.fields["s"] == "2024-05-06 12:00:00.000000"
    assert row.fields["date"] == "2024-05-06"
    assert isinstance(row.fields["far"], str)


@pytest.mark.parametrize("dictionary", [False, True])
def test_parquet_strings_that_are_not_utf_8_stay_bytes(tmp_path: Path, dictionary: bool) -> None:
    bad = pa.array([b"ok", b"caf\xe9", None]).view(pa.string())
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"input": bad}), path, use_dictionary=dictionary)
    assert fields(read(path)) == [{"input": b"ok"}, {"input": b"caf\xe9"}, {"input": None}]


def test_a_value_that_python_cannot_hold_costs_nothing_but_itself(tmp_path: Path) -> None:
    """Nested: beyond the year 9999, and text that is not UTF-8."""
    days = pa.array([{"day": 2**31 - 1}, {"day": 1}, None, {"day": 3}], pa.struct({"day": pa.date32()}))
    text = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    texts = pa.ListArray.from_arrays([0, 0, 0, 1, 1], text)
    pq.write_table(pa.table({"input": ["a", "b", "c", "d"], "days": days, "texts": texts}), tmp_path / "a.parquet")
    first, second, third, fourth = fields(read(tmp_path / "a.parquet"))
    assert isinstance(first, dict) and isinstance(third, dict)
    assert first == {"input": b"a", "days": Unreadable(first["days"].reason), "texts": []}
    assert "days=2147483647" in first["days"].reason
    assert third == {"input": b"c", "days": None, "texts": Unreadable(third["texts"].reason)}
    assert "can't decode byte 0xff" in third["texts"].reason
    assert second == {"input": b"b", "days": {"day": datetime.date(1970, 1, 2)}, "texts": []}
    assert fourth == {"input": b"d", "days": {"day": datetime.date(1970, 1, 4)}, "texts": []}


def test_a_file_that_is_not_parquet_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet"):
        read(tmp_path / "a.parquet", "input,teacher\n")


def test_the_unpacked_copy_of_an_archive_is_removed(tmp_path: Path) -> None:
    import gzip

    plain = write(tmp_path / "a.parquet", {"input": pa.array(["a"])})
    packed = tmp_path / "b.parquet.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert fields(read(packed)) == [{"input": "a"}]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "b.parquet.gz"]


# --- fields ---------------------------------------------------------------------------------------


def test_the_fields_of_jsonl_are_those_of_all_first_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(["broken", json.dumps({"b": 1}), json.dumps({"a": 1, "b": 2})]))
    assert header(trace_file(path, tmp_path), tmp_path) is None
    assert sample_fields(trace_file(path, tmp_path), tmp_path) == ["b", "a"]
