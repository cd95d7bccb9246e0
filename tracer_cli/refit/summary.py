"""What an update says: the new traces beside the old ones, and the verdict before and after. Plain data, for JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tracer_cli.artifacts import Layout
from tracer_cli.core import shift
from tracer_cli.refit.incoming import Incoming
from tracer_cli.refit.known import Known, known, texts_there
from tracer_cli.traces.calls import ORIGINS

NOT_HERE = (
    "the tables of the traces before are not here (artifacts/traces; `dvc pull` fetches them), so the new traces were "
    "not compared with them"
)


def traces_summary(incoming: Incoming, layout: Layout) -> dict[str, Any]:
    """The new traces, compared with those of the policy that lies there."""
    before = known(layout)
    there = texts_there(layout, incoming.keys)
    notes = []
    if before is not None and before.evidence is None:
        notes.append(NOT_HERE)
    if incoming.origins[ORIGINS[-1]] and before is not None:
        notes.append(
            f"{incoming.origins[ORIGINS[-1]]:,} texts came as `deferred` only: they are not like the traffic, so their "
            "labels are compared with nothing; they are trained on and are no evidence"
        )
    return {
        "rows": incoming.rows,
        "rejected_first": [line for count in incoming.counts for line in count.first],
        "texts": len(incoming.keys),
        "texts_new": None if there is None else len(incoming.keys) - there,
        "origins": {origin: incoming.origins[origin] for origin in ORIGINS},
        "labels": _labels(incoming, before),
        "distribution": _distribution(incoming, before),
        "teacher": _teacher(incoming, before),
        "notes": notes,
    }


def _labels(incoming: Incoming, before: Known | None) -> dict[str, Any]:
    new = [] if before is None else sorted(incoming.labels.keys() - before.labels)
    old: Counter[str] = Counter() if before is None or before.evidence is None else before.evidence
    return {
        "new": [{"label": label, "texts": incoming.labels[label]} for label in new],
        "absent": [
            {"label": entry.label, "texts_before": entry.old, "chance": entry.chance}
            for entry in shift.absent(old, incoming.evidence)
            if not incoming.labels[entry.label]  # else it came, with deferred texts alone
        ],
        "absent_rule": shift.ABSENT_RULE,
    }


def _distribution(incoming: Incoming, before: Known | None) -> dict[str, Any] | None:
    if before is None or before.evidence is None:
        return None
    found = shift.shift(before.evidence, incoming.evidence)
    if found is None:
        return None
    return {
        "texts_before": found.old,
        "texts_new": found.new,
        "p": found.p,
        "beyond_noise": found.beyond,
        "distance": found.distance,
        "distance_by_chance": found.by_chance,
        "labels": [
            {"label": entry.label, "before": entry.shares.before.share, "new": entry.shares.after.share, "p": entry.p}
            for entry in found.labels
        ],
        "test": shift.TEST,
    }


def _teacher(incoming: Incoming, before: Known | None) -> dict[str, Any]:
    """instructions_new: those that the traces before did not have, of the listed ones."""
    if before is None:
        return {"instructions": len(incoming.contexts), "instructions_new": 0, "models_new": [], "complete": True}
    return {
        "instructions": len(incoming.contexts),
        "instructions_new": len(set(incoming.contexts) - set(before.contexts)) if before.contexts else 0,
        "models_new": sorted(set(incoming.models) - set(before.models)) if before.models else [],
        "complete": before.all_contexts,
    }
