"""The sentences about a policy: right for every method, scope, kind of evidence, check and shortfall."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from tracer_cli.config.schema import Targets
from tracer_cli.report import words


def manifest(**changes: Any) -> dict[str, Any]:
    kernel = {"name": "kernel", "kind": "kernel_ridge", "share": 1.0, "settings": {"gamma": 1.0}}
    target = {"target": 0.9, "evidence_rows": 1000, "shortfall": None}
    values = {
        "surrogate": {"name": "kernel", "kind": "kernel_ridge", "members": [kernel]},
        "target": 0.9,
        "targets": [target],
        "scope": "handled",
        "evidence": "holdout",
        "fit_rows": 700,
        "holdout_rows": 300,
        "distance_limit": 0.5,
        "distance_quantile": 0.999,
        "per_label_min": None,
        "label_checks": [],
    }
    return values | changes


@pytest.mark.parametrize(("field", "known"), [("method", words.METHODS), ("scope", words.SCOPES)])
def test_every_method_and_scope_has_its_words(field: str, known: dict[str, str]) -> None:
    assert set(get_args(Targets.model_fields[field].annotation)) - {"auto"} == set(known)


def test_a_single_model_and_a_blend() -> None:
    assert words.surrogate(manifest()) == "kernel (kernel_ridge)"
    parts = [
        {"name": "knn", "kind": "nearest_neighbours", "share": 0.333333, "settings": {"k": 30}},
        {"name": "log", "kind": "logistic_regression", "share": 0.666667, "settings": {"C": 2 / 3, "max_iter": 300}},
    ]
    blend = manifest(surrogate={"name": "knn + log", "kind": "blend", "members": parts})
    assert words.surrogate(blend) == "blend of 67 % log (logistic_regression) + 33 % knn (nearest_neighbours)"
    assert words.members(blend)[0]["settings"] == "C 0.6667, max_iter 300"


def test_crossfit_states_its_assumption_and_what_runs() -> None:
    text = words.evidence(manifest(evidence="crossfit"))
    assert text.startswith("1,000 texts, 700 of them out of fold and 300 held out")
    for part in ("Assumes many texts", "change little", "not exact", "the average of the fold models"):
        assert part in text
    assert "Assumes" not in words.evidence(manifest())


def test_the_distance_check_gives_limit_quantile_and_count() -> None:
    text = words.distance_check(manifest(), {"rows": 300, "distance": 2, "label": 0})
    assert "farther than 0.500" in text and "0.999 quantile" in text and "deferred 2 of 300 holdout texts" in text
    assert "holdout" not in words.distance_check(manifest())
    assert words.distance_check(manifest(distance_limit=None)).startswith("none")


def test_the_check_of_labels_counts_each_outcome() -> None:
    outcomes = {"a": "reached", "b": "deferred", "c": "too little evidence", "d": "deferred"}
    checks = [{"label": label, "handled": 20, "agreed": 15, "outcome": o} for label, o in outcomes.items()]
    checked = manifest(per_label_min=0.9, label_checks=checks)
    text = words.label_check(checked, {"rows": 300, "distance": 0, "label": 7})
    assert "1 of 4 labels reach it" in text and "2 do not and are deferred (7 of 300 holdout texts)" in text
    assert "1 have too little evidence to tell and are answered" in text
    assert words.labels_with(checked, "deferred") == ["b", "d"]
    assert words.label_check(manifest()) == ""


@pytest.mark.parametrize(
    ("entry", "note"),
    [
        ({}, ""),
        ({"little_evidence": True}, "too little evidence"),
        ({"fit_rows": 0, "little_evidence": True}, "in no fit text: never answered with"),
        ({"check": {"outcome": "reached", "handled": 9, "agreed": 9}}, ""),
        (
            {"check": {"outcome": "deferred", "handled": 20, "agreed": 15}, "little_evidence": True},
            "deferred: 15 of 20 out of fold",
        ),
        (
            {"check": {"outcome": "too little evidence", "handled": 3, "agreed": 3}},
            "too little evidence: 3 of 3 out of fold",
        ),
    ],
)
def test_the_note_of_a_label(entry: dict[str, Any], note: str) -> None:
    assert words.label_note({"fit_rows": 5, "little_evidence": False, "check": None} | entry) == note


@pytest.mark.parametrize(("scope", "share"), [("handled", 0.8), ("overall", 0.9)])
def test_a_shortfall_is_of_what_the_scope_certifies(scope: str, share: float) -> None:
    short = {
        "tested_coverage": 0.5,
        "tested_agreement": 0.8,
        "supported_target": 0.75,
        "evidence_rows_needed": None,
    }
    targets = [
        {"target": 0.7, "evidence_rows": 1000, "shortfall": None},
        {"target": 0.9, "evidence_rows": 1000, "shortfall": short},
    ]
    (entry,) = words.shortfalls(manifest(scope=scope, targets=targets))
    assert (entry["target"], entry["coverage"], entry["rows"]) == (0.9, 0.5, 1000)
    assert entry["share"] == pytest.approx(share)
    assert (entry["supported"], entry["needed"]) == (0.75, "no number")


@pytest.mark.parametrize(
    ("coverage", "rows", "needed"),
    [(0.5, 1234, "1,234"), (0.5, None, "no number"), (0.0, None, "unknown"), (0.0, 59, "unknown")],
)
def test_where_nothing_was_observed_nothing_is_claimed(coverage: float, rows: int | None, needed: str) -> None:
    short = {
        "tested_coverage": coverage,
        "tested_agreement": 0.8 if coverage else 0.0,
        "supported_target": 0.7,
        "evidence_rows_needed": rows,
    }
    missing = words.shortfalls(manifest(targets=[{"target": 0.9, "evidence_rows": 10, "shortfall": short}]))
    assert [(m["needed"], m["share"]) for m in missing] == [(needed, 0.8 if coverage else None)]
    assert list(words.needed_notes(missing)) == ([] if needed == "1,234" else [needed])


def test_a_threshold_below_every_score_is_no_number() -> None:
    assert [words.threshold(value) for value in (None, 1e-12, 0.25)] == ["none", "any score", "0.2500"]
