"""What an update of a project is in the middle of: kept while it runs, so that a retry tells what a run without a kill
would have told.

The facts of the policy before cannot be read any more once the refit has replaced half of it. So they are kept here
first, together with what is said of the new traces, and taken away when `dvc repro` is done.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tracer_cli.artifacts import STAGES, Layout, read_json, write_json
from tracer_cli.errors import StorageError
from tracer_cli.programs import dvc


@dataclass(frozen=True)
class Pending:
    """previous: facts of the policy before. parts: names of the new parts; traces: what is said of them."""

    previous: dict[str, Any]
    parts: list[str]
    traces: dict[str, Any] | None


def place(layout: Layout) -> Path:
    return layout.work / "artifacts" / "update.json"


def read(root: Path, layout: Layout) -> Pending | None:
    """The update that was not finished; None where the last one was, be it by a `dvc repro` of somebody's own."""
    path = place(layout)
    if not path.is_file():
        return None
    try:
        found = Pending(**read_json(path))
    except (TypeError, StorageError):
        return None
    changed = dvc.status(root)
    if any(stage.partition("@")[0] in STAGES for stage in changed):
        return found
    done(layout)
    return None


def write(layout: Layout, pending: Pending) -> None:
    write_json(place(layout), asdict(pending))


def done(layout: Layout) -> None:
    place(layout).unlink(missing_ok=True)
