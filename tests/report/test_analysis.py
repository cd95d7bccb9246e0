"""The report's figures, against small cases that are counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracer_cli.artifacts import CERTIFIED, MEASURED, TARGET
from tracer_cli.core.certificate import clopper_pearson
from tracer_cli.report import analysis
from tracer_cli.report.plot import frontier_plot


def rows(labels: str, predicted: str, scores: list[float], distances: list[float], threshold: float) -> analysis.Rows:
    values = np.array(scores)
    return analysis.Rows(
        texts=[f"text {i}" for i in range(len(labels))],
        labels=np.array(list(labels), object),
        predicted=np.array(list(predicted), object),
        scores=values,
        distances=np.array(distances),
        handled=values >= threshold,
    )


SIX = rows("aabbcx", "aabaca", [0.9, 0.8, 0.7, 0.6, 0.0, 0.0], [0.1, 0.1, 0.1, 0.1, 0.5, 0.1], 0.65)


def test_agreement_per_label_is_of_what_is_answered_with_it() -> None:
    checks = [{"label": "b", "handled": 12, "agreed": 6, "outcome": "deferred"}]
    entries = {e["label"]: e for e in analysis.per_label(SIX, {"a": 5, "b": 4, "c": 3}, 0.9, checks)}
    assert list(entries) == ["a", "b", "c", "x"]
    a, b, c, x = entries.values()
    assert (a["answered"], a["agreed"], a["holdout_rows"], a["coverage"]) == (2, 2, 2, 1.0)
    assert a["agreement_interval"] == list(clopper_pearson(2, 2, 0.9)) and a["little_evidence"]
    assert (b["answered"], b["coverage"], b["check"]) == (1, 0.5, checks[0])
    assert (c["answered"], c["agreement"], c["agreement_interval"], c["coverage"]) == (0, None, [0.0, 1.0], 0.0)
    assert (x["fit_rows"], x["holdout_rows"], x["check"]) == (0, 1, None)


def test_what_the_checks_deferred_is_told_apart() -> None:
    assert analysis.filtered(SIX, 0.4) == {"rows": 6, "distance": 1, "label": 1}
    assert analysis.filtered(SIX, None) == {"rows": 6, "distance": 0, "label": 2}


def test_the_distance_check_counts_in_the_graphs_precision() -> None:
    """A distance that equals the limit in single precision is not beyond it."""
    limit = 0.1 + 1e-10
    own = rows("aa", "aa", [0.5, 0.0], [float(np.float32(limit)), 0.2], 0.1)
    assert own.distances[0] > limit
    assert analysis.filtered(own, limit) == {"rows": 2, "distance": 1, "label": 0}


def test_what_a_check_defers_is_neither_on_the_curve_nor_nearly_sure_enough() -> None:
    curve = analysis.frontier_curve(SIX.scores, SIX.agrees)
    assert [p["coverage"] for p in curve] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6])
    assert [p["agreement"] for p in curve] == [1, 1, 1, 0.75]
    assert [p["parity"] for p in curve] == pytest.approx([1, 1, 1, 5 / 6])
    assert [e["text"] for e in analysis.examples(SIX)["deferred_most_sure"]] == ["text 3"]
    assert analysis.frontier_curve(np.zeros(3), np.ones(3, bool)) == []
    assert analysis.frontier_curve(np.empty(0), np.empty(0, bool)) == []


def test_equal_scores_are_not_split() -> None:
    curve = analysis.frontier_curve(np.array([0.9, 0.5, 0.5, 0.5]), np.array([True, True, False, True]))
    assert [p["coverage"] for p in curve] == [0.25, 1.0]


def target(**changes: Any) -> dict[str, Any]:
    values = {"target": 0.9, "certified": True, "threshold": 0.5, "coverage": 0.5, "evidence_rows": 200}
    return values | {"handled": 100, "agreed": 96} | changes


def test_the_certified_share_is_the_scopes() -> None:
    (own,) = analysis.certified_shares([target()], "handled", 0.95)
    assert (own["share"], own["share_interval"]) == (0.96, list(clopper_pearson(96, 100, 0.95)))
    (own,) = analysis.certified_shares([target()], "overall", 0.95)
    assert (own["share"], own["share_interval"]) == (0.98, list(clopper_pearson(196, 200, 0.95)))
    (own,) = analysis.certified_shares([target(certified=False, handled=0, agreed=0)], "overall", 0.95)
    assert own["share"] is None and own["share_interval"] is None


def test_targets_at_one_threshold_are_one_point_with_both_names() -> None:
    targets = analysis.certified_shares(
        [target(target=0.85), target(), target(target=0.95, threshold=0.9, coverage=0.1), target(certified=False)],
        "handled",
        0.95,
    )
    plot = frontier_plot({}, targets, 0.9, "handled")
    assert [(p["name"], p["deployed"]) for p in plot["targets"]] == [("0.85, 0.9", True), ("0.95", False)]
    assert [p["anchor"] for p in plot["targets"]] == ["end", "start"]


@pytest.mark.parametrize("low", [0.99, 0.79, 0.6, 0.31, 0.0])
def test_the_axis_ends_at_100_percent_and_holds_the_curve(low: float) -> None:
    curve = [{"coverage": 0.5, "agreement": low, "parity": low}]
    plot = frontier_plot({"holdout": curve}, [], 0.9, "handled")
    assert (plot["y_ticks"][0]["text"], plot["y_ticks"][0]["at"]) == ("100 %", plot["top"])
    assert float(plot["y_ticks"][-1]["text"].split()[0]) <= 100 * low
    assert len(plot["y_ticks"]) <= 11
    (height,) = (float(point.split(",")[1]) for point in plot["curves"][0]["points"].split())
    assert plot["top"] <= height <= plot["bottom"]


def test_the_table_for_dvc_has_the_curve_of_the_scope_and_the_highest_certificate_at_each_coverage() -> None:
    curve = [
        {"coverage": coverage, "agreement": agreement, "parity": 0.5 + agreement / 2}
        for coverage, agreement in ((0.01, 0.0), (0.2, 0.99), (1 / 3, 0.96), (0.7, 0.9), (0.9, 0.8))
    ]
    targets = [
        target(target=0.8, coverage=0.7),
        target(target=0.95, coverage=0.333333),
        target(target=0.9, coverage=0.0, certified=False),
    ]
    rows = analysis.frontier_table(curve, targets, 0.9, "handled")
    assert [list(row.values()) for row in rows] == [
        [0.2, 0.99, 0.95, 0.9],
        [0.3333, 0.96, 0.95, 0.9],
        [0.7, 0.9, 0.8, 0.9],
        [0.9, 0.8, None, 0.9],
    ]
    assert list(rows[0]) == ["coverage", MEASURED, CERTIFIED, TARGET]
    assert [row[MEASURED] for row in analysis.frontier_table(curve, [], 0.9, "overall")] == [0.995, 0.98, 0.95, 0.9]
    assert [list(row.values()) for row in analysis.frontier_table([], targets, 0.9, "handled")] == [
        [0.0, None, 0.95, 0.9]
    ]
