"""Which files a path in tracer.yaml means."""

from pathlib import Path

import pytest

from tracer_cli.errors import DataError
from tracer_cli.traces.read.files import find_files


def names(root: Path, pattern: str) -> list[str]:
    return [file.name for file in find_files(root, pattern)]


def touch(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("x")


def test_a_glob_gives_its_files_sorted_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "t/b.jsonl", "t/a.jsonl", "t/c/d.jsonl", "t/e.csv")
    assert names(tmp_path, "t/*.jsonl") == ["t/a.jsonl", "t/b.jsonl"]
    assert names(tmp_path, "t/**/*.jsonl") == ["t/a.jsonl", "t/b.jsonl", "t/c/d.jsonl"]


def test_a_path_that_exists_is_no_glob(tmp_path: Path) -> None:
    touch(tmp_path, "day[1].jsonl", "day1.jsonl")
    assert names(tmp_path, "day[1].jsonl") == ["day[1].jsonl"]


def test_an_absolute_path_is_taken_as_it_is_and_named_relative_inside_the_project(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.jsonl", "out/b.jsonl")
    assert names(tmp_path / "in", str(tmp_path / "in" / "a.jsonl")) == ["a.jsonl"]
    assert names(tmp_path / "in", str(tmp_path / "out" / "*.jsonl")) == [(tmp_path / "out" / "b.jsonl").as_posix()]


@pytest.mark.parametrize(
    ("name", "format", "compression"),
    [
        ("a.jsonl", "jsonl", None),
        ("a.ndjson.gz", "jsonl", "gzip"),
        ("a.b.csv.zst", "csv", "zstd"),
        ("A.CSV", "csv", None),
        ("a.parquet", "parquet", None),
        ("a.parquet.gz", "parquet", "gzip"),
    ],
)
def test_the_extension_tells_format_and_compression(
    tmp_path: Path, name: str, format: str, compression: str | None
) -> None:
    touch(tmp_path, name)
    (file,) = find_files(tmp_path, name)
    assert (file.format, file.compression) == (format, compression)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("nope.jsonl", "traces: no such file: nope.jsonl"),
        ("t/*.csv", "traces: no file matches t/*.csv"),
        ("t", "traces: t is a folder; name the files in it, for example t/*.jsonl"),
        ("t/*.xlsx", "traces: t/a.xlsx is of no known kind: it must end in .jsonl"),
        ("t/a.gz", "traces: t/a.gz is of no known kind"),
        ("t/a", "traces: t/a is of no known kind"),
        ("t/a.json", "write one JSON object a line and call it .jsonl"),
    ],
)
def test_what_is_no_trace_file_is_an_error(tmp_path: Path, pattern: str, message: str) -> None:
    touch(tmp_path, "t/a.xlsx", "t/a.gz", "t/a", "t/a.json")
    with pytest.raises(DataError) as error:
        find_files(tmp_path, pattern)
    assert message in str(error.value)
