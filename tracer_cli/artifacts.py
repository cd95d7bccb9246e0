"""The names and formats of every file that passes between stages, and atomic writes.

A stage reads and writes through a `Layout`; nothing else in the package spells a path. Each artifact is
written under a temporary name in its own folder and renamed, so a killed stage leaves the old file or none.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tracer_cli.errors import StorageError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

STAGES = ("resolve", "ingest", "embed", "train", "calibrate", "guard", "report")

# Raised by one whenever what a stage computes from the same inputs changes: DVC then runs it again.
STAGE_VERSIONS = {"ingest": 3, "embed": 1, "train": 3, "calibrate": 3, "guard": 5, "report": 5}

MANIFEST_SCHEMA = 2

# The columns of plots/frontier.json beside `coverage`: each is a line of the picture, under this name in its legend.
MEASURED, CERTIFIED, TARGET = "measured on the holdout (curve)", "certified (steps)", "target (level)"


@dataclass(frozen=True)
class Layout:
    """Where every artifact of one project lives.

    root: the folder that relative paths in tracer.yaml start from (trace files, model folders).
    work: the folder that holds artifacts/, metrics/ and plots/; the project folder under DVC.
    results: the same for what guard and report write; another folder when a verdict is recomputed.
    policy, report: the outputs.
    """

    root: Path
    work: Path
    results: Path
    policy: Path
    report: Path

    @classmethod
    def of_project(cls, root: Path, policy: str, report: str) -> Layout:
        return cls(root=root, work=root, results=root, policy=root / policy, report=root / report)

    @classmethod
    def of_folder(cls, root: Path, folder: Path) -> Layout:
        """Everything in one folder, for runs without DVC."""
        work = folder / "work"
        return cls(root=root, work=work, results=work, policy=folder, report=folder / "report.html")

    def with_results_in(self, folder: Path) -> Layout:
        """The same inputs; all that guard and report write goes to `folder`."""
        return replace(self, results=folder, policy=folder / "policy", report=folder / "report.html")

    # ingest: parquet tables, one row per distinct text, in order of first appearance
    @property
    def fit(self) -> Path:
        """key, row, id, text, label, count, timestamp, origin, weight and more; see `traces.table`."""
        return self.work / "artifacts" / "traces" / "fit.parquet"

    @property
    def holdout(self) -> Path:
        """key, row, id, text, count, timestamp, origin: no labels of any kind."""
        return self.work / "artifacts" / "traces" / "holdout.parquet"

    @property
    def holdout_labels(self) -> Path:
        """key, label, label_count, ground_truth: read by guard and report alone."""
        return self.work / "artifacts" / "traces" / "holdout_labels.parquet"

    @property
    def rejected(self) -> Path:
        """One JSON object a line: source, line, reason, and the row's beginning."""
        return self.work / "artifacts" / "traces" / "rejected.jsonl"

    @property
    def teacher(self) -> Path:
        """The teacher's instructions, models and answers, as the traces tell; see `traces.teacher`."""
        return self.work / "artifacts" / "traces" / "teacher.json"

    @property
    def traces_metrics(self) -> Path:
        return self.work / "metrics" / "traces.json"

    @property
    def previous(self) -> Path:
        """Facts of the policy before the last `tracer update`, in git; {} before the first. See `report.changes`."""
        return self.work / "metrics" / "previous.json"

    # embed: float32 (rows, dim), row i belongs to row i of the table of the same name
    @property
    def fit_vectors(self) -> Path:
        return self.work / "artifacts" / "vectors" / "fit.npy"

    @property
    def holdout_vectors(self) -> Path:
        return self.work / "artifacts" / "vectors" / "holdout.npy"

    @property
    def embedder(self) -> Path:
        """spec.json (kind, settings, dim, fingerprint) and the arrays of a fitted embedder."""
        return self.work / "artifacts" / "embedder"

    def model(self, slug: str) -> Path:
        """oof.npy float32 (fit rows, labels), model.onnx, meta.json."""
        return self.work / "artifacts" / "models" / slug

    @property
    def candidate(self) -> Path:
        """candidate.json, policy.onnx, oof.parquet: the policy that the guard tests, and its out-of-fold rows."""
        return self.work / "artifacts" / "candidate"

    @property
    def guard_rows(self) -> Path:
        """key, label, predicted, accept_score, distance: one row per holdout text."""
        return self.results / "artifacts" / "guard" / "rows.parquet"

    @property
    def guard_metrics(self) -> Path:
        return self.results / "metrics" / "guard.json"

    # tables for `dvc plots` and `tracer diff`: small and in git, so that every revision has them without its cache
    @property
    def targets_table(self) -> Path:
        """One row per target: what the guard certified there; see `stages.guard`."""
        return self.results / "plots" / "targets.csv"

    @property
    def labels_table(self) -> Path:
        """One row per label: holdout texts, and of the answers with it how many agree; see `stages.report`."""
        return self.results / "plots" / "labels.csv"

    @property
    def frontier_plot(self) -> Path:
        """The holdout's agreement at each coverage, what is certified there, and the target; for `dvc plots`."""
        return self.results / "plots" / "frontier.json"

    # the policy
    @property
    def manifest(self) -> Path:
        return self.policy / "manifest.json"

    @property
    def policy_graph(self) -> Path:
        return self.policy / "policy.onnx"

    @property
    def policy_embedder(self) -> Path:
        return self.policy / "embedder"

    @property
    def frontier(self) -> Path:
        return self.policy / "frontier.json"

    @property
    def qualitative_report(self) -> Path:
        return self.policy / "qualitative_report.json"


