"""Objects of a store, through the real fsspec: a local file system and one in memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from pull_support import parts, source
from support import example_traces, files_of
from tracer_cli.artifacts import Layout
from tracer_cli.config.schema import Config
from tracer_cli.errors import ConfigError, DataError, StorageError
from tracer_cli.stages import ingest
from tracer_cli.traces.parts import part_name
from tracer_cli.traces.pull import objects
from tracer_cli.traces.pull.pull import Pulled, pull

Put = Callable[[str, bytes], None]


@pytest.fixture
def put() -> Iterator[Put]:
    """Puts an object into the store in memory, which is empty before and after."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    yield lambda path, content: store.pipe(f"/{path}", content)
    store.store.clear()


def pulled(root: Path, url: str, path: str = "data/traces/*.jsonl*") -> Pulled:
    return pull(source(root, path, source=url), {})


def named(content: bytes, suffix: str) -> str:
    return part_name(hashlib.sha256(content).hexdigest(), suffix)


def test_each_object_becomes_a_part_of_its_own_kind(put: Put, tmp_path: Path) -> None:
    packed = gzip.compress(b'{"input": "b"}\n')
    put("bucket/day=1/a.jsonl", b'{"input": "a"}\n')
    put("bucket/day=2/b.JSONL.gz", packed)
    put("bucket/day=2/notes.txt", b"no traces")
    done = pulled(tmp_path, "memory://bucket/*/*.[jJ][sS]*")
    assert parts(tmp_path) == {
        named(b'{"input": "a"}\n', ".jsonl"): b'{"input": "a"}\n',
        named(packed, ".jsonl.gz"): packed,
    }
    assert (done.read, done.here, done.gone, len(done.new)) == (2, 0, (), 2)


def test_a_second_pull_adds_what_is_new_and_leaves_the_rest(put: Put, tmp_path: Path) -> None:
    put("b/a.jsonl", b"a")
    first = pulled(tmp_path, "memory://b/*.jsonl")
    (path,) = (tmp_path / part.path for part in first.new)
    before = path.stat()
    put("b/b.jsonl", b"b")
    put("b/copy of a.jsonl", b"a")
    second = pulled(tmp_path, "memory://b/*.jsonl")
    assert (second.read, second.here, len(second.new)) == (3, 2, 1)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert pulled(tmp_path, "memory://b/*.jsonl").new == ()


def test_an_object_that_vanished_or_changed_stays_and_is_told(put: Put, tmp_path: Path) -> None:
    put("b/a.jsonl", b"a")
    put("b/b.jsonl", b"b")
    pulled(tmp_path, "memory://b/*.jsonl")
    fsspec.filesystem("memory").rm("/b/a.jsonl")
    put("b/b.jsonl", b"b\nb2")
    done = pulled(tmp_path, "memory://b/*.jsonl")
    assert sorted(parts(tmp_path).values()) == [b"a", b"b", b"b\nb2"]
    assert set(done.gone) == {f"data/traces/{named(content, '.jsonl')}" for content in (b"a", b"b")}


def test_one_object_without_a_wildcard(put: Put, tmp_path: Path) -> None:
    put("b/a.csv", b"input,teacher\n")
    assert len(pulled(tmp_path, "memory://b/a.csv", "data/traces/*.csv").new) == 1


def test_an_empty_object_is_left_out_and_told(put: Put, tmp_path: Path) -> None:
    put("b/a.jsonl", b"")
    put("b/b.jsonl", b"b")
    done = pulled(tmp_path, "memory://b/*.jsonl")
    assert list(parts(tmp_path).values()) == [b"b"]
    assert [name.rpartition("/")[2] for name in done.empty] == ["a.jsonl"]
    assert done.read == 2


def test_a_local_file_system(tmp_path: Path) -> None:
    (tmp_path / "store" / "x.jsonl").mkdir(parents=True)  # a folder is no object
    (tmp_path / "store" / "a b%20#?.jsonl").write_bytes(b"a")
    done = pulled(tmp_path / "project", f"file://{tmp_path}/store/*.jsonl")
    assert len(done.new) == 1
    assert list(files_of(tmp_path / "project").values()) == [b"a"]


