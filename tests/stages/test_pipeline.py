"""All stages together: same bytes, an untouched holdout, and figures that add up."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

import tracer_cli as tracer
from support import QUICK_EMBEDDER, QUICK_ZOO, clustered, example_traces, files_of, quick, write_jsonl
from tracer_cli.api import FitResult, project_config, run_all
from tracer_cli.artifacts import Layout, read_json, read_table, write_table
from tracer_cli.core.certificate import clopper_pearson
from tracer_cli.errors import DataError, StorageError
from tracer_cli.stages import calibrate, guard, report
from tracer_cli.traces.table import read_fit_meta

ZOO_OF_ALL = {
    "logistic": {"kind": "logistic_regression", "C": 10.0},
    "sgd": {"kind": "sgd"},
    "mlp": {"kind": "mlp", "hidden": [16], "max_iter": 10},
    "forest": {"kind": "random_forest", "n_estimators": 10},
    "trees": {"kind": "extra_trees", "n_estimators": 10},
    "boosted": {"kind": "lightgbm", "n_estimators": 5, "components": 8},
}


def work(result: FitResult) -> Path:
    return result.path / "work"


def test_the_same_traces_give_the_same_bytes_in_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything, not the policy alone; the second run from another folder, under another path, over an old run."""
    contents = []
    for name, before in (("a", None), ("b", 0.7)):
        folder = tmp_path / name
        traces = write_jsonl(folder / "traces.jsonl", example_traces(500))
        monkeypatch.chdir(folder)
        if before is not None:
            tracer.fit("traces.jsonl", config=quick(target_teacher_agreement=before, seed=9))
        tracer.fit("traces.jsonl" if name == "a" else traces, config=quick(zoo=ZOO_OF_ALL))
        contents.append(files_of(folder / ".tracer"))
    assert contents[0].keys() == contents[1].keys()
    differing = {name for name in contents[0] if contents[0][name] != contents[1][name]}
    assert differing == set()
    assert {"manifest.json", "policy.onnx", "report.html"} <= contents[0].keys()


def test_nothing_before_the_guard_depends_on_holdout_labels(tmp_path: Path) -> None:
    """The holdout's labels are replaced by noise, in the trace file itself: the candidate stays, the verdict falls."""
    traces = example_traces(700)
    config = quick(target_teacher_agreement=0.75)
    first = tracer.fit(write_jsonl(tmp_path / "a.jsonl", traces), tmp_path / "a", config=config)
    holdout = set(read_table(work(first) / "artifacts/traces/holdout.parquet")["text"].to_pylist())
    noise = random.Random(0)
    labels = sorted({trace["teacher"] for trace in traces})
    noisy = [
        {**t, "teacher": noise.choice([*labels, "never seen"]), "ground_truth": None} if t["input"] in holdout else t
        for t in traces
    ]
    second = tracer.fit(write_jsonl(tmp_path / "b.jsonl", noisy), tmp_path / "b", config=config)
    for part in ("candidate", "models", "vectors", "embedder"):
        assert files_of(work(first) / "artifacts" / part) == files_of(work(second) / "artifacts" / part), part
    assert (first.path / "policy.onnx").read_bytes() == (second.path / "policy.onnx").read_bytes()
    assert first.deploy and not second.deploy
    assert any("never seen" in note for note in second.notes)


