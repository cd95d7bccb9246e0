"""What git holds of a refit: parameters, counts of traces, the certificate at each target, agreement per label.

All of it lies in small files that are committed (params.yaml, metrics/, plots/), so any two revisions can be compared
without fetching an artifact. These files can be edited by hand: `review.recompute` says whether they are true.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tracer_cli.artifacts import Layout, read_bytes
from tracer_cli.config.resolve import FILE_NAME as PARAMS_YAML
from tracer_cli.errors import DataError
from tracer_cli.programs import git

WORKING_TREE = "the working tree"


@dataclass(frozen=True)
class TargetFacts:
    """One row of plots/targets.csv; shares in [0, 1], None where nothing is certified."""

    target: float
    deployed: bool
    certified: bool
    method: str
    surrogate: str
    threshold: float | None
    coverage: float
    coverage_interval: tuple[float, float]
    agreement: float | None
    agreement_interval: tuple[float, float]
    lower_bound: float | None
    handled: int
    agreed: int
    evidence_rows: int


@dataclass(frozen=True)
class LabelFacts:
    """One row of plots/labels.csv. answered: holdout texts that get the label; agreed: the teacher's too."""

    label: str
    fit_rows: int
    holdout_rows: int
    handled: int
    answered: int
    agreed: int


@dataclass(frozen=True)
class Facts:
    """One revision. where: its name for people; params: params.yaml; traces, guard: metrics/*.json."""

    where: str
    params: dict[str, Any]
    traces: dict[str, float]
    guard: dict[str, float]
    targets: tuple[TargetFacts, ...]
    labels: dict[str, LabelFacts]

    @property
    def deployed(self) -> TargetFacts:
        """The target that the policy is deployed at, whether it was certified or not."""
        wanted = self.params["calibrate"]["targets"]["agreement"]
        return next(target for target in self.targets if target.target == wanted)


Reader = Callable[[Path], bytes | None]


def of_working_tree(root: Path) -> Facts:
    """Raises DataError when a file is missing or cannot be read."""

    def read(path: Path) -> bytes | None:
        return read_bytes(root / path) if (root / path).is_file() else None

    return _facts(WORKING_TREE, read, "run `dvc repro`")


def of_revision(root: Path, revision: str) -> Facts:
    """Raises ProgramError when git has no such revision, DataError when it holds no refit of this version."""
    return _facts(
        revision,
        lambda path: git.file_at(root, revision, path.as_posix()),
        "it holds no refit that was committed with this version of tracer; name a revision that does",
    )


def _facts(where: str, read: Reader, advice: str) -> Facts:
    layout = Layout.of_project(Path(), "", "")

    def content(path: Path) -> str:
        found = read(path)
        if found is None:
            raise DataError(f"{where} has no {path.as_posix()}: {advice}")
        return found.decode("utf-8", errors="replace")

    def parsed(path: Path, parse: Callable[[str], Any]) -> Any:
        text = content(path)
        try:
            return parse(text)
        except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            raise DataError(f"{path.as_posix()} of {where} is not as tracer writes it ({error}): {advice}") from error

    return Facts(
        where=where,
        params=parsed(Path(PARAMS_YAML), yaml.safe_load),
        traces=parsed(layout.traces_metrics, json.loads),
        guard=parsed(layout.guard_metrics, json.loads),
        targets=tuple(parsed(layout.targets_table, lambda text: [_target(row) for row in _rows(text)])),
        labels=parsed(layout.labels_table, lambda text: {row["label"]: _label(row) for row in _rows(text)}),
    )


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def _target(row: dict[str, str]) -> TargetFacts:
    def optional(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    return TargetFacts(
        target=float(row["target"]),
        deployed=row["deployed"] == "1",
        certified=row["certified"] == "1",
        method=row["method"],
        surrogate=row["surrogate"],
        threshold=optional("threshold"),
        coverage=float(row["coverage"]),
        coverage_interval=(float(row["coverage_low"]), float(row["coverage_high"])),
        agreement=optional("agreement"),
        agreement_interval=(float(row["agreement_low"]), float(row["agreement_high"])),
        lower_bound=optional("lower_bound"),
        handled=int(row["handled"]),
        agreed=int(row["agreed"]),
        evidence_rows=int(row["evidence_rows"]),
    )


def _label(row: dict[str, str]) -> LabelFacts:
    names = ("fit_rows", "holdout_rows", "handled", "answered", "agreed")
    return LabelFacts(label=row["label"], **{name: int(row[name]) for name in names})
