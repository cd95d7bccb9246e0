"""The lines of a text file as bytes, counted exactly.

DuckDB's CSV reader (2.0) was tried for this and for CSV itself. It takes a lone carriage return for the end of
a line, so that all later line numbers are wrong; it refuses a whole file with CRLF in strict mode; and it drops
what follows an unclosed quote without a word. A trace must never vanish, so lines are split here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO, NamedTuple

import pyarrow as pa

from tracer_cli.artifacts import storage_errors
from tracer_cli.errors import DataError
from tracer_cli.traces.read.files import TraceFile

BLOCK = 1 << 20
MAX_LINE_BYTES = 16 << 20


class Line(NamedTuple):
    """number: from 1; content: without the newline, cut off somewhere beyond MAX_LINE_BYTES; length: in bytes."""

    number: int
    content: bytes
    length: int

    @property
    def problem(self) -> str | None:
        """Why the line cannot be used at all."""
        if self.length > MAX_LINE_BYTES:
            return f"the line has {self.length:,} bytes, more than {MAX_LINE_BYTES:,}"
        if not self.content.isascii():
            try:
                self.content.decode("utf-8")
            except UnicodeDecodeError as error:
                return f"not UTF-8: byte {error.start + 1} of the line is 0x{self.content[error.start]:02x}"
        return None


@contextlib.contextmanager
def decompressed(file: TraceFile) -> Iterator[IO[bytes]]:
    """The file's contents as a stream. Raises DataError for a broken archive, StorageError if it cannot be opened."""
    with storage_errors(file.path, "read"):
        raw = file.path.open("rb")
    with raw:
        if file.compression is None:
            with storage_errors(file.path, "read"):
                yield raw
            return
        try:
            with pa.input_stream(raw, compression=file.compression) as stream:
                yield stream
        except OSError as error:
            if error.errno is not None:
                raise
            raise DataError(
                f"{file.name}: cannot be decompressed ({error}); it is truncated or not a {file.compression} file"
            ) from error


def read_lines(file: TraceFile) -> Iterator[Line]:
    r"""Every line, split at \n alone; a UTF-8 byte order mark is dropped. Memory: one line and one block."""
    number, length, pending = 1, 0, bytearray()
    with decompressed(file) as stream:
        for block in _blocks(stream, file):
            *ends, rest = block.split(b"\n")
            for part in ends:
                if length:
                    length += len(part)
                    _extend(pending, part)
                    yield Line(number, bytes(pending), length)
                    length, pending = 0, bytearray()
                else:
                    yield Line(number, part, len(part))
                number += 1
            length += len(rest)
            _extend(pending, rest)
    if length:
        yield Line(number, bytes(pending), length)


def _extend(pending: bytearray, part: bytes) -> None:
    if len(pending) <= MAX_LINE_BYTES:
        pending += part


def _blocks(stream: IO[bytes], file: TraceFile) -> Iterator[bytes]:
    first = stream.read(BLOCK)
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{file.name}: the file is UTF-16; save it as UTF-8")
    block = first.removeprefix(b"\xef\xbb\xbf")
    while block:
        yield block
        block = stream.read(BLOCK)