def test_the_manifest_adds_up(fitted: FitResult) -> None:
    manifest = fitted.manifest
    rows = read_table(work(fitted) / "artifacts/guard/rows.parquet")
    scores = rows["accept_score"].to_numpy()
    agrees = np.array(rows["label"].to_pylist()) == np.array(rows["predicted"].to_pylist())
    counts = read_table(work(fitted) / "artifacts/traces/holdout.parquet")["count"].to_numpy()
    assert (
        len(rows)
        == manifest["holdout_rows"]
        == read_fit_meta(work(fitted) / "artifacts/traces/fit.parquet")["holdout_rows"]
    )
    assert [t["target"] for t in manifest["targets"]] == [0.7, 0.85, 0.95]
    for t in manifest["targets"]:
        if t["certified"]:
            handled = scores >= t["threshold"]
            assert (t["handled"], t["agreed"]) == (handled.sum(), agrees[handled].sum())
            assert t["coverage"] == pytest.approx(handled.mean(), abs=1e-6)
            assert t["agreement_interval"] == pytest.approx(clopper_pearson(t["agreed"], t["handled"], 0.95), abs=1e-6)
            assert t["lower_bound"] >= t["target"]
            assert t["traffic_coverage"] == pytest.approx(counts[handled].sum() / counts.sum(), abs=1e-6)
        else:
            assert t["threshold"] is None and t["coverage"] == 0 and t["agreement"] is None
        assert t["evidence_rows"] == len(rows)
        assert (t["shortfall"] is None) == t["certified"]
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((fitted.path / name).read_bytes()).hexdigest() == digest
    assert set(manifest["files"]) == set(files_of(fitted.path)) - {
        "manifest.json",
        "report.html",
        "qualitative_report.json",
        *(name for name in files_of(fitted.path) if name.startswith("work/")),
    }
    metrics = read_json(work(fitted) / "metrics/guard.json")
    assert all(type(value) in (int, float) for value in metrics.values())
    assert metrics["deployed"] == 1 and metrics["coverage_at_85_percent"] == metrics["certified_coverage"]
    assert metrics["evidence_rows"] == metrics["holdout_rows"] == len(rows) and metrics["labels_deferred"] == 0
    deployed = next(t for t in manifest["targets"] if t["target"] == 0.85)
    assert metrics["evidence_agreement"] == pytest.approx(deployed["agreement"], abs=1e-4)
    shares = [member["share"] for member in manifest["surrogate"]["members"]]
    assert sum(shares) == pytest.approx(1, abs=1e-5) and set(manifest["surrogate"]) == {"name", "kind", "members"}


def test_the_frontier_names_every_blend_and_target(fitted: FitResult, tmp_path: Path) -> None:
    traces = write_jsonl(tmp_path / "t.jsonl", example_traces(600))
    zoo = {"log": {"kind": "logistic_regression", "C": 10.0}, "Near 1": {"kind": "nearest_neighbours"}}
    result = tracer.fit(traces, tmp_path / "p", config=quick(zoo=zoo))
    frontier = read_json(result.path / "frontier.json")
    assert {"log": 1} in [entry["blend"] for entry in frontier["considered"]]
    assert {"Near 1": 1} in [entry["blend"] for entry in frontier["considered"]]
    for entry in frontier["considered"]:
        assert set(entry) == {"blend", "out_of_fold_agreement", "expected_coverage"}
        assert set(entry["blend"]) <= set(zoo) and all(picks >= 1 for picks in entry["blend"].values())
    members = {m["name"]: m["share"] for m in result.manifest["surrogate"]["members"]}
    picks = frontier["considered"][0]["blend"]
    assert members == {name: pytest.approx(n / sum(picks.values()), abs=1e-6) for name, n in picks.items()}
    assert {m["kind"] for m in result.manifest["surrogate"]["members"]} <= {"logistic_regression", "nearest_neighbours"}
    for entry in frontier["targets"]:
        assert 0 <= entry["expected_coverage"] <= 1 and 0 <= entry["chance"] <= 1
    page = (result.path / "report.html").read_text(encoding="utf-8")
    assert all(name in page.split("What was considered")[1] for name in zoo)


def test_crossfit_counts_out_of_fold_and_holdout_rows(tmp_path: Path) -> None:
    """Both together are the evidence; the report's rows per label are the holdout's alone."""
    traces, vectors = clustered(500)
    config = quick(embedder=None, evidence="crossfit")
    result = tracer.fit(write_jsonl(tmp_path / "t.jsonl", traces), tmp_path / "p", embeddings=vectors, config=config)
    held = read_table(work(result) / "artifacts/guard/rows.parquet")
    fit = read_table(work(result) / "artifacts/candidate/oof.parquet")
    scores = np.concatenate([fit["accept_score"].to_numpy(), held["accept_score"].to_numpy()])
    for t in result.manifest["targets"]:
        assert t["evidence_rows"] == len(fit) + len(held) == 500
        if t["certified"]:
            assert t["handled"] == (scores >= t["threshold"]).sum()
    assert result.manifest["holdout_rows"] == len(held) < 100
    assert "out-of-fold and holdout texts" in result.verdict and "for many traces" in result.manifest["guarantee"]
    metrics = read_json(work(result) / "metrics/guard.json")
    assert (metrics["evidence_rows"], metrics["holdout_rows"]) == (500, len(held))
    labels = read_json(result.path / "qualitative_report.json")["labels"]
    assert sum(entry["holdout_rows"] for entry in labels) == len(held)


