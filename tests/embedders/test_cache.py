"""The embedding cache: a text is embedded once, and nothing that happens to the file makes a vector wrong."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from embedders.counting import Counting, right
from support import REPOSITORY
from tracer_cli.embedders import cache as cache_module
from tracer_cli.embedders import vector_store
from tracer_cli.embedders.base import Floats
from tracer_cli.embedders.cache import Cache, CachedEmbedder, public
from tracer_cli.embedders.vector_store import Identity
from tracer_cli.errors import EmbedderError


def run(folder: Path, texts: Sequence[str], embedder: Counting | None = None) -> list[str]:
    """Embed through the cache; the texts that the embedder was asked for."""
    embedder = embedder or Counting()
    vectors = CachedEmbedder(embedder, Cache(folder)).embed(texts)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, right(texts))
    return embedder.asked


def file_of(folder: Path) -> Path:
    [path] = folder.glob("*.sqlite")
    return path


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    caplog.clear()
    return found


TEXTS = [f"text {i}" for i in range(300)]

# --- what is embedded -----------------------------------------------------------------------------


def test_each_distinct_text_is_embedded_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert sorted(run(tmp_path, ["b", "a", "b", "", "a"])) == ["", "a", "b"]
    assert run(tmp_path, ["a", "c", "", "c", "b"]) == ["c"]
    assert run(tmp_path, ["c", "b", "a"]) == run(tmp_path, []) == []
    assert warnings_of(caplog) == []


def test_texts_that_differ_in_any_way_are_others(tmp_path: Path) -> None:
    texts = ["a", "a ", "A", "á", "a\u0301", "a\0", "\ud800", "\ufeffa", "a\r\n", "a\n"]
    assert len(run(tmp_path, texts)) == len(texts)
    assert run(tmp_path, texts) == []


@hypothesis_settings(max_examples=40)
@given(calls=st.lists(st.lists(st.text(max_size=2) | st.sampled_from(TEXTS[:40]), max_size=60), max_size=5))
def test_any_calls_give_the_embedders_vectors_and_ask_for_no_text_twice(
    calls: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_module, "_LOOKED_UP", 7)
        patch.setattr(vector_store, "_LOOKED_UP", 3)
        asked = [text for texts in calls for text in run(folder, texts, Counting(part=4))]
    assert sorted(asked) == sorted({text for texts in calls for text in texts})


def test_it_counts_over_all_calls(tmp_path: Path) -> None:
    run(tmp_path, TEXTS[:200])
    cache = Cache(tmp_path)
    embedder = CachedEmbedder(Counting(), cache)
    for texts in (TEXTS[:100], TEXTS[100:300], ["x", "x"]):
        embedder.embed(texts)
    assert (cache.found, cache.embedded) == (200, 101)


def test_it_stands_for_the_embedder_beneath(tmp_path: Path) -> None:
    cached = CachedEmbedder(Counting(), Cache(tmp_path / "cache"))
    assert (cached.kind, cached.dim, cached.fingerprint) == ("counting", 24, "counting:a")
    assert not cached.cacheable, "a cache over a cache"
    cached.save(tmp_path)
    assert (tmp_path / "spec.json").read_text() == "counting:a"


def test_another_fingerprint_is_another_file(tmp_path: Path) -> None:
    run(tmp_path, ["a"])
    assert run(tmp_path, ["a"], Counting("b")) == ["a"]
    assert len(list(tmp_path.iterdir())) == 2


def test_parts_are_kept_although_a_later_one_fails(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="the service is down"):
        run(tmp_path, TEXTS, Counting(part=50, fails_at="text 101"))
    again = run(tmp_path, TEXTS)  # the parts come from the last to the first
    assert sorted(again) == sorted(TEXTS[:150])


def test_a_part_that_is_missing_or_wrong_is_an_error_and_not_kept(tmp_path: Path) -> None:
    class Forgetful(Counting):
        def batches(self, texts: Sequence[str]) -> Iterator[tuple[range, Floats]]:
            yield from itertools.islice(super().batches(texts), 1)

    class Lost(Counting):
        def embed(self, texts: Sequence[str]) -> Floats:
            return super().embed(texts) * np.float32(np.nan)

    with pytest.raises(EmbedderError, match="the embedder gave 44 vectors for 300 texts"):
        CachedEmbedder(Forgetful(), Cache(tmp_path)).embed(TEXTS)
    with pytest.raises(EmbedderError, match="NaN"):
        CachedEmbedder(Lost("lost"), Cache(tmp_path / "lost")).embed(TEXTS)
    assert not list((tmp_path / "lost").glob("*"))


def test_a_model_that_changed_behind_its_address_has_its_vectors_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    embedder = Counting()
    embedder.seen = np.arange(3, dtype=np.float32)
    run(tmp_path, TEXTS, embedder)
    run(tmp_path, TEXTS, embedder)
    assert len(embedder.asked) == 300
    other = Counting()
    other.seen = np.arange(3, dtype=np.float32) + 1
    assert len(run(tmp_path, TEXTS, other)) == 300
    assert [("is of another model" in text) for text in warnings_of(caplog)] == [True]
    run(tmp_path, TEXTS, other)
    assert len(other.asked) == 300 and warnings_of(caplog) == []


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"url": "https://me:secret@h.example:8080/v1?key=secret#secret"}, {"url": "https://h.example:8080/v1"}),
        ({"model": "m", "key_env": "KEY", "headers": {"X": "secret"}, "revision": None}, {"model": "m"}),
        ({"function": "p.m:f", "model": None}, {"function": "p.m:f"}),
    ],
)
def test_what_is_shown_of_an_embedder_holds_no_secret(settings: dict[str, object], shown: dict[str, str]) -> None:
    assert public(settings) == shown


def test_others_cannot_read_it(tmp_path: Path) -> None:
    run(tmp_path / "new" / "embeddings", ["a"])
    assert (tmp_path / "new" / "embeddings").stat().st_mode & 0o077 == 0


# --- bad files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.6, 0.99])
def test_a_truncated_file_is_found_out_and_mended(
    tmp_path: Path, share: float, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, TEXTS)
    path = file_of(tmp_path)
    os.truncate(path, int(path.stat().st_size * share))
    run(tmp_path, TEXTS)
    told = warnings_of(caplog)
    assert len(told) == (share > 0)
    assert all("it is set aside, and its texts are embedded again" in text for text in told)
    assert run(tmp_path, TEXTS) == [] and warnings_of(caplog) == []


def test_a_damaged_row_is_embedded_again_and_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path, TEXTS)
    path = file_of(tmp_path)
    data = path.read_bytes()
    place = data.index(right(["text 7"]).tobytes())
    path.write_bytes(data[: place + 5] + bytes([data[place + 5] ^ 1]) + data[place + 6 :])
    assert run(tmp_path, TEXTS) == ["text 7"]
    assert run(tmp_path, TEXTS) == [] and warnings_of(caplog) == []


def test_a_row_with_the_vector_of_another_text_is_not_believed(tmp_path: Path) -> None:
    run(tmp_path, TEXTS)
    with sqlite3.connect(file_of(tmp_path)) as connection:
        [(vector, checksum)] = connection.execute("SELECT vector, checksum FROM vectors WHERE rowid = 1").fetchall()
        connection.execute("UPDATE vectors SET vector = ?, checksum = ? WHERE rowid = 2", (vector, checksum))
    connection.close()
    assert len(run(tmp_path, TEXTS)) == 1


def test_garbage_anywhere_gives_no_wrong_vector_and_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path, TEXTS)
    path = file_of(tmp_path)
    whole = path.read_bytes()
    rng = random.Random(5)
    hurt = 0
    for _ in range(60):
        for other in tmp_path.iterdir():
            other.unlink()
        data = bytearray(whole)
        for _ in range(rng.choice([1, 3, 40])):
            place = rng.choice(
                [rng.randrange(len(data)), rng.randrange(200), 16384 * rng.randrange(3) + rng.randrange(60)]
            )
            length = rng.choice([1, 4, 100])
            data[place : place + length] = rng.randbytes(len(data[place : place + length]))
        path.write_bytes(data)
        hurt += bool(run(tmp_path, TEXTS))
        assert len(warnings_of(caplog)) <= 2
        run(tmp_path, TEXTS)
        caplog.clear()
    assert hurt > 20


@pytest.mark.parametrize("contents", [b"no database", b"SQLite format 3\0" + b"\xff" * 5000, bytes(8192)])
def test_a_file_that_is_no_database_is_set_aside(
    tmp_path: Path, contents: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, ["a"])
    file_of(tmp_path).write_bytes(contents)
    run(tmp_path, ["a"])
    assert len(warnings_of(caplog)) == 1
    assert run(tmp_path, ["a"]) == [] and warnings_of(caplog) == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE about SET value = '9' WHERE name = 'format'", "it is of format 9, this version of tracer knows 1"),
        ("UPDATE about SET value = 'x' WHERE name = 'fingerprint'", "it says that it belongs to another embedder"),
        ("UPDATE about SET value = '9' WHERE name = 'dim'", "it says that it belongs to another embedder"),
    ],
)
def test_a_file_of_another_version_or_embedder_is_left_as_it_is(
    tmp_path: Path, statement: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, TEXTS)
    path = file_of(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    before = path.read_bytes()
    assert run(tmp_path, [*TEXTS, "new"], Counting(part=10)) and path.read_bytes() == before
    [warning] = warnings_of(caplog)
    assert told in warning and "TRACER_CACHE_DIR names another" in warning


# --- bad folders and disks ------------------------------------------------------------------------


@pytest.mark.parametrize("below", [".", "x"])
def test_a_folder_that_is_a_file_costs_a_warning(tmp_path: Path, below: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    assert len(run(tmp_path / "file" / below, TEXTS, Counting(part=10))) == 300
    assert len(warnings_of(caplog)) == 1


def test_a_full_disk_costs_a_warning_and_what_was_there_stays(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = small_disk / "cache"
    run(folder, TEXTS)
    with (small_disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    more = [f"more {i}" for i in range(4000)]
    assert len(run(folder, TEXTS + more, Counting(part=100))) == 4000
    [warning] = warnings_of(caplog)
    assert "cannot write the embedding cache" in warning and "full" in warning
    assert run(folder, TEXTS) == []
    (small_disk / "ballast").unlink()
    assert len(run(folder, more[:200])) == 200 and run(folder, more[:200] + TEXTS) == []
    assert warnings_of(caplog) == []


def test_a_read_only_disk_is_read(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(small_disk, TEXTS)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert run(small_disk, [*TEXTS, "new"]) == ["new"]
    [warning] = warnings_of(caplog)
    assert "cannot write the embedding cache" in warning
    assert run(small_disk, TEXTS) == [] and warnings_of(caplog) == []


# --- several processes ----------------------------------------------------------------------------

PROGRAM = f"""
import os, signal, sys
from pathlib import Path
sys.path[:0] = {[str(REPOSITORY), str(REPOSITORY / "tests"), str(Path(__file__).parent)]!r}
from counting import Counting, right
from tracer_cli.embedders import vector_store
from tracer_cli.embedders.cache import Cache, CachedEmbedder
folder = Path(sys.argv[1])
cached = CachedEmbedder(Counting(part=16), Cache(folder))
"""


def started(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


KILLED_BEFORE_COMMIT = """
import contextlib
real = vector_store._writing
@contextlib.contextmanager
def killed(path):
    with real(path) as connection:
        yield connection
        os.kill(os.getpid(), signal.SIGKILL)
