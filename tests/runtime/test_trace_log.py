"""The trace log: nothing blocks or fails a request, every line is whole, and every entry is accounted for."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer_cli as tracer
from runtime.log_support import TIME, entry, eventually, files, finished, ids, lines, program
from tracer_cli.errors import ConfigError
from tracer_cli.runtime import log_file, log_writer
from tracer_cli.runtime.log_file import LogFile
from tracer_cli.runtime.trace_log import TraceLog, opened
from tracer_cli.traces import teacher
from tracer_cli.traces.calls import Context
from tracer_cli.traces.log_format import SYSTEM_CHARACTERS, Entry, context_fields, line
from tracer_cli.traces.read.lines import MAX_LINE_BYTES
from traces.presets.accounting import accounted, ingested

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs fork, signals or a file system of its own")


@pytest.fixture(autouse=True)
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "tracer")
    return caplog


def counts(log: TraceLog) -> tuple[int, int, int, int]:
    found = log.counts
    return found["accepted"], found["written"], found["dropped"], found["withheld"]


# --- what is written ------------------------------------------------------------------------------


def test_what_is_appended_is_in_a_finished_file_in_its_order(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    with TraceLog(folder) as log:
        assert not folder.exists(), "nothing is made before there is a trace"
        assert all(log.append(entry(number)) for number in range(2500))
        assert log.flush(20)
        assert files(folder) == [] and len(files(folder, ".jsonl.open")) == 1
    assert counts(log) == (2500, 2500, 0, 0)
    assert ids(folder) == [str(number) for number in range(2500)]
    [path] = folder.iterdir()
    assert re.fullmatch(rf"traces-\d{{8}}T\d{{6}}Z-{os.getpid()}-1\.jsonl", path.name)
    assert path.read_bytes().startswith(line(entry(0)))


TEXT = st.text(st.characters(), max_size=40) | st.sampled_from(
    ["\x00", "a\nb\r\n\u2028\u2029\x85", "\ud800", "\udfff x"]
)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=20))
@settings(max_examples=25)
def test_any_text_is_read_back_or_rejected_with_its_reason(pairs: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        with TraceLog(name) as log:
            for number, (text, label) in enumerate(pairs):
                assert log.append(Entry(str(number), TIME, text, label, "organic"))
        assert counts(log) == (len(pairs), len(pairs), 0, 0)
        [path] = files(Path(name))
        assert path.read_bytes().isascii()
        assert [(found["input"], found["teacher"]) for found in lines(Path(name))] == pairs
        found = accounted(Path(name), path="*.jsonl", preset="tracer", max_rejected=1)
    assert len(found) == len(pairs)
    for (text, label), one in zip(pairs, found, strict=True):
        if one.row is not None:
            assert (one.row.text, one.row.label) == (text, label.strip())
        else:
            assert one.rejected and re.search("empty|white space|surrogate", one.rejected), one


def test_update_reads_every_file_of_the_log(tmp_path: Path) -> None:
    with TraceLog(tmp_path, max_bytes=2000) as log:
        for number in range(40):
            origin = ("organic", "audit", "deferred")[number % 3]
            log.append(replace(entry(number, probability=0.5, policy="ab" * 8, score=0.25), origin=origin))
    assert len(files(tmp_path)) > 3
    collected, accepted, rejected = ingested(tmp_path, path="*.jsonl", preset="tracer", max_rejected=0)
    assert (collected.read, accepted, rejected) == (40, 40, [])


def test_what_is_no_entry_is_dropped_and_counted_and_the_others_are_written(
    tmp_path: Path, warnings: pytest.LogCaptureFixture
) -> None:
    wrong: list[Any] = [
        None,
        "text",
        replace(entry(1), time=TIME.replace(tzinfo=None)),
        entry(2, score=float("nan")),
        entry(3, context={"system": {1, 2}}),
        entry(4, tool_calls=(("x", object()),)),
        entry(5, tool_calls=3),
        replace(entry(6), input=b"\xff"),
    ]
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    wrong.append(entry(7, tool_calls=(("x", deep),)))
    with TraceLog(tmp_path) as log:
        for one in wrong:
            log.append(one)
            log.append(entry("good"))
    assert counts(log) == (18, 9, 9, 0)
    assert ids(tmp_path) == ["good"] * 9
    assert "dropped 9 traces: the entry cannot be written as JSON" in warnings.text
    while deep:  # its destructor would recurse
        deep = deep.pop()


def test_a_line_that_no_reader_would_take_is_dropped(tmp_path: Path) -> None:
    assert log_writer.LONGEST_LINE == MAX_LINE_BYTES
    with TraceLog(tmp_path) as log:
        log.append(entry("long", "é" * (MAX_LINE_BYTES // 6)))
        log.append(entry("short"))
    assert counts(log) == (2, 1, 1, 0) and ids(tmp_path) == ["short"]


def test_the_instructions_are_cut_in_each_line_and_their_digest_is_of_all() -> None:
    assert SYSTEM_CHARACTERS == teacher.SYSTEM_CHARACTERS
    fields = context_fields(Context("ab", "x" * 5000, ("t",)))
    assert fields == {"sha256": "ab", "system": "x" * SYSTEM_CHARACTERS, "tools": ["t"]}
    assert context_fields(None) is None


def test_settings_that_cannot_be_meant(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "traces.jsonl"):
        with pytest.raises(ConfigError, match=r"the trace log is a folder of files; name a folder, such as traces/$"):
            TraceLog(folder)
    for name in ("", ".", "..", "a/b", ".hidden"):
        with pytest.raises(ConfigError, match="beginning of its files' names"):
            TraceLog(tmp_path, name=name)
    for wrong in ("queue", "queue_bytes", "max_bytes", "max_seconds"):
        with pytest.raises(ConfigError, match="must be above 0"):
            TraceLog(tmp_path, **{wrong: 0})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_writer_brings_nothing_heavy_into_the_application() -> None:
    code = """
