"""`dvc plots`, `dvc metrics` and `dvc params` of two revisions."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from dvc_support import Project, code_of_page

pytestmark = [pytest.mark.dvc, pytest.mark.slow]

CURVE, STEPS, LEVEL = "measured on the holdout (curve)", "certified (steps)", "target (level)"


def pictures(project: Project, *arguments: str) -> dict[str, dict[str, Any]]:
    """Name -> Vega-Lite document, of `dvc plots ... --json`."""
    shown = json.loads(project.shell(f"dvc plots {' '.join(arguments)} --json"))
    assert "errors" not in shown
    assert all(len(entries) == 1 for entries in shown["data"].values())
    return {name: entries[0]["content"] for name, entries in shown["data"].items()}


@pytest.fixture(scope="module")
def diff(refits: Project) -> dict[str, dict[str, Any]]:
    return pictures(refits, "diff", "v1", "v2")


def test_two_revisions_are_two_pictures_and_the_frontier_is_one(diff: dict[str, dict[str, Any]]) -> None:
    assert list(diff) == ["frontier", "plots/targets.csv"]
    encoding = diff["frontier"]["encoding"]
    assert encoding["color"]["field"] == "rev" and encoding["color"]["scale"]["domain"] == ["v1", "v2"]
    assert len(set(encoding["color"]["scale"]["range"])) == 2
    dashes = encoding["strokeDash"]["scale"]
    assert dashes["domain"] == [STEPS, CURVE, LEVEL]  # the certificates are the unbroken lines
    assert dashes["range"][0] == [1, 0] and len({tuple(dash) for dash in dashes["range"]}) == 3
    assert encoding["x"]["title"].startswith("coverage") and encoding["y"]["title"] == "parity with the teacher"
    assert encoding["y"]["scale"] == {"zero": False}


def test_the_lines_are_what_the_guard_certified(refits: Project, diff: dict[str, dict[str, Any]]) -> None:
    values = diff["frontier"]["data"]["values"]
    for revision, target in (("v1", 0.85), ("v2", 0.75)):
        own = [value for value in values if value["rev"] == revision]
        points = {name: [(v["coverage"], v[name]) for v in own if v["field"] == name] for name in (CURVE, STEPS, LEVEL)}
        assert {level for _, level in points[LEVEL]} == {target}
        text = refits.git("show", f"{revision}:plots/targets.csv")
        table = [row for row in csv.DictReader(io.StringIO(text)) if row["certified"] == "1"]
        assert table
        for coverage, step in points[STEPS]:
            reached = [float(row["target"]) for row in table if float(row["coverage"]) >= coverage - 1e-4]
            assert step == (max(reached) if reached else None)
        assert {float(row["target"]) for row in table} == {step for _, step in points[STEPS]} - {None}
        # An axis that starts at 0 would show nothing: no value of few rows, no empty cell that is read as 0.
        assert min(v for line in points.values() for _, v in line if v is not None) > 0.5
        assert min(coverage for coverage, _ in points[CURVE]) >= 0.02
        measured = dict(points[CURVE])
        assert all(step <= measured[coverage] for coverage, step in points[STEPS] if step is not None)


def test_one_revision_is_shown_the_same_way(refits: Project) -> None:
    shown = pictures(refits, "show")
    assert list(shown) == ["frontier", "plots/targets.csv"]
    assert {value["rev"] for value in shown["frontier"]["data"]["values"]} == {"workspace"}


def test_a_refit_that_certifies_nothing_still_has_its_curve(refits: Project, tmp_path: Path) -> None:
    project = refits.copy_to(tmp_path / "project")
    path = project.root / "plots" / "frontier.json"
    points = [point | {STEPS: None} for point in json.loads(path.read_text())]
    path.write_text(json.dumps(points))
    values = pictures(project, "diff", "v2")["frontier"]["data"]["values"]
    curve = [value[CURVE] for value in values if value["rev"] == "workspace" and value["field"] == CURVE]
    assert curve == [point[CURVE] for point in points]
    path.write_text(json.dumps([points[0] | {CURVE: None}]))  # one point, which is what no handled input gives
    assert list(pictures(project, "diff", "v2")) == ["frontier", "plots/targets.csv"]


def test_the_commands_of_the_page(refits: Project, tmp_path: Path) -> None:
    (commands,) = code_of_page("Compare two revisions")
    project = refits.copy_to(tmp_path / "project")
    printed = project.shell(commands)
    assert "calibrate.targets.agreement  0.85  0.75" in " ".join(printed.split()).replace(" 0.", "  0.")
    assert "metrics/guard.json" in printed and "certified_coverage" in printed
    markup = (project.root / "dvc_plots" / "index.html").read_text()
    assert markup.count("vegaEmbed(") == 2


def test_metrics_are_flat_numbers_named_in_words(refits: Project) -> None:
    shown = json.loads(refits.shell("dvc metrics show --json"))[""]["data"]
    for path in ("metrics/guard.json", "metrics/traces.json"):
        metrics = shown[path]["data"]
        assert metrics == json.loads((refits.root / path).read_text()), "DVC leaves none out"
        for name, value in metrics.items():
            assert name.replace("_", "").isalnum() and name == name.lower() and len(name) > 5
            assert type(value) in (int, float) and (value == 0 or abs(value) >= 1e-4)  # less is printed as 0.0
    lines = refits.shell("dvc metrics diff v1 v2 --md").splitlines()
    assert lines[0].split() == ["|", "Path", "|", "Metric", "|", "v1", "|", "v2", "|", "Change", "|"]
    changed = {line.split("|")[2].strip() for line in lines[2:] if line}
    assert {"target_agreement", "certified_coverage"} <= changed