vector_store._writing = killed
cached._embedder.part = 50000
cached.embed([f"big {i}" for i in range(50000)])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("first", [0, 300])
def test_a_kill_in_the_middle_of_a_transaction_leaves_what_was_there(
    tmp_path: Path, first: int, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, TEXTS[:first])
    with started(KILLED_BEFORE_COMMIT, tmp_path) as process:
        assert process.wait() == -signal.SIGKILL
    assert [path for path in tmp_path.iterdir() if path.name.endswith("-journal")], "nothing was under way"
    assert run(tmp_path, TEXTS[:first]) == []
    assert len(run(tmp_path, ["big 1", "big 49999"])) == 2
    assert warnings_of(caplog) == [] and not list(tmp_path.glob("*-journal"))


WRITES_ON_AND_ON = """
print("begun", flush=True)
for start in range(0, 10**9, 200):
    cached.embed([f"on {i}" for i in range(start, start + 200)])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_kills_at_any_moment_leave_a_file_that_works(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for milliseconds in (1, 30, 80):
        with started(WRITES_ON_AND_ON, tmp_path) as process:
            assert process.stdout is not None and process.stdout.readline() == "begun\n"
            signal.sigtimedwait([], milliseconds / 1000)
            process.kill()
        asked = run(tmp_path, [f"on {i}" for i in range(400)])
        assert run(tmp_path, [f"on {i}" for i in range(400)]) == []
        assert len(asked) < 400 or milliseconds == 1
    assert warnings_of(caplog) == []


EMBEDS_2000 = """
while not (folder / "go").exists():
    pass
