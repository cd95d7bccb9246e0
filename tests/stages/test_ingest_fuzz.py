"""Ingest of files that something went wrong with: no crash, and every row is accounted for."""

from __future__ import annotations

import csv
import io
import json
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tracer_cli.artifacts import Layout
from tracer_cli.config.schema import Config
from tracer_cli.errors import ConfigError, DataError
from tracer_cli.stages import ingest
from tracer_cli.traces.read.files import find_files
from tracer_cli.traces.read.records import read_records
from tracer_cli.traces.table import read_fit_meta

FIXTURES = Path(__file__).parents[1] / "traces" / "presets" / "fixtures"
# The beginning of a fixture's name -> how it is read. Other fixtures are parts of these.
PRESETS: dict[str, dict[str, Any]] = {
    "openai_chat": {"preset": "openai-chat"},
    "openai_batch": {"preset": "openai-batch"},
    "openai_chunks": {"label": "chunks"},
    "langfuse": {"preset": "langfuse"},
    "litellm": {"preset": "litellm"},
    "otlp": {"preset": "otel"},
    "otel": {"preset": "otel"},
    "trace-log": {"preset": "tracer"},
}
GOOD = [{"input": f"good {i}", "teacher": f"label {i % 3}"} for i in range(25)]
ROWS: list[dict[str, Any]] = [
    {"input": f"text {i % 9} \u05d0", "teacher": "ab"[i % 2], "n": i / 4, "meta": {"env": "prod", "tags": ["x", None]}}
    for i in range(12)
]
WHERES = (None, "n > 0.6", "meta.env = 'prod' and n is not null", "teacher = 'a' or meta.tags[1] = 'x'")

quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.data_too_large])


def outcome(root: Path, *sources: dict[str, Any]) -> dict[str, Any] | str:
    """The metrics, after everything was held against everything else; or what the error says."""
    (root / "good.jsonl").write_text("".join(json.dumps(row) + "\n" for row in GOOD))
    layout = Layout.of_folder(root, root / "out")
    traces = [{"max_rejected": 1.0, **source} for source in (*sources, {"path": "good.jsonl"})]
    try:
        ingest.run(layout, Config.model_validate({"schema": 1, "traces": traces}))
    except (DataError, ConfigError) as error:
        assert len(str(error)) > 20
        return str(error)
    found: dict[str, Any] = json.loads(layout.traces_metrics.read_text())
    bad = [json.loads(line) for line in layout.rejected.read_bytes().split(b"\n") if line]
    fit, holdout, labels = (pq.read_table(path) for path in (layout.fit, layout.holdout, layout.holdout_labels))
    assert found["rows_read"] == found["rows_accepted"] + found["rows_rejected"] + found["rows_skipped"]
    assert found["rows_accepted"] == found["distinct_texts"] + found["rows_merged"]
    assert found["rows_accepted"] == sum(fit["count"].to_pylist()) + sum(holdout["count"].to_pylist())
    assert found["rows_rejected"] == len(bad)
    assert all(row["reason"] and row["line"] > 0 for row in bad)
    if all(source.get("preset") != "otel" for source in sources):  # there a line holds many
        assert len({(row["source"], row["line"]) for row in bad}) == len(bad)
    assert (found["fit_rows"], found["holdout_rows"]) == (len(fit), len(holdout))
    assert (
        found["distinct_texts"]
        == len(fit) + len(holdout)
        == len({*fit["key"].to_pylist(), *holdout["key"].to_pylist()})
    )
    assert holdout["key"].equals(labels["key"])
    assert read_fit_meta(layout.fit) == {"holdout_rows": len(holdout), "rows_read": found["rows_read"]}
    return found


# --- what goes wrong ------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [b"\x00", b"\xff", b"\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc3", b"\r", b"\r\n", b"\n", b"\n\n", b'"', b"'", b",",
     b"{", b"}", b"[", b"]", b":", b"\\", b"\\u0000", b"\\ud800", b"NaN", b"-Infinity", b"1e999", b"9" * 400, b"null",
     b'"input": "again", ', b"[" * 3000, b'{"a":' * 3000, b"x" * 70_000, b'"\n"', b" \t", b"\xe2\x80\xa8", b"\x1f\x8b"]
)  # fmt: skip
PLACES = st.integers(0, 1 << 20)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), PLACES, st.integers(0, 7)),
        st.tuples(st.just("insert"), PLACES, PIECES),
        st.tuples(st.just("cut"), PLACES, st.integers(1, 200)),
        st.tuples(st.just("repeat"), PLACES, st.integers(1, 200)),
        st.tuples(st.just("end"), PLACES, st.none()),
        st.tuples(st.just("crlf"), PLACES, st.none()),
    ),
    min_size=1,
    max_size=8,
)