def test_labels_that_were_deferred_are_counted(tmp_path: Path) -> None:
    traces, vectors = clustered(600)
    config = quick(embedder=None, per_label_min=0.9)
    result = tracer.fit(write_jsonl(tmp_path / "t.jsonl", traces), tmp_path / "p", embeddings=vectors, config=config)
    assert read_json(work(result) / "metrics/guard.json")["labels_deferred"] == 2
    rows = read_table(work(result) / "artifacts/guard/rows.parquet").to_pandas()
    assert (rows["accept_score"][rows["predicted"].isin(["c", "d"])] == 0).all()
    far = rows["distance"] > result.manifest["distance_limit"]
    assert (rows["accept_score"][far] == 0).all()
    assert (rows["accept_score"][~far & rows["predicted"].isin(["a", "b"])] > 0).all()


def test_the_guard_never_reads_a_walk_that_starts_from_the_holdout(fitted: FitResult) -> None:
    """The tested thresholds are the candidate's, in its order, up to the first failure."""
    candidate = read_json(work(fitted) / "artifacts/candidate/candidate.json")
    frontier = read_json(fitted.path / "frontier.json")
    for proposed, tested in zip(candidate["targets"], frontier["targets"], strict=True):
        walked = [step["threshold"] for step in tested["tested"]]
        assert walked == proposed["thresholds"][: len(walked)]
        assert all(step["rejected"] for step in tested["tested"][:-1])


def test_a_new_target_reuses_what_was_trained(fitted: FitResult, tmp_path: Path) -> None:
    shutil.copytree(fitted.path, tmp_path / ".tracer")
    layout = Layout.of_folder(tmp_path, tmp_path / ".tracer")
    before = files_of(work(fitted) / "artifacts" / "models")
    settings = quick(target_teacher_agreement=0.75, frontier_targets=())
    config = project_config(settings, "unused.jsonl", QUICK_EMBEDDER)
    for stage in (calibrate, guard, report):
        stage.run(layout, config)
    assert files_of(tmp_path / ".tracer/work/artifacts/models") == before
    assert [t["target"] for t in read_json(layout.manifest)["targets"]] == [0.75]
    assert tracer.load_router(tmp_path / ".tracer").target == 0.75


def test_scope_overall_covers_more_and_says_so(tmp_path: Path) -> None:
    traces = write_jsonl(tmp_path / "t.jsonl", example_traces(900))
    results = {
        scope: tracer.fit(traces, tmp_path / scope, config=quick(scope=scope, target_teacher_agreement=0.9))
        for scope in ("handled", "overall")
    }
    assert results["overall"].coverage > results["handled"].coverage
    assert "parity over all traffic" in results["overall"].verdict
    assert "of all inputs answered with a label that differs" in results["overall"].manifest["guarantee"]


def test_precomputed_vectors(tmp_path: Path, fitted: FitResult) -> None:
    traces = write_jsonl(tmp_path / "t.jsonl", [*example_traces(600), {"input": "", "teacher": "x"}])
    from tracer_cli.embedders import load

    texts = [json.loads(line)["input"] for line in traces.read_text(encoding="utf-8").splitlines()]
    vectors = load(fitted.path / "embedder").embed(texts)
    result = tracer.fit(traces, tmp_path / "p", embeddings=vectors, config=quick(embedder=None))
    assert result.manifest["dim"] == 64 and result.manifest["embedder"]["kind"] == "precomputed"
    assert tracer.load_router(tmp_path / "p").predict(vectors[0])["decision"] in ("handled", "deferred")
    with pytest.raises(DataError, match=r"has 600 vectors, but 601 trace rows were read"):
        tracer.fit(traces, tmp_path / "q", embeddings=vectors[:-1], config=quick(embedder=None))


def test_texts_and_labels_may_be_anything(tmp_path: Path) -> None:
    """Labels called yes, null, with a slash, in Arabic, with markup: through fit, manifest, report and router."""
    labels = ["yes", "null", "billing/refund", "مرحبا", "😀", "<script>alert(1)</script>", "0123", "__proto__"]
    rng = random.Random(1)
    words = {label: [f"{c}{i}" for i in range(6)] for label, c in zip(labels, "abcdefgh", strict=True)}
    rows = [
        {"input": " ".join(rng.choices(words[label], k=4)) + f" <b>{i}</b> 🙂 שלום", "teacher": label}
        for i, label in enumerate(labels * 60)
    ]
    result = tracer.fit(write_jsonl(tmp_path / "t.jsonl", rows), tmp_path / "p", config=quick())
    assert result.manifest["labels"] == sorted(labels)
    assert result.deploy
    out = tracer.load_router(tmp_path / "p").predict("d1 d2 d3 d4 🙂 שלום")
    assert out["label"] == "مرحبا"
    page = (tmp_path / "p" / "report.html").read_text(encoding="utf-8")
    assert (
        "<script" not in page
        and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        and "<b>" not in page.split("</style>")[1].replace("<b>", "", page.count('class="tile"><b>'))
    )


