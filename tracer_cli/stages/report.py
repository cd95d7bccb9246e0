"""report: the audit page, the qualitative report, and the frontier as a DVC plot."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import Any

import numpy as np

from tracer_cli.artifacts import Layout, read_json, read_table, write_json, write_text
from tracer_cli.config.schema import Config
from tracer_cli.report import analysis
from tracer_cli.report.plot import frontier_plot
from tracer_cli.report.render import render


def run(layout: Layout, config: Config) -> None:
    """Write report.html, qualitative_report.json and plots/frontier.csv from what guard and calibrate left."""
    manifest = read_json(layout.manifest)
    deployed = next(t for t in manifest["targets"] if t["target"] == manifest["target"])
    rows = _rows(layout, deployed["threshold"])
    fit_counts = Counter(str(label) for label in read_table(layout.fit, ["label"])["label"].to_pylist())
    out_of_fold = read_table(layout.candidate / "oof.parquet")
    curves = {
        "holdout": analysis.frontier_curve(rows.scores, rows.agrees),
        "out of fold": analysis.frontier_curve(
            out_of_fold["accept_score"].to_numpy(),
            np.array(out_of_fold["label"].to_pylist(), object)
            == np.array(out_of_fold["predicted"].to_pylist(), object),
        ),
    }
    qualitative = {
        "labels": analysis.per_label(rows, dict(fit_counts), manifest["confidence"]),
        "boundary_pairs": analysis.boundary_pairs(rows),
        "examples": analysis.examples(rows),
    }
    write_json(layout.qualitative_report, qualitative)
    write_text(layout.frontier_plot, _plot_csv(curves))
    context = {
        "manifest": manifest,
        "deployed": deployed,
        "traces": read_json(layout.traces_metrics),
        "qualitative": qualitative,
        "cost": analysis.cost_projection(deployed["coverage"], **config.cost.model_dump()),
        "considered": _considered(read_json(layout.frontier)),
        "plot": frontier_plot(curves, manifest["targets"], manifest["target"]),
    }
    write_text(layout.report, render(context))


def _rows(layout: Layout, threshold: float | None) -> analysis.Rows:
    table = read_table(layout.guard_rows)
    scores = table["accept_score"].to_numpy()
    return analysis.Rows(
        texts=read_table(layout.holdout, ["text"])["text"].to_pylist(),
        labels=np.array(table["label"].to_pylist(), object),
        predicted=np.array(table["predicted"].to_pylist(), object),
        scores=scores,
        handled=np.zeros(len(scores), bool) if threshold is None else scores >= threshold,
    )


def _considered(frontier: dict[str, Any]) -> list[dict[str, Any]]:
    """The blends that were tried for the deployed target, the chosen one marked, best first."""
    entries = [{**entry, "chosen": i == 0} for i, entry in enumerate(frontier["considered"])]
    return sorted(entries, key=lambda e: (-e["expected_coverage"], -e["out_of_fold_agreement"], not e["chosen"]))


def _plot_csv(curves: dict[str, list[dict[str, float]]]) -> str:
    """One long table: evidence, coverage, agreement."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["evidence", "coverage", "agreement"])
    for name, points in curves.items():
        writer.writerows([name, f"{p['coverage']:.4f}", f"{p['agreement']:.4f}"] for p in points)
    return text.getvalue()
