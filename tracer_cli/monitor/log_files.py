"""The files of a trace log: folders of them, compressed ones, and the one that is still being written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from tracer_cli.errors import DataError
from tracer_cli.traces.read.files import TraceFile, trace_file
from tracer_cli.traces.read.records import Record, read_records

OPEN = ".open"  # behind the name of a file that a process is writing
_IN_FOLDER = (".jsonl", ".jsonl.gz", ".jsonl.zst", f".jsonl{OPEN}")


def log_files(paths: Iterable[Path]) -> list[TraceFile]:
    """The files that are meant, each once, in the order given and by name within a folder. Raises DataError."""
    found: dict[Path, TraceFile] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.is_file() and file.name.endswith(_IN_FOLDER))
            if not inside:
                raise DataError(f"{path} holds no trace log: no file whose name ends in {', '.join(_IN_FOLDER)}")
        elif path.exists():
            inside = [path]
        else:
            raise DataError(f"no such file: {path}; name the folder or the files of a trace log")
        for file in inside:
            found.setdefault(file.resolve(), _described(file))
    return list(found.values())


def read_log(file: TraceFile, scratch: Path) -> Iterator[Record]:
    """The lines of a file, also of one that was finished, and so renamed, since it was found."""
    if file.path.name.endswith(OPEN) and not file.path.exists():
        finished = file.path.with_name(file.path.name.removesuffix(OPEN))
        file = replace(file, path=finished, name=file.name.removesuffix(OPEN))
    yield from read_records(file, None, scratch)


def _described(path: Path) -> TraceFile:
    if path.name.endswith(f".jsonl{OPEN}"):
        return TraceFile(path, path.as_posix(), "jsonl", None)
    return trace_file(path, Path())