def changed(content: bytes, changes: list[tuple[str, int, Any]]) -> bytes:
    for kind, place, how in changes:
        at = place % (len(content) + 1)
        if kind == "flip" and at < len(content):
            content = content[:at] + bytes([content[at] ^ (1 << how)]) + content[at + 1 :]
        elif kind == "insert":
            content = content[:at] + how + content[at:]
        elif kind == "cut":
            content = content[:at] + content[at + how :]
        elif kind == "repeat":
            content = content[: at + how] + content[at:]
        elif kind == "end":
            content = content[: max(at, len(content) // 2)]
        elif kind == "crlf":
            content = content.replace(b"\n", b"\r\n")
    return content


def lines_of(content: bytes) -> int:
    """Lines that are not blank, counted in another way than the reader does."""
    return sum(bool(line.strip()) for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"))


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["input", "teacher", "n"], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=5, compression="none", use_dictionary=False)
    return sink.getvalue()


# --- generated files ------------------------------------------------------------------------------


@settings(quick, max_examples=25)
@given(changes=CHANGES, where=st.sampled_from(WHERES))
@example(changes=[("insert", 0, b"\xef\xbb\xbf"), ("crlf", 0, None)], where=WHERES[1])
@example(changes=[("insert", 1, b'"n": NaN, "N": 1, "meta": {"env": {}, "ENV": 1}, ')], where=WHERES[2])
def test_jsonl(tmp_path: Path, changes: list[Any], where: str | None) -> None:
    content = changed(as_jsonl(ROWS), changes)
    (tmp_path / "a.jsonl").write_bytes(content)
    found = outcome(tmp_path, {"path": "a.jsonl", "text": "input", "label": "teacher", "where": where})
    if isinstance(found, dict):
        assert found["rows_read"] == len(GOOD) + lines_of(content)
    else:
        known = (
            "UTF-16",
            "is empty",
            "leaves none of the",
            "no row has a field",
            "no row of a.jsonl has a field",
            "Error",
        )
        assert any(part in found for part in known), found


@settings(quick, max_examples=25)
@given(changes=CHANGES, where=st.sampled_from(WHERES[:2]))
def test_csv(tmp_path: Path, changes: list[Any], where: str | None) -> None:
    (tmp_path / "a.csv").write_bytes(changed(as_csv(ROWS), changes))
    outcome(tmp_path, {"path": "a.csv", "where": where})


@settings(quick, max_examples=40)
@given(changes=CHANGES, where=st.sampled_from(WHERES))
def test_parquet(tmp_path: Path, changes: list[Any], where: str | None) -> None:
    (tmp_path / "a.parquet").write_bytes(changed(as_parquet(ROWS), changes))
    outcome(tmp_path, {"path": "a.parquet", "where": where})


STRANGE_COLUMNS = {
    "times": pa.array([2**62, -(2**62), None, 0], pa.timestamp("us", "UTC")),
    "nested times": pa.array([{"t": 2**60}, {"t": 1}, None, {"t": None}], pa.struct({"t": pa.timestamp("us")})),
    "list of times": pa.array([[2**60], [1], None, []], pa.list_(pa.timestamp("ns"))),
    "text": pa.Array.from_buffers(
        pa.string(), 4, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0"), pa.py_buffer(b"a\xff\xfeb")]
    ),
    "dates": pa.array([2**31 - 1, -(2**31), None, 0], pa.date32()),
    "dictionary": pa.array(["a", "b", None, "a"]).dictionary_encode(),
    "decimal": pa.array([1, None, 2, 3], pa.decimal128(38, 10)),
    "map": pa.array([[("k", 1)], [], None, [("k", 2)]], pa.map_(pa.string(), pa.int64())),
    "half": pa.array([1.0, None, 2.0, 3.0], pa.float16()),
    "nothing": pa.nulls(4),
    "bytes": pa.array([b"\xff", b"", None, b"x"]),
}


@pytest.mark.parametrize("kind", STRANGE_COLUMNS)
@pytest.mark.parametrize(
    "source",
    [
        {"label": "odd"},
        {"label": "nested.in"},
        {"id": "odd", "ground_truth": "odd"},
        {"timestamp": "nested.in"},
        {"where": "odd is null or nested.in is not null or teacher in ('x', 'y')"},
    ],
    ids=lambda source: next(iter(source)),
)
def test_parquet_of_any_type(tmp_path: Path, kind: str, source: dict[str, Any]) -> None:
    column = STRANGE_COLUMNS[kind]
    nested = pa.StructArray.from_arrays([column], names=["in"])
    table = pa.table({"input": ["a", "b", "c", "d"], "teacher": ["x", "y", "x", "y"], "odd": column, "nested": nested})
    pq.write_table(table, tmp_path / "a.parquet")
    found = outcome(tmp_path, {"path": "a.parquet", **source})
    if "where" in source and kind == "half":
        assert "Unsupported" in found  # by DuckDB
        return
    assert isinstance(found, dict), found
    assert found["rows_read"] == len(GOOD) + 4
    assert "label" in source or found["rows_rejected"] == 0  # elsewhere what Python cannot hold is null


@settings(quick, max_examples=150)
@given(changes=CHANGES, format=st.sampled_from(["jsonl", "csv"]))
def test_every_line_is_in_exactly_one_record(tmp_path: Path, changes: list[Any], format: str) -> None:
    content = changed(as_jsonl(ROWS) if format == "jsonl" else as_csv(ROWS), changes)
    (tmp_path / f"a.{format}").write_bytes(content)
    try:
        (file,) = find_files(tmp_path, f"a.{format}")
        records = list(read_records(file, None, tmp_path))
    except DataError:
        return
    found = b"\n".join(record.raw or b"" for record in records).split(b"\n") if records else []
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    expected = [line for line in lines if line.strip()]
    if format == "csv":
        expected = expected[1:]
    assert [line for line in found if line.strip()] == expected
    for record in records:
        assert lines[record.line - 1] == (record.raw or b"").split(b"\n")[0]


# --- the presets' fixtures ------------------------------------------------------------------------


def fixtures() -> list[str]:
    return sorted(path.name for path in FIXTURES.iterdir() if "_output" not in path.name) if FIXTURES.is_dir() else []


def source_of(name: str) -> dict[str, Any]:
    kinds = [how for start, how in PRESETS.items() if name.startswith(start)]
    assert len(kinds) == 1, f"which preset reads {name}? Say so in PRESETS"
    source = {"path": name, "turns": "last" if "preset" in kinds[0] else "single", **kinds[0]}
    if source.get("preset") == "openai-batch":
        source["results"] = name.replace("_input", "_output")
    return source


@pytest.mark.parametrize("name", fixtures())
def test_a_fixture_as_it_is(tmp_path: Path, name: str) -> None:
    source = source_of(name)
    for path in {name, source.get("results", name)}:
        shutil.copy(FIXTURES / path, tmp_path / path)
    found = outcome(tmp_path, source)
    assert isinstance(found, dict), found
    assert found["rows_read"] > len(GOOD)


@pytest.mark.parametrize("name", fixtures())
@settings(quick, max_examples=3)
@given(changes=CHANGES, where=st.sampled_from([None, "true", "id is not null or id is null"]), of_results=st.booleans())
def test_a_fixture_that_something_went_wrong_with(
    tmp_path: Path, name: str, changes: list[Any], where: str | None, of_results: bool
) -> None:
    source = source_of(name)
    results = source.get("results", name)
    for path in {name, results}:
        content = (FIXTURES / path).read_bytes()
        (tmp_path / path).write_bytes(changed(content, changes) if (path == results) == of_results else content)
    outcome(tmp_path, {**source, "where": where})


# --- real traces ----------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize("name", ["banking77-gpt/traces.jsonl", "banking77/train.csv", "banking77/test.csv"])
@settings(quick, max_examples=15)
@given(changes=CHANGES, start=st.integers(0, 2000), whole=st.just(False))
@example(changes=[], start=0, whole=True)
def test_real_traces(tmp_path: Path, real_data: Path, name: str, changes: list[Any], start: int, whole: bool) -> None:
    kind = name.rpartition(".")[2]
    with (real_data / name).open("rb") as file:
        head = [next(file)] if kind == "csv" else []
        content = b"".join([*head, *islice(file, start, None if whole else start + 60)])
    (tmp_path / f"a.{kind}").write_bytes(changed(content, changes))
    fields = {"text": "text", "label": "category"} if kind == "csv" else {"text": "input", "label": "teacher"}
    found = outcome(tmp_path, {"path": f"a.{kind}", **fields})
    if whole:
        assert isinstance(found, dict) and found["rows_rejected"] == 0 and found["distinct_texts"] > 2000