texts = [f"both {i}" for i in range(2000)]
for start in range(0, 2000, 100):
    part = texts[start : start + 100]
    assert (cached.embed(part) == right(part)).all()
print(cached._cache.embedded, cached._cache.found)
"""


def test_two_processes_at_once_do_not_disturb_each_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with started(EMBEDS_2000, tmp_path) as one, started(EMBEDS_2000, tmp_path) as two:
        (tmp_path / "go").touch()
        said = [process.communicate() for process in (one, two)]
    assert [errors for _, errors in said] == ["", ""]
    counts = [[int(word) for word in text.split()] for text, _ in said]
    assert all(sum(pair) == 2000 for pair in counts)
    assert run(tmp_path, [f"both {i}" for i in range(2000)]) == []
    about, texts = vector_store.describe(file_of(tmp_path))
    assert texts == 2000 and about["kind"] == "counting" and warnings_of(caplog) == []


WRITES_A_WHILE = """
print("begun", flush=True)
start = 0
while not (folder / "stop").exists():
    part = [f"while {i}" for i in range(start, start + 100)]
    assert (cached.embed(part) == right(part)).all()
    assert (cached.embed(part) == right(part)).all()
    start += 100
"""


def test_it_may_be_removed_while_it_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with started(WRITES_A_WHILE, tmp_path) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        removed, end = 0, time.monotonic() + 60
        while removed < 15 and time.monotonic() < end:
            for path in tmp_path.glob("*.sqlite"):
                vector_store.remove(path)
                removed += 1
            time.sleep(0.01)
        (tmp_path / "stop").touch()
        assert process.communicate() == ("", "") and (process.returncode, removed) == (0, 15)
    run(tmp_path, TEXTS)
    assert run(tmp_path, TEXTS) == [] and warnings_of(caplog) == []
    assert not list(tmp_path.glob("*-journal"))


def test_a_writer_whose_file_was_replaced_writes_to_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, ["old"])
    path, identity = file_of(tmp_path), Identity("counting:a", "counting", 24, {}, None, lambda witness: True)
    real = sqlite3.connect

    def slow(*arguments: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*arguments, **options)  # type: ignore[call-overload]
        monkeypatch.setattr(sqlite3, "connect", real)
        path.unlink()  # between the opening and the transaction
        return connection

    monkeypatch.setattr(sqlite3, "connect", slow)
    vector_store.write(path, identity, [b"k" * 32], np.ones((1, 24), np.float32))
    assert vector_store.describe(path)[1] == 1
    assert list(vector_store.read(path, identity, [b"k" * 32])) == [b"k" * 32]


def test_a_file_that_is_locked_for_long_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, ["a"])
    monkeypatch.setattr(vector_store, "_BUSY", 0.05)
    other = sqlite3.connect(file_of(tmp_path), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert run(tmp_path, ["a", "b"]) == ["a", "b"]
    other.close()
    [warning] = warnings_of(caplog)
    assert "locked" in warning
    assert run(tmp_path, ["a", "b"]) == ["b"]
