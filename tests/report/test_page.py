"""The page of real fits: what it says in each case, and that it is one file without a script."""

from __future__ import annotations

import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import tracer_cli as tracer
from support import QUICK_EMBEDDER, clustered, example_traces, quick, write_jsonl
from tracer_cli.api import FitResult, project_config
from tracer_cli.artifacts import Layout, read_json, read_table, write_json
from tracer_cli.report import words
from tracer_cli.report.words import percent
from tracer_cli.stages import report


def page(result: FitResult) -> str:
    return (result.path / "report.html").read_text(encoding="utf-8")


def text(markup: str) -> str:
    """What a person reads, with single spaces; a cell ends with a bar."""
    body = markup.split("</style>")[1].replace("</td>", " | ").replace("</th>", " | ")
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def fitted_on_clusters(folder: Path, **changes: Any) -> FitResult:
    traces, vectors = clustered(600)
    path = write_jsonl(folder / "t.jsonl", traces)
    return tracer.fit(path, folder / "p", embeddings=vectors, config=quick(embedder=None, **changes))


@pytest.fixture(scope="module")
def crossfit(tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return fitted_on_clusters(tmp_path_factory.mktemp("crossfit"), evidence="crossfit", per_label_min=0.9)


@pytest.fixture(scope="module")
def overall(tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return fitted_on_clusters(tmp_path_factory.mktemp("overall"), scope="overall")


def rewritten(result: FitResult, folder: Path, **changes: Any) -> str:
    """The page of the same fit after the manifest was changed."""
    shutil.copytree(result.path, folder / ".tracer")
    layout = Layout.of_folder(folder, folder / ".tracer")
    write_json(layout.manifest, read_json(layout.manifest) | changes)
    report.run(layout, project_config(quick(), "unused.jsonl", QUICK_EMBEDDER))
    return layout.report.read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Every tag that is opened and left open, and every address."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "action")]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", ["fitted", "blocked", "crossfit", "overall"])
def test_one_well_formed_file_without_a_script_or_an_address(name: str, request: pytest.FixtureRequest) -> None:
    markup = page(request.getfixturevalue(name))
    tags = Tags()
    tags.feed(markup)
    assert tags.open == [] and tags.addresses == []
    assert tags.names.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "form"})
    assert "default-src 'none'" in markup and "url(" not in markup and "@import" not in markup


def test_a_certified_policy_is_described(fitted: FitResult) -> None:
    shown, manifest = text(page(fitted)), fitted.manifest
    assert "Certified: the policy may be deployed" in shown and manifest["guarantee"] in shown
    assert "l2d: the surrogate answers where the acceptor is sure enough" in shown
    assert "logreg logistic_regression: C 10" in shown
    assert "handled: parity among the inputs that the surrogate answers" in shown
    assert f"holdout: {manifest['holdout_rows']} texts that nothing was fitted on" in shown
    assert "How to read it: the lower bound is what certifies" in shown and "two-sided" in shown
    bound = next(t["lower_bound"] for t in manifest["targets"] if t["target"] == 0.85)
    assert f"at least {100 * bound:.1f} % with confidence 0.95" in shown
    rows = read_table(fitted.path / "work/artifacts/guard/rows.parquet")
    far = int((rows["distance"].to_numpy() > manifest["distance_limit"]).sum())
    assert f"farther than {manifest['distance_limit']:.3f}" in shown and "the 0.999 quantile" in shown
    assert f"deferred {far} of {len(rows)} holdout texts" in shown
    assert "no per_label_min is set" in shown and "crossfit" not in shown


def test_every_label_shows_the_count_behind_its_agreement(fitted: FitResult) -> None:
    shown = text(page(fitted))
    labels = read_json(fitted.path / "qualitative_report.json")["labels"]
    assert len(labels) > 20
    for entry in labels:
        if entry["answered"]:
            low, high = (f"{100 * bound:.1f}" for bound in entry["agreement_interval"])
            row = f"{100 * entry['agreement']:.1f} % | {entry['agreed']} of {entry['answered']} | {low} to {high} %"
            assert row in shown
    few = [entry for entry in labels if entry["little_evidence"]]
    assert shown.count("too little evidence") == len(few) > 0


