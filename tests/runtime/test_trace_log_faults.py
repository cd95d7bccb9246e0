"""The trace log on disks that are full or read-only, in processes that are killed, fork, or share its folder."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.log_support import entry, eventually, files, finished, ids, program
from tracer_cli.runtime import log_writer, trace_log
from tracer_cli.runtime.log_file import finish_abandoned
from tracer_cli.runtime.trace_log import TraceLog
from tracer_cli.traces.log_format import line
from traces.presets.accounting import accounted, ingested

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs fork, signals or a file system of its own")


@pytest.fixture(autouse=True)
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "tracer")
    return caplog


def counts(log: TraceLog) -> tuple[int, int, int, int]:
    found = log.counts
    return found["accepted"], found["written"], found["dropped"], found["withheld"]


@posix
def test_a_full_disk_drops_and_writing_goes_on_when_there_is_room(
    small_disk: Path, warnings: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "RETRY", 0.05)
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 1_900_000)
    folder = small_disk / "log"
    log = TraceLog(folder, queue=200)
    for number in range(3000):
        log.append(entry(number, "y" * 500))
        if number % 100 == 0:
            time.sleep(0.01)
    eventually(lambda: "No space left on device" in warnings.text)
    during = log.counts
    assert during["dropped"] > 1000 and during["written"] < 500
    assert len(ids(folder)) == during["written"], "also what a full disk cut off is whole lines"
    assert sum("cannot be written" in found.message for found in warnings.records) == 1, "once a minute"
    filler.unlink()
    assert log.flush(20), "what waited is written when there is room"
    assert log.append(entry("after"))
    assert log.close()
    accepted, written, dropped, _ = counts(log)
    assert accepted == 3001 == written + dropped
    found = ids(folder)
    assert len(found) == len(set(found)) == written and found[-1] == "after"
    assert not files(folder, ".open")


@posix
def test_a_read_only_folder(
    small_disk: Path, warnings: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "RETRY", 0.05)
    log = TraceLog(small_disk / "log", queue=5)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for number in range(20):
        log.append(entry(number))
    eventually(lambda: "Read-only file system" in warnings.text)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert log.close(20)
    accepted, written, dropped, _ = counts(log)
    assert accepted == 20 == written + dropped and 0 < written < 20


@posix
def test_a_log_that_cannot_be_written_is_given_up_at_the_end(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(b"x" * (2 << 20))
    log = TraceLog(small_disk / "log")
    for number in range(50):
        log.append(entry(number, "y" * 500))
    began = time.monotonic()
    assert log.close(20)
    assert time.monotonic() - began < 10
    assert counts(log) == (50, 0, 50, 0)


@posix
def test_a_limit_on_the_size_of_files_costs_only_what_is_longer(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from runtime.log_support import entry
from tracer_cli.runtime.trace_log import TraceLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
with TraceLog(sys.argv[1]) as log:
    for number in range(40):
        log.append(entry(number))
    log.append(entry("long", "x" * 6000))
    log.append(entry("last"))
print(log.counts)
"""
    assert finished(program(code, tmp_path)).startswith("{'accepted': 42, 'written': 41, 'dropped': 1,")
    assert sorted(ids(tmp_path)) == sorted([*map(str, range(40)), "last"])
    assert len(files(tmp_path)) > 1


def test_a_warning_that_fails_costs_nothing(tmp_path: Path) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise RuntimeError("a filter of the application")

    log = TraceLog(tmp_path)
    trace_log.logger.addFilter(refuse)
    try:
        log.append(entry(1, score=float("nan")))
        log.append(entry(2))
        assert log.flush(20)
        log.append(entry(3))
        assert log.close()
    finally:
        trace_log.logger.removeFilter(refuse)
    assert ids(tmp_path) == ["2", "3"]


# --- processes ------------------------------------------------------------------------------------

WRITES = """
import sys, time
from runtime.log_support import entry
from tracer_cli.runtime.trace_log import TraceLog
log = TraceLog(sys.argv[1], max_bytes=int(sys.argv[3]))
print("ready", flush=True)
for number in range(int(sys.argv[4])):
    log.append(entry(f"{sys.argv[2]}-{number}", "z" * 300))
    if number % 200 == 0:
        time.sleep(0.005)
    if number % 1000 == 999 and log.flush():
        print(number + 1, flush=True)
"""


@posix
@pytest.mark.slow
def test_kills_at_any_moment_lose_the_queue_and_tear_at_most_one_line(tmp_path: Path) -> None:
    known: dict[str, int] = {}
    for run in range(8):
        process = program(WRITES, tmp_path, f"r{run}", 200_000, 10**9)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.stdout.readline()
        time.sleep(0.013 * run)
        process.kill()
        told = [int(word) for word in process.communicate()[0].split()]
        known[f"r{run}"] = max([1000, *told])
        TraceLog(tmp_path).close()  # any start finishes what the dead process left
        assert not files(tmp_path, ".open")
    numbers: dict[str, list[int]] = {run: [] for run in known}
    torn = 0
    for path in files(tmp_path):
        *whole, rest = path.read_bytes().split(b"\n")
        torn += bool(rest)
        for found in map(json.loads, whole):
            run, number = found["id"].split("-")
            numbers[run].append(int(number))
    assert torn <= len(known)
    for run, found in numbers.items():
        assert sorted(found) == list(range(len(found))), "in order, without a hole"
        assert len(found) >= known[run], "what was told to be written is there"
    collected, accepted, rejected = ingested(tmp_path, path="*.jsonl", preset="tracer", max_rejected=1)
    assert accepted == sum(map(len, numbers.values()))
    assert collected.rejected == torn and all("JSON" in found["reason"] for found in rejected)


