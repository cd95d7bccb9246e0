"""What `tracer run` notes down for `tracer plan`, and DVC does not keep: how long a stage took, and which trace files
ingest saw. It lies in .dvc/tmp, which git ignores and DVC leaves alone; nothing that a stage computes depends on it.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tracer_cli.artifacts import read_json, write_json
from tracer_cli.config.paths import dependency
from tracer_cli.config.resolve import FILE_NAME, config_of, read_params
from tracer_cli.errors import TracerError
from tracer_cli.review.plan.lock import dvc_folder
from tracer_cli.review.plan.worktree import File, Listing, folder_content, listing_of

LISTINGS = 20  # that many are kept for each project


@contextlib.contextmanager
def noted(root: Path, stage: str, model: str | None) -> Iterator[None]:
    """Note down the seconds of a stage that succeeds in the block. What cannot be written never fails the stage."""
    start = time.monotonic()
    yield
    seconds = time.monotonic() - start
    with contextlib.suppress(TracerError, OSError, ValueError):
        folder = _folder(root)
        if folder is not None:
            name = stage if model is None else f"{stage}@{model}"
            write_json(folder / "seconds" / f"{name}.json", round(seconds, 3))
            if stage == "ingest":
                _note_sources(root, folder / "sources")


def seconds_of(root: Path, stage: str) -> float | None:
    """How long the last run of a stage took on this machine; None when that is not known."""
    folder = _folder(root)
    with contextlib.suppress(TracerError, TypeError, ValueError):
        if folder is not None and (folder / "seconds" / f"{stage}.json").is_file():
            return float(read_json(folder / "seconds" / f"{stage}.json"))
    return None


def listing_with(root: Path, md5: str) -> Listing | None:
    """The files of a folder of traces when its content was `md5`; None when no ingest on this machine saw it so."""
    folder = _folder(root)
    if folder is None:
        return None
    listing = _read(folder / "sources" / f"{md5}.json")
    # The name is the md5 of the listing: what does not give it is not that folder's.
    return listing if listing is not None and folder_content(listing).md5 == md5 else None


def _folder(root: Path) -> Path | None:
    found = dvc_folder(root)
    return None if found is None else found / "tmp" / "tracer" / root.resolve().relative_to(found.parent)


def _note_sources(root: Path, folder: Path) -> None:
    watched = {dependency(source.path) for source in config_of(read_params(root / FILE_NAME)).traces}
    newest = _newest_first(folder)
    known = (_read(newest[0]) if newest else None) or {}
    for path in watched:
        if (root / path).is_dir():
            listing = listing_of(root / path, known)
            files = {name: asdict(file) for name, file in listing.items()}
            write_json(folder / f"{folder_content(listing).md5}.json", files)
    for old in _newest_first(folder)[LISTINGS:]:
        old.unlink(missing_ok=True)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.dir.json"), key=lambda path: path.stat().st_mtime, reverse=True)


def _read(path: Path) -> Listing | None:
    try:
        return {name: File(**about) for name, about in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
