"""Lines are counted exactly, whatever the bytes."""

import gzip
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tracer_cli.errors import DataError
from tracer_cli.traces.read import lines
from tracer_cli.traces.read.files import trace_file
from tracer_cli.traces.read.lines import Line, read_lines

NASTY = st.sampled_from(
    [
        b"\n",
        b"\r",
        b"\r\n",
        b"\x00",
        b"\x01",
        b'"',
        b"\xff",
        b"\xe2\x80\xa8",
        b"\x0b",
        b"\x85",
        b"ab",
        b" ",
        b"\xc3\xa9",
    ]
)


def read(path: Path, data: bytes) -> list[Line]:
    path.write_bytes(data)
    return list(read_lines(trace_file(path, path.parent)))


@given(st.lists(NASTY, max_size=40).map(b"".join), st.integers(1, 5))
def test_only_a_newline_ends_a_line_and_blocks_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, block: int
) -> None:
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    path = tmp_path_factory.getbasetemp() / "nasty.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", max(block, 3))
        found = read(path, data)
    assert [line.content for line in found] == expected
    assert [line.number for line in found] == list(range(1, len(expected) + 1))
    assert [line.length for line in found] == [len(line) for line in expected]


def test_a_byte_order_mark_is_dropped_at_the_start_alone(tmp_path: Path) -> None:
    found = read(tmp_path / "a.jsonl", b"\xef\xbb\xbfa\n\xef\xbb\xbfb")
    assert [line.content for line in found] == [b"a", b"\xef\xbb\xbfb"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(DataError, match=r"a\.csv: the file is UTF-16; save it as UTF-8"):
        read(tmp_path / "a.csv", "\ufeffinput,teacher\n".encode(encoding))


def test_a_line_that_is_too_long_is_cut_and_its_length_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK", 10)
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 20)
    first, second = read(tmp_path / "a.jsonl", b"x" * 1000 + b"\nshort")
    assert (first.length, second.content) == (1000, b"short")
    assert len(first.content) < 50
    assert first.problem == "the line has 1,000 bytes, more than 20"
    assert second.problem is None


def test_the_first_bad_byte_is_named(tmp_path: Path) -> None:
    (line,) = read(tmp_path / "a.jsonl", b"caf\xe9")
    assert line.problem == "not UTF-8: byte 4 of the line is 0xe9"


def test_archives_of_several_members_are_read_to_the_end(tmp_path: Path) -> None:
    two_gzip = gzip.compress(b"a\nb") + gzip.compress(b"c\nd\n")
    two_zstd = zstandard.compress(b"a\nb") + zstandard.compress(b"c\nd\n")
    assert [line.content for line in read(tmp_path / "a.jsonl.gz", two_gzip)] == [b"a", b"bc", b"d"]
    assert [line.content for line in read(tmp_path / "a.jsonl.zst", two_zstd)] == [b"a", b"bc", b"d"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl.gz", gzip.compress(b"a\n" * 1000, mtime=0)[:-10]),
        ("a.jsonl.gz", b"not an archive"),
        ("a.jsonl.zst", zstandard.compress(b"a\n" * 1000)[:-5]),
        ("a.jsonl.zst", b"not an archive"),
    ],
)
def test_a_broken_archive_is_an_error_that_names_the_file(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(DataError, match=f"{name}: cannot be decompressed .* truncated or not a"):
        read(tmp_path / name, data)