def test_a_blend_is_shown_with_its_shares(fitted: FitResult, tmp_path: Path) -> None:
    members = [
        {
            "name": "<i>knn</i>",
            "kind": "nearest_neighbours",
            "share": 0.25,
            "settings": {"k": 30, "sharpness": 12.345678},
        },
        {"name": "kernel", "kind": "kernel_ridge", "share": 0.75, "settings": {"gamma": 1.0}},
    ]
    markup = rewritten(fitted, tmp_path, surrogate={"name": "two", "kind": "blend", "members": members})
    shown = text(markup)
    assert "A blend, the weighted mean of the probabilities of: 75 % kernel kernel_ridge: gamma 1" in shown
    assert "25 % <i>knn</i> nearest_neighbours: k 30, sharpness 12.35" in shown
    assert "<i>" not in markup


def test_crossfit_says_what_it_assumes_and_what_runs(crossfit: FitResult) -> None:
    shown = text(page(crossfit))
    held = crossfit.manifest["holdout_rows"]
    assert f"crossfit: 600 texts, {600 - held} of them out of fold and {held} held out" in shown
    assert "Assumes many texts, and models that change little" in shown
    assert "What runs is the average of the fold models" in shown
    assert "on 600 out-of-fold and holdout texts" in shown
    assert "with evidence crossfit hold for many texts only" in shown
    assert "nothing was fitted on" not in shown and "exact (Clopper and Pearson)" not in shown


def test_labels_below_the_minimum_and_those_with_too_little_evidence(crossfit: FitResult, tmp_path: Path) -> None:
    shown, filtered = text(page(crossfit)), read_json(crossfit.path / "qualitative_report.json")["filtered"]
    assert filtered["label"] > 20
    count = f"2 do not and are deferred ({filtered['label']} of {filtered['rows']} holdout texts)"
    assert f"per_label_min 0.9: 2 of 4 labels reach it out of fold; {count}" in shown
    assert "Deferred: c , d ." in shown
    check = next(c for c in crossfit.manifest["label_checks"] if c["label"] == "c")
    assert f"c deferred: {check['agreed']} of {check['handled']} out of fold" in shown
    checks = [c | {"outcome": "too little evidence"} for c in crossfit.manifest["label_checks"]]
    shown = text(rewritten(crossfit, tmp_path, label_checks=checks))
    assert "4 have too little evidence to tell and are answered" in shown
    assert "Too little evidence: a , b , c , d ." in shown


def test_scope_overall_claims_nothing_about_the_handled(overall: FitResult) -> None:
    shown = text(page(overall))
    assert "parity among" not in shown
    assert "overall: parity over all traffic, where a deferred input agrees by definition" in shown
    assert "Agreement of the handled*" in shown and "Estimates among the handled inputs, not certified" in shown
    assert "upwards: parity over all traffic" in shown.lower()
    for t in overall.manifest["targets"]:
        if t["certified"]:
            share = 1 - (t["handled"] - t["agreed"]) / t["evidence_rows"]
            assert f"| {100 * share:.1f} %" in shown
            assert share >= t["lower_bound"] >= t["target"]


def missing_rows(result: FitResult) -> list[str]:
    """The cells of each row of the table of what is missing."""
    return [
        f"{m['target']} | {percent(m['coverage'])} | {percent(m['share'], none='–')} | {m['supported']:.3f} | "
        f"{m['rows']:,} | {m['needed']} |"
        for m in words.shortfalls(result.manifest)
    ]