# --- atomic writes --------------------------------------------------------------------------------


@contextlib.contextmanager
def storage_errors(path: Path, doing: str = "write") -> Iterator[None]:
    """Turn an operating-system error on `path` into a StorageError that says what to do."""
    try:
        yield
    except OSError as error:
        advice = {
            errno.ENOSPC: "the disk is full: free some space and run again",
            errno.EDQUOT: "the disk quota is used up: free some space and run again",
            errno.EROFS: "the file system is read-only: choose another folder under `outputs`",
            errno.EACCES: "permission denied: check the owner and mode of the folder",
            errno.EPERM: "permission denied: check the owner and mode of the folder",
            errno.ENOENT: "no such file or folder",
            errno.ENOTDIR: "a part of the path is a file, not a folder",
            errno.EISDIR: "it is a folder, not a file",
        }.get(error.errno or 0, error.strerror or str(error))
        raise StorageError(f"cannot {doing} {path}: {advice}") from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` when the block ends without an error."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with storage_errors(path):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; swap it for `path` when the block ends without an error."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        with storage_errors(path):
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.is_dir() and not path.is_symlink():
                old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
                path.replace(old / path.name)
                temporary.replace(path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
                temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


# --- formats --------------------------------------------------------------------------------------


def write_bytes(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted keys and no NaN, so that equal values are equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV file with a header and these columns of the rows; None is an empty cell."""
    lines = _Lines()
    # Only with \r\n as the end of a line does every Python quote a cell that holds a carriage return.
    writer = csv.DictWriter(lines, columns, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, "".join(lines.found))


class _Lines:
    """What the csv module writes, a row at a time, each ended by a newline alone."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def write(self, row: str) -> None:
        self.found.append(f"{row.removesuffix(chr(13) + chr(10))}\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise StorageError(f"cannot read {path}: it is not valid JSON ({error})") from error


def read_bytes(path: Path) -> bytes:
    with storage_errors(path, "read"):
        return path.read_bytes()


class _Writer:
    """Only `write`: numpy then writes block by block instead of through the C library."""

    def __init__(self, file: IO[bytes]) -> None:
        self.write = file.write


def write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    import numpy as np

    with replacing(path) as temporary, temporary.open("wb") as file:
        # Not np.save to the file itself: that reports a full disk without saying so.
        np.lib.format.write_array(_Writer(file), np.asarray(array), allow_pickle=False)


def read_array(path: Path) -> np.ndarray[Any, Any]:
    """A read-only memory-mapped array."""
    import numpy as np

    with storage_errors(path, "read"):
        try:
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        except ValueError as error:
            raise StorageError(f"cannot read {path}: it is not a .npy array ({error})") from error


@contextlib.contextmanager
def writing_array(path: Path, shape: tuple[int, int]) -> Iterator[np.ndarray[Any, Any]]:
    """Yield a writable memory-mapped float32 array that becomes `path` when the block ends."""
    import numpy as np

    with replacing(path) as temporary:
        if shape[0] == 0:  # an empty file cannot be mapped
            with temporary.open("wb") as file:
                np.save(file, np.zeros(shape, np.float32))
            yield np.zeros(shape, np.float32)
            return
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        _reserve(temporary)
        yield array
        array.flush()
        del array


def _reserve(path: Path) -> None:
    """Give the file all its blocks now: a full disk is an error here, but a fatal signal when a mapped page is written.

    Where the system or the file system cannot do that, nothing is reserved.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("rb+") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise


def write_table(path: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with storage_errors(path, "read"):
        try:
            return pq.read_table(path, columns=columns, partitioning=None)
        except pa.ArrowInvalid as error:
            raise StorageError(f"cannot read {path}: it is not a Parquet table ({error})") from error


def sha256_file(path: Path) -> str:
    digest = hashlib.sha256()
    with storage_errors(path, "read"), path.open("rb") as file:
        _feed(digest, file)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _feed(digest: hashlib._Hash, file: IO[bytes]) -> None:
    while block := file.read(1 << 20):
        digest.update(block)


# --- one run at a time ----------------------------------------------------------------------------


@contextlib.contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Hold the right to write `target`; a second run gets a StorageError at once, not half a file.

    The lock is a file in the system's temporary folder that the operating system releases when the
    process ends, however it ends.
    """
    from filelock import FileLock, Timeout

    name = hashlib.sha256(str(target.resolve()).encode()).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir()) / f"tracer-{os.getuid() if hasattr(os, 'getuid') else 0}-{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StorageError(
            f"another tracer run is writing {target}: wait for it to end, or stop it, and run again"
        ) from error
    try:
        yield
    finally:
        lock.release()
