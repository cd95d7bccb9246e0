"""Parity live: counts that survive, an alarm that stays, and nothing that a request could feel."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import REPOSITORY
from tracer_cli.core.sequential import first_below
from tracer_cli.errors import DataError
from tracer_cli.runtime.parity import Audits, ParityWatch, Trip, Watched, alarm, judge, watched
from tracer_cli.runtime.parity_file import ParityFile

WHAT = Watched("0123456789abcdef", 0.95, 0.95, "handled")
COUNTS, ALARM = "parity-0123456789abcdef-0.95.json", "parity-0123456789abcdef-0.95.below-target.json"


@pytest.fixture
def open_watch(tmp_path: Path) -> Iterator[type[ParityWatch]]:
    made: list[ParityWatch] = []

    class Watch(ParityWatch):
        def __init__(self, what: Watched = WHAT, folder: Path | None = tmp_path, **options: object) -> None:
            super().__init__(what, folder, **{"seconds": 3600.0, **options})  # type: ignore[arg-type]
            made.append(self)

    yield Watch
    for watch in made:
        watch.close()


def feed(watch: ParityWatch, agreed: int, differed: int, deferred: int = 0) -> None:
    for number, handled, agrees in ((agreed, True, True), (differed, True, False), (deferred, False, False)):
        for _ in range(number):
            watch.observe(handled, agrees)


def counts(folder: Path, name: str = COUNTS) -> dict[str, int]:
    values = json.loads((folder / name).read_text())
    return {key: values[key] for key in ("audited", "handled", "agreed")}


def worker(code: str, folder: Path) -> subprocess.Popen[str]:
    """A process that has `watch`, on the folder, and runs the code."""
    begin = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from tracer_cli.runtime.parity import ParityWatch, Watched\n"
        f"watch = ParityWatch(Watched({WHAT.policy!r}, 0.95, 0.95, 'handled'), Path({str(folder)!r}), seconds=0.02)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", begin + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


# --- what is judged ---------------------------------------------------------------------------------


def test_the_scope_says_which_audits_count() -> None:
    audits = Audits(audited=1000, handled=600, agreed=570)
    handled, overall = judge(WHAT, audits), judge(replace(WHAT, scope="overall"), audits)
    assert (handled.counted, handled.share) == (600, 0.95) and not handled.below and not handled.above
    assert (overall.counted, overall.share) == (1000, 0.97) and not overall.below and overall.above is False
    assert judge(replace(WHAT, scope="overall"), Audits(10_000, 6000, 5700)).above
    assert judge(WHAT, Audits(1000, 600, 500)).below
    assert judge(replace(WHAT, scope="overall"), Audits(1000, 600, 500)).below
    nothing = judge(WHAT, Audits())
    assert (nothing.share, nothing.lower, nothing.upper, nothing.below, nothing.above) == (None, 0, 1, False, False)


def test_what_is_watched_comes_from_the_manifest() -> None:
    manifest = {"target": 0.95, "confidence": 0.9, "scope": "overall", "targets": [{"target": 0.9}, {"target": 0.95}]}
    assert watched(manifest, "ab") == Watched("ab", 0.95, 0.9, "overall")
    assert watched(manifest, "ab", 0.9).target == 0.9
    with pytest.raises(DataError, match=r"0\.8 is no target of this policy; its targets are 0\.9, 0\.95"):
        watched(manifest, "ab", 0.8)


# --- the alarm --------------------------------------------------------------------------------------


def test_the_alarm_is_raised_once_told_and_kept(
    open_watch: type[ParityWatch], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Trip] = []
    watch = open_watch(on_trip=told.append)
    feed(watch, 270, 10, 100)
    watch.flush()
    assert not watch.tripped and not told and not (tmp_path / ALARM).exists()
    feed(watch, 0, 30)
    watch.flush()
    watch.flush()
    assert watch.tripped and told == [watch.trip] and watch.trip is not None
    assert watch.trip.audits == Audits(410, 310, 270) and watch.trip.upper < 0.95
    [record] = caplog.records
    assert record.levelno == logging.ERROR and record.getMessage() == alarm(WHAT, watch.trip)
    assert record.getMessage().startswith("policy 0123456789abcdef defers everything: its parity is below the target")
    # What comes later does not take it back, here or after a restart, where it is told again.
    feed(watch, 100_000, 0)
    watch.flush()
    assert watch.tripped and watch.bounds()[0] > 0.99
    watch.close()
    again = open_watch(on_trip=told.append)
    assert again.tripped and again.trip == watch.trip and told == [watch.trip, watch.trip]
    assert again.parity().audits == Audits(100_410, 100_310, 100_270)
    # Another policy, or another target of this one, starts without it.
    for other in (replace(WHAT, policy="f" * 16), replace(WHAT, target=0.9)):
        assert not open_watch(other).tripped


def test_the_first_time_is_that_of_the_sequence(open_watch: type[ParityWatch]) -> None:
    agrees = np.random.default_rng(3).random(2000) < 0.9
    expected = first_below(agrees, 0.95, 0.025)
    assert expected is not None
    for folder in (None, ...):
        watch = open_watch(WHAT, *([None] if folder is None else []))
        for number, one in enumerate(agrees[:expected], 1):
            watch.observe(True, bool(one))
            if number >= expected - 2:
                watch.flush()
                assert watch.tripped == (number == expected)


def test_the_thread_finds_it_without_a_flush(open_watch: type[ParityWatch]) -> None:
    raised = threading.Event()
    watch = open_watch(seconds=0.02, on_trip=lambda trip: raised.set())
    feed(watch, 0, 20)
    assert raised.wait(10) and watch.tripped


def test_a_callback_that_fails_is_logged(open_watch: type[ParityWatch], caplog: pytest.LogCaptureFixture) -> None:
    watch = open_watch(on_trip=lambda trip: 1 / 0)  # type: ignore[arg-type, return-value]
    feed(watch, 0, 20)
    watch.flush()
    assert watch.tripped
    assert [record.getMessage() for record in caplog.records][1:] == ["the callback for parity below the target failed"]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 2), st.booleans()), max_size=60))
def test_counts_are_the_same_however_they_are_spread_over_workers(
    tmp_path_factory: pytest.TempPathFactory, stream: list[tuple[bool, bool, int, bool]]
) -> None:
    folder = tmp_path_factory.mktemp("workers")
    watches = [ParityWatch(WHAT, folder, seconds=3600) for _ in range(3)]
    for handled, agrees, which, flush in stream:
        watches[which].observe(handled, agrees)
        if flush:
            watches[which].flush()
    for watch in (*watches, *watches):
        watch.close()
    expected = Audits(
        len(stream), sum(handled for handled, *_ in stream), sum(handled and agrees for handled, agrees, *_ in stream)
    )
    assert all(watch.parity() == judge(WHAT, expected) for watch in watches)


# --- processes --------------------------------------------------------------------------------------


def test_four_processes_at_once_lose_nothing_and_all_hear_the_alarm(
    open_watch: type[ParityWatch], tmp_path: Path
) -> None:
    code = (
        "for i in range(3000):\n"
        "    watch.observe(i % 3 != 0, i % 2 == 0)\n"
        "    if i % 100 == 0: time.sleep(0.003)\n"
        "until = time.time() + 20\n"
        "while not watch.tripped and time.time() < until: time.sleep(0.01)\n"
        "print(watch.tripped)\n"
    )
    idle = open_watch(seconds=0.02)
    assert not idle.tripped
    workers = [worker(code, tmp_path) for _ in range(4)]
    assert [(one.communicate(timeout=60)[0], one.returncode) for one in workers] == [("True\n", 0)] * 4
    assert counts(tmp_path) == {"audited": 12_000, "handled": 8000, "agreed": 4000}
    until = time.monotonic() + 10
    while not idle.tripped and time.monotonic() < until:
        time.sleep(0.01)
    assert idle.tripped, "it had no audit of its own"


def test_a_killed_process_loses_no_more_than_its_last_moment(open_watch: type[ParityWatch], tmp_path: Path) -> None:
    code = (
        "n = 0\nwhile True:\n    watch.observe(True, True); n += 1\n    time.sleep(0.0005)\n    print(n, flush=True)\n"
    )
    for _ in range(3):
        before = counts(tmp_path)["agreed"] if (tmp_path / COUNTS).exists() else 0
        process = worker(code, tmp_path)
        assert process.stdout is not None
        seen = 0
        for line in process.stdout:
            seen = int(line)
            if seen == 600:
                break
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        written = max([seen, *map(int, rest.split()[:-1])])
        kept = counts(tmp_path)["agreed"] - before
        assert 0 < kept <= written + 1 and written - kept < 500
    # Its lock went with it, and what it left goes on.
    watch = open_watch()
    watch.observe(True, True)
    watch.flush()
    assert watch.parity().audits.agreed == counts(tmp_path)["agreed"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
def test_a_fork_counts_for_itself(tmp_path: Path) -> None:
    code = (
        "watch.close(); watch = ParityWatch(watch.what, watch._file.counts.parent, seconds=3600)\n"
        "for _ in range(10): watch.observe(True, True)\n"
        "import warnings; warnings.simplefilter('ignore')\n"
        "child = os.fork()\n"
        "for _ in range(3 if child else 5): watch.observe(True, True)\n"
        "watch.flush()\n"
        "if child: os.waitpid(child, 0)\n"
        "else: os._exit(0)\n"
    )
    process = worker(code, tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert counts(tmp_path)["audited"] == 18


def test_the_end_of_a_process_writes_what_waits(tmp_path: Path) -> None:
    process = worker("watch._seconds = 3600\nfor _ in range(7): watch.observe(True, True)\n", tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and errors == "" and counts(tmp_path)["audited"] == 7


# --- files that are wrong ---------------------------------------------------------------------------

GOOD = {"schema": 1, "policy": WHAT.policy, "target": 0.95, "confidence": 0.95, "scope": "handled"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b'{"schema": 1, "aud', "Unterminated string"),
        (b"\xff\xfe\x00", "can't decode|Expecting value|codec"),
        (b"[1]", "it holds no JSON object"),
        (b"[" * 100_000, "it holds no JSON object"),
        (json.dumps(GOOD).encode(), "its counts are no whole numbers"),
        (json.dumps({**GOOD, "audited": 5, "handled": 6, "agreed": 1}).encode(), "its counts do not fit each other"),
        (json.dumps({**GOOD, "audited": 5.0, "handled": 4, "agreed": 1}).encode(), "its counts are no whole numbers"),
        (json.dumps({**GOOD, "schema": 2}).encode(), "its schema is 2, not 1"),
        (json.dumps({**GOOD, "scope": "overall"}).encode(), "its scope is 'overall', not 'handled'"),
    ],
)
def test_damaged_counts_are_set_aside_and_begun_anew_and_an_alarm_stays(
    open_watch: type[ParityWatch], tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, reason: str
) -> None:
    first = open_watch()
    feed(first, 10, 20)
    first.close()
    (tmp_path / COUNTS).write_bytes(content)
    watch = open_watch()
    assert watch.tripped and watch.parity().audits == Audits()
    feed(watch, 5, 0)
    watch.flush()
    assert counts(tmp_path) == {"audited": 5, "handled": 5, "agreed": 5}
    [aside] = tmp_path.glob(f"{COUNTS}.damaged-*")
    assert aside.read_bytes() == content
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert re.search(reason, warning.getMessage()) and "counted anew" in warning.getMessage()


@pytest.mark.parametrize("content", [b"", b"{}", b'{"audits": {}, "time": 1}', b"\x00" * 10])
def test_a_damaged_alarm_is_an_alarm(open_watch: type[ParityWatch], tmp_path: Path, content: bytes) -> None:
    (tmp_path / ALARM).write_bytes(content)
    watch = open_watch()
    assert watch.tripped and watch.trip is not None and watch.trip.audits is None
    assert "the file that says when cannot be read" in alarm(WHAT, watch.trip)


def test_an_alarm_needs_no_disk(
    open_watch: type[ParityWatch], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder is a file: nothing can be written, and nothing of that reaches the request."""
    (tmp_path / "file").write_text("")
    watch = open_watch(WHAT, tmp_path / "file")
    for _ in range(3):
        feed(watch, 3, 10)
        watch.flush()
    assert watch.tripped
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and "goes on in memory" in warnings[0] and "File exists" in warnings[0]
    # Once there is a folder, the audits and the alarm are brought there.
    (tmp_path / "file").unlink()
    watch.flush()
    assert counts(tmp_path / "file") == {"audited": 39, "handled": 39, "agreed": 9}
    assert (tmp_path / "file" / ALARM).exists()