import sys, tracer_cli as tracer
tracer.TraceLog, tracer.capture, tracer.watch
import tracer_cli.runtime.audit
heavy = "numpy pandas pyarrow duckdb sklearn scipy onnxruntime pydantic starlette dvc".split()
print([name for name in heavy if name in sys.modules])
"""
    assert finished(program(code)) == "[]\n"


# --- rotation -------------------------------------------------------------------------------------


def test_files_are_finished_by_size_and_each_holds_whole_lines(tmp_path: Path) -> None:
    with TraceLog(tmp_path, max_bytes=1000) as log:
        for number in range(50):
            log.append(entry(number))
        log.append(entry("long", "x" * 3000))
        log.append(entry("last"))
    assert sorted(ids(tmp_path)) == sorted([*map(str, range(50)), "long", "last"])
    sizes = [path.stat().st_size for path in files(tmp_path)]
    assert len(sizes) > 10 and sum(size > 1000 for size in sizes) == 1
    assert [path for path in tmp_path.iterdir() if path.suffix == ".open"] == []


def test_a_file_is_finished_by_age_also_when_nothing_comes(tmp_path: Path) -> None:
    log = TraceLog(tmp_path, max_seconds=0.3)
    log.append(entry(1))
    eventually(lambda: files(tmp_path))
    assert ids(tmp_path) == ["1"]
    log.append(entry(2))
    eventually(lambda: len(files(tmp_path)) == 2)
    assert log.close()
    assert len(list(tmp_path.iterdir())) == 2, "no file without a line"


def test_a_name_that_is_taken_is_never_taken_again(tmp_path: Path) -> None:
    """Two containers have the same process id, and may begin in the same second."""
    first = LogFile.create(tmp_path, "n")
    second = LogFile.create(tmp_path, "n")
    first.write([b"first\n"])
    second.write([b"second\n"])
    first.finish()
    third = LogFile.create(tmp_path, "n")
    third.write([b"third\n"])
    third.finish()
    second.finish()
    assert sorted(path.read_bytes() for path in files(tmp_path)) == [b"first\n", b"second\n", b"third\n"]
    assert not files(tmp_path, ".open")


def test_a_file_that_somebody_takes_away_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with TraceLog(folder) as log:
        log.append(entry(1))
        assert log.flush(20)
        folder.rename(tmp_path / "moved")
        log.append(entry(2))
        assert log.flush(20)
        log.append(entry(3))
        assert log.flush(20)
    assert ids(folder) == ["2", "3"]
    assert len(files(tmp_path / "moved", ".jsonl.open")) == 1


# --- limits ---------------------------------------------------------------------------------------


def stopped(log: TraceLog, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The writer hangs in its first write, as on a network file system that does not answer, until the event."""
    go, hangs = threading.Event(), threading.Event()
    write = os.write

    def hanging(descriptor: int, data: bytes) -> int:
        hangs.set()
        go.wait(30)
        return write(descriptor, data)

    monkeypatch.setattr(log_file.os, "write", hanging)
    log.append(entry("first"))
    assert hangs.wait(20)
    return go


