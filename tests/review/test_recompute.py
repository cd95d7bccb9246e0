"""A verdict that was edited, in whatever file, is told from one that the artifacts give."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import QUICK_EMBEDDER, files_of, quick
from tracer_cli.api import FitResult, project_config
from tracer_cli.artifacts import Layout, read_json, read_table, sha256_file, write_json, write_table
from tracer_cli.config.schema import Config
from tracer_cli.errors import StorageError
from tracer_cli.programs import dvc
from tracer_cli.review.guard import recompute as module
from tracer_cli.review.guard.recompute import Recomputed, recompute
from tracer_cli.review.sentences import plain

Edit = Callable[[Layout], None]


@pytest.fixture
def config(fitted: FitResult) -> Config:
    return project_config(quick(), str(fitted.path.parent / "traces.jsonl"), QUICK_EMBEDDER)


@pytest.fixture
def layout(fitted: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A copy of the fit, of which dvc.lock says nothing else."""
    shutil.copytree(fitted.path, tmp_path / "policy")
    monkeypatch.setattr(dvc, "status", lambda root: {})
    return Layout.of_folder(tmp_path, tmp_path / "policy")


def found(result: Recomputed) -> list[str]:
    return [plain(finding) for finding in result.findings]


def test_what_the_stages_wrote_is_what_the_artifacts_give(
    layout: Layout, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    before = files_of(layout.policy)
    assert recompute(layout, config) == Recomputed(())
    assert files_of(layout.policy) == before
    assert [path for path in scratch.rglob("*") if not path.name.endswith(".lock")] == []


def change(path: Callable[[Layout], Path], *keys: Any, to: Any) -> Edit:
    """An edit of one value of a JSON file."""

    def edit(layout: Layout) -> None:
        value = read_json(path(layout))
        inner = value
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = to
        write_json(path(layout), value)

    return edit


def replaced(path: Callable[[Layout], Path], old: str, new: str) -> Edit:
    def edit(layout: Layout) -> None:
        text = path(layout).read_text(encoding="utf-8")
        assert old in text
        path(layout).write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


def other_answer(layout: Layout) -> None:
    table = read_table(layout.guard_rows)
    answers = ["forged", *table["predicted"].to_pylist()[1:]]
    at = table.column_names.index("predicted")
    write_table(layout.guard_rows, table.set_column(at, "predicted", pa.array(answers)))


def another_row(layout: Layout) -> None:
    with layout.labels_table.open("a") as file:
        file.write("invented,1,1,1,1,1,1.0000\n")


def adapted_digest(layout: Layout) -> None:
    """frontier.json is edited, and the manifest's digest of it made to fit."""
    change(lambda x: x.frontier, "targets", 0, "chance", to=0.123)(layout)
    change(lambda x: x.manifest, "files", "frontier.json", to=sha256_file(layout.frontier))(layout)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (change(lambda x: x.guard_metrics, "certified_coverage", to=0.99), "policy/work/metrics/guard.json: certified_coverage is 0.99 in the file but 0."),
        (change(lambda x: x.guard_metrics, "deployed", to=True), "policy/work/metrics/guard.json: deployed is true in the file but 1 when recomputed"),
        (change(lambda x: x.guard_metrics, "more", to=1), "policy/work/metrics/guard.json: more is 1 in the file but not there when recomputed"),
        (replaced(lambda x: x.guard_metrics, "{", ""), "policy/work/metrics/guard.json is not valid JSON in the file but "),
        (replaced(lambda x: x.guard_metrics, "{", '{"a": NaN,'), "policy/work/metrics/guard.json: a is NaN in the file but not there"),
        (change(lambda x: x.manifest, "verdict", "reason", to="all is well"), "policy/manifest.json: verdict.reason is all is well in the file but parity"),
        (change(lambda x: x.manifest, "targets", 1, "coverage", to=0.99), "policy/manifest.json: targets[1].coverage is 0.99 in the file but 0."),
        (change(lambda x: x.manifest, "targets", 1, "threshold", to=0.5), "policy/manifest.json: targets[1].threshold is 0.5 in the file but 0."),
        (change(lambda x: x.manifest, "inputs", "fit", to="0" * 64), "policy/manifest.json: inputs.fit is 0000"),
        (change(lambda x: x.manifest, "files", "policy.onnx", to="0" * 64), "policy/manifest.json: files['policy.onnx'] is 0000"),
        (replaced(lambda x: x.targets_table, "0.7,", "0.6,"), "policy/work/plots/targets.csv: target 0.7 is not there in the file but there when recomputed"),
        (replaced(lambda x: x.targets_table, "l2d", "global"), "policy/work/plots/targets.csv: method of target 0.7 is global in the file but l2d when"),
        (another_row, "policy/work/plots/labels.csv: label invented is there in the file but not there when recomputed"),
        (change(lambda x: x.traces_metrics, "conflicting_texts", to=0), "policy/work/metrics/traces.json: conflicting_texts is 0 in the file but "),
        (change(lambda x: x.traces_metrics, "rows_rejected", to=9), "policy/work/metrics/traces.json: rows_rejected is 9 in the file but 0 when"),
        (adapted_digest, "policy/frontier.json: targets[0].chance is 0.123 in the file but "),
        (other_answer, "policy/work/artifacts/guard/rows.parquet: predicted[0] is forged in the file but "),
        (change(lambda x: x.frontier_plot, 0, "coverage", to=0.123), "policy/work/plots/frontier.json: [0].coverage is 0.123 in the file but "),
        (change(lambda x: x.qualitative_report, "labels", 0, "agreed", to=1), "policy/qualitative_report.json: labels[0].agreed is 1 in the file but "),
        (change(lambda x: x.qualitative_report, "manifest", to="0"), "policy/qualitative_report.json: manifest is 0 in the file but "),
        (lambda x: x.policy_graph.write_bytes(b"x"), "policy/manifest.json: files['policy.onnx'] is "),
        (lambda x: (x.policy_embedder / "more.json").write_text("{}"), "policy/embedder/more.json is a file that the artifacts do not give"),
        (lambda x: (x.policy_embedder / "spec.json").write_text("{}"), "policy/manifest.json: files['embedder/spec.json'] is "),
        (replaced(lambda x: x.report, "<body", "<body >"), "policy/report.html is not the file that the artifacts give"),
    ],
)  # fmt: skip
def test_an_edit_is_told_with_both_values(edit: Edit, told: str, layout: Layout, config: Config) -> None:
    edit(layout)
    findings = found(recompute(layout, config))
    assert findings and findings[0].startswith(told), findings