def test_a_torn_line_is_never_continued(tmp_path: Path) -> None:
    left = tmp_path / "traces-20260801T090000Z-1-1.jsonl.open"
    left.write_bytes(line(entry(1)) + line(entry(2))[:50])
    (tmp_path / "traces-20260801T090000Z-1-2.jsonl.open").write_bytes(b"")
    (tmp_path / "mine.jsonl.open").write_bytes(b"of somebody else")
    with TraceLog(tmp_path) as log:
        assert not left.exists(), "finished before there is anything to write"
        log.append(entry(3))
    assert sorted(path.name for path in tmp_path.iterdir())[0] == "mine.jsonl.open"
    assert len(files(tmp_path)) == 2, "a file without a line goes"
    assert left.with_suffix("").read_bytes() == line(entry(1)) + line(entry(2))[:50]
    found = accounted(tmp_path, path="*.jsonl", preset="tracer", max_rejected=1)
    assert [one.row.id for one in found if one.row] == ["1", "3"]
    assert [one.rejected is not None for one in found] == [False, True, False]


@posix
def test_a_file_of_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    """The process id says nothing: it may be another's by now, or that of another container."""
    process = program(WRITES + "sys.stdin.read()\n", tmp_path, "a", 1 << 30, 1000)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "1000\n"]
    [path] = files(tmp_path, ".jsonl.open")
    assert finish_abandoned(tmp_path) == []
    reused = path.rename(path.with_name(path.name.replace(f"-{process.pid}-", f"-{os.getpid()}-")))
    assert finish_abandoned(tmp_path) == [], "whoever has the id in the name"
    process.kill()
    process.communicate()
    assert finish_abandoned(tmp_path) == [reused.with_suffix("")]
    assert finish_abandoned(tmp_path / "nowhere") == []


@posix
@pytest.mark.slow
def test_processes_share_a_folder(tmp_path: Path) -> None:
    processes = [program(WRITES, tmp_path, name, 100_000, 4000) for name in "abc"]
    until = time.monotonic() + 60
    while any(process.poll() is None for process in processes) and time.monotonic() < until:
        TraceLog(tmp_path).close()  # a fourth one that starts again and again
    for process in processes:
        finished(process)
    assert sorted(ids(tmp_path)) == sorted(f"{name}-{number}" for name in "abc" for number in range(4000))
    assert not files(tmp_path, ".open")


@posix
def test_the_end_of_the_process_writes_what_waits(tmp_path: Path) -> None:
    code = """
import sys
from runtime.log_support import entry
from tracer_cli.runtime.trace_log import TraceLog
log = TraceLog(sys.argv[1])
for number in range(5000):
    log.append(entry(number))
raise SystemExit(0)
"""
    finished(program(code, tmp_path))
    assert len(ids(tmp_path)) == 5000


@posix
def test_a_forked_worker_has_its_own_file_and_thread(tmp_path: Path) -> None:
    """Forked while the parent's queue is not empty and its file is open: nothing is there twice, nothing is lost."""
    code = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from runtime.log_support import entry
from tracer_cli.runtime.trace_log import TraceLog
log = TraceLog(sys.argv[1])
log.append(entry("parent-0"))
log.flush()
for number in range(500):
    log.append(entry(f"parent-{number + 1}"))
children = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        assert log.counts == {"accepted": 0, "written": 0, "dropped": 0, "withheld": 0}
        for number in range(500):
            assert log.append(entry(f"child{child}-{number}"))
        assert log.close(30)
        os._exit(0)
    children.append(pid)
log.append(entry("parent-501"))
assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
assert log.close(30)
print(log.counts["written"])
"""
    assert finished(program(code, tmp_path)) == "502\n"
    expected = [f"parent-{number}" for number in range(502)]
    expected += [f"child{child}-{number}" for child in range(3) for number in range(500)]
    assert sorted(ids(tmp_path)) == sorted(expected)
    assert len(files(tmp_path)) == 4 and not files(tmp_path, ".open")


@posix
def test_a_worker_that_outlives_its_parent_does_not_hold_the_parents_file(tmp_path: Path) -> None:
    code = """
import os, sys, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from runtime.log_support import entry
from tracer_cli.runtime.trace_log import TraceLog
log = TraceLog(sys.argv[1])
log.append(entry("parent"))
log.flush()
pid = os.fork()
if pid == 0:
    time.sleep(60)
    os._exit(0)
print(pid, flush=True)
time.sleep(60)
"""
    process = program(code, tmp_path)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    try:
        process.kill()
        process.wait()
        eventually(lambda: finish_abandoned(tmp_path))
        assert ids(tmp_path) == ["parent"]
    finally:
        os.kill(worker, signal.SIGKILL)
        process.communicate()