def test_a_large_object_goes_through_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_BLOCK", 1000)
    content = b"0123456789" * 12345
    (tmp_path / "a.jsonl").write_bytes(content)
    pulled(tmp_path, f"file://{tmp_path}/a.jsonl")
    assert parts(tmp_path) == {named(content, ".jsonl"): content}


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "path", "message"),
    [
        ("memory://b/*.csv", "data/traces/*.csv", "no object matches; put the traces there, or correct the URL"),
        ("memory://b/nope.jsonl", "data/traces/*.jsonl", "no object matches"),
        ("memory://b/*", "data/traces/*", "notes.txt is of no known kind: it must end in .jsonl"),
        ("memory://b/*.gz", "data/traces/*.jsonl", "expected data/traces/*.jsonl.gz"),
        ("memory://b/*.gz", "data/traces/*/*.gz", "would not read the parts"),
        ("nosuch://b/*.jsonl", "data/traces/*.jsonl", "Protocol not known: nosuch"),
        ("file://data/*.jsonl", "data/traces/*.jsonl", "takes a whole path, such as file:///data/*.jsonl"),
    ],
)
def test_a_source_that_cannot_be_used_is_a_sentence(
    put: Put, tmp_path: Path, url: str, path: str, message: str
) -> None:
    put("b/a.jsonl.gz", b"a")
    put("b/notes.txt", b"a")
    with pytest.raises((ConfigError, DataError)) as error:
        pulled(tmp_path, url, path)
    assert message in str(error.value)
    assert str(error.value).startswith("traces[0]")
    assert parts(tmp_path) == {}


@pytest.mark.parametrize(("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs")])
def test_a_store_whose_package_is_missing_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"{scheme}://b/\*\.jsonl: .*{package}.*pip install s3fs"):
        pulled(tmp_path, f"{scheme}://b/*.jsonl")


def test_an_object_that_may_not_be_read(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("b/a.jsonl", b"a")
    put("b/b.jsonl", b"b")
    store = fsspec.filesystem("memory")
    whole = type(store).open

    def refused(self: object, path: str, *arguments: object, **options: object) -> object:
        if path.endswith("b.jsonl"):
            raise PermissionError("Access Denied")
        return whole(store, path, *arguments, **options)

    monkeypatch.setattr(type(store), "open", refused)
    with pytest.raises(DataError, match=r"b\.jsonl cannot be read: Access Denied"):
        pulled(tmp_path, "memory://b/*.jsonl")
    assert list(parts(tmp_path).values()) == [b"a"], "what came whole stays"


def test_an_object_that_is_cut_off_is_no_part(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("b/a.jsonl", b"0123456789")
    broken = io.BytesIO(b"0123")  # what a connection that ends early gives
    monkeypatch.setattr(type(fsspec.filesystem("memory")), "open", lambda self, path, mode: broken)
    with pytest.raises(DataError, match=r"b/a\.jsonl has 10 bytes and 4 came: it was changed meanwhile"):
        pulled(tmp_path, "memory://b/*.jsonl")
    assert parts(tmp_path) == {}


def test_a_full_disk_is_a_sentence(put: Put, small_disk: Path) -> None:
    put("b/a.jsonl", b"a" * 3_000_000)
    with pytest.raises(StorageError, match="the disk is full: free some space and run again"):
        pulled(small_disk, "memory://b/*.jsonl")
    assert parts(small_disk) == {}


def test_the_same_traces_from_a_store_and_from_files(put: Put, tmp_path: Path) -> None:
    lines = [json.dumps(row) + "\n" for row in example_traces(300)]
    for number in range(3):
        put(f"b/{number}.jsonl", "".join(lines[number::3]).encode())
    pulled(tmp_path, "memory://b/*.jsonl")
    (tmp_path / "all.jsonl").write_text("".join(lines))
    counts = []
    for path in ("data/traces/*.jsonl", "all.jsonl"):
        layout = Layout.of_folder(tmp_path, tmp_path / "out")
        ingest.run(layout, Config.model_validate({"traces": [{"path": path}]}))
        counts.append(json.loads(layout.traces_metrics.read_text()))
    assert counts[0] == counts[1]