def test_the_sentence_is_what_a_reviewer_reads(layout: Layout, config: Config) -> None:
    true = read_json(layout.guard_metrics)["certified_coverage"]
    change(lambda x: x.guard_metrics, "certified_coverage", to=0.91)(layout)
    assert found(recompute(layout, config)) == [
        f"policy/work/metrics/guard.json: certified_coverage is 0.91 in the file but {true} when recomputed from the artifacts"
    ]


def test_an_artifact_that_gives_another_verdict_is_seen_in_the_verdict(layout: Layout, config: Config) -> None:
    """Labels of the holdout that were made to agree, and of which DVC knows nothing else."""
    table, rows = read_table(layout.holdout_labels), read_table(layout.guard_rows)
    at = table.column_names.index("label")
    write_table(layout.holdout_labels, table.set_column(at, "label", rows["predicted"]))
    findings = found(recompute(layout, config))
    assert any("certified_coverage is " in finding for finding in findings)


def test_a_policy_that_was_made_with_other_settings_is_seen(layout: Layout, config: Config) -> None:
    other = config.model_copy(update={"targets": config.targets.model_copy(update={"confidence": 0.99})})
    findings = found(recompute(layout, other))
    assert any(
        finding.startswith("policy/manifest.json: confidence is 0.95 in the file but 0.99") for finding in findings
    )


def test_a_rule_is_no_part_of_the_verdict(layout: Layout, config: Config) -> None:
    """The guard stage does not run again for it."""
    other = config.model_copy(update={"rules": config.rules.model_copy(update={"max_labels_lost": 7})})
    assert recompute(layout, other) == Recomputed(())


# --- the lock -------------------------------------------------------------------------------------


def states(**stages: list[Any]) -> Callable[[Path], dict[str, list[Any]]]:
    return lambda root: {name.replace("_", "@"): entries for name, entries in stages.items()}


