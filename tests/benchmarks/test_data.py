"""Reading data sets, and what is said when one is not there or not usable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import data, vectors
from benchmarks.__main__ import main
from support import write_jsonl


def write_public(folder: Path) -> None:
    (folder / "banking77").mkdir(parents=True)
    (folder / "banking77" / "train.csv").write_text('text,category\n"one, two",a\nthree,b\n')
    (folder / "banking77" / "test.csv").write_text("text,category\nfour,c\nthree,a\n")
    write_jsonl(folder / "banking77-gpt" / "traces.jsonl", [{"input": "x", "teacher": "a", "ground_truth": "b"}])


def test_public_sets_are_read_and_the_first_of_a_text_counts(tmp_path: Path) -> None:
    write_public(tmp_path)
    found = data.public("banking77", tmp_path)
    assert (found.texts, found.teacher) == (["one, two", "three", "four"], ["a", "b", "c"])
    assert data.public("banking77-gpt", tmp_path).teacher == ["a"]


@pytest.mark.parametrize("command", ["compare", "validity"])
@pytest.mark.parametrize("given", [False, True])
def test_missing_data_is_told_with_its_sources(
    command: str, given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRACER_BENCH_DATA", raising=False)
    arguments = [command, "--results", str(tmp_path / "r.jsonl"), *(["--data", str(tmp_path)] if given else [])]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    expected = "does not have banking77/train.csv, banking77/test.csv" if given else "no folder with the public data"
    for part in (expected, "PolyAI-LDN/task-specific-datasets", "CC BY 4.0", "stoyian/OCaTS", "dev.csv", "MIT"):
        assert part in done.stderr


def test_rows_of_vectors_follow_their_texts(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "t.jsonl", [{"input": text, "teacher": "a"} for text in ("x", "y", " x", "z")])
    np.save(tmp_path / "v.npy", np.arange(8.0).reshape(4, 2))
    found = data.trace_file(path, tmp_path / "v.npy")
    assert found.texts == ["x", "y", "z"]
    assert found.vectors is not None and found.vectors.tolist() == [[0, 1], [2, 3], [6, 7]]


def test_vectors_must_have_a_row_for_each_trace(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "t.jsonl", [{"input": "x", "teacher": "a"}])
    np.save(tmp_path / "v.npy", np.zeros((2, 3)))
    with pytest.raises(data.UserError, match=r"v\.npy has shape \(2, 3\).*1 traces"):
        data.trace_file(path, tmp_path / "v.npy")


@pytest.mark.parametrize("line", ["{", "[]", '{"input": "x"}'])
def test_a_line_that_is_no_trace_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"input": "x", "teacher": "a"}\n\n' + line + "\n")
    with pytest.raises(data.UserError, match=r"t\.jsonl, line 3: expected"):
        data.trace_file(path)


def test_the_cache_is_keyed_by_contents(tmp_path: Path) -> None:
    first = data.DataSet("d", ["x", "é"], ["a", "b"], np.ones((2, 3), np.float32))
    other = data.DataSet("d", ["x", "é"], ["a", "b"], np.zeros((2, 3), np.float32))
    prepared = vectors.prepare(first, tmp_path)
    assert vectors.prepare(first, tmp_path) == prepared != vectors.prepare(other, tmp_path)
    loaded = vectors.load(prepared.path)
    assert (loaded.texts, loaded.teacher) == (first.texts, first.teacher)
    assert np.array_equal(loaded.vectors, np.ones((2, 3)))
