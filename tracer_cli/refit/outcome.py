"""What an update did."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracer_cli.api import FitResult
from tracer_cli.artifacts import sha256_file
from tracer_cli.errors import DataError
from tracer_cli.report import changes
from tracer_cli.traces.read.files import trace_file


@dataclass(frozen=True)
class Update:
    """parts: {file, part, new} for each file. traces: see `refit.summary`; None when all of them were there already.

    before, now: facts of the two policies (`report.changes`); before is {} where there was none.
    """

    result: FitResult
    parts: list[dict[str, Any]]
    traces: dict[str, Any] | None
    before: dict[str, Any]
    now: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def changed(self) -> dict[str, Any] | None:
        return changes.between(self.before, self.now) if self.before and self.now else None

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "parts": self.parts,
            "traces": self.traces,
            "changed": self.changed(),
            "verdict": self.result.manifest["verdict"],
            "coverage": self.result.coverage,
            "agreement": self.result.agreement,
            "policy": str(self.result.path),
            "notes": [*self.notes, *self.result.notes],
        }


def distinct_files(files: list[Path]) -> list[tuple[Path, str, str]]:
    """(file, sha256, suffix) of each; one whose content came before is left out. Raises DataError."""
    found: dict[str, tuple[Path, str, str]] = {}
    for path in files:
        if not path.is_file():
            what = "is a folder: name the files in it" if path.is_dir() else "there is no such file"
            raise DataError(f"{path}: {what}")
        trace_file(path, Path())  # of a known kind
        digest = sha256_file(path)
        found.setdefault(digest, (path, digest, suffix_of(path)))
    return list(found.values())


def suffix_of(path: Path) -> str:
    """`.jsonl.gz` of `calls.2026.jsonl.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1] in (".gz", ".zst") else suffixes[-1:])
