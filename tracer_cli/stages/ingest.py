"""Traces -> one row per distinct text, divided into fit rows and a holdout whose labels lie apart."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tracer_cli.artifacts import Layout, replacing, write_json
from tracer_cli.config.schema import Config
from tracer_cli.core.splits import auto_holdout_share
from tracer_cli.errors import DataError
from tracer_cli.traces.collect import Collected, collect
from tracer_cli.traces.rejects import Rejects, check_shares
from tracer_cli.traces.store import Store, opened_store
from tracer_cli.traces.table import FIT, HOLDOUT, HOLDOUT_LABELS, write_rows


def run(layout: Layout, config: Config) -> None:
    """Write fit.parquet, holdout.parquet, holdout_labels.parquet, rejected.jsonl, teacher.json and metrics/traces.json.

    Raises DataError when the traces cannot be used; rejected.jsonl is written before rows are called too many.
    """
    with (
        tempfile.TemporaryDirectory(prefix="tracer-ingest-") as scratch,
        opened_store(Path(scratch), config.seed) as store,
    ):
        with replacing(layout.rejected) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            collected = collect(layout.root, config.traces, config.seed, store, Rejects(file), Path(scratch))
        check_shares(collected.counts, str(layout.rejected))
        metrics = store.merge()
        _require_rows(metrics["rows_accepted"], collected)
        evidence = metrics["distinct_texts"] - metrics["deferred_texts"]
        _require_evidence(evidence, metrics)
        share = _split(store, config, collected, evidence)
        fit_rows, holdout_rows = store.side(holdout=False), store.side(holdout=True)
        _require_enough(store.fit_labels(), fit_rows, holdout_rows, config)
        meta = {"holdout_rows": holdout_rows, "rows_read": collected.read}
        write_rows(layout.fit, FIT, store.groups(FIT, holdout=False), meta)
        write_rows(layout.holdout, HOLDOUT, store.groups(HOLDOUT, holdout=True))
        write_rows(layout.holdout_labels, HOLDOUT_LABELS, store.groups(HOLDOUT_LABELS, holdout=True))
    sources = [source.model_dump(mode="json") for source in config.traces]
    write_json(layout.teacher, collected.teacher.described(sources))
    twice = metrics["texts_seen_twice"]
    write_json(
        layout.traces_metrics,
        {
            **metrics,
            "rows_read": collected.read,
            "rows_rejected": collected.rejected,
            "rows_skipped": collected.skipped,
            "teacher_contexts": collected.teacher.contexts,
            "teacher_changes": collected.teacher.changes,
            "rows_merged": metrics["rows_accepted"] - metrics["distinct_texts"],
            "fit_rows": fit_rows,
            "holdout_rows": holdout_rows,
            "holdout_share": share,
            "conflict_share": round(metrics["conflicting_texts"] / twice, 6) if twice else 0,
        },
    )


def _require_evidence(evidence: int, metrics: dict[str, int]) -> None:
    if not evidence:
        raise DataError(
            f"traces: all {metrics['distinct_texts']:,} distinct texts came as `deferred` only, and what a policy "
            "deferred is not like the traffic: it is trained on and is no evidence. Bring the traces from before the "
            "policy (origin organic), or those that it audited"
        )


def _split(store: Store, config: Config, collected: Collected, evidence: int) -> float:
    """Draw the holdout among the texts that are evidence."""
    share = config.split.holdout
    if share == "auto":
        share = auto_holdout_share(evidence, config.targets.evidence)
    if config.split.by == "text":
        store.split_by_text(share)
        return share
    if collected.untimed:
        raise DataError(
            f"split.by is time, but {collected.untimed:,} rows have no usable timestamp, the first at "
            f"{collected.first_untimed}; name the field with `timestamp` in each source (ISO 8601, epoch seconds or "
            "milliseconds), or set split.by: text"
        )
    store.split_by_time(share)
    return share


def _require_rows(accepted: int, collected: Collected) -> None:
    if not accepted:
        reasons = "\n".join(
            count.told()
            if count.rejected
            else f"{count.path}: all {count.skipped:,} rows are outside of `since`, `until` and `sample`, or are no "
            "calls of the teacher"
            for count in collected.counts
        )
        raise DataError(f"traces: not one of the {collected.read:,} rows can be used\n{reasons}")


def _require_enough(labels: list[str], fit_rows: int, holdout_rows: int, config: Config) -> None:
    found = (
        f"traces: {fit_rows + holdout_rows:,} distinct texts, "
        f"of which {fit_rows:,} to fit on and {holdout_rows:,} held out"
    )
    if fit_rows < config.split.folds:
        raise DataError(
            f"{found}: split.folds needs at least {config.split.folds} to fit on; bring more traces, or fewer folds"
        )
    if not holdout_rows:
        raise DataError(f"{found}: the guard needs held-out texts; bring more traces, or raise split.holdout")
    if len(labels) < 2:
        raise DataError(
            f"{found}: all fit rows have the label {labels[0]!r}, and a classifier needs at least two labels; "
            "check that `label` names the right field"
        )
