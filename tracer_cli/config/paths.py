"""Paths as tracer.yaml spells them: relative to its folder, with forward slashes; nothing here reads a file."""

from __future__ import annotations

import posixpath
from pathlib import PurePath

WILDCARDS = "*?["


def normal(path: str) -> str:
    """`./data//traces/../x.csv` as `data/x.csv`."""
    return posixpath.normpath(PurePath(path).as_posix())


def dependency(path: str) -> str:
    """What DVC watches for a source of traces: the file, or the static folder before the first wildcard."""
    static: list[str] = []
    parts = normal(path).split("/")
    for part in parts:
        if any(character in part for character in WILDCARDS):
            return "/".join(static) or ("/" if parts[0] == "" else ".")
        static.append(part)
    return "/".join(parts)


def absolute(root: str, path: str) -> str:
    """`path` as seen from the folder `root`, without following links."""
    return posixpath.normpath(posixpath.join(PurePath(root).as_posix(), PurePath(path).as_posix()))


def inside(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies in it; both as `absolute` gives them."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
