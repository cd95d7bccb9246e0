"""Whether the verdict follows from the artifacts, and the artifacts from what was committed.

The small files in git (metrics/, plots/) and the policy's manifest can be edited by hand, and `dvc commit` makes
dvc.lock agree with the edit. So the guard's and the report's stages are run again from their inputs, into a temporary
folder, and everything that they write is compared value by value; DVC says whether those inputs, and what they were
made from, are the files that dvc.lock names. Nothing in the project is written.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracer_cli.artifacts import STAGES, Layout, exclusive, read_bytes, read_json, read_table, sha256_file
from tracer_cli.config.document import KeyPath, key_path
from tracer_cli.config.schema import Config
from tracer_cli.core.splits import auto_holdout_share
from tracer_cli.errors import StorageError
from tracer_cli.programs import dvc
from tracer_cli.review.guard.outcome import tame
from tracer_cli.review.sentences import Code, Words, number
from tracer_cli.stages import guard, report
from tracer_cli.traces.table import read_fit_meta

# Of one file, at most.
MOST = 10
# Where another version of a library computes: what it may change without anyone having edited anything.
RELATIVE, ABSOLUTE = 1e-5, 1e-6
_MISSING = object()


@dataclass(frozen=True)
class Recomputed:
    """findings: what is not as it should be, a sentence each. note: what a reader should know of the comparison."""

    findings: tuple[Words, ...]
    note: str = ""


def recompute(layout: Layout, config: Config) -> Recomputed:
    """Compare the results that lie in the project with what its artifacts give.

    Raises StorageError when an artifact is missing, ProgramError when DVC cannot be asked.
    """
    _require(layout)
    with exclusive(layout.policy):
        changed = _not_of_the_lock(layout)
        if any(path in changed for path in _names(layout, _inputs(layout))):
            return Recomputed(tuple(changed.values()))
        with tempfile.TemporaryDirectory(prefix="tracer-guard-") as folder:
            made = layout.with_results_in(Path(folder))
            guard.run(made, config)
            report.run(made, config)
            findings, note = _compared(layout, made, config)
    return Recomputed((*changed.values(), *findings), note)


# --- the artifacts --------------------------------------------------------------------------------


def _inputs(layout: Layout) -> list[Path]:
    """What guard and report read, as dvc.yaml names it."""
    tables = [layout.fit, layout.holdout, layout.holdout_labels, layout.fit_vectors, layout.holdout_vectors]
    return [layout.candidate, layout.embedder, layout.rejected, layout.teacher, *tables]


def _results(layout: Layout) -> list[Path]:
    """What they write, and the counts of the traces, which follow from the tables."""
    files = [layout.guard_metrics, layout.targets_table, layout.labels_table, layout.frontier_plot]
    policy = [layout.manifest, layout.frontier, layout.policy_graph, layout.qualitative_report, layout.report]
    return [layout.traces_metrics, *files, layout.guard_rows, *policy]


def _require(layout: Layout) -> None:
    parts = [layout.candidate / name for name in ("candidate.json", "policy.onnx", "oof.parquet")]
    inside = {layout.candidate: parts, layout.embedder: [layout.embedder / "spec.json"]}
    wanted = {path: inside.get(path, [path]) for path in (*_inputs(layout), *_results(layout))}
    missing = [path for path, files in wanted.items() if not all(file.is_file() for file in files)]
    if missing:
        one = len(missing) == 1
        raise StorageError(
            f"the verdict cannot be recomputed: {', '.join(_names(layout, missing))} {'is' if one else 'are'} missing; "
            f"fetch {'it' if one else 'them'} with `dvc pull`, or run `dvc repro`"
        )


def _names(layout: Layout, paths: list[Path]) -> list[str]:
    return [path.relative_to(layout.root).as_posix() for path in paths]


def _not_of_the_lock(layout: Layout) -> dict[str, Words]:
    """Path -> a sentence, for each file that is not the one that dvc.lock names, apart from the results: these are
    compared by value. A file that nothing here needs may be missing."""
    results = set(_names(layout, [*_results(layout), layout.policy_embedder]))
    stages: dict[str, list[str]] = {}
    for stage, entries in dvc.status(layout.root).items():
        if stage.partition("@")[0] not in STAGES:
            continue
        for entry in entries:
            for path, state in _changes(entry):
                if path not in results and state != "deleted":
                    stages.setdefault(path, []).append(stage)
    return {
        path: (
            tame(path),
            f" is not what dvc.lock names for {', '.join(dict.fromkeys(names))}: it was edited, or comes from another "
            "run; run ",
            Code("dvc repro"),
            " and commit what it writes",
        )
        for path, names in stages.items()
    }


def _changes(entry: Any) -> Iterator[tuple[str, Any]]:
    """One entry of `dvc status --json`: {"changed deps": {path: state}}, or a word such as "changed command"."""
    if not isinstance(entry, dict):
        yield "dvc.yaml", str(entry)
        return
    for paths in entry.values():
        yield from paths.items() if isinstance(paths, dict) else ((str(paths), "changed"),)


# --- the comparison -------------------------------------------------------------------------------


def _compared(layout: Layout, made: Layout, config: Config) -> tuple[list[Words], str]:
    manifest = json.loads(read_bytes(made.manifest))
    stated = _json(layout.manifest)
    versions = stated.get("versions") if isinstance(stated, dict) else None
    exact = versions == manifest["versions"]
    note = "" if exact else _note(versions, manifest.pop("versions"))
    # The digests of the files as they are: each of them is compared by itself.
    manifest["files"] = {name: _digest(layout.policy / name) for name in manifest["files"]}
    if isinstance(stated, dict) and not exact:
        stated.pop("versions", None)

    def of(path: Path, found: Any, right: Any) -> Iterator[Words]:
        return _told(layout, path, _differences(found, right, exact))

    def table(path: Path, again: Path, read: Callable[[Path], Any]) -> Iterator[Words]:
        return of(path, read(path), read(again))

    of_manifest = list(of(layout.manifest, stated, manifest))
    qualitative, again = _json(layout.qualitative_report), json.loads(read_bytes(made.qualitative_report))
    # It names the digest of the manifest, which an edit of the manifest changes.
    again["manifest"] = sha256_file(layout.manifest)
    if of_manifest and isinstance(qualitative, dict):
        again["manifest"] = qualitative.get("manifest")
    files = [
        table(layout.guard_metrics, made.guard_metrics, _json),
        iter(of_manifest),
        table(layout.targets_table, made.targets_table, _csv),
        table(layout.labels_table, made.labels_table, _csv),
        of(layout.traces_metrics, _json(layout.traces_metrics), _traces(layout, config)),
        table(layout.frontier, made.frontier, _json),
        table(layout.guard_rows, made.guard_rows, _rows),
        table(layout.frontier_plot, made.frontier_plot, _json),
        of(layout.qualitative_report, qualitative, again),
        _bytes(layout, layout.policy_graph, made.policy_graph),
        _folder(layout, layout.policy_embedder, made.policy_embedder),
    ]
    findings = [finding for file in files for finding in file]
    if exact and not findings:  # its digits are those of the files above
        findings += _bytes(layout, layout.report, made.report)
    return findings, note


def _note(stated: Any, here: dict[str, str]) -> str:
    stated = stated if isinstance(stated, dict) else {}
    differing = [f"{name} {version} instead of {stated.get(name)}" for name, version in here.items()]
    differing = [text for text, name in zip(differing, here, strict=True) if stated.get(name) != here[name]]
    return (
        f"recomputed with {', '.join(differing)}: numbers were compared to five digits, everything else exactly, and "
        "report.html was not"
    )


def _traces(layout: Layout, config: Config) -> dict[str, Any]:
    """metrics/traces.json, from the tables of ingest, its quarantine and what it says of the teacher."""
    fit = read_table(layout.fit, ["label", "count", "label_count", "origin"])
    texts = read_table(layout.holdout, ["count", "origin"])
    labels = read_table(layout.holdout_labels, ["label", "label_count"])
    counts = np.concatenate([fit["count"].to_numpy(), texts["count"].to_numpy()])
    agreeing = np.concatenate([fit["label_count"].to_numpy(), labels["label_count"].to_numpy()])
    origins = Counter([*fit["origin"].to_pylist(), *texts["origin"].to_pylist()])
    read, accepted, distinct = read_fit_meta(layout.fit)["rows_read"], int(counts.sum()), len(counts)
    rejected = read_bytes(layout.rejected).count(b"\n")
    twice, conflicting = int((counts > 1).sum()), int((agreeing < counts).sum())
    share = config.split.holdout
    teacher = read_json(layout.teacher)
    evidence = distinct - origins["deferred"]
    return {
        "rows_read": read,
        "rows_accepted": accepted,
        "rows_rejected": rejected,
        "rows_skipped": read - accepted - rejected,
        "rows_merged": accepted - distinct,
        "distinct_texts": distinct,
        "audit_texts": origins["audit"],
        "deferred_texts": origins["deferred"],
        "texts_seen_twice": twice,
        "conflicting_texts": conflicting,
        "conflict_share": round(conflicting / twice, 6) if twice else 0,
        "labels": len({*fit["label"].to_pylist(), *labels["label"].to_pylist()}),
        "teacher_contexts": teacher["contexts_seen"],
        "teacher_changes": teacher["changes"],
        "fit_rows": fit.num_rows,
        "holdout_rows": texts.num_rows,
        "holdout_share": auto_holdout_share(evidence, config.targets.evidence) if share == "auto" else share,
    }


def _json(path: Path) -> Any:
    try:
        return json.loads(read_bytes(path))
    except ValueError:
        return "not valid JSON"


def _csv(path: Path) -> Any:
    """The rows by their first cell, each by its columns."""
    reader = csv.reader(io.StringIO(read_bytes(path).decode("utf-8", errors="replace"), newline=""))
    header, *rows = list(reader) or [[]]
    return {" ".join([*header[:1], *row[:1]]): dict(itertools.zip_longest(header, row)) for row in rows}


def _rows(path: Path) -> Any:
    """The columns, each a list."""
    return read_table(path).to_pydict()


def _digest(path: Path) -> Any:
    return sha256_file(path) if path.is_file() else "missing"


def _bytes(layout: Layout, found: Path, made: Path) -> Iterator[Words]:
    if _digest(found) != sha256_file(made):
        yield (tame(_names(layout, [found])[0]), " is not the file that the artifacts give")


def _folder(layout: Layout, found: Path, made: Path) -> Iterator[Words]:
    names = {path.relative_to(folder) for folder in (found, made) for path in folder.rglob("*") if path.is_file()}
    for name in sorted(names):
        if not (made / name).is_file():
            yield (tame(_names(layout, [found / name])[0]), " is a file that the artifacts do not give")
        else:
            yield from _bytes(layout, found / name, made / name)


def _told(layout: Layout, path: Path, differences: Iterator[tuple[KeyPath, Any, Any]]) -> Iterator[Words]:
    name = tame(_names(layout, [path])[0])
    for at, found, made in itertools.islice(differences, MOST):
        where = (name, ": ", tame(_place(path, at))) if at else (name,)
        # A whole row or section on one side alone.
        one_side = _MISSING in (found, made)
        values = (_shown(found, one_side), " in the file but ", _shown(made, one_side))
        yield (*where, " is ", *values, " when recomputed from the artifacts")
    if more := sum(1 for _ in differences):
        yield (name, f": {number(more, 'more value differs', 'more values differ')}")


def _place(path: Path, at: KeyPath) -> str:
    return " of ".join(str(part) for part in reversed(at)) if path.suffix == ".csv" else key_path(at)


def _differences(found: Any, made: Any, exact: bool, at: KeyPath = ()) -> Iterator[tuple[KeyPath, Any, Any]]:
    """Every innermost place where they differ."""
    if isinstance(found, dict) and isinstance(made, dict):
        for key in dict.fromkeys([*made, *found]):
            yield from _differences(found.get(key, _MISSING), made.get(key, _MISSING), exact, (*at, key))
    elif isinstance(found, list) and isinstance(made, list):
        for index, pair in enumerate(itertools.zip_longest(found, made, fillvalue=_MISSING)):
            yield from _differences(*pair, exact, (*at, index))
    elif not _same(found, made, exact):
        yield at, found, made


def _same(found: Any, made: Any, exact: bool) -> bool:
    if isinstance(found, str) and isinstance(made, str) and not exact:
        found, made = _number(found), _number(made)
    if isinstance(found, bool) or isinstance(made, bool) or exact:
        return type(found) is type(made) and found == made
    if isinstance(found, int | float) and isinstance(made, int | float):
        whole = isinstance(found, int) and isinstance(made, int)
        return found == made if whole else math.isclose(found, made, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(found == made)


def _number(text: str) -> float | str:
    """A cell of a CSV file; a whole number stays text, since it is a count."""
    try:
        return float(text) if "." in text or "e" in text else text
    except ValueError:
        return text


def _shown(value: Any, one_side: bool = False) -> str:
    if value is _MISSING:
        return "not there"
    if one_side and isinstance(value, dict | list):
        return "there"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return tame(f"{text[:77]}..." if len(text) > 80 else text) if text else "empty"
