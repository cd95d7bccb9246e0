"""What a fit keeps in the work folder of its policy, so that `tracer update` can fit again on the same and more.

fit.json: the settings, where the traces and the vectors were, and which parts were fitted on. traces/: the parts that
`tracer update` added, each a file of traces named by its content, with precomputed vectors beside it as part-....npy.
Paths are kept relative to the folder around the policy where they lie in it, so that both can be moved together.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tracer_cli.artifacts import Layout, read_json, storage_errors, write_json
from tracer_cli.errors import DataError, StorageError

SCHEMA = 1
STORED_VECTORS = "embeddings.npy"


@dataclass(frozen=True)
class Record:
    """settings: of `FitConfig`, without an embedder object. traces: file or glob. digests: of its files, sorted.

    vectors: the matrix for the rows of `traces`, None where they are not precomputed. given: fingerprint of the
    embedder object that the caller gave, None for the settings' own. parts: names of those that were fitted on.
    left_out: names of those in traces/ that were not, because a later `fit` started anew.
    """

    settings: dict[str, Any]
    traces: str
    digests: list[str]
    vectors: str | None = None
    given: str | None = None
    parts: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def record_of(layout: Layout) -> Path:
    return layout.work / "fit.json"


def parts_folder(layout: Layout) -> Path:
    return layout.work / "traces"


def vectors_of(part: Path) -> Path:
    """Where the precomputed vectors of a part lie."""
    return part.with_name(f"{part.name.split('.')[0]}.npy")


def write(layout: Layout, record: Record) -> None:
    write_json(record_of(layout), {"schema": SCHEMA, **asdict(record)})


def read(layout: Layout) -> Record:
    """Raises StorageError when no fit of this version made the policy."""
    path = record_of(layout)
    if not path.is_file():
        raise StorageError(
            f"{layout.policy} holds no fit that can be updated: there is no {path}; fit it with `tracer fit` first"
        )
    values = read_json(path)
    try:
        if values.pop("schema") != SCHEMA:
            raise ValueError("another schema")
        return Record(**values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(f"{path} is not as this version of tracer writes it: fit anew with `tracer fit`") from error


def kept(path: str, folder: Path) -> str:
    """`path` as a record of the policy `folder` holds it."""
    place = Path(path).parent.resolve() / Path(path).name  # a link to the file itself is kept
    around = folder.resolve().parent
    return place.relative_to(around).as_posix() if place.is_relative_to(around) else place.as_posix()


def found(value: str, folder: Path) -> str:
    """The path again, as seen from the current folder where it lies in that."""
    place = folder.resolve().parent / value
    here = Path.cwd()
    return place.relative_to(here).as_posix() if place.is_relative_to(here) else place.as_posix()


def parts(layout: Layout) -> list[Path]:
    """The parts that lie there, sorted by name, whether they were fitted on or not."""
    folder = parts_folder(layout)
    return sorted(path for path in folder.glob("part-*") if path.suffix != ".npy") if folder.is_dir() else []


def carry(old: Layout, new: Layout, vectors: bool = False) -> None:
    """The parts in the new work folder too, with `vectors` the stored ones of the first fit as well. They never change,
    so that a link is enough."""
    source = parts_folder(old)
    files = [*source.glob("part-*")] if source.is_dir() else []
    if vectors and (old.work / STORED_VECTORS).is_file():
        files.append(old.work / STORED_VECTORS)
    for path in files:
        target = new.work / path.relative_to(old.work)
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                target.hardlink_to(path)
            except OSError:  # another file system, or one without links
                shutil.copy2(path, target)


def require(path: str, what: str, folder: Path) -> None:
    """Raise DataError unless the file of an earlier fit is still there."""
    if not Path(path).is_file():
        raise DataError(
            f"the {what} that the policy in {folder} was fitted on are not at {path} any more: put them back there, or "
            "fit anew with `tracer fit`"
        )
