"""What git holds of a refit: parameters, counts of traces, the certificate at each target, agreement per label.

All of it lies in small files that are committed (params.yaml, metrics/, plots/), so any two revisions can be compared
without fetching an artifact. These files can be edited by hand: `review.guard.recompute` says whether they are true.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracer_cli.artifacts import Layout, read_bytes
from tracer_cli.config.document import Document, KeyPath, key_path, parse
from tracer_cli.config.load import FILE_NAME as TRACER_YAML
from tracer_cli.config.load import config_from
from tracer_cli.config.resolve import FILE_NAME as PARAMS_YAML
from tracer_cli.config.resolve import params_of
from tracer_cli.errors import ConfigError, DataError
from tracer_cli.programs import git
from tracer_cli.review.parameters import ABSENT, Differing, differing, key_of, value_at

WORKING_TREE = "the working tree"
DVC_LOCK = "dvc.lock"
_LAYOUT = Layout.of_project(Path(), "", "")
# What a refit leaves in git.
RESULTS = tuple(
    path.as_posix()
    for path in (_LAYOUT.traces_metrics, _LAYOUT.guard_metrics, _LAYOUT.targets_table, _LAYOUT.labels_table)
)
HOLDOUT_TEXTS, HOLDOUT_LABELS = _LAYOUT.holdout.as_posix(), _LAYOUT.holdout_labels.as_posix()
_FILES = (PARAMS_YAML, *RESULTS, TRACER_YAML, DVC_LOCK)


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
    """One revision. where: its name for people; params: params.yaml; traces, guard: metrics/*.json.

    commit: its full name; empty for the working tree.
    lines: where each key of tracer.yaml stands in that file; empty when the file cannot be read.
    digests: what dvc.lock says of every output of the last `dvc repro`: path -> its digest.
    stale: keys of tracer.yaml whose value is another than the one that the figures were made with, or the file itself
    where it is not valid.
    edited: files of the refit that are not what the last `dvc repro` wrote, as dvc.lock says.
    """

    where: str
    params: dict[str, Any]
    traces: dict[str, float]
    guard: dict[str, float]
    targets: tuple[TargetFacts, ...]
    labels: dict[str, LabelFacts]
    commit: str = ""
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    stale: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()

    @property
    def deployed(self) -> TargetFacts:
        """The target that params.yaml asks for, whether it was certified or not.

        Raises DataError when the refit that is there knows no such target: params.yaml is newer.
        """
        return self._row(value_at(self.params, ("calibrate", "targets", "agreement")), PARAMS_YAML)

    @property
    def refit(self) -> TargetFacts:
        """The target that the figures were made at: `deployed`, unless params.yaml is newer than they are."""
        return self._row(self.guard.get("target_agreement"), RESULTS[1])

    def _row(self, wanted: object, file: str) -> TargetFacts:
        for target in self.targets:
            if target.target == wanted:
                return target
        raise DataError(
            f"{self.where}: {file} is of the target {wanted}, and {RESULTS[2]} has no such target: they are not of one "
            "refit; run `dvc repro` and commit what it writes"
        )


def of_working_tree(root: Path) -> Facts:
    """Raises DataError when a file is missing or cannot be read."""
    contents = {path: read_bytes(root / path) for path in _FILES if (root / path).is_file()}
    return _facts(WORKING_TREE, "", contents, root, "run `dvc repro`")


def of_revision(root: Path, revision: str) -> Facts:
    """Raises ProgramError when git has no such revision, DataError when it holds no refit of this version."""
    commit = git.commit_of(root, revision)
    return _facts(
        name_of(revision, commit),
        commit,
        git.files_at(root, commit, _FILES),
        root,
        "it holds no refit that was committed with this version of tracer; name a revision that does",
    )


def missing_at(root: Path, revision: str) -> tuple[str, ...]:
    """Those files of a refit that the revision does not hold: all of them before the first refit."""
    found = git.files_at(root, revision, RESULTS)
    return tuple(path for path in RESULTS if path not in found)


def name_of(revision: str, commit: str) -> str:
    return commit[:12] if commit.startswith(revision) else f"{revision} ({commit[:7]})"


# --- reading --------------------------------------------------------------------------------------


def _facts(where: str, commit: str, contents: Mapping[str, bytes], root: Path, advice: str) -> Facts:
    def parsed(path: str, parse: Callable[[str], Any]) -> Any:
        if path not in contents:
            raise DataError(f"{where} has no {path}: {advice}")
        try:
            return parse(contents[path].decode("utf-8", errors="replace"))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError, csv.Error) as error:
            raise DataError(f"{path} of {where} is not as tracer writes it ({error}): {advice}") from error

    traces_json, guard_json, targets_csv, labels_csv = RESULTS
    params = parsed(PARAMS_YAML, _params)
    document = parse(contents.get(TRACER_YAML, b"").decode("utf-8-sig", errors="replace"), TRACER_YAML)
    lock = _lock(contents.get(DVC_LOCK))
    facts = Facts(
        where=where,
        commit=commit,
        params=params,
        traces=parsed(traces_json, _numbers),
        guard=parsed(guard_json, _numbers),
        targets=tuple(parsed(targets_csv, lambda text: [_target(row) for row in _rows(text)])),
        labels=parsed(labels_csv, _labels),
        lines=_lines(document),
        digests=_digests(lock),
        stale=_stale(params, document, contents.get(TRACER_YAML), lock, root),
        edited=_edited(contents, _digests(lock)),
    )
    _ = facts.refit  # the metrics and the table must be of one refit
    return facts


def _params(text: str) -> dict[str, Any]:
    params = _yaml(text, PARAMS_YAML)
    json.dumps(params, allow_nan=False)  # a number that is none
    targets, cost = value_at(params, ("calibrate", "targets"), {}), value_at(params, ("report", "cost"), {})
    numbers = [targets["agreement"], targets["confidence"], cost["per_call"], cost["calls_per_day"]]
    for number in numbers:
        _finite("a value of calibrate.targets or report.cost", number)
    if not all(isinstance(model, dict) for model in params["train"]["zoo"].values()):
        raise ValueError("train.zoo holds something else than models")
    if not all(isinstance(source, dict) for source in params["ingest"]["traces"]):
        raise ValueError("ingest.traces holds something else than sources")
    return params


def _yaml(text: str, name: str) -> dict[str, Any]:
    """As DVC reads it: YAML 1.2, where 1e-05 is a number and `no` is text. Aliases cannot make it large."""
    document = parse(text, name)
    if document.problems:
        raise ValueError(document.problems[0].text)
    if not isinstance(document.data, dict):
        raise ValueError("it is no mapping")
    values: dict[str, Any] = document.plain()
    return values


def _numbers(text: str) -> dict[str, float]:
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("it is no object")
    return {name: _finite(name, value) for name, value in values.items()}


def _finite(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, no finite number")
    return value


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def _target(row: dict[str, str]) -> TargetFacts:
    def optional(name: str) -> float | None:
        return share(name) if row[name] else None

    def share(name: str) -> float:
        value = float(row[name])
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {row[name]}, no share")
        return value

    facts = TargetFacts(
        target=share("target"),
        deployed=row["deployed"] == "1",
        certified=row["certified"] == "1",
        method=row["method"],
        surrogate=row["surrogate"],
        threshold=_finite("threshold", float(row["threshold"])) if row["threshold"] else None,
        coverage=share("coverage"),
        coverage_interval=(share("coverage_low"), share("coverage_high")),
        agreement=optional("agreement"),
        agreement_interval=(share("agreement_low"), share("agreement_high")),
        lower_bound=optional("lower_bound"),
        handled=int(row["handled"]),
        agreed=int(row["agreed"]),
        evidence_rows=int(row["evidence_rows"]),
    )
    if not 0 <= facts.agreed <= facts.handled <= facts.evidence_rows:
        raise ValueError(f"the counts at target {facts.target:g} contradict each other")
    return facts


def _labels(text: str) -> dict[str, LabelFacts]:
    labels = {}
    for row in _rows(text):
        label = _label(row)
        if label.label in labels:
            raise ValueError(f"the label {label.label!r} stands there twice")
        labels[label.label] = label
    return labels


def _label(row: dict[str, str]) -> LabelFacts:
    names = ("fit_rows", "holdout_rows", "handled", "answered", "agreed")
    facts = LabelFacts(label=row["label"], **{name: int(row[name]) for name in names})
    if facts.fit_rows < 0 or not (0 <= facts.handled <= facts.holdout_rows and 0 <= facts.agreed <= facts.answered):
        raise ValueError(f"the counts of the label {facts.label!r} contradict each other")
    return facts


def _lines(document: Document) -> dict[KeyPath, int]:
    return {path: place.line for path, place in {**document.values, **document.keys}.items() if path}


# --- what dvc.lock says ---------------------------------------------------------------------------


def _lock(content: bytes | None) -> dict[str, Any]:
    """The stages of dvc.lock; none where there is no such file, or it is not DVC's."""
    try:
        stages = _yaml((content or b"").decode("utf-8-sig"), DVC_LOCK)["stages"]
        return {name: stage for name, stage in stages.items() if isinstance(stage, dict)}
    except (ValueError, KeyError, AttributeError):
        return {}


def _files(stage: Mapping[str, Any], what: str) -> dict[str, str]:
    """Path -> digest of what a stage of dvc.lock reads (`deps`) or writes (`outs`)."""
    entries = stage.get(what)
    entries = entries if isinstance(entries, list) else []
    return {str(entry.get("path")): str(entry.get("md5")) for entry in entries if isinstance(entry, dict)}


def _digests(lock: Mapping[str, Any]) -> dict[str, str]:
    return {path: digest for stage in lock.values() for path, digest in _files(stage, "outs").items()}


def _edited(contents: Mapping[str, bytes], digests: Mapping[str, str]) -> tuple[str, ...]:
    def md5(path: str) -> str:
        # A checkout may have put other line ends.
        return hashlib.md5(contents[path].replace(b"\r\n", b"\n"), usedforsecurity=False).hexdigest()

    return tuple(path for path in RESULTS if path in contents and path in digests and md5(path) != digests[path])


def _stale(
    params: dict[str, Any], document: Document, source: bytes | None, lock: Mapping[str, Any], root: Path
) -> tuple[str, ...]:
    """tracer.yaml against params.yaml, and params.yaml against what the stages that wrote the figures ran with."""
    found = _unresolved(params, document, source, lock, root)
    # dvc.lock keeps models that are gone.
    current = {f"train@{name}" for name in value_at(params, ("train", "zoo"), {})}
    stages = [stage for name, stage in lock.items() if not name.startswith("train@") or name in current]
    for stage in stages:
        ran_with = value_at(stage, ("params", PARAMS_YAML), {})
        for dotted, value in ran_with.items() if isinstance(ran_with, dict) else ():
            path = tuple(dotted.split("."))
            found += _keys(differing(value, value_at(params, path, ABSENT), path), params)
    return tuple(dict.fromkeys(found))


def _unresolved(
    params: dict[str, Any], document: Document, source: bytes | None, lock: Mapping[str, Any], root: Path
) -> list[str]:
    if source is None:
        return []
    if hashlib.md5(source, usedforsecurity=False).hexdigest() == _files(lock.get("resolve", {}), "deps").get(
        TRACER_YAML
    ):
        return []
    try:
        wanted = params_of(config_from(document, root))
    except ConfigError:
        return [f"{TRACER_YAML}, which is not valid"]
    # The version of the code is no key of tracer.yaml, and what an earlier version wrote is not stale for it.
    return _keys((entry for entry in differing(params, wanted) if entry.path[0] != "stage_version"), wanted)


def _keys(entries: Iterable[Differing], params: dict[str, Any]) -> list[str]:
    return [key_path(key_of(entry.path, params)) for entry in entries]
