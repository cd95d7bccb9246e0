"""One source of traces, pulled: what is new in it becomes a part."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer_cli.config.sections import DATABASES
from tracer_cli.traces.parts import Added, Source, adding, is_part
from tracer_cli.traces.pull.objects import Objects
from tracer_cli.traces.pull.source import PullSource

Add = Callable[[Source, str], Added]


@dataclass(frozen=True)
class NewPart:
    """path: relative to tracer.yaml; rows: None for an object, which is copied without being read; size: in bytes."""

    path: str
    rows: int | None
    size: int


@dataclass(frozen=True)
class Pulled:
    """What one pull of one source did.

    read: rows of the query, or objects; new: the parts that were added; here: objects whose part was here already;
    gone: parts that are none of the objects (any more), None for a database; empty: objects without content.
    """

    source: PullSource
    unit: str
    read: int
    new: tuple[NewPart, ...]
    here: int = 0
    gone: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()

    def data(self) -> dict[str, Any]:
        return {
            "index": self.source.index,
            "path": self.source.path,
            "source": self.source.shown,
            "unit": self.unit,
            "read": self.read,
            "new_rows": None if self.unit == "objects" else sum(part.rows or 0 for part in self.new),
            "parts": [{"path": part.path, "rows": part.rows, "bytes": part.size} for part in self.new],
            "gone": list(self.gone),
            "empty": list(self.empty),
        }


def pull(source: PullSource, environment: Mapping[str, str] = os.environ) -> Pulled:
    """Add what is new in one source to its folder.

    Raises ConfigError and DataError for a source that cannot be used, StorageError for files and for a pull of the same
    folder that is under way; none of them names a credential. Nothing is added when it raises in the middle of a part.
    """
    with source.secrets(environment).kept():
        url = source.url(environment)
        scheme = source.require_kind(url)
        with adding(source.folder) as add:
            if scheme in DATABASES:
                return _rows(source, url, scheme, add)
            return _objects(source, url, add)


def _rows(source: PullSource, url: str, scheme: str, add: Add) -> Pulled:
    from tracer_cli.traces.pull import known, postgres, sqlite
    from tracer_cli.traces.pull.rows import NothingNewError, PartOfRows, Rows, warn_of_changes, warn_of_query

    source.require_reads(".parquet")
    cursor = source.pull.cursor
    parts = known.known_parts(source.folder)
    greatest = known.greatest(parts, cursor, source.key) if cursor is not None else None
    least = None if greatest is None else greatest.value
    opened: Callable[..., AbstractContextManager[Rows]]
    opened = sqlite.opened_rows if scheme == "sqlite" else postgres.opened_rows
    with opened(source, url, least) as rows:
        warn_of_changes(source.key, rows.schema, parts)
        warn_of_query(source.key, str(source.pull.query), greatest)
        writer = PartOfRows(rows, known.Known(parts, cursor, least), source)
        try:
            added = add(writer, ".parquet")
        except NothingNewError:
            return Pulled(source, "rows", writer.read, ())
    return Pulled(source, "rows", writer.read, (_new(source, added, writer.new),))


def _objects(source: PullSource, url: str, add: Add) -> Pulled:
    objects = Objects(source, url)
    added = [add(objects.copier(stored), stored.suffix) for stored in objects.found]
    names = {one.path.name for one in added}
    parts = sorted(path.name for path in source.folder.glob("part-*") if is_part(path.name))
    return Pulled(
        source,
        "objects",
        len(added) + len(objects.empty),
        tuple(_new(source, one, None) for one in added if one.new),
        here=sum(not one.new for one in added),
        gone=tuple(source.name(Path(name)) for name in parts if name not in names),
        empty=tuple(objects.empty),
    )


def _new(source: PullSource, added: Added, rows: int | None) -> NewPart:
    return NewPart(source.name(added.path), rows, added.path.stat().st_size)
