"""Ingest as a whole: from files to the three tables, the quarantine and the counts."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tracer_cli.artifacts import Layout
from tracer_cli.config.schema import Config
from tracer_cli.errors import ConfigError, DataError, StorageError
from tracer_cli.stages import ingest
from tracer_cli.traces import filters, store
from tracer_cli.traces.table import read_fit_meta
from tracer_cli.traces.text import normalise, split_position

Rows = list[dict[str, Any]]


def config(*sources: str | dict[str, Any], seed: int = 0, **split: Any) -> Config:
    traces = [{"path": source} if isinstance(source, str) else source for source in sources]
    return Config.model_validate({"schema": 1, "traces": traces, "split": split, "seed": seed})


def run(root: Path, settings: Config, work: str = "out") -> Layout:
    layout = Layout.of_folder(root, root / work)
    ingest.run(layout, settings)
    return layout


def numbers(layout: Layout) -> dict[str, float]:
    metrics: dict[str, float] = json.loads(layout.traces_metrics.read_text())
    return metrics


def rejected(layout: Layout) -> Rows:
    return [json.loads(line) for line in layout.rejected.read_text(encoding="utf-8").split("\n") if line]


def table(path: Path) -> Rows:
    rows: Rows = pq.read_table(path).to_pylist()
    return rows


def everything(layout: Layout) -> Rows:
    """All rows with their labels, in order of first appearance, and the side."""
    labels = {row["key"]: row for row in table(layout.holdout_labels)}
    held = [{**row, **labels[row["key"]], "side": "holdout"} for row in table(layout.holdout)]
    return sorted([{**row, "side": "fit"} for row in table(layout.fit)] + held, key=lambda row: row["row"])


def good(n: int, start: int = 0) -> Rows:
    return [{"input": f"message number {i}", "teacher": f"label {i % 3}"} for i in range(start, start + n)]


def jsonl(path: Path, rows: Sequence[dict[str, Any] | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def error(root: Path, settings: Config) -> str:
    with pytest.raises(DataError) as caught:
        run(root, settings)
    return str(caught.value)


# --- what is written ------------------------------------------------------------------------------


def test_the_tables_have_the_documented_columns_and_the_holdout_has_nothing_of_labels(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", good(40))
    layout = run(tmp_path, config("a.jsonl"))
    assert pq.read_schema(layout.fit).names == [
        *("key", "row", "id", "text", "label", "count", "label_count", "timestamp", "ground_truth", "origin", "weight")
    ]
    assert pq.read_schema(layout.holdout).names == ["key", "row", "id", "text", "count", "timestamp", "origin"]
    assert pq.read_schema(layout.holdout_labels).names == ["key", "label", "label_count", "ground_truth"]
    assert [row["key"] for row in table(layout.holdout)] == [row["key"] for row in table(layout.holdout_labels)]
    assert read_fit_meta(layout.fit) == {"holdout_rows": len(table(layout.holdout)), "rows_read": 40}


def test_the_holdout_s_bytes_do_not_depend_on_labels(tmp_path: Path) -> None:
    rows = good(60)
    jsonl(tmp_path / "a.jsonl", rows)
    one = run(tmp_path, config("a.jsonl"))
    jsonl(tmp_path / "a.jsonl", [{**row, "teacher": f"other {i % 7}"} for i, row in enumerate(rows)])
    other = run(tmp_path, config("a.jsonl"), "other")
    assert one.holdout.read_bytes() == other.holdout.read_bytes()
    assert one.holdout_labels.read_bytes() != other.holdout_labels.read_bytes()


def test_the_fit_table_does_not_depend_on_the_holdout_s_labels(tmp_path: Path) -> None:
    rows = good(60)
    jsonl(tmp_path / "a.jsonl", rows)
    one = run(tmp_path, config("a.jsonl"))
    held = {row["text"] for row in table(one.holdout)}
    jsonl(tmp_path / "a.jsonl", [{**row, "teacher": "noise"} if row["input"] in held else row for row in rows])
    other = run(tmp_path, config("a.jsonl"), "other")
    assert held and one.fit.read_bytes() == other.fit.read_bytes()


def test_the_same_text_twice_is_one_row_with_the_majority_label(tmp_path: Path) -> None:
    source = {"path": "a.jsonl", "id": "id", "timestamp": "at", "ground_truth": "truth"}
    extra: Rows = [
        {"input": "Where is  it?", "teacher": "b", "id": 7, "at": "2024-01-02", "truth": None},
        {"input": " Where is it?\n", "teacher": "a", "id": 8, "at": "2024-01-01", "truth": "t1"},
        {"input": "Where\u00a0is it?", "teacher": "a", "id": 9, "at": None, "truth": "t2"},
        {"input": "where is it?", "teacher": "c", "id": 10, "at": "soon", "truth": None},
        {"input": "tie", "teacher": "z"},
        {"input": "tie", "teacher": "y"},
    ]
    jsonl(tmp_path / "a.jsonl", [*extra, *good(30)])
    layout = run(tmp_path, config(source))
    first, other_case, tie = everything(layout)[:3]
    kept = {name: first[name] for name in ("row", "id", "text", "label", "count", "label_count", "ground_truth")}
    assert kept == {
        "row": 0, "id": "7", "text": "Where is  it?", "label": "a", "count": 3, "label_count": 2, "ground_truth": "t1",
    }  # fmt: skip
    assert first["timestamp"].isoformat() == "2024-01-01T00:00:00+00:00"
    assert (other_case["row"], other_case["label"], other_case["timestamp"]) == (3, "c", None)
    assert (tie["label"], tie["count"], tie["label_count"]) == ("z", 2, 1)
    found = numbers(layout)
    expected = {
        "rows_read": 36, "rows_rejected": 0, "rows_accepted": 36, "rows_merged": 3, "distinct_texts": 33,
        "texts_seen_twice": 2, "conflicting_texts": 2, "conflict_share": 1.0, "holdout_share": 0.4, "labels": 6,
        "rows_skipped": 0, "audit_texts": 0, "deferred_texts": 0, "teacher_contexts": 0, "teacher_changes": 0,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert found["fit_rows"] + found["holdout_rows"] == 33
    assert set(found) == {*expected, "fit_rows", "holdout_rows"}


def test_row_counts_rejected_rows_and_not_blank_lines_over_all_sources(tmp_path: Path) -> None:
    jsonl(tmp_path / "p" / "2.jsonl", ["broken", *good(10, 10)])
    jsonl(tmp_path / "p" / "1.jsonl", ["", *good(10)])
    jsonl(tmp_path / "q.jsonl", [{"query": "last", "intent": "label 0"}, {"query": "more", "intent": "label 1"}])
    layout = run(tmp_path, config({"path": "p/*.jsonl", "max_rejected": 0.1}, "q.jsonl"))
    rows = everything(layout)
    assert [row["row"] for row in rows] == [*range(10), *range(11, 23)]
    assert [row["text"] for row in rows][9:12] == ["message number 9", "message number 10", "message number 11"]
    assert rows[-1]["text"] == "more"
    (bad,) = rejected(layout)
    assert (bad["source"], bad["line"], bad["row"]) == ("p/2.jsonl", 1, "broken")


# --- formats --------------------------------------------------------------------------------------


def as_csv(rows: Rows) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: Rows) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=7)
    return sink.getvalue()


def test_every_format_and_compression_gives_the_same_bytes(tmp_path: Path) -> None:
    rows: Rows = [
        {
            "input": f'text {i}, with "quotes"\nand \U0001f600 \u05e9\u05dc\u05d5\u05dd',
            "teacher": f"a/b {i % 4}",
            "id": f"{i}",
        }
        for i in range(50)
    ]
    plain = {
        "jsonl": "\n".join(json.dumps(row) for row in rows).encode(),
        "ndjson": "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode("utf-8-sig"),
        "csv": as_csv(rows),
        "parquet": as_parquet(rows),
    }
    packers: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}
    results = set()
    for extension, data in plain.items():
        for suffix, pack in packers.items():
            name = f"a.{extension}{suffix}"
            (tmp_path / name).write_bytes(pack(data))
            layout = run(tmp_path, config({"path": name, "id": "id"}), f"out-{name}")
            results.add(
                tuple(
                    path.read_bytes()
                    for path in (layout.fit, layout.holdout, layout.holdout_labels, layout.traces_metrics)
                )
            )
    assert len(results) == 1


def test_typed_parquet_columns_become_text_and_nan_is_rejected(tmp_path: Path) -> None:
    n = 40
    labels = pa.array([float("nan") if i == 3 else None if i == 4 else i % 2 for i in range(n)], pa.float64())
    columns = {"input": [f"text {i}" for i in range(n)], "teacher": labels}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    layout = run(tmp_path, config({"path": "a.parquet", "max_rejected": 0.1}))
    assert {row["label"] for row in everything(layout)} == {"0.0", "1.0"}
    assert [(row["line"], row["reason"]) for row in rejected(layout)] == [
        (4, "the label (teacher) is NaN"),
        (5, "the label (teacher) is null"),
    ]
    assert json.loads(rejected(layout)[1]["row"]) == {"input": "text 4", "teacher": None}


def test_threads_and_batches_do_not_change_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"input": f"text {i * i % 700}", "teacher": f"label {i % 5}"} for i in range(2500)]
    jsonl(tmp_path / "a.jsonl", rows)
    one = run(tmp_path, config("a.jsonl"), "one")
    monkeypatch.setattr(store, "THREADS", 1)
    monkeypatch.setattr(store, "BATCH_ROWS", 37)
    monkeypatch.setattr(store, "MEMORY_LIMIT", "50MB")
    other = run(tmp_path, config("a.jsonl"), "other")
    for name in ("fit", "holdout", "holdout_labels", "rejected", "traces_metrics"):
        assert getattr(one, name).read_bytes() == getattr(other, name).read_bytes(), name


# --- expressions ----------------------------------------------------------------------------------


def nested(row: dict[str, Any], i: int, as_text: bool) -> dict[str, Any]:
    body = {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": row["input"]}]}
    return {
        "body": json.dumps(body) if as_text else body,
        "out": json.dumps({"result": {"a.b": row["teacher"]}}),
        "meta.id": f"id {i}",  # a field that is called like an expression
        "meta": json.dumps({"id": "wrong", "at": "2026-01-01"}),
    }


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("as_text", [True, False])
def test_expressions_find_text_and_label_in_nested_json(tmp_path: Path, kind: str, as_text: bool) -> None:
    plain = good(40)
    rows = [nested(row, i, as_text or kind == "csv") for i, row in enumerate(plain)]
    data = {"csv": as_csv, "parquet": as_parquet}.get(
        kind, lambda rows: b"\n".join(json.dumps(r).encode() for r in rows)
    )
    (tmp_path / f"a.{kind}").write_bytes(data(rows))
    source = {
        "path": f"a.{kind}",
        "text": "body.messages[-1].content",
        "label": 'out.result."a.b"',
        "id": "meta.id",
        "timestamp": "meta.at",
    }
    found = everything(run(tmp_path, config(source)))
    assert [(row["text"], row["label"], row["id"]) for row in found] == [
        (row["input"], row["teacher"], f"id {i}") for i, row in enumerate(plain)
    ]
    assert {row["timestamp"].isoformat() for row in found} == {"2026-01-01T00:00:00+00:00"}
    for wrong in ("body.messages[2].content", "body.mesages[0].content", "bdy.messages[0].content"):
        message = error(tmp_path, config({**source, "text": wrong, "max_rejected": 1.0}))
        assert repr(wrong) in message or wrong in message


# --- the split ------------------------------------------------------------------------------------


def sides(layout: Layout) -> dict[str, str]:
    return {row["text"]: row["side"] for row in everything(layout)}


def test_a_text_keeps_its_side_when_traces_are_added(tmp_path: Path) -> None:
    jsonl(tmp_path / "1.jsonl", good(300))
    before = sides(run(tmp_path, config("*.jsonl")))
    jsonl(tmp_path / "0.jsonl", good(500, 200))
    after = sides(run(tmp_path, config("*.jsonl")))
    assert len(after) == 700
    assert {text: after[text] for text in before} == before


def test_a_smaller_automatic_share_moves_texts_to_the_fit_side_only(tmp_path: Path) -> None:
    jsonl(tmp_path / "1.jsonl", good(1200))
    first = run(tmp_path, config("*.jsonl"))
    jsonl(tmp_path / "2.jsonl", good(4000, 1200))
    second = run(tmp_path, config("*.jsonl"), "second")
    assert (numbers(first)["holdout_share"], numbers(second)["holdout_share"]) == (0.4, 0.3)
    after = sides(second)
    moves = {(side, after[text]) for text, side in sides(first).items()}
    assert moves == {("fit", "fit"), ("holdout", "holdout"), ("holdout", "fit")}


def test_the_side_is_the_documented_hash_and_the_seed_changes_it(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", good(200))
    found = sides(run(tmp_path, config("a.jsonl", holdout=0.25, seed=5)))
    assert found == {text: "holdout" if split_position(normalise(text), 5) / 2**64 < 0.25 else "fit" for text in found}
    assert found != sides(run(tmp_path, config("a.jsonl", holdout=0.25, seed=6)))


def test_by_time_the_newest_texts_are_held_out(tmp_path: Path) -> None:
    rows = [{**row, "at": 1_700_000_000 + i * 37 % 100} for i, row in enumerate(good(100))]
    jsonl(tmp_path / "a.jsonl", [*rows, {**rows[0], "at": 1_900_000_000}])  # seen first long ago
    layout = run(tmp_path, config({"path": "a.jsonl", "timestamp": "at"}, by="time", holdout=0.2))
    newest = sorted(rows, key=lambda row: -row["at"])[:20]
    assert {row["text"] for row in table(layout.holdout)} == {row["input"] for row in newest}
    assert len(table(layout.fit)) == 80


def test_by_time_needs_a_time_in_every_row(tmp_path: Path) -> None:
    rows = [{**row, "at": "2024-01-01"} for row in good(30)]
    jsonl(tmp_path / "a.jsonl", [*rows[:9], {**rows[9], "at": "soon"}, {"input": "x", "teacher": "y"}, *rows[10:]])
    message = error(tmp_path, config({"path": "a.jsonl", "timestamp": "at"}, by="time"))
    assert "2 rows have no usable timestamp, the first at a.jsonl, line 10" in message


# --- which rows count -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_where_leaves_rows_out_and_row_still_counts_all(tmp_path: Path, name: str) -> None:
    rows = [{**row, "cost": i / 10, "env": "prod" if i % 2 else "dev"} for i, row in enumerate(good(60))]
    write = {"jsonl": lambda: jsonl(tmp_path / name, rows), "csv": lambda: (tmp_path / name).write_bytes(as_csv(rows))}
    write.get(name.split(".")[1], lambda: (tmp_path / name).write_bytes(as_parquet(rows)))()
    layout = run(tmp_path, config({"path": name, "where": "env = 'prod' and cost > 1"}))
    assert [row["row"] for row in everything(layout)] == list(range(11, 60, 2))
    found = numbers(layout)
    assert (found["rows_read"], found["rows_skipped"], found["rows_rejected"], found["rows_accepted"]) == (
        60,
        35,
        0,
        25,
    )
    assert read_fit_meta(layout.fit)["rows_read"] == 60


def test_where_is_the_same_whatever_the_batches_and_over_files_with_other_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are read ahead of what the preset makes of them: each must meet the names of its own file."""
    for number, names in enumerate((("input", "teacher"), ("query", "intent"), ("text", "label"))):
        rows = [{names[0]: f"{number} {i}", names[1]: f"label {i % 3}", "n": i} for i in range(40)]
        jsonl(tmp_path / f"{number}.jsonl", [*rows, '{"n": 1, "broken"'])
    where = {"path": "*.jsonl", "where": "n >= 20"}
    one = run(tmp_path, config(where), "one")
    assert numbers(one)["distinct_texts"] == 60 and numbers(one)["rows_rejected"] == 3
    monkeypatch.setattr(filters, "BATCH_ROWS", 7)
    other = run(tmp_path, config(where), "other")
    for name in ("fit", "holdout", "holdout_labels", "rejected", "traces_metrics"):
        assert getattr(one, name).read_bytes() == getattr(other, name).read_bytes(), name