def test_a_full_disk_loses_nothing_once_there_is_room(small_disk: Path, open_watch: type[ParityWatch]) -> None:
    watch = open_watch(WHAT, small_disk)
    feed(watch, 3, 0)
    watch.flush()
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    feed(watch, 4, 0)
    watch.flush()
    assert counts(small_disk)["audited"] == 3
    filler.unlink()
    watch.flush()
    assert counts(small_disk)["audited"] == 7 and [p for p in small_disk.iterdir() if p.suffix == ".tmp"] == []


def test_a_lock_that_another_holds_is_waited_for_in_the_thread_alone(
    open_watch: type[ParityWatch], tmp_path: Path
) -> None:
    from filelock import FileLock

    watch = open_watch(seconds=0.02)
    with FileLock(tmp_path / f".parity-{WHAT.policy}-0.95.lock"):
        began = time.perf_counter()
        feed(watch, 2000, 0)
        assert watch.tripped is False
        assert time.perf_counter() - began < 1
        time.sleep(0.1)
        assert not (tmp_path / COUNTS).exists()
    watch.close()
    assert counts(tmp_path)["audited"] == 2000


def test_nothing_is_written_before_the_first_audit(open_watch: type[ParityWatch], tmp_path: Path) -> None:
    watch = open_watch(WHAT, tmp_path / "log", seconds=0.01)
    assert not watch.tripped
    time.sleep(0.1)
    assert not (tmp_path / "log").exists()
    assert not ParityFile(tmp_path / "log", WHAT).changed()


def test_the_runtime_imports_nothing_heavy_for_it() -> None:
    code = (
        "import sys, tracer_cli.runtime.parity\nprint([m for m in ('scipy', 'sklearn', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
    )
    assert done.stdout == "[]\n", done.stderr
