"""Which source a new file belongs to, and what DVC and git are told of its folder."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from support import write_jsonl
from tracer_cli.config.schema import Config
from tracer_cli.errors import ConfigError, DataError, StorageError
from tracer_cli.programs.tracked import require_whole
from tracer_cli.refit import tracking
from tracer_cli.refit.destination import destination, reads
from tracer_cli.refit.incoming import examine
from tracer_cli.refit.outcome import distinct_files, suffix_of
from tracer_cli.refit.project import parts_of


def config(*sources: str | dict[str, Any]) -> Config:
    return Config.model_validate({"traces": [{"path": s} if isinstance(s, str) else s for s in sources]})


@pytest.mark.parametrize(
    ("pattern", "suffix", "found"),
    [
        ("data/traces/*.jsonl", ".jsonl", True),
        ("data/traces/*.jsonl", ".jsonl.gz", False),
        ("data/traces/*.jsonl*", ".jsonl.gz", True),
        ("data/traces/*", ".parquet", True),
        ("data/traces/**/*.csv", ".csv", True),
        ("data/traces/part-*.csv", ".csv", True),
        ("data/*/calls.jsonl", ".jsonl", False),
        ("data/*/*.jsonl", ".jsonl", False),
        ("./data//traces/*.jsonl", ".jsonl", True),
        ("*.jsonl", ".jsonl", True),
        ("/somewhere/else/*.jsonl", ".jsonl", True),
        ("data/traces/2026-*.jsonl", ".jsonl", False),
    ],
)
def test_a_glob_reads_a_part_as_ingest_would(pattern: str, suffix: str, found: bool) -> None:
    assert reads(pattern, suffix) is found


def test_the_first_source_that_fits_or_the_one_that_is_named() -> None:
    both = config("data/old.jsonl", "data/a/*.jsonl", "data/b/*.jsonl", "data/c/*.csv")
    assert (destination(both, ".jsonl", None).index, destination(both, ".jsonl", None).folder) == (1, "data/a")
    assert destination(both, ".csv", None).folder == "data/c"
    assert destination(both, ".jsonl", "2").folder == "data/b"
    assert destination(both, ".jsonl", "data/b/*.jsonl").index == 2
    with pytest.raises(ConfigError) as caught:
        destination(both, ".parquet", None)
    assert str(caught.value) == (
        "no source of tracer.yaml takes a new file that ends in .parquet:\n"
        "  traces[0].path data/old.jsonl: it is a single file, to which nothing can be added\n"
        "  traces[1].path data/a/*.jsonl: it would not read data/a/part-0000000000000000.parquet\n"
        "  traces[2].path data/b/*.jsonl: it would not read data/b/part-0000000000000000.parquet\n"
        "  traces[3].path data/c/*.csv: it would not read data/c/part-0000000000000000.parquet\n"
        "Declare a folder, with the files that are there in it, such as `path: data/traces/*.parquet`"
    )
    with pytest.raises(ConfigError, match=r"traces\[0\]\.path data/old\.jsonl: it is a single file"):
        destination(both, ".jsonl", "0")


def test_a_pulled_source_takes_no_other_files() -> None:
    pulled = {"path": "data/p/*.parquet", "pull": {"source": "sqlite:///x.db", "query": "select 1"}}
    with pytest.raises(ConfigError, match="its files come from `tracer pull`"):
        destination(config(pulled), ".parquet", None)
    assert destination(config(pulled, "data/q/*.parquet"), ".parquet", None).index == 1


def test_a_batch_file_comes_with_its_answers(tmp_path: Path) -> None:
    """Both become parts, the answers first; and they are read together before."""

    def request(i: int) -> dict[str, Any]:
        body = {"messages": [{"role": "user", "content": f"text {i}"}]}
        return {"custom_id": f"c{i}", "method": "POST", "url": "/v1/chat/completions", "body": body}

    def answer(i: int) -> dict[str, Any]:
        choice = {"index": 0, "message": {"role": "assistant", "content": "ab"[i % 2]}}
        return {"custom_id": f"c{i}", "response": {"status_code": 200, "body": {"choices": [choice]}}, "error": None}

    asked = write_jsonl(tmp_path / "asked.jsonl", [request(i) for i in range(9)])
    answered = write_jsonl(tmp_path / "answered.jsonl", [answer(i) for i in range(9)])
    source = {"path": "data/in/*.jsonl", "results": "data/out/*.jsonl", "preset": "openai-batch"}
    found = parts_of(config(source), [asked], None, answered)
    assert [(part.file, part.folder) for part in found] == [(answered, "data/out"), (asked, "data/in")]
    assert found[0].source is None and found[1].source is not None
    assert examine(tmp_path, [found[1].source], 0).rows["accepted"] == 9
    for given, results, changed, message in (
        ([asked], None, {}, r"give one input file at a time, with its output file \(--results FILE\)"),
        ([asked, answered], answered, {}, "give one input file at a time"),
        ([asked], answered, {"results": "data/out.jsonl"}, r"traces\[0\]\.results: data/out\.jsonl would not read"),
        ([asked], answered, {"preset": "openai-chat", "results": None}, "--results goes with preset: openai-batch"),
    ):
        with pytest.raises((ConfigError, DataError), match=message):
            parts_of(config(source | changed), given, None, results)


def test_files_of_one_content_count_once(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text("{}\n")
    found = distinct_files([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])
    assert [(path.name, suffix) for path, _, suffix in found] == [("a.jsonl", ".jsonl")]
    with pytest.raises(DataError, match="of no known kind"):
        distinct_files([Path(__file__)])


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.jsonl", ".jsonl"), ("a.2026.JSONL.GZ", ".jsonl.gz"), ("a.b.csv.zst", ".csv.zst")]
)
def test_suffixes(name: str, suffix: str) -> None:
    assert suffix_of(Path(name)) == suffix


def test_what_is_in_git_is_left_to_git(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert tracking.track(tmp_path, "data") == ""
    with pytest.raises(StorageError, match="is not in a DVC repository: run `dvc init`"):
        tracking.require_repository(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert "`git add data` with the refit" in tracking.track(tmp_path, "data")
    require_whole(tmp_path, "data")