def test_a_condition_that_leaves_nothing_is_told(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [*good(30), "broken"])
    jsonl(tmp_path / "b.jsonl", good(30, 50))
    assert error(tmp_path, config("b.jsonl", {"path": "a.jsonl", "where": "teacher = 'none'"})) == (
        "traces[1].where of a.jsonl (teacher = 'none') leaves none of the 30 rows"
    )
    with pytest.raises(
        ConfigError, match=r"traces\[0\]\.where of a\.jsonl \(techer = 'x'\): no row has a field 'techer'"
    ):
        run(tmp_path, config({"path": "a.jsonl", "where": "techer = 'x'"}))


def test_a_window_or_a_sample_that_leaves_nothing_is_told(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [{**row, "at": "2026-01-01"} for row in good(30)])
    message = error(tmp_path, config({"path": "a.jsonl", "timestamp": "at", "since": "2027-01-01"}))
    assert message == (
        "traces: not one of the 30 rows can be used\n"
        "a.jsonl: all 30 rows are outside of `since`, `until` and `sample`, or are no calls of the teacher"
    )


def test_rows_that_are_left_out_are_no_part_of_the_share_that_may_be_rejected(tmp_path: Path) -> None:
    rows: Rows = [{**row, "n": i} for i, row in enumerate(good(400))]
    for row in rows[380:390]:
        row["teacher"] = None
    jsonl(tmp_path / "a.jsonl", rows)
    message = error(tmp_path, config({"path": "a.jsonl", "where": "n >= 350"}))
    assert "10 of 50 rows (20.0 %) cannot be used (350 more were left out):\n  a.jsonl, line 381" in message
    run(tmp_path, config("a.jsonl"))


