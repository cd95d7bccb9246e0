"""Part files: named by their content, whole or not there, never changed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import REPOSITORY, files_of
from tracer_cli.artifacts import exclusive
from tracer_cli.errors import StorageError
from tracer_cli.traces.parts import add_part, adding, is_part, part_name
from tracer_cli.traces.read.files import find_files, trace_file


@given(st.binary(), st.sampled_from([".jsonl", ".jsonl.gz", ".csv", ".parquet", ".ndjson.zst"]))
def test_a_part_is_named_by_its_content_and_read_as_traces(content: bytes, suffix: str) -> None:
    name = part_name(hashlib.sha256(content).hexdigest(), suffix)
    assert name == f"part-{hashlib.sha256(content).hexdigest()[:16]}{suffix}"
    assert is_part(name)
    assert trace_file(Path(name), Path()).format in ("jsonl", "csv", "parquet")


@pytest.mark.parametrize("name", ["a.jsonl", "part-0123.jsonl", ".part.1.tmp", "part-0123456789abcdef", "part-x.csv"])
def test_another_file_is_no_part(name: str) -> None:
    assert not is_part(name)


def test_a_file_is_added_once_and_left_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / "new.jsonl"
    source.write_bytes(b"{}\n")
    folder = tmp_path / "data" / "traces"
    first = add_part(folder, source, ".jsonl")
    before = first.path.stat()
    again = add_part(folder, lambda path: path.write_bytes(b"{}\n"), ".jsonl")
    assert (first.new, again.new) == (True, False)
    assert first.path == again.path == folder / part_name(hashlib.sha256(b"{}\n").hexdigest(), ".jsonl")
    assert (again.path.stat().st_mtime_ns, again.path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert files_of(folder) == {first.path.name: b"{}\n"}
    assert source.read_bytes() == b"{}\n"


def test_the_mode_of_a_part_is_that_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    part = add_part(tmp_path / "t", lambda path: path.write_bytes(b"x"), ".csv").path
    assert part.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_part_that_was_changed_is_an_error_and_stays(tmp_path: Path) -> None:
    part = add_part(tmp_path, lambda path: path.write_bytes(b"{}\n"), ".jsonl").path
    part.write_bytes(b"[]\n")
    with pytest.raises(StorageError, match=r"part-[0-9a-f]{16}\.jsonl: its content is not the one that it is named"):
        add_part(tmp_path, lambda path: path.write_bytes(b"{}\n"), ".jsonl")
    assert part.read_bytes() == b"[]\n"


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        path.write_bytes(b"half")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        add_part(tmp_path / "t", fails, ".jsonl")
    assert files_of(tmp_path) == {}


def test_a_source_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*nope\.jsonl: no such file or folder"):
        add_part(tmp_path / "t", tmp_path / "nope.jsonl", ".jsonl")


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with exclusive(tmp_path / "t"), pytest.raises(StorageError, match="another tracer run is writing"):
        add_part(tmp_path / "t", lambda path: path.write_bytes(b"x"), ".csv")
    assert add_part(tmp_path / "t", lambda path: path.write_bytes(b"x"), ".csv").new


def test_several_parts_under_one_lock(tmp_path: Path) -> None:
    with adding(tmp_path) as add:
        found = [add(lambda path, text=text: path.write_text(text), ".csv").new for text in ("a", "b", "a")]
    assert found == [True, True, False]
    assert sorted(files_of(tmp_path).values()) == [b"a", b"b"]


def test_two_at_once_add_each_part_once_or_are_told(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom tracer_cli.errors import StorageError\n"
        "from tracer_cli.traces.parts import add_part\n"
        "for number in range(40):\n"
        "    try:\n"
        "        add_part(Path(sys.argv[1]), lambda path: path.write_text(str(number) * 9999), '.csv')\n"
        "    except StorageError as error:\n"
        "        assert 'another tracer run' in str(error), error\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "t")]
    running = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    files = files_of(tmp_path / "t")
    assert files
    assert all(name == part_name(hashlib.sha256(content).hexdigest(), ".csv") for name, content in files.items())


def test_a_killed_run_leaves_nothing_that_ingest_reads_and_the_next_cleans_up(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom tracer_cli.traces.parts import add_part\n"
        "def write(path):\n    path.write_text('half a part')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "add_part(Path(sys.argv[1]), write, '.csv')\n"
    )
    folder = tmp_path / "t"
    add_part(folder, lambda path: path.write_text("whole"), ".csv")
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(files_of(folder)) == 2, "the test needs what the killed run leaves"
    for pattern in ("*", "*.csv", "**/*", "part*"):
        assert [file.path.read_text() for file in find_files(folder, pattern)] == ["whole"]
    assert not add_part(folder, lambda path: path.write_text("whole"), ".csv").new
    assert list(files_of(folder).values()) == [b"whole"]


def test_a_full_disk_is_a_sentence_and_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(StorageError, match="the disk is full: free some space and run again"):
        add_part(small_disk / "t", lambda path: path.write_bytes(b"x" * 3_000_000), ".csv")
    assert files_of(small_disk) == {}
    assert add_part(small_disk / "t", lambda path: path.write_bytes(b"x"), ".csv").new