def test_a_full_queue_drops_and_counts_and_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: pytest.LogCaptureFixture
) -> None:
    log = TraceLog(tmp_path, queue=10)
    go = stopped(log, monkeypatch)
    began = time.monotonic()
    assert [log.append(entry(number)) for number in range(15)] == [True] * 10 + [False] * 5
    assert time.monotonic() - began < 1
    assert not log.flush(0.05)
    go.set()
    assert log.flush(20)
    assert counts(log) == (16, 11, 5, 0)
    assert log.append(entry("again"))
    assert log.close()
    assert ids(tmp_path) == ["first", *map(str, range(10)), "again"]
    assert "dropped 5 traces: the queue was full" in warnings.text


def test_the_queue_is_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = TraceLog(tmp_path, queue_bytes=100_000)
    go = stopped(log, monkeypatch)
    big = "x" * 40_000
    assert [log.append(entry(number, big)) for number in range(3)] == [True, True, False]
    assert log.append(entry("small"))
    assert not log.append(replace(entry("label"), teacher=big))
    assert not log.append(entry("arguments", tool_calls=(("t", big),)))
    assert not log.append(entry("system", context={"sha256": "", "system": big}))
    go.set()
    assert log.close()
    assert counts(log) == (8, 4, 4, 0)


def test_a_log_that_hangs_does_not_hold_up_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = TraceLog(tmp_path)
    go = stopped(log, monkeypatch)
    log.append(entry(1))
    began = time.monotonic()
    assert log.close(0.2) is False
    assert time.monotonic() - began < 5
    assert log.counts["dropped"] == 1, "what waited is lost, and counted"
    go.set()
    assert log.close() is True
    assert counts(log) == (2, 1, 1, 0) and ids(tmp_path) == ["first"]


def test_after_the_end_everything_is_dropped_and_counted(tmp_path: Path) -> None:
    log = TraceLog(tmp_path)
    assert log.close() and log.close()
    assert not log.append(entry(1))
    assert counts(log) == (1, 0, 1, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_many_threads_at_once_lose_nothing_uncounted(tmp_path: Path) -> None:
    log = TraceLog(tmp_path, queue=5000, max_bytes=3 << 20)
    refused = [0] * 8

    def work(thread: int) -> None:
        for number in range(20_000):
            refused[thread] += not log.append(entry(f"{thread}-{number}"))
            if number % 1000 == 0:
                time.sleep(0.01)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.close(60)
    accepted, written, dropped, withheld = counts(log)
    assert (accepted, withheld) == (160_000, 0)
    assert accepted == written + dropped and dropped == sum(refused)
    found = ids(tmp_path)
    assert len(found) == len(set(found)) == written > 0
    assert len(files(tmp_path)) > 1


# --- redaction ------------------------------------------------------------------------------------


def test_redaction_changes_withholds_or_drops_and_never_lets_through(
    tmp_path: Path, warnings: pytest.LogCaptureFixture
) -> None:
    def redact(found: Entry) -> Any:
        kind = found.id
        if kind == "fails":
            raise ValueError(f"cannot redact {found.input}")
        if kind == "exits":
            sys.exit("secret")
        return {"kept": found, "none": None, "wrong": {"input": found.input}}.get(
            kind, replace(found, input=found.input.replace("secret", "***"))
        )

    with TraceLog(tmp_path, redact=redact) as log:
        for kind in ("changed", "none", "fails", "exits", "wrong", "kept"):
            log.append(entry(kind, "a secret" if kind != "kept" else "open"))
    assert [(found["id"], found["input"]) for found in lines(tmp_path)] == [("changed", "a ***"), ("kept", "open")]
    assert counts(log) == (6, 2, 3, 1)
    assert "dropped 3 traces: the redaction returned dict, neither an entry nor None" in warnings.text
    assert "secret" not in warnings.text


def test_a_log_is_shared_by_those_who_name_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = opened("log/")
    assert opened(tmp_path / "log") is one and opened(one) is one is not opened("other")
    one.close()
    assert opened("log") is not one
    assert tracer.TraceLog is TraceLog