def test_filters_window_and_sample_together_are_accounted_for(tmp_path: Path) -> None:
    rows: Rows = [{**row, "at": 1_700_000_000 + i, "n": i} for i, row in enumerate(good(600))]
    rows[599]["at"] = "soon"
    jsonl(tmp_path / "a.jsonl", [*rows, "broken"])
    source = {"path": "a.jsonl", "timestamp": "at", "where": "n >= 100", "since": "2023-11-14T22:20:00Z", "sample": 0.5}
    found = numbers(run(tmp_path, config(source)))
    assert (found["rows_read"], found["rows_rejected"]) == (601, 2)
    assert found["rows_read"] == found["rows_accepted"] + found["rows_rejected"] + found["rows_skipped"]
    assert 80 < found["rows_accepted"] < 150  # half of 199: 1_700_000_400 is 22:20


# --- bad input ------------------------------------------------------------------------------------


def test_bad_rows_go_to_the_quarantine_and_the_run_goes_on(tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in good(40)]
    lines[6] = '{"input": "broken", "teacher": '
    lines[20] = json.dumps({"input": "x" * 10_000_000, "teacher": "a"})
    lines[21] = '{"input": "x", "teacher": NaN}'
    lines[22] = '{"input": "half \\ud83d", "teacher": "a"}'
    lines[23] = '{"input": "x", "teacher": ["a"]}'
    lines[24] = '{"input": "x"}'
    (tmp_path / "a.jsonl").write_bytes("\n".join(lines).encode() + b'\n{"input": "\xff\xfe", "teacher": "a"}')
    layout = run(tmp_path, config({"path": "a.jsonl", "max_rejected": 0.2}))
    found = rejected(layout)
    assert [row["line"] for row in found] == [7, 21, 22, 23, 24, 25, 41]
    assert [row["reason"].split(":")[0] for row in found] == [
        "not valid JSON",
        "the text (input) has 10,000,000 characters, more than max_text_length",
        "the label (teacher) is NaN",
        "the text (input) holds half of a surrogate pair, which is no character",
        "the label (teacher) is a list, not text",
        "the label (teacher) is missing",
        "not UTF-8",
    ]
    assert {row["source"] for row in found} == {"a.jsonl"}
    assert len(found[1]["row"]) == 500 and found[1]["row"].startswith('{"input": "xxx')
    assert found[6]["row"] == '{"input": "\\xff\\xfe", "teacher": "a"}'
    assert numbers(layout)["rows_rejected"] == 7 and numbers(layout)["rows_accepted"] == 34


