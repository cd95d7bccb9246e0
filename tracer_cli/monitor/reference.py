"""What the policy was certified on, to compare with: scores, distances and labels of the holdout's texts.

The holdout's rows are in a project's artifacts; a policy folder that was copied elsewhere keeps quantiles of them in
its qualitative report. Either is used only when it is of this manifest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer_cli.artifacts import Layout, read_json, read_table, sha256_file
from tracer_cli.core.drift import Reference, reference

ALL = 1_000_000  # points: of a holdout's rows every value


@dataclass(frozen=True)
class Certified:
    """source: of what follows, None for nothing. scores, distances, labels: None where they are not known. labels: of
    the teacher, on distinct holdout texts."""

    source: str | None
    scores: Reference | None
    distances: Reference | None
    labels: Mapping[str, int] | None


def certified(policy: Path, manifest: Mapping[str, Any]) -> Certified:
    """Raises StorageError for a file that is there and cannot be read."""
    for layout in (Layout.of_folder(policy, policy), Layout.of_project(policy.resolve().parent, policy.name, "")):
        if layout.guard_rows.is_file():
            found = _of_rows(layout.guard_rows, manifest)
            if found is not None:
                return found
    report = policy / "qualitative_report.json"
    if report.is_file():
        values = read_json(report)
        if values.get("manifest") == sha256_file(policy / "manifest.json"):
            kept = values.get("reference") or {}
            labels = {entry["label"]: entry["holdout_rows"] for entry in values["labels"]}
            return Certified(report.as_posix(), _kept(kept.get("scores")), _kept(kept.get("distances")), labels)
    return Certified(None, None, None, None)


def _of_rows(path: Path, manifest: Mapping[str, Any]) -> Certified | None:
    """None where the rows are those of another fit."""
    table = read_table(path, ["label", "accept_score", "distance"])
    scores = table["accept_score"].to_numpy()
    if len(scores) != manifest["holdout_rows"]:
        return None
    if manifest["evidence"] == "holdout":
        for target in manifest["targets"]:
            if target["certified"] and int((scores >= target["threshold"]).sum()) != target["handled"]:
                return None
    return Certified(
        path.as_posix(),
        reference(scores, ALL),
        reference(table["distance"].to_numpy(), ALL),
        Counter(str(label) for label in table["label"].to_pylist()),
    )


def _kept(values: Mapping[str, Any] | None) -> Reference | None:
    if not values:
        return None
    return Reference(int(values["rows"]), tuple(values["values"]), tuple(values["below"]), tuple(values["at_most"]))
