"""Two params.yaml: which values differ, and which of these ask for less."""

from __future__ import annotations

from typing import Any

import pytest

from tracer_cli.config.document import key_path
from tracer_cli.config.resolve import params_of
from tracer_cli.config.schema import Config
from tracer_cli.review.parameters import ABSENT, differing, value_text
from tracer_cli.review.weaker import weaker


def params(**values: Any) -> dict[str, Any]:
    return params_of(Config.model_validate({"traces": [{"path": "data/a.jsonl"}], **values}))


def source(**values: Any) -> dict[str, Any]:
    return {"traces": [{"path": "data/a.jsonl", **values}]}


@pytest.mark.parametrize(
    ("strict", "loose", "key"),
    [
        ({"targets": {"agreement": 0.95}}, {"targets": {"agreement": 0.9499}}, "targets.agreement"),
        ({"targets": {"confidence": 0.99}}, {}, "targets.confidence"),
        ({}, {"targets": {"scope": "overall"}}, "targets.scope"),
        ({"embedder": {"kind": "precomputed", "path": "x.npy"}},
         {"embedder": {"kind": "precomputed", "path": "x.npy"}, "targets": {"evidence": "crossfit"}}, "targets.evidence"),
        ({"targets": {"per_label_min": 0.9}}, {"targets": {"per_label_min": 0.8}}, "targets.per_label_min"),
        ({"targets": {"per_label_min": 0.9}}, {}, "targets.per_label_min"),
        ({}, {"targets": {"min_coverage": 0}}, "targets.min_coverage"),
        ({}, {"acceptor": {"distance_quantile": 0.9999}}, "acceptor.distance_quantile"),
        ({}, {"acceptor": {"distance_quantile": None}}, "acceptor.distance_quantile"),
        ({}, {"rules": {"max_coverage_drop": 0.5}}, "rules.max_coverage_drop"),
        ({}, {"rules": {"max_coverage_drop": None}}, "rules.max_coverage_drop"),
        ({}, {"rules": {"max_labels_lost": 1}}, "rules.max_labels_lost"),
        ({}, {"rules": {"max_conflict_share": 1}}, "rules.max_conflict_share"),
        ({}, {"rules": {"min_holdout": 58}}, "rules.min_holdout"),  # auto: 59 texts certify 0.95 at confidence 0.95
        ({"rules": {"min_holdout": 60}}, {}, "rules.min_holdout"),
        ({}, {"rules": {"min_holdout": None}}, "rules.min_holdout"),
        ({"rules": {"baseline": "origin/main"}}, {}, "rules.baseline"),
        ({}, source(max_rejected=0.5), "traces[0].max_rejected"),
        (source(label="teacher"), source(label="guess"), "traces[0].label"),
        (source(text="input"), source(text="other"), "traces[0].text"),
    ],
)  # fmt: skip
def test_what_asks_for_less(strict: dict[str, Any], loose: dict[str, Any], key: str) -> None:
    (found,) = weaker(params(**strict), params(**loose))
    assert key_path(found.key) == key
    back = [key_path(entry.key) for entry in weaker(params(**loose), params(**strict))]
    # Another field is another thing either way.
    assert back == ([key] if key in ("traces[0].label", "traces[0].text") else [])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"rules": {"min_holdout": 59}}),
        ({"targets": {"agreement": 0.9}}, {"targets": {"agreement": 0.95}}),  # auto stays auto
        ({}, {"seed": 5, "cost": {"per_call": 9}, "blend": 1, "zoo": {"sgd": {"kind": "sgd"}}}),
        ({}, {"rules": {"baseline": "v1"}}),
        (
            source(max_rejected=0.5),
            {"traces": [{"path": "data/b.jsonl"}, {"path": "data/a.jsonl", "max_rejected": 0.5}]},
        ),
    ],
)
def test_what_does_not(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert list(weaker(params(**before), params(**after))) == []


def test_a_lower_target_alone_is_one_finding() -> None:
    """rules.min_holdout auto then stands for fewer texts, which nobody wrote."""
    found = list(weaker(params(), params(targets={"agreement": 0.8})))
    assert [key_path(entry.key) for entry in found] == ["targets.agreement"]


def test_keys_of_another_version_are_passed_over() -> None:
    old = params()
    del old["rules"], old["calibrate"]["targets"]["per_label_min"], old["ingest"]
    assert list(weaker(old, params())) == [] and list(weaker(params(), old)) == []
    assert list(weaker({}, {})) == []


def test_values_that_differ() -> None:
    before = {"a": 1, "b": {"kind": "x", "y": 1}, "c": [1, 2], "d": [{"e": 1}, {"e": 2}], "f": True, "g": 0.1}
    after = {"a": 1.0, "b": {"kind": "z", "y": 1}, "c": [2, 1], "d": [{"e": 3}], "f": 1, "h": None}
    found = {entry.path: (entry.before, entry.after) for entry in differing(before, after)}
    assert found == {
        ("b",): ({"kind": "x", "y": 1}, {"kind": "z", "y": 1}),
        ("c",): ([1, 2], [2, 1]),
        ("d", 0, "e"): (1, 3),
        ("d", 1): ({"e": 2}, ABSENT),
        ("f",): (True, 1),
        ("g",): (0.1, ABSENT),
        ("h",): (ABSENT, None),
    }
    assert list(differing(before, before)) == []


def test_values_are_written_on_one_line() -> None:
    shown = [value_text(value) for value in (ABSENT, None, True, 1e-05, 0.95, 3, "x", [0.9, 1], {"a": [1], "b": None})]
    assert shown == ["-", "null", "true", "1e-05", "0.95", "3", "x", "[0.9, 1]", "a: [1], b: null"]
