"""Objects of a store, each copied as it is into a part; fsspec speaks to the store.

A part is named by its content, so an object must be read to be known: every pull reads every object that the URL
means. An object that vanished or changed stays as the part that it was.
"""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer_cli.config.paths import WILDCARDS
from tracer_cli.errors import ConfigError, DataError, TracerError
from tracer_cli.traces.pull.source import PullSource
from tracer_cli.traces.read.files import COMPRESSIONS, trace_file

_BLOCK = 1 << 20


@dataclass(frozen=True)
class StoredObject:
    """One object. path: in the store; suffix: of the part; size: in bytes, None when the store does not tell."""

    path: str
    suffix: str
    size: int | None


class Objects:
    """The objects that a URL means, sorted by name. Raises ConfigError or DataError when there is none to read."""

    def __init__(self, source: PullSource, url: str) -> None:
        self._source = source
        scheme, _, rest = url.partition("://")
        if scheme in ("file", "local") and not rest.startswith("/"):
            raise ConfigError(f"{source.key}.source: {scheme}:// takes a whole path, such as file:///data/*.jsonl")
        with self._errors("cannot be listed"):
            from fsspec.core import url_to_fs

            self._store, path = url_to_fs(url)
            self._store.invalidate_cache()
            listed = self._listed(path)
        if not listed:
            raise DataError(
                f"{source.key}: {source.shown}: no object matches; put the traces there, or correct the URL"
            )
        self.empty = [name for name, size in listed if size == 0]
        self.found = [StoredObject(name, _suffix(name, source), size) for name, size in listed if size != 0]
        for suffix in sorted({stored.suffix for stored in self.found}):
            source.require_reads(suffix)

    def _listed(self, path: str) -> list[tuple[str, int | None]]:
        if any(mark in path for mark in WILDCARDS):
            entries = self._store.glob(path, detail=True).values()
        else:
            entries = [self._store.info(path)] if self._store.exists(path) else []
        return sorted((entry["name"], entry.get("size")) for entry in entries if entry.get("type") != "directory")

    def copier(self, stored: StoredObject) -> Callable[[Path], None]:
        """A function that writes the object to a path, block by block."""

        def copy(path: Path) -> None:
            count = 0
            with self._errors(f"{stored.path} cannot be read"):
                source = self._store.open(stored.path, "rb")
            with contextlib.closing(source), path.open("wb") as target:
                while block := self._block(source, stored):
                    target.write(block)
                    count += len(block)
            if stored.size is not None and count != stored.size:
                raise DataError(
                    f"{self._source.key}: {stored.path} has {stored.size:,} bytes and {count:,} came: it was changed "
                    "meanwhile, or the connection broke; pull again"
                )

        return copy

    def _block(self, source: Any, stored: StoredObject) -> bytes:
        with self._errors(f"{stored.path} cannot be read"):
            return bytes(source.read(_BLOCK))

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """What a store raises is anything: every store's client has its own errors."""
        try:
            yield
        except TracerError:
            raise
        except ImportError as error:
            raise ConfigError(
                f"{self._source.key}: {self._source.shown}: {error}; fsspec reads s3:// with s3fs, gs:// with gcsfs, "
                "az:// with adlfs: install the one, such as `pip install s3fs`"
            ) from error
        except Exception as error:
            told = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{self._source.key}: {self._source.shown}: {doing}: {told}") from error


def _suffix(name: str, source: PullSource) -> str:
    """The endings that say what is in it: `.jsonl.gz`."""
    file = Path(posixpath.basename(name))
    try:
        trace_file(file, Path())
    except DataError as error:
        raise DataError(f"{source.key}: {source.shown}: {str(error).removeprefix('traces: ')}") from error
    last = [suffix.lower() for suffix in file.suffixes]
    return "".join(last[-2:] if last[-1] in COMPRESSIONS else last[-1:])
