"""What a policy was, in a small file for git, and what changed from it to the policy of now. Data only, no markup.

A stage's result depends on its inputs alone, so the report cannot look at the policy that it replaces: the facts of
that one are a file, which `tracer update` writes before it refits, and an input of the stage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracer_cli.artifacts import Layout, read_json, read_table, sha256_file
from tracer_cli.core import noise
from tracer_cli.core.noise import LEVEL, Counts, compare, corrected
from tracer_cli.errors import DataError
from tracer_cli.report import analysis, words

SCHEMA = 1
_TARGET = (
    "target",
    "certified",
    "threshold",
    "coverage",
    "coverage_interval",
    "share",
    "share_interval",
    "handled",
    "agreed",
    "evidence_rows",
)
_LABEL = ("label", "fit_rows", "holdout_rows", "answered", "agreed")


def facts(
    manifest: Mapping[str, Any],
    labels: list[dict[str, Any]],
    traces: Mapping[str, Any],
    teacher: Mapping[str, Any],
    dates: list[str] | None,
) -> dict[str, Any]:
    """The contents of metrics/previous.json, or the same of the policy of now.

    labels: of the qualitative report. teacher: teacher.json; of the instructions only digests are kept. dates: the
    first and the last time of a trace, as of `dates_of`.
    """
    targets = analysis.certified_shares(manifest["targets"], manifest["scope"], manifest["confidence"])
    return {
        "schema": SCHEMA,
        "verdict": dict(manifest["verdict"]),
        **{name: manifest[name] for name in ("scope", "evidence", "confidence", "method")},
        "surrogate": words.surrogate(dict(manifest)),
        "embedder": {name: manifest["embedder"].get(name) for name in ("kind", "fingerprint")},
        "targets": [{name: _rounded(target[name]) for name in _TARGET} for target in targets],
        "labels": [
            {name: entry[name] for name in _LABEL} for entry in sorted(labels, key=lambda entry: entry["label"])
        ],
        "traces": dict(traces),
        "dates": dates,
        "teacher": {
            "contexts": sorted(context["sha256"] for context in teacher.get("contexts", [])),
            "contexts_seen": teacher.get("contexts_seen", 0),
            "models": dict(teacher.get("models", {})),
        },
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(bound) for bound in value]
    return round(value, 6) if isinstance(value, float) else value


def facts_of(layout: Layout) -> dict[str, Any]:
    """The same of the policy that lies there; {} where there is none, or its report is of another fit."""
    needed = [layout.manifest, layout.qualitative_report, layout.traces_metrics]
    if not all(path.is_file() for path in needed):
        return {}
    manifest, qualitative, traces = map(read_json, needed)
    if qualitative["manifest"] != sha256_file(layout.manifest):
        return {}
    teacher = read_json(layout.teacher) if layout.teacher.is_file() else {}
    tables = [path for path in (layout.fit, layout.holdout) if path.is_file()]
    return facts(manifest, qualitative["labels"], traces, teacher, dates_of(tables))


def dates_of(tables: list[Path]) -> list[str] | None:
    """The first and the last time of a text in the tables of ingest; None where no text has one."""
    import pyarrow.compute as pc

    ends: list[Any] = []
    for table in tables:
        column = read_table(table, ["timestamp"])["timestamp"]
        found = pc.min_max(column)
        ends += [found[name].as_py() for name in ("min", "max") if found[name].is_valid]
    return [min(ends).isoformat(), max(ends).isoformat()] if ends else None


def changed(path: Path, now: dict[str, Any]) -> dict[str, Any] | None:
    """From the policy whose facts lie in `path` to that of now; None where none lie there.

    Raises DataError when the file is not as tracer writes it.
    """
    before = read_json(path) if path.is_file() else {}
    if before == {}:
        return None
    try:
        if before["schema"] != SCHEMA:
            raise ValueError(f"schema {before['schema']}")
        return between(before, now)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(
            f"{path} is not as this version of tracer writes it ({error!r}): restore it from git, or write {{}} into "
            "it, and the report shows no changes"
        ) from error


def between(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What differs between two `facts`; a change of a share is beyond noise by the test that `test` names."""
    answerable = [{entry["label"] for entry in side["labels"] if entry["fit_rows"]} for side in (before, now)]
    known = ("verdict", "scope", "confidence", "method", "surrogate", "embedder", "traces", "dates")
    return {
        **{name: {"before": before[name], "now": now[name]} for name in known},
        "targets": _targets(before, now),
        "labels_gained": sorted(answerable[1] - answerable[0]),
        "labels_lost": sorted(answerable[0] - answerable[1]),
        "labels_moved": _moved(before["labels"], now["labels"]),
        "teacher": _teacher(before["teacher"], now["teacher"]),
        "test": noise.TEST,
    }


def _targets(before: dict[str, Any], now: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry per target of either side. beyond_noise: None where the two cannot be compared."""
    sides = [{t["target"]: {name: t[name] for name in _TARGET} for t in side["targets"]} for side in (before, now)]
    same_question = before["scope"] == now["scope"]
    entries = []
    for target in sorted({*sides[0], *sides[1]}):
        old, new = (side.get(target) for side in sides)
        entry: dict[str, Any] = {"target": target, "before": old, "now": new, "coverage_beyond_noise": None}
        entry["share_beyond_noise"] = None
        if old and new and (old["certified"] or new["certified"]):
            coverage = [Counts(side["handled"], side["evidence_rows"]) for side in (old, new)]
            entry["coverage_beyond_noise"] = compare(*coverage).beyond
            if old["certified"] and new["certified"] and same_question:
                entry["share_beyond_noise"] = compare(*(_counts(side, now["scope"]) for side in (old, new))).beyond
        entries.append(entry)
    return entries


def _counts(target: dict[str, Any], scope: str) -> Counts:
    if scope == "handled":
        return Counts(target["agreed"], target["handled"])
    return Counts(target["evidence_rows"] - (target["handled"] - target["agreed"]), target["evidence_rows"])


def _moved(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Labels whose agreement moved beyond noise, all labels together; the farthest fall first."""
    old = {entry["label"]: Counts(entry["agreed"], entry["answered"]) for entry in before}
    new = {entry["label"]: Counts(entry["agreed"], entry["answered"]) for entry in now}
    shared = sorted(old.keys() & new.keys())
    comparisons = [compare(old[label], new[label]) for label in shared]
    entries = [
        {
            "label": label,
            "before": {"agreed": old[label].successes, "answered": old[label].trials},
            "now": {"agreed": new[label].successes, "answered": new[label].trials},
            "change": comparison.change,
            "p": p,
        }
        for label, comparison, p in zip(shared, comparisons, corrected(comparisons), strict=True)
        if p is not None and p <= LEVEL
    ]
    return sorted(entries, key=lambda entry: (entry["change"], entry["label"]))


def _teacher(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """How many instructions and which models came and went, of those that are listed."""
    old, new = Counter(before["contexts"]), Counter(now["contexts"])
    models = [set(side["models"]) for side in (before, now)]
    return {
        "contexts": {"before": before["contexts_seen"], "now": now["contexts_seen"]},
        "contexts_new": len(new - old),
        "contexts_gone": len(old - new),
        "models_new": sorted(models[1] - models[0]),
        "models_gone": sorted(models[0] - models[1]),
    }
