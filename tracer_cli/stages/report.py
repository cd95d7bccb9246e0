"""report: the audit page, the qualitative report, the frontier for `dvc plots` and the table of labels."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracer_cli.artifacts import Layout, read_json, read_table, sha256_file, write_csv, write_json, write_text
from tracer_cli.config.schema import Config
from tracer_cli.core import drift
from tracer_cli.report import analysis, changes, words
from tracer_cli.report.plot import frontier_plot
from tracer_cli.report.render import render

# plots/labels.csv, at the threshold that the qualitative report shows. handled: of the label's own holdout texts;
# answered: of all of them, those answered with the label; agreed: of these, those with the teacher's label.
LABEL_COLUMNS = ("label", "fit_rows", "holdout_rows", "handled", "answered", "agreed", "agreement")


def run(layout: Layout, config: Config) -> None:
    """Write report.html, qualitative_report.json and the plots from what guard and calibrate left.

    What changed is told against the policy whose facts lie in metrics/previous.json, if there was one.
    """
    manifest, frontier = read_json(layout.manifest), read_json(layout.frontier)
    deployed = words.deployed(manifest)
    shown = _shown(deployed, frontier)
    rows = _rows(layout, shown["threshold"])
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
    labels = analysis.per_label(rows, dict(fit_counts), manifest["confidence"], manifest["label_checks"])
    traces, teacher = read_json(layout.traces_metrics), read_json(layout.teacher)
    now = changes.facts(manifest, labels, traces, teacher, changes.dates_of([layout.fit, layout.holdout]))
    qualitative = {
        "manifest": sha256_file(layout.manifest),
        "shown": shown,
        "filtered": analysis.filtered(rows, manifest["distance_limit"]),
        "labels": labels,
        "boundary_pairs": analysis.boundary_pairs(rows),
        "examples": analysis.examples(rows),
        "changed": changes.changed(layout.previous, now),
        "reference": {"scores": _kept(rows.scores), "distances": _kept(rows.distances)},
    }
    write_json(layout.qualitative_report, qualitative)
    points = analysis.frontier_table(curves["holdout"], manifest["targets"], manifest["target"], manifest["scope"])
    write_text(layout.frontier_plot, _lines(points))
    write_csv(layout.labels_table, LABEL_COLUMNS, [_rounded(entry) for entry in labels])
    targets = analysis.certified_shares(manifest["targets"], manifest["scope"], manifest["confidence"])
    coverage = deployed["coverage"] if manifest["verdict"]["deploy"] else 0.0
    context = {
        "manifest": manifest,
        "targets": targets,
        "deployed": next(t for t in targets if t["target"] == manifest["target"]),
        "traces": traces,
        "teacher": teacher,
        "qualitative": qualitative,
        "cost": analysis.cost_projection(coverage, **config.cost.model_dump()),
        "considered": _considered(frontier),
        "methods": frontier["methods"],
        "plot": frontier_plot(curves, targets, manifest["target"], manifest["scope"]),
    }
    write_text(layout.report, render(context))


def _kept(values: NDArray[np.float64]) -> dict[str, Any] | None:
    """Quantiles of the holdout, which `tracer monitor` compares with where only the policy folder is."""
    base = drift.reference(values)
    return None if base is None else asdict(base)


def _shown(deployed: dict[str, Any], frontier: dict[str, Any]) -> dict[str, Any]:
    """The threshold of the figures per label and of the examples: the certified one, or, where there is none, the one
    that was tested first, so that they show where the surrogate falls short."""
    if deployed["certified"]:
        return {"threshold": deployed["threshold"], "certified": True}
    tested = next(t for t in frontier["targets"] if t["target"] == deployed["target"])["tested"]
    return {"threshold": tested[0]["threshold"] if tested else None, "certified": False}


def _rows(layout: Layout, threshold: float | None) -> analysis.Rows:
    table = read_table(layout.guard_rows)
    scores = table["accept_score"].to_numpy()
    return analysis.Rows(
        texts=read_table(layout.holdout, ["text"])["text"].to_pylist(),
        labels=np.array(table["label"].to_pylist(), object),
        predicted=np.array(table["predicted"].to_pylist(), object),
        scores=scores,
        distances=table["distance"].to_numpy(),
        handled=np.zeros(len(scores), bool) if threshold is None else scores >= threshold,
    )


def _considered(frontier: dict[str, Any]) -> list[dict[str, Any]]:
    """The blends that were tried for the deployed target, the chosen one marked, best first."""
    entries = [{**entry, "chosen": i == 0} for i, entry in enumerate(frontier["considered"])]
    return sorted(entries, key=lambda e: (-e["expected_coverage"], -e["out_of_fold_agreement"], not e["chosen"]))


def _lines(points: list[dict[str, float | None]]) -> str:
    """JSON with a point on each line: a diff of two revisions stays readable."""
    return "[\n" + ",\n".join(json.dumps(point, allow_nan=False) for point in points) + "\n]\n"


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in row.items()}
