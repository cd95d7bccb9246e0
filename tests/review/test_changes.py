"""What two refits differ in, and the sentences that a reviewer reads first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from review.refits import LABELS, TARGETS, Refit, facts_of
from tracer_cli.review import facts
from tracer_cli.review.diff import verdict
from tracer_cli.review.diff.changes import Changes, between
from tracer_cli.review.diff.page import data, page
from tracer_cli.review.parameters import ABSENT
from tracer_cli.review.sentences import plain


@pytest.fixture
def compare(tmp_path: Path) -> Any:
    """Two refits from what they differ in from the plain one."""

    def compared(after: dict[str, Any], before: dict[str, Any] | None = None) -> Changes:
        return between(facts_of(tmp_path / "before", **(before or {})), facts_of(tmp_path / "after", **after))

    return compared


def headline(changes: Changes) -> str:
    return plain(verdict.headline(changes))


def kinds(changes: Changes) -> list[str]:
    return [warning.kind for warning in verdict.warnings(changes)]


def targets(**at: tuple[int, int]) -> dict[float, tuple[int, int]]:
    """TARGETS with others: _95=(handled, agreed)."""
    return TARGETS | {float(f"0.{name[1:]}"): counts for name, counts in at.items()}


def asking(**values: Any) -> dict[str, Any]:
    return {"settings": {"targets": values}}


# --- the headline ---------------------------------------------------------------------------------

CHANGED = "; no label worse or better beyond noise"


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ({}, {}, "Nothing changed: certified at 0.95, coverage 66.7 %"),
        (
            {},
            {"targets": targets(_95=(615, 594))},
            f"Certified at 0.95: coverage 66.7 % -> 68.3 % (+1.7 points, within noise); target unchanged{CHANGED}",
        ),
        (
            {},
            {"targets": targets(_95=(500, 484))},
            f"Certified at 0.95: coverage 66.7 % -> 55.6 % (-11.1 points, beyond noise); target unchanged{CHANGED}",
        ),
        (
            {},
            {"threshold": 0.9},
            f"Certified at 0.95: coverage 66.7 % -> 66.7 % (unchanged); target unchanged{CHANGED}",
        ),
        (
            {},
            asking(agreement=0.9),
            "Certified at 0.9: coverage 66.7 % -> 94.4 % (+27.8 points, at another target); target lowered from 0.95 to "
            f"0.9; at 0.95 itself: coverage 66.7 % -> 66.7 % (unchanged){CHANGED}",
        ),
        (
            {},
            asking(agreement=0.98),
            "BLOCKED, nothing is certified at 0.98 (before: certified at 0.95, coverage 66.7 %); target raised from "
            f"0.95 to 0.98; at 0.95 itself: coverage 66.7 % -> 66.7 % (unchanged){CHANGED}",
        ),
        (
            {},
            {"targets": targets(_95=(0, 0))},
            "BLOCKED, nothing is certified at 0.95 (before: certified at 0.95, coverage 66.7 %); target unchanged"
            f"{CHANGED}",
        ),
        (
            {},
            {"targets": targets(_95=(40, 40))},
            "BLOCKED, the certified coverage 4.4 % is below `targets.min_coverage` 0.05 (before: certified at 0.95, "
            f"coverage 66.7 %); target unchanged{CHANGED}",
        ),
        (
            {"targets": targets(_95=(0, 0))},
            {},
            f"Certified at 0.95: coverage 66.7 % (before: BLOCKED at 0.95); target unchanged{CHANGED}",
        ),
        (
            {"targets": targets(_95=(0, 0))},
            {"targets": targets(_95=(0, 0)), "fit_rows": 1200},
            f"BLOCKED, nothing is certified at 0.95, as before; target unchanged{CHANGED}",
        ),
        (
            {},
            {"labels": {"refund": (400, 300, 200, 200, 150), **{k: v for k, v in LABELS.items() if k[0] in "dl"}, "new": (9, 9, 9, 9, 9)}},
            "Certified at 0.95: coverage 66.7 % -> 66.7 % (unchanged); target unchanged; 1 label new, 1 vanished, 1 worse "
            "beyond noise",
        ),
        (
            {"labels": LABELS | {"refund": (400, 300, 200, 200, 150)}},
            {"labels": LABELS | {"other": (50, 100, 0, 0, 0), "x": (1, 1, 0, 0, 0), "y": (1, 1, 0, 0, 0)}},
            "Certified at 0.95: coverage 66.7 % -> 66.7 % (unchanged); target unchanged; 2 labels new, 1 no longer answered "
            "with, 1 better beyond noise",
        ),
    ],
)  # fmt: skip
def test_the_headline_says_it_all(compare: Any, before: dict[str, Any], after: dict[str, Any], sentence: str) -> None:
    assert headline(compare(after, before)) == sentence


def test_the_first_refit_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    first = between(None, facts_of(tmp_path))
    assert headline(first) == "First refit: certified at 0.95, coverage 66.7 %"
    assert kinds(first) == [] and first.parameters == () and first.labels_new == () and not first.nothing
    assert [section.title for section in page(first).sections] == ["Targets", "Policy", "Traces", "Cost"]
    assert page(first).unchanged == () and page(first).notes == ()
    assert data(first)["before"] is None
    blocked = between(None, facts_of(tmp_path, targets=targets(_95=(0, 0))))
    assert headline(blocked) == "First refit: BLOCKED, nothing is certified at 0.95"


def test_the_same_refit_is_nothing(compare: Any) -> None:
    same = compare({})
    assert same.nothing and kinds(same) == [] and page(same).sections == ()
    assert [plain(note) for note in page(same).notes] == [
        "To see what the last refit changed, name a revision before it: `tracer diff HEAD~1`"
    ]


# --- what deserves attention ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "kind", "part"),
    [
        ({"targets": targets(_95=(0, 0))}, "certificate-lost", "BLOCKED, nothing is certified at 0.95"),
        ({"targets": targets(_90=(0, 0))}, "target-lost", "no longer certified at 0.9"),
        ({"targets": targets(_95=(500, 484))}, "coverage-fell", "coverage fell at 0.95: 66.7 % -> 55.6 %"),
        ({"targets": targets(_95=(600, 560))}, "agreement-fell", "agreement fell at 0.95: 96.7 % -> 93.3 %"),
        (asking(agreement=0.9), "loosened", "`targets.agreement` loosened from '0.95' to '0.9': coverage at a lower"),
        (asking(confidence=0.9), "loosened", "`targets.confidence` loosened from '0.95' to '0.9'"),
        (asking(scope="overall"), "loosened", "`targets.scope` loosened from 'handled' to 'overall': deferred inputs"),
        (asking(min_coverage=0.01), "loosened", "`targets.min_coverage` loosened from '0.05' to '0.01'"),
        ({"settings": {"rules": {"max_labels_lost": None}}}, "loosened", "`rules.max_labels_lost` loosened from '0' to 'null'"),
        ({"settings": {"seed": 1}, "holdout": ("x", "y")}, "seed-changed", "chosen for its result voids the certificate"),
        ({"settings": {"split": {"holdout": 0.3}}}, "split-changed", "`split.holdout` changed"),
        ({"rows": 890}, "holdout-shrank", "the holdout shrank: 900 -> 890 texts"),
        ({"holdout": ("texts", "others")}, "relabelled", "the same texts with other labels of the teacher's"),
        ({"rejected": 50}, "rejected", "more rows could not be used: 0 of 1,900 -> 50 of 1,950"),
        ({"conflicts": 30}, "conflicts", "contradicts itself more often: 10.0 % -> 30.0 %"),
        ({"labels": {k: v for k, v in LABELS.items() if k != "other"}}, "labels-vanished", "1 label vanished from the traces: 'other'"),
        ({"labels": LABELS | {"other": (50, 100, 0, 0, 0)}}, "labels-silent", "1 label no longer answered with on the holdout: 'other'"),
        ({"labels": LABELS | {"refund": (400, 300, 200, 200, 150)}}, "labels-worse", "1 label worse beyond noise: 'refund'"),
    ],
)  # fmt: skip
def test_what_deserves_attention(compare: Any, after: dict[str, Any], kind: str, part: str) -> None:
    """Each alone; and the other way round, where nothing got worse, nobody is warned of it."""
    changes = compare(after)
    (warning,) = verdict.warnings(changes)
    assert (warning.kind, part in plain(warning.text)) == (kind, True), plain(warning.text)
    symmetric = ("seed-changed", "split-changed", "relabelled")
    assert (kind in kinds(compare({}, after))) == (kind in symmetric)


def test_small_changes_warn_nobody(compare: Any) -> None:
    after = {
        "targets": targets(_95=(590, 569)),
        "rejected": 3,
        "conflicts": 12,
        "rows": 905,
        "fit_rows": 1100,
        "labels": LABELS | {"refund": (400, 300, 198, 200, 192), "new": (9, 9, 0, 0, 0)},
        "holdout": ("more", "more"),
        "settings": {"cost": {"per_call": 0.1}, "targets": {"per_label_min": 0.8}},
    }
    assert kinds(compare(after)) == []


def test_another_version_of_the_code_is_said(compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = compare({"fit_rows": 1001})
    monkeypatch.setitem(changes.after.params["stage_version"], "guard", 99)
    changes = between(changes.before, changes.after)
    (warning,) = verdict.warnings(changes)
    assert plain(warning.text).endswith("computes something else from the same inputs in guard")
    assert changes.parameters[0].place == "tracer's own"


# --- the parts ------------------------------------------------------------------------------------


def test_parameters_have_their_key_and_line_in_tracer_yaml(compare: Any) -> None:
    zoo = {"Big": {"kind": "sgd"}, "logreg": {"kind": "logistic_regression"}}
    after = {
        "seed": 0,
        "traces": [{"path": "data/a.jsonl"}, {"path": "data/b.jsonl"}],
        "embedder": {"kind": "sentence-transformers"},
        "zoo": {"logreg": {"kind": "logistic_regression", "C": 3.0}, "mlp": {"kind": "mlp", "hidden": [8, 4]}},
        "targets": {"evidence": "crossfit"},
    }
    changes = compare({"settings": after}, {"settings": {"zoo": zoo, "cost": {"per_call": 1.0}}})
    found = {entry.key: (entry.before, entry.after, entry.place) for entry in changes.parameters}
    assert list(found) == [
        "traces[1]", "targets.evidence", "embedder", "zoo.Big", "zoo.logreg.C", "zoo.mlp", "cost.per_call",
    ]  # fmt: skip
    assert found["zoo.Big"] == ({"kind": "sgd", "alpha": 1e-5, "max_iter": 50}, ABSENT, "removed")
    assert found["zoo.mlp"][::2] == (ABSENT, "tracer.yaml:12")
    assert found["zoo.logreg.C"] == ("auto", 3.0, "tracer.yaml:11")
    assert found["cost.per_call"] == (1.0, 0.002, "default")
    assert found["targets.evidence"][:2] == ("holdout", "crossfit")
    assert found["embedder"][0]["kind"] == "tfidf" and found["embedder"][1]["kind"] == "sentence-transformers"
    entry = next(entry for entry in data(changes)["parameters"] if entry["key"] == "zoo.Big")
    assert (entry["change"], entry["after"], entry["line"]) == ("removed", None, None)


@pytest.mark.parametrize(
    ("after", "holdout"),
    [
        ({}, "same"),
        ({"holdout": ("texts", "others")}, "relabelled"),
        ({"holdout": ("more", "more")}, "kept"),
        ({"holdout": ("more", "more"), "settings": {"seed": 2}}, "redrawn"),
        ({"settings": {"seed": 2}}, "same"),
    ],
)
def test_whether_the_holdout_is_the_same(compare: Any, after: dict[str, Any], holdout: str) -> None:
    assert compare(after).holdout == holdout


def test_the_newest_texts_are_others_each_time(compare: Any) -> None:
    by_time = {"split": {"by": "time"}, "traces": [{"path": "data/a.jsonl", "timestamp": "t"}]}
    changes = compare({"settings": by_time, "holdout": ("more", "more")}, {"settings": by_time})
    assert changes.holdout == "newest"


def test_targets_that_one_side_lacks_are_not_compared(compare: Any) -> None:
    frontier = {"settings": {"targets": {"frontier": [0.8]}}, "targets": {0.8: (900, 800), 0.95: (600, 580)}}
    changes = compare(frontier)
    assert [(t.target, t.before is None, t.after is None) for t in changes.targets] == [
        (0.8, True, False), (0.9, False, True), (0.95, False, False), (0.98, False, True),
    ]  # fmt: skip
    assert [t.target for t in changes.targets if t.coverage] == [0.95]
    rows = page(changes).sections[0].rows
    assert ("0.8", "before", "no such target", "-", "-") in rows
    assert not any(row[0] == "0.98" for row in rows)  # certified on neither side


def test_scopes_certify_different_things(compare: Any) -> None:
    overall = compare(asking(scope="overall"))
    assert overall.deployed.coverage is not None and overall.deployed.parity is None
    both = compare(asking(scope="overall") | {"targets": targets(_95=(650, 620))}, asking(scope="overall"))
    assert both.deployed.parity is not None
    assert (both.deployed.parity.before.successes, both.deployed.parity.after.successes) == (880, 870)
    assert "parity over all" in [column.name for column in page(both).sections[0].columns]


def test_labels_are_judged_among_each_other(compare: Any) -> None:
    many = {f"l{i:02d}": (40, 60, 50, 50, 45) for i in range(30)}
    before = many | {"few": (9, 9, 9, 9, 9), "silent": (9, 9, 0, 0, 0)}
    after = before | {
        "l00": (40, 60, 50, 50, 20),
        "l01": (40, 60, 50, 50, 36),  # p = 0.04: not much among 30
        "l02": (40, 60, 10, 50, 46),
        "few": (9, 9, 9, 9, 7),
    }
    changes = compare({"labels": after}, {"labels": before})
    judged = {label.label: label.agreement_judgement for label in changes.labels}
    expected = dict.fromkeys(many, "within noise")
    expected |= {"l00": "worse", "l01": "perhaps worse", "few": "too little evidence", "silent": "not compared"}
    assert judged == expected
    assert [label.label for label in changes.labels if label.coverage_judgement == "worse"] == ["l02"]
    text = json.dumps([[plain(note) for note in section.notes] for section in page(changes).sections])
    assert (
        "of 32 labels on both sides: 1 worse, 1 perhaps worse, 28 within noise, 1 with too little evidence (fewer than "
        "10 answers), 1 without answers on one side" in text
    )
    assert "of which chance alone moves up to 1.5 that far" in text


def test_few_answers_may_still_be_evidence_enough(compare: Any) -> None:
    changes = compare({"labels": LABELS | {"x": (9, 9, 9, 9, 0)}}, {"labels": LABELS | {"x": (9, 9, 9, 9, 9)}})
    assert [label.label for label in changes.labels if label.agreement_judgement == "worse"] == ["x"]


def test_where_nothing_is_certified_no_label_is_lost(compare: Any) -> None:
    """The figures per label are then at the threshold that was tested first, and the page says so."""
    silent = LABELS | {"other": (50, 100, 0, 0, 0)}
    changes = compare({"targets": targets(_95=(0, 0)), "labels": silent})
    assert changes.labels_silent == ()
    notes = [plain(note) for section in page(changes).sections for note in section.notes]
    assert (
        "nothing is certified in the working tree: its figures per label are at the threshold that was tested first"
        in notes
    )


def test_cost_is_at_the_certified_coverage_and_none_is_saved_while_blocked(compare: Any) -> None:
    changes = compare({"targets": targets(_95=(0, 0))})
    assert changes.cost_before is not None
    assert changes.cost_before["calls_per_day_with_policy"] == pytest.approx(10_000 / 3, rel=1e-5)
    assert changes.cost_before["saved_per_year"] == pytest.approx(0.002 * 10_000 * 2 / 3 * 365, rel=1e-5)
    assert changes.cost_after["saved_per_year"] == 0
    (cost,) = [section for section in page(changes).sections if section.title == "Cost"]
    assert ("calls a day to the teacher", "3,333 (33.3 %)", "10,000 (100.0 %)") in cost.rows


def test_a_refit_to_be_rerun_is_the_first_thing_said(tmp_path: Path) -> None:
    before = facts_of(tmp_path / "before")
    root = Refit(settings={"targets": {"agreement": 0.95}}).write(tmp_path / "after")
    source = root / "tracer.yaml"
    source.write_text(source.read_text().replace("0.95", "0.9"))
    (root / "metrics" / "traces.json").write_text(
        (root / "metrics" / "traces.json").read_text().replace("1900", "1901")
    )
    changes = between(before, facts.of_working_tree(root))
    assert kinds(changes)[:2] == ["edited", "stale"]
    texts = [plain(warning.text) for warning in verdict.warnings(changes)]
    assert texts[0].startswith("the working tree: `metrics/traces.json` is not what the last `dvc repro` wrote")
    assert texts[1] == (
        "the working tree: the figures are of an earlier refit; `targets.agreement` changed since: run `dvc repro`"
    )
    assert headline(changes).startswith("Certified at 0.95")
