"""New traces, read as their source will read them, before anything is written."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracer_cli.config.schema import TraceSource
from tracer_cli.errors import DataError
from tracer_cli.traces.calls import ORIGINS
from tracer_cli.traces.collect import Collected, collect
from tracer_cli.traces.read.files import trace_file
from tracer_cli.traces.rejects import Rejects, SourceCount, check_shares
from tracer_cli.traces.store import Store, opened_store


@dataclass
class Incoming:
    """What is in the new files. keys: of their distinct texts.

    labels: distinct texts of each label; evidence: those of them that are organic or audit. contexts: digests of the
    teacher's instructions; models: its names.
    """

    counts: list[SourceCount]
    rows: dict[str, int]
    keys: list[str] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    evidence: Counter[str] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    contexts: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)


def examine(root: Path, sources: list[TraceSource], seed: int) -> Incoming:
    """Read the files that the sources' paths name, with their mappings and filters, into a scratch folder.

    Raises DataError where ingest would: a file that cannot be read, more rejected rows than max_rejected (the
    quarantine is then kept in the system's temporary folder); and where not one row would be used.
    """
    with (
        tempfile.TemporaryDirectory(prefix="tracer-update-") as folder,
        opened_store(Path(folder), seed) as store,
    ):
        rejected = Path(folder) / "rejected.jsonl"
        with rejected.open("w", encoding="utf-8", newline="\n") as file:
            collected = collect(root, [_alone(s, root) for s in sources], seed, store, Rejects(file), Path(folder))
        _check(collected, rejected)
        return _incoming(collected, store)


def _alone(source: TraceSource, root: Path) -> TraceSource:
    """The source for one file of it: an id or a human label need not be in every JSONL file, only in some."""
    if trace_file(Path(source.path), root).format != "jsonl":
        return source
    return source.model_copy(update={"id": None, "ground_truth": None})


def _check(collected: Collected, rejected: Path) -> None:
    if any(count.excessive for count in collected.counts):
        kept = Path(tempfile.mkdtemp(prefix="tracer-rejected-")) / "rejected.jsonl"
        shutil.copyfile(rejected, kept)
        try:
            check_shares(collected.counts, str(kept))
        except DataError as error:
            raise DataError(f"{error}\nNothing was added") from error
    if collected.read == collected.rejected + collected.skipped:
        reasons = "\n".join(count.told() for count in collected.counts if count.rejected)
        raise DataError(
            f"not one of the {collected.read:,} new rows would be used: {collected.rejected:,} are rejected and "
            f"{collected.skipped:,} are left out by the source's filters. Nothing was added\n{reasons}".rstrip()
        )


def _incoming(collected: Collected, store: Store) -> Incoming:
    metrics = store.merge()
    accepted, distinct = metrics["rows_accepted"], metrics["distinct_texts"]
    found = Incoming(
        counts=collected.counts,
        rows={
            "read": collected.read,
            "accepted": accepted,
            "merged": accepted - distinct,
            "rejected": collected.rejected,
            "skipped": collected.skipped,
        },
        contexts=contexts_of(described := collected.teacher.described([])),
        models=sorted(described["models"]),
    )
    store.split_by_text(0)  # all on one side
    for group in store.groups(("key", "label", "origin"), holdout=False):
        for key, label, origin in group:
            found.keys.append(key)
            found.labels[label] += 1
            found.origins[origin] += 1
            if origin != ORIGINS[-1]:
                found.evidence[label] += 1
    return found


def contexts_of(teacher: dict[str, Any]) -> list[str]:
    """The digests of the instructions that teacher.json lists."""
    return sorted(context["sha256"] for context in teacher.get("contexts", []))
