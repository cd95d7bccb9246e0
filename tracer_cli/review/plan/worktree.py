"""What lies in the project now, compared with what DVC knows, without reading what DVC has read already.

A path that `dvc status` does not mention is as dvc.lock has it. Only what changed is read, and only where its exact
content matters: when an earlier run may have seen the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer_cli.artifacts import storage_errors
from tracer_cli.config.paths import absolute
from tracer_cli.review.plan.lock import Content, Entry
from tracer_cli.review.plan.pipeline import Stage

IGNORE = ".dvcignore"


@dataclass(frozen=True)
class File:
    """md5 of a file's bytes; size and modified (nanoseconds) tell whether it was touched since."""

    md5: str
    size: int
    modified: int


Listing = dict[str, File]


class Worktree:
    """status: what `dvc status --json` printed; lock: dvc.lock; stages: of the dvc.yaml that DVC looked at."""

    def __init__(
        self, root: Path, status: Mapping[str, list[Any]], lock: Mapping[str, Entry], stages: list[Stage]
    ) -> None:
        self.base = root.resolve().as_posix()
        self.listings: dict[str, Listing] = {}  # of folders, as an earlier run saw them: saves reading their files
        self.looked_at = {stage.name for stage in stages if stage.name in lock}
        self.not_in_cache: set[str] = set()
        self._same: dict[str, Content] = {}
        self._other: set[tuple[str, str]] = set()
        for stage in stages:
            entry = lock.get(stage.name)
            if entry is None:
                continue
            for kind, paths, locked in (("deps", stage.deps, entry.deps), ("outs", stage.outs, entry.outs)):
                told = told_of(status.get(stage.name, []), f"changed {kind}")
                mentioned = {self.at(path): word for path, word in told.items()}
                for path in paths:
                    if path not in locked or (kind == "deps" and stage.frozen):
                        continue
                    word = mentioned.get(self.at(path))
                    if word is None:
                        self._same[self.at(path)] = locked[path]
                    elif word == "modified":
                        self._other.add((self.at(path), locked[path].md5))
                    elif word == "not in cache":
                        self.not_in_cache.add(self.at(path))

    def at(self, path: str) -> str:
        return absolute(self.base, Path(path).as_posix())

    def exists(self, path: str) -> bool:
        return self.at(path) in self._same or Path(self.at(path)).exists()

    def known(self, path: str) -> Content | None:
        """What lies there, where no file has to be read to tell."""
        return self._same.get(self.at(path))

    def set(self, path: str, content: Content) -> None:
        """What will lie there when it is looked at."""
        self._same[self.at(path)] = content

    def equals(self, path: str, content: Content) -> bool | None:
        """Whether this content lies there now; None when that cannot be told."""
        place = self.at(path)
        if place in self._same:
            return self._same[place] == content
        if (place, content.md5) in self._other or not Path(place).exists():
            return False
        if self._ignores(Path(place)):
            return None
        if _measured(Path(place)) != (content.size, content.files) and content.size is not None:
            return False
        self._same[place] = content_of(Path(place), self.listings.get(path))
        return self._same[place] == content

    def _ignores(self, folder: Path) -> bool:
        """Whether DVC may leave out files of the folder: which ones is not worked out here."""
        return folder.is_dir() and any(
            line.strip() and not line.lstrip().startswith("#")
            for parent in (folder, *folder.parents)
            if (parent / IGNORE).is_file()
            for line in (parent / IGNORE).read_text(encoding="utf-8", errors="replace").splitlines()
        )


def content_of(path: Path, known: Listing | None = None) -> Content:
    """A file's or folder's content, as DVC names it; `known` saves reading files that were not touched since."""
    if path.is_dir():
        return folder_content(listing_of(path, known))
    file = _file(path)
    return Content(file.md5, file.size)


def folder_content(listing: Listing) -> Content:
    files = [{"md5": listing[name].md5, "relpath": name} for name in sorted(listing)]
    digest = hashlib.md5(json.dumps(files).encode(), usedforsecurity=False).hexdigest()
    return Content(f"{digest}.dir", sum(file.size for file in listing.values()), len(listing))


def listing_of(folder: Path, known: Listing | None = None) -> Listing:
    """Every file below a folder, under its path with forward slashes."""
    known = known or {}
    return {name: _file(path, known.get(name)) for name, path in _walk(folder)}


def changed_files(folder: Path, before: Listing) -> dict[str, str]:
    """File -> new, modified or deleted, against an earlier listing; a file that was only touched is not among them."""
    now = dict(_walk(folder))
    found = {name: "deleted" for name in before if name not in now}
    for name, path in now.items():
        if name not in before:
            found[name] = "new"
        elif path.stat().st_size != before[name].size or _file(path, before[name]).md5 != before[name].md5:
            found[name] = "modified"
    return dict(sorted(found.items()))


def _file(path: Path, known: File | None = None) -> File:
    with storage_errors(path, "read"):
        about = path.stat()
        if known is not None and (known.size, known.modified) == (about.st_size, about.st_mtime_ns):
            return known
        digest = hashlib.md5(usedforsecurity=False)
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return File(digest.hexdigest(), about.st_size, about.st_mtime_ns)


def _measured(path: Path) -> tuple[int, int | None]:
    """Bytes, and the number of files if it is a folder."""
    with storage_errors(path, "read"):
        if not path.is_dir():
            return path.stat().st_size, None
        sizes = [file.stat().st_size for _, file in _walk(path)]
        return sum(sizes), len(sizes)


def _walk(folder: Path) -> list[tuple[str, Path]]:
    """The files that DVC counts: links to files, too, but not what lies behind a link to a folder."""
    return [
        ((Path(place) / name).relative_to(folder).as_posix(), Path(place) / name)
        for place, _, names in os.walk(folder)
        for name in names
    ]


def told_of(status: list[Any], kind: str) -> dict[str, Any]:
    """Path -> word, of one stage in what `dvc status` printed; kind: changed deps, changed outs."""
    told: dict[str, Any] = {}
    for part in status:
        if isinstance(part, dict):
            told |= part.get(kind, {})
    return told
