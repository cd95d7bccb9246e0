"""Which files a source means, and what is in them."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

from tracer_cli.errors import DataError

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
KNOWN = ".jsonl (or .ndjson), .csv or .parquet, each also with .gz or .zst"


@dataclass(frozen=True)
class TraceFile:
    """One file of traces. name: as people know it, relative to the project; format: jsonl, csv or parquet."""

    path: Path
    name: str
    format: str
    compression: str | None


def find_files(root: Path, pattern: str, pulled: bool = False) -> list[TraceFile]:
    """The files that `traces.path` means, sorted by name. pulled: whether `tracer pull` puts them there.

    A path that exists is taken as it is, even when it contains glob characters. Raises DataError when there
    is no such file, when it is a folder, when a glob matches no file, or when a file is of an unknown kind.
    """
    path = root / pattern
    if path.is_dir():
        raise DataError(
            f"traces: {pattern} is a folder; name the files in it, for example {pattern.rstrip('/')}/*.jsonl"
        )
    if path.exists():
        return [trace_file(path, root)]
    if not glob.has_magic(pattern):
        raise DataError(f"traces: no such file: {pattern} (looked for {path}); put it there, or correct the path")
    matches = (root / match for match in glob.glob(pattern, root_dir=root, recursive=True))  # noqa: PTH207 (takes absolute patterns too)
    files = sorted((match for match in matches if match.is_file()), key=lambda match: match.as_posix())
    if not files and pulled:
        raise DataError(f"traces: no file matches {pattern}: nothing was pulled yet; run `tracer pull`")
    if not files:
        raise DataError(
            f"traces: no file matches {pattern} (looked in {root.resolve()}); put the traces there, or correct the path"
        )
    return [trace_file(match, root) for match in files]


def trace_file(path: Path, root: Path) -> TraceFile:
    """The file with its format, by its extension. Raises DataError for an unknown one."""
    try:
        name = path.relative_to(root).as_posix()
    except ValueError:
        name = path.as_posix()
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression:
        suffixes.pop()
    format = FORMATS.get(suffixes[-1]) if suffixes else None
    if format is None:
        hint = ""
        if suffixes and suffixes[-1] == ".json":
            hint = "; a .json file is not read: write one JSON object a line and call it .jsonl"
        raise DataError(f"traces: {name} is of no known kind: it must end in {KNOWN}{hint}")
    return TraceFile(path, name, format, compression)
