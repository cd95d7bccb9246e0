"""What the traces of the policy before hold, for comparing new ones with it."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tracer_cli.artifacts import Layout, read_json, read_table
from tracer_cli.refit.incoming import contexts_of
from tracer_cli.traces.calls import ORIGINS


@dataclass
class Known:
    """labels: all that the traces have; evidence: organic and audit texts of each, None where the tables of ingest are
    not here. contexts: digests of the listed instructions, all: whether every one is listed; models: names."""

    labels: set[str] = field(default_factory=set)
    evidence: Counter[str] | None = None
    contexts: list[str] = field(default_factory=list)
    all_contexts: bool = True
    models: list[str] = field(default_factory=list)


def known(layout: Layout) -> Known | None:
    """None before the first fit."""
    if not layout.labels_table.is_file():
        return None
    held = Counter({row["label"]: int(row["holdout_rows"]) for row in _rows(layout.labels_table)})
    found = Known(labels=set(held))
    if layout.fit.is_file():
        # The holdout is evidence throughout, and its labels are counted in git: its own table is the guard's.
        found.evidence = held
        fit = read_table(layout.fit, ["label", "origin"])
        for entry in fit.filter(pc.field("origin") != ORIGINS[-1])["label"].value_counts():
            found.evidence[entry["values"].as_py()] += entry["counts"].as_py()
    if layout.teacher.is_file():
        teacher: dict[str, Any] = read_json(layout.teacher)
        found.contexts = contexts_of(teacher)
        found.all_contexts = len(found.contexts) == teacher["contexts_seen"]
        found.models = sorted(teacher["models"])
    return found


def texts_there(layout: Layout, keys: list[str]) -> int | None:
    """How many of the texts the traces had before; None where the tables are not here."""
    if not (layout.fit.is_file() and layout.holdout.is_file()):
        return None
    wanted = pa.array(keys, pa.string())
    there = 0
    for table in (layout.fit, layout.holdout):
        there += pc.sum(pc.is_in(read_table(table, ["key"])["key"], value_set=wanted)).as_py() or 0
    return there


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