def test_strange_labels_and_texts_come_through_unchanged(tmp_path: Path) -> None:
    labels = ["yes", "null", "a/b", "\U0001f600", "\u05e9\u05dc\u05d5\u05dd", "NaN", "0123", "\x00"]
    rows = [{"input": f"{label} {i}", "teacher": label} for label in labels for i in range(9)]
    jsonl(tmp_path / "a.jsonl", rows)
    found = everything(run(tmp_path, config("a.jsonl")))
    assert [(row["text"], row["label"]) for row in found] == [(row["input"], row["teacher"]) for row in rows]


def test_too_many_bad_rows_is_an_error_after_the_quarantine_is_written(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [*good(16), "one", "two", "three", "four"])
    layout = Layout.of_folder(tmp_path, tmp_path / "out")
    with pytest.raises(DataError) as caught:
        ingest.run(layout, config("a.jsonl"))
    message = str(caught.value)
    assert message.startswith(
        "traces: a.jsonl: 4 of 20 rows (20.0 %) cannot be used:\n  a.jsonl, line 17: not valid JSON"
    )
    assert "line 19: " in message and "line 20: " not in message and "and 1 more" in message
    assert "max_rejected (5 %)" in message and str(layout.rejected) in message
    assert [row["row"] for row in rejected(layout)] == ["one", "two", "three", "four"]
    assert not layout.fit.exists()
    ingest.run(layout, config({"path": "a.jsonl", "max_rejected": 0.2}))