def test_a_blocked_policy_says_what_is_missing(blocked: FitResult) -> None:
    shown = text(page(blocked))
    assert "Blocked: the policy must not be deployed" in shown and blocked.manifest["guarantee"] not in shown
    rows = missing_rows(blocked)
    assert rows and [row for row in rows if row not in shown] == []
    assert "0 USD saved a year" in shown


def test_a_blocked_policy_shows_its_labels_where_it_was_tested_first(blocked: FitResult) -> None:
    frontier = read_json(blocked.path / "frontier.json")
    first = next(t for t in frontier["targets"] if t["target"] == 0.995)["tested"][0]
    qualitative = read_json(blocked.path / "qualitative_report.json")
    assert qualitative["shown"] == {"threshold": first["threshold"], "certified": False}
    assert sum(entry["answered"] for entry in qualitative["labels"]) == first["handled"] > 0
    assert sum(entry["agreed"] for entry in qualitative["labels"]) == first["agreed"]
    assert "Nothing is certified, so nothing is handled. To show where the surrogate falls short" in text(page(blocked))


def test_a_target_that_is_not_deployed_may_lack_evidence_too(fitted: FitResult) -> None:
    missing = [t["target"] for t in fitted.manifest["targets"] if not t["certified"]]
    assert ("What is missing" in text(page(fitted))) == bool(missing)


def test_below_the_smallest_coverage_nothing_is_saved(tmp_path: Path) -> None:
    result = fitted_on_clusters(tmp_path, min_deploy_coverage=0.99)
    assert not result.deploy and result.coverage > 0.1
    assert "0 USD saved a year" in text(page(result))


def test_150_labels_and_one_that_only_the_holdout_has(tmp_path: Path) -> None:
    """Each with its own row; the one that no fit text has is said to be never answered with."""
    traces = [{"input": f"w{i % 150} x{i % 150} y{i}", "teacher": f"label {i % 150}"} for i in range(900)]
    first = tracer.fit(write_jsonl(tmp_path / "t.jsonl", traces), tmp_path / "p", config=quick())
    held = read_table(first.path / "work/artifacts/traces/holdout.parquet")["text"].to_pylist()[0]
    changed = [{**t, "teacher": "<late & lonely>"} if t["input"] == held else t for t in traces]
    result = tracer.fit(write_jsonl(tmp_path / "t.jsonl", changed), tmp_path / "p", config=quick())
    assert "<late & lonely>" not in result.manifest["labels"]
    markup = page(result)
    assert all(f">label {i}<" in markup for i in range(150))
    assert "&lt;late &amp; lonely&gt;" in markup and "<late" not in markup
    assert "<late & lonely> in no fit text: never answered with" in text(markup)
    assert any("only the holdout has the labels <late & lonely>" in note for note in result.notes)


def test_the_qualitative_report_names_the_manifest_that_it_is_of(fitted: FitResult) -> None:
    import hashlib

    digest = hashlib.sha256((fitted.path / "manifest.json").read_bytes()).hexdigest()
    assert json.loads((fitted.path / "qualitative_report.json").read_text())["manifest"] == digest


def test_the_curve_as_a_plot_of_dvc_ends_where_the_checks_defer(crossfit: FitResult) -> None:
    points = read_json(crossfit.path / "work/plots/frontier.json")
    filtered = read_json(crossfit.path / "qualitative_report.json")["filtered"]
    deferred = (filtered["distance"] + filtered["label"]) / filtered["rows"]
    assert max(point["coverage"] for point in points) == pytest.approx(1 - deferred, abs=1e-4)


def test_a_fit_of_40_traces_has_a_page_with_what_it_would_take(tmp_path: Path) -> None:
    traces = write_jsonl(tmp_path / "t.jsonl", example_traces(40))
    result = tracer.fit(traces, tmp_path / "p", config=quick())
    shown, rows = text(page(result)), missing_rows(result)
    assert len(rows) == 3 and [row for row in rows if row not in shown] == []