def test_stale_artifacts_are_noticed(fitted: FitResult, tmp_path: Path) -> None:
    """Parts of two different runs do not become one policy."""
    shutil.copytree(fitted.path, tmp_path / ".tracer")
    layout = Layout.of_folder(tmp_path, tmp_path / ".tracer")
    config = project_config(quick(), "unused.jsonl", QUICK_EMBEDDER)
    table = read_table(layout.holdout_labels)
    write_table(layout.holdout_labels, table.slice(1))
    with pytest.raises(DataError, match="do not hold the same rows: they come from different runs"):
        guard.run(layout, config)
    write_table(layout.fit, read_table(layout.fit).slice(1))
    with pytest.raises(DataError, match="they come from different runs; run the embed stage again"):
        calibrate.run(layout, config)


def test_two_runs_at_once_do_not_mix(tmp_path: Path) -> None:
    from tracer_cli.artifacts import exclusive

    traces = write_jsonl(tmp_path / "t.jsonl", example_traces(300))
    with exclusive(tmp_path / "p"), pytest.raises(StorageError, match=r"another tracer run is writing .*p: wait"):
        tracer.fit(traces, tmp_path / "p", config=quick())
    tracer.fit(traces, tmp_path / "p", config=quick())


@pytest.mark.parametrize(
    ("rows", "zoo"),
    [(12, QUICK_ZOO), (40, ZOO_OF_ALL)],
)
def test_few_traces_give_an_answer_and_not_a_crash(tmp_path: Path, rows: int, zoo: dict) -> None:
    traces = [{"input": f"text number {i} {'ab'[i % 2] * 3}", "teacher": "ab"[i % 2]} for i in range(rows)]
    result = tracer.fit(write_jsonl(tmp_path / "t.jsonl", traces), tmp_path / "p", config=quick(zoo=zoo))
    assert result.manifest["holdout_rows"] > 0
    assert "nothing can be certified" in result.verdict or result.deploy


@pytest.mark.parametrize("rows", [30, 50])
def test_fewer_traces_than_a_certificate_needs_are_told_how_many(tmp_path: Path, rows: int) -> None:
    """The figures are followed to the end: with that many texts of the same kind, the target is certified."""
    traces = [{"input": f"{'apple pear' if i % 2 else 'car bus'} n{i}", "teacher": "ab"[i % 2]} for i in range(rows)]
    config = quick(target_teacher_agreement=0.95, frontier_targets=(0.5,), embedder={"kind": "tfidf", "dim": 8})
    result = tracer.fit(write_jsonl(tmp_path / "t.jsonl", traces), tmp_path / "p", config=config)
    low, high = result.manifest["targets"]
    short = high["shortfall"]
    assert not result.deploy and short["tested_agreement"] == 1
    needed = short["evidence_rows_needed"]
    assert 59 <= needed < 59 / short["tested_coverage"] + 2  # 59 = log(0.05) / log(0.95), all of them agreeing
    assert f"it would take {needed:,} holdout texts instead of {high['evidence_rows']}" in result.verdict
    supported = short["supported_target"]
    handled = round(short["tested_coverage"] * high["evidence_rows"])
    assert supported == pytest.approx(0.05 ** (1 / handled), abs=1e-5)
    assert low["certified"] and f"certified now: 0.5 (coverage {100 * low['coverage']:.1f} %)" in result.verdict


def test_many_labels_and_one_with_a_single_row(tmp_path: Path) -> None:
    traces = [{"input": f"w{i % 150} x{i % 150} y{i}", "teacher": f"label {i % 150}"} for i in range(900)]
    traces.append({"input": "only once", "teacher": "lonely"})
    result = tracer.fit(write_jsonl(tmp_path / "t.jsonl", traces), tmp_path / "p", config=quick())
    assert len(result.manifest["labels"]) in (150, 151)


def test_layout_runs_in_memory_of_one_call(tmp_path: Path) -> None:
    """run_all is what fit calls: a layout of a DVC project works as well."""
    write_jsonl(tmp_path / "data" / "t.jsonl", example_traces(300))
    config = project_config(quick(), "data/t.jsonl", QUICK_EMBEDDER)
    layout = Layout.of_project(tmp_path, "out", "out/r.html")
    run_all(layout, config)
    assert (tmp_path / "out" / "r.html").is_file() and (tmp_path / "metrics" / "guard.json").is_file()