def test_the_share_is_of_each_source(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [*good(8), "bad", "bad"])
    jsonl(tmp_path / "b.jsonl", good(500, 100))
    assert "a.jsonl: 2 of 10 rows" in error(tmp_path, config("a.jsonl", "b.jsonl"))


def test_not_one_usable_row(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", ["bad", '{"input": "", "teacher": "a"}'])
    message = error(tmp_path, config({"path": "a.jsonl", "max_rejected": 1.0}))
    assert message.startswith("traces: not one of the 2 rows can be used\na.jsonl: 2 of 2 rows")
    assert "a.jsonl, line 2: the text (input) is empty" in message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "traces: a.jsonl is empty"),
        ("a.jsonl", b"\n\n", "traces: a.jsonl is empty"),
        ("a.csv", b"", "traces: a.csv is empty"),
        ("a.csv", b"input,teacher\n", "traces: a.csv is empty"),
        ("a.jsonl.gz", gzip.compress(b"", mtime=0), "traces: a.jsonl.gz is empty"),
        ("a.jsonl.gz", b"no archive", "a.jsonl.gz: cannot be decompressed"),
        ("a.parquet", b"no parquet", "a.parquet: cannot be read as Parquet"),
        ("a.parquet", as_parquet([{"text": "x", "kind": "y"}]), "a.parquet: no field for `label` is named in tracer.yaml"),
        ("a.csv", b"\xff\xfei\x00n\x00", "a.csv: the file is UTF-16"),
        ("a.csv", b"hello,greeting\nbye,farewell\n", "Its header line is: hello,greeting. If that line is data, the file has no header"),
        ("a.csv", b"input,label,label\nx,a,b\n", "there are 2 columns called 'label'"),
        ("a.jsonl", b'{"body": "x", "kind": "y"}\n', "none of input, query, text, prompt, question is in the file; the fields are: body, kind"),
        ("a.txt", b"x", "a.txt is of no known kind"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert message in error(tmp_path, config(name))


def test_no_file_no_match_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    assert "no such file: nope.jsonl" in error(tmp_path, config("nope.jsonl"))
    assert "no file matches t/*.jsonl" in error(tmp_path, config("t/*.jsonl"))
    assert "t is a folder" in error(tmp_path, config("t"))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_configured_field_that_is_nowhere_is_named_with_its_neighbour(tmp_path: Path, name: str) -> None:
    data = {"jsonl": b"\n".join(json.dumps(row).encode() for row in good(30)), "csv": as_csv(good(30))}
    (tmp_path / name).write_bytes(data.get(name.split(".")[1], as_parquet(good(30))))
    for role, wrong, near in (
        ("text", "inputs", "input"),
        ("label", "teachr", "teacher"),
        ("id", "Teacher", "teacher"),
    ):
        message = error(tmp_path, config({"path": name, role: wrong, "max_rejected": 1.0}))
        assert f"{wrong!r} for `{role}`" in message and f"Did you mean {near!r}?" in message
        assert "input" in message and "teacher" in message


def test_an_optional_field_may_be_missing_in_some_rows(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [*good(30), {**good(1, 30)[0], "id": "x"}])
    assert [row["id"] for row in everything(run(tmp_path, config({"path": "a.jsonl", "id": "id"})))][-1] == "x"


def test_a_file_named_twice_is_an_error(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", good(30))
    assert "a.jsonl is named by two sources" in error(tmp_path, config("a.jsonl", "*.jsonl"))


def test_one_label_only(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [{**row, "teacher": "only"} for row in good(50)])
    message = error(tmp_path, config("a.jsonl"))
    assert "50 distinct texts" in message and "'only'" in message and "at least two labels" in message


def test_fewer_rows_than_folds(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", good(5) * 10)
    message = error(tmp_path, config("a.jsonl", folds=10))
    assert "5 distinct texts" in message and "split.folds needs at least 10" in message


def test_no_text_held_out(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", good(30))
    assert "the guard needs held-out texts" in error(tmp_path, config("a.jsonl", holdout=1e-9))


def test_a_full_temporary_folder_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jsonl(tmp_path / "a.jsonl", good(20_000))
    monkeypatch.setattr(store, "MEMORY_LIMIT", "1MB")
    with pytest.raises(StorageError, match="temporary folder"):
        run(tmp_path, config("a.jsonl"))


MEASURE = """
import json, resource, sys
from pathlib import Path
from tracer_cli.artifacts import Layout
from tracer_cli.config.schema import Config
from tracer_cli.stages import ingest
from tracer_cli.traces import store
store.MEMORY_LIMIT = "240MB"
layout = Layout.of_folder(Path(sys.argv[1]), Path(sys.argv[1]) / "out")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ingest.run(layout, Config.model_validate({"schema": 1, "traces": [{"path": "a.jsonl"}]}))
print(json.dumps({"before": before, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""


@pytest.mark.slow
def test_memory_is_bounded(tmp_path: Path) -> None:
    """400 MB of traces in a process that grows by less than the traces are long."""
    with (tmp_path / "a.jsonl").open("w") as file:
        for i in range(100_000):
            filler = " ".join(str((i * 7919 + j * j) % 100_003) for j in range(700))
            file.write(json.dumps({"input": f"{i} {filler}", "teacher": f"label {i % 20}"}) + "\n")
    size = (tmp_path / "a.jsonl").stat().st_size
    assert size > 380e6
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    memory = json.loads(done.stdout)  # nothing else is printed
    assert (memory["peak"] - memory["before"]) * 1024 < size
    assert numbers(Layout.of_folder(tmp_path, tmp_path / "out"))["distinct_texts"] == 100_000


def test_broken_json_in_line_7_and_one_label_are_named(tmp_path: Path) -> None:
    """As in a report of a bug: the line of the one, and what is missing in the other."""
    lines = [json.dumps(row) for row in good(40)]
    lines[6] = lines[6][:-1]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    layout = run(tmp_path, config("a.jsonl"))
    (row,) = rejected(layout)
    assert row["line"] == 7 and row["reason"].startswith("not valid JSON") and row["row"] == lines[6]
    jsonl(tmp_path / "b.jsonl", [{"input": f"text {i}", "teacher": "same"} for i in range(40)])
    assert "all fit rows have the label 'same', and a classifier needs at least two labels" in error(
        tmp_path, config("b.jsonl")
    )
