"""What changed since the policy before: the facts in git, the comparison, and the section of the page."""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from support import QUICK_EMBEDDER, quick
from tracer_cli.api import FitResult, project_config
from tracer_cli.artifacts import Layout, read_json, sha256_file, write_json
from tracer_cli.errors import DataError
from tracer_cli.report import changes
from tracer_cli.stages import report


@pytest.fixture
def layout(fitted: FitResult, tmp_path: Path) -> Layout:
    shutil.copytree(fitted.path, tmp_path / ".tracer")
    return Layout.of_folder(tmp_path, tmp_path / ".tracer")


@pytest.fixture
def facts(layout: Layout) -> dict[str, Any]:
    return changes.facts_of(layout)


def shown(layout: Layout, previous: dict[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """The page's text and the qualitative report beside a policy before."""
    if previous is not None:
        write_json(layout.previous, previous)
    report.run(layout, project_config(quick(), "unused.jsonl", QUICK_EMBEDDER))
    markup = layout.report.read_text(encoding="utf-8").split("</style>")[1]
    text = " ".join(re.sub(r"<[^>]*>", " ", markup).split())
    return text, read_json(layout.qualitative_report)


def test_the_facts_are_those_of_the_manifest_and_the_tables(layout: Layout, facts: dict[str, Any]) -> None:
    manifest, labels = read_json(layout.manifest), read_json(layout.qualitative_report)["labels"]
    assert facts["verdict"] == manifest["verdict"] and facts["traces"] == read_json(layout.traces_metrics)
    assert [t["target"] for t in facts["targets"]] == [t["target"] for t in manifest["targets"]]
    certified = next(t for t in facts["targets"] if t["certified"])
    assert certified["share"] == pytest.approx(certified["agreed"] / certified["handled"], abs=1e-6)
    assert {e["label"]: e["agreed"] for e in facts["labels"]} == {e["label"]: e["agreed"] for e in labels}
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert changes.facts_of(layout) == facts


def test_there_are_no_facts_of_what_is_not_there_or_not_of_one_fit(layout: Layout) -> None:
    write_json(layout.manifest, read_json(layout.manifest) | {"method": "global"})
    assert changes.facts_of(layout) == {}
    layout.manifest.unlink()
    assert changes.facts_of(layout) == {}


def test_without_a_policy_before_nothing_is_said_of_changes(layout: Layout) -> None:
    for previous in (None, {}):
        text, qualitative = shown(layout, previous)
        assert "What changed" not in text and qualitative["changed"] is None


def test_a_policy_beside_itself_changed_nothing(layout: Layout, facts: dict[str, Any]) -> None:
    text, qualitative = shown(layout, facts)
    changed = qualitative["changed"]
    assert changed["labels_gained"] == changed["labels_lost"] == changed["labels_moved"] == []
    for target in changed["targets"]:
        assert target["before"] == target["now"]
        assert target["coverage_beyond_noise"] is (False if target["now"]["certified"] else None)
    assert "Labels The same." in text and "The same kind: logreg" in text and "beyond noise." in text
    assert "No label's agreement moved beyond noise." in text
    assert "No other instructions or model than before" in text


def moved(facts: dict[str, Any]) -> dict[str, Any]:
    """A policy before with other labels, coverage, agreement of one label, traces and teacher."""
    before = copy.deepcopy(facts)
    target = next(t for t in before["targets"] if t["target"] == 0.85)
    target |= {"handled": target["handled"] // 3, "agreed": target["handled"] // 3, "coverage": 0.2, "share": 1.0}
    most = max(before["labels"], key=lambda entry: entry["answered"])
    most |= {"answered": 400, "agreed": 4}
    before["labels"].append({"label": "gone <b>\x1b[1m", "fit_rows": 3, "holdout_rows": 0, "answered": 0, "agreed": 0})
    before["labels"] = [entry for entry in before["labels"] if entry["label"] != "refund_status"]
    before["surrogate"] = "blend of <two>"
    before["traces"] |= {"rows_read": 12345, "audit_texts": 7, "deferred_texts": 9}
    before["dates"] = ["2026-01-01T10:00:00+00:00", "2026-02-03T10:00:00+00:00"]
    before["teacher"] = {"contexts": ["a" * 64], "contexts_seen": 1, "models": {"old-model": 3}}
    before["embedder"] = {"kind": "sentence-transformers", "fingerprint": "x"}
    return before


def test_each_difference_is_told(layout: Layout, facts: dict[str, Any]) -> None:
    before = moved(facts)
    text, qualitative = shown(layout, before)
    changed = qualitative["changed"]
    assert changed["labels_lost"] == ["gone <b>\x1b[1m"]
    assert changed["labels_gained"] == [e["label"] for e in facts["labels"] if e["label"] == "refund_status"]
    (label,) = changed["labels_moved"]
    assert label["before"] == {"agreed": 4, "answered": 400} and label["change"] > 0.5
    target = next(t for t in changed["targets"] if t["target"] == 0.85)
    assert target["coverage_beyond_noise"] and target["before"]["coverage"] == 0.2
    assert f"{label['label']} 4 of 400" in text and "points" in text
    assert "gone &lt;b&gt;" in text and "logreg (logistic_regression)" in text and "blend of &lt;two&gt;" in text
    assert "Rows read 12,345" in text and "Texts, audit 7 0" in text and "Texts, deferred 9 0" in text
    assert "2026-01-01 to 2026-02-03" in text
    assert "1 set of instructions went; the model old-model went" in text
    assert "sentence-transformers before, tfidf now" in text
    assert "Fisher&#39;s exact test" in text


def test_another_scope_is_another_question(layout: Layout, facts: dict[str, Any]) -> None:
    before = copy.deepcopy(facts) | {"scope": "overall"}
    text, qualitative = shown(layout, before)
    assert all(target["share_beyond_noise"] is None for target in qualitative["changed"]["targets"])
    assert "The scope was overall: what is certified is not the same." in text


def test_it_is_the_same_page_each_time(layout: Layout, facts: dict[str, Any]) -> None:
    digests = set()
    for _ in range(2):
        shown(layout, moved(facts))
        digests.add((sha256_file(layout.report), sha256_file(layout.qualitative_report)))
    assert len(digests) == 1


@pytest.mark.parametrize(
    "content",
    ['{"schema": 2}', "[]", '{"schema": 1}', '{"schema": 1, "labels": [1]}', '"x"'],
)
def test_facts_that_were_edited_are_an_error_that_says_what_to_do(layout: Layout, content: str) -> None:
    layout.previous.write_text(content)
    with pytest.raises(
        DataError, match=r"previous\.json is not as this version of tracer writes it.*write \{\} into it"
    ):
        shown(layout, None)


def test_origins_and_a_teacher_that_changed_are_shown(layout: Layout) -> None:
    text, _ = shown(layout, None)
    assert "The teacher changed" not in text and "Texts, deferred" not in text
    write_json(layout.traces_metrics, read_json(layout.traces_metrics) | {"audit_texts": 20, "deferred_texts": 100})
    contexts = [
        {"sha256": "a" * 64, "system": "Label <it> " * 40, "tools": ["pick", "ask"], "rows": 60},
        {"sha256": "b" * 64, "system": "", "tools": [], "rows": 30},
    ]
    places = [{"first": f"{name}.jsonl, line 1", "last": f"{name}.jsonl, line 30"} for name in "ab"]
    teacher = {
        "contexts": [context | place for context, place in zip(contexts, places, strict=True)],
        "contexts_seen": 4,
        "rows_of_others": 10,
        "changes": 3,
        "models": {"gpt-x": 90, "gpt-<y>": 10},
        "sources": [],
    }
    write_json(layout.teacher, teacher)
    text, _ = shown(layout, None)
    total = read_json(layout.traces_metrics)["distinct_texts"]
    assert f"Texts, organic: from before any policy, or from all of the traffic {total - 120:,}" in text
    assert "Texts, audit:" in text and "trained on, and no evidence 100" in text
    assert "answers under 4 different sets of instructions" in text and "from one row to the next 3 times" in text
    assert "tools: pick, ask" in text and "Label &lt;it&gt;" in text and "no system message" in text
    assert "60.0 % a.jsonl, line 1 a.jsonl, line 30" in text and "2 more 10.0 %" in text
    assert "gpt-&lt;y&gt; : 10 gpt-x : 90" in text