def test_an_input_that_dvc_does_not_know_is_not_computed_from(
    layout: Layout, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = layout.candidate.relative_to(layout.root).as_posix()
    entry = {"changed deps": {name: "modified"}}
    monkeypatch.setattr(dvc, "status", states(calibrate=[{"changed outs": {name: "modified"}}], guard=[entry]))
    monkeypatch.setattr(module.guard, "run", lambda *_: pytest.fail("it ran"))
    assert found(recompute(layout, config)) == [
        f"{name} is not what dvc.lock names for calibrate, guard: it was edited, or comes from another run; run "
        "`dvc repro` and commit what it writes"
    ]


def test_anything_else_that_is_not_of_the_lock_is_told_beside_the_comparison(
    layout: Layout, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = states(
        resolve=[{"changed deps": {"tracer.yaml": "modified"}}],
        ingest=[{"changed deps": {"data/traces": "modified"}}],
        train_logreg=[{"changed deps": {"artifacts/models/logreg": "deleted"}}],
        guard=["changed command", {"changed outs": {"policy/work/metrics/guard.json": "modified"}}],
        somebody_elses=[{"changed deps": {"their.csv": "modified"}}],
    )
    monkeypatch.setattr(dvc, "status", changed)
    change(lambda x: x.guard_metrics, "deployed", to=0)(layout)
    begins = [finding.split(" is ")[0] for finding in found(recompute(layout, config))]
    assert begins == ["tracer.yaml", "data/traces", "dvc.yaml", "policy/work/metrics/guard.json: deployed"]


def test_what_is_missing_is_named_with_the_way_to_get_it(layout: Layout, config: Config) -> None:
    layout.holdout_vectors.unlink()
    with pytest.raises(
        StorageError, match=r"policy/work/artifacts/vectors/holdout\.npy is missing; fetch it with `dvc pull`"
    ):
        recompute(layout, config)
    (layout.candidate / "oof.parquet").unlink()
    with pytest.raises(StorageError, match=r"policy/work/artifacts/candidate, .*holdout\.npy are missing; fetch them"):
        recompute(layout, config)


# --- another version of a library -----------------------------------------------------------------


def test_versions_that_differ_are_told_and_tiny_differences_passed_over(layout: Layout, config: Config) -> None:
    manifest = read_json(layout.manifest)
    manifest["versions"]["numpy"] = "1.0"
    manifest["targets"][1]["threshold"] += 1e-9
    write_json(layout.manifest, manifest)
    # The report names the manifest's digest.
    change(lambda x: x.qualitative_report, "manifest", to=sha256_file(layout.manifest))(layout)
    result = recompute(layout, config)
    assert found(result) == []
    assert result.note.startswith("recomputed with numpy ") and "instead of 1.0: numbers were compared" in result.note


def test_another_version_does_not_excuse_a_forged_number(layout: Layout, config: Config) -> None:
    manifest = read_json(layout.manifest)
    manifest["versions"]["numpy"] = "1.0"
    manifest["targets"][1]["coverage"] += 0.001
    manifest["targets"][1]["handled"] += 1
    write_json(layout.manifest, manifest)
    findings = found(recompute(layout, config))
    assert len(findings) == 2 and "targets[1].handled is " in "".join(findings)


@given(st.floats(-10, 10), st.floats(-10, 10))
def test_numbers_are_equal_to_five_digits_or_exactly(a: float, b: float) -> None:
    assert module._same(a, b, exact=True) == (a == b)
    close = abs(a - b) <= max(1e-6, 1e-5 * max(abs(a), abs(b)))
    assert module._same(a, b, exact=False) == close


@pytest.mark.parametrize(
    ("found", "made", "exact", "loose"),
    [(1, 1, True, True), (1, 2, False, False), (100001, 100000, False, False), (True, 1, False, False),
     ("a", "b", False, False), ("0.5", "0.5000001", False, True), ("5", "6", False, False), (None, 0, False, False),
     ("0.9", "0.95", False, False), ("1e-12", "1e-13", False, True), (float("nan"), 0.5, False, False)],
)  # fmt: skip
def test_counts_texts_and_kinds_are_exact_under_any_version(found: Any, made: Any, exact: bool, loose: bool) -> None:
    assert (module._same(found, made, True), module._same(found, made, False)) == (exact, loose)


@given(st.recursive(st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=2),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)),
       st.data())  # fmt: skip
def test_values_that_differ_are_found_and_equal_ones_are_not(value: Any, data: st.DataObject) -> None:
    assert list(module._differences(value, json.loads(json.dumps(value)), True)) == []
    other = {"x": value, "y": data.draw(st.integers())}
    assert [at for at, *_ in module._differences(other, {"x": value, "y": -1.5}, True)] == [("y",)]


def test_many_differences_of_a_file_are_counted(layout: Layout, config: Config) -> None:
    write_json(layout.frontier, {})
    table = read_table(layout.guard_rows)
    at = table.column_names.index("predicted")
    write_table(layout.guard_rows, table.set_column(at, "predicted", pa.array(["x"] * table.num_rows)))
    findings = found(recompute(layout, config))
    of_rows = [finding for finding in findings if "rows.parquet" in finding]
    assert len(of_rows) == module.MOST + 1
    assert of_rows[-1].endswith(f": {table.num_rows - module.MOST} more values differ")
