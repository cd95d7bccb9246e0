"""Where a trace comes from and what its source weighs: from the trace file to the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tracer_cli as tracer
from support import files_of, quick, write_jsonl
from tracer_cli.api import project_config, result_of, run_all
from tracer_cli.artifacts import Layout, read_array, read_json, read_table, write_array, write_table
from tracer_cli.config.schema import Config, TraceSource
from tracer_cli.errors import ConfigError, DataError
from tracer_cli.stages import calibrate, embed, fit_rows, ingest, train

LINEAR = {"linear": {"kind": "logistic_regression", "C": 10.0}}
EVERY_KIND: dict[str, dict[str, Any]] = {
    "kernel": {"kind": "kernel_ridge"},
    "near": {"kind": "nearest_neighbours"},
    "logistic": {"kind": "logistic_regression"},
    "sgd": {"kind": "sgd"},
    "mlp": {"kind": "mlp", "hidden": [16], "max_iter": 10},
    "forest": {"kind": "random_forest", "n_estimators": 10},
    "trees": {"kind": "extra_trees", "n_estimators": 10},
    "boosted": {"kind": "lightgbm", "n_estimators": 5, "components": 8},
}


def drawn(rows: int, seed: int, noise: float = 1.0, labels: int = 4) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Traces around one centre per label, which is the same for every seed."""
    rng = np.random.default_rng(seed)
    own = rng.integers(0, labels, rows)
    centres = np.random.default_rng(99).standard_normal((labels, 16)) * 1.5
    vectors = (centres[own] + noise * rng.standard_normal((rows, 16))).astype(np.float32)
    return [{"input": f"text {seed} {i}", "teacher": "abcdefghijkl"[label]} for i, label in enumerate(own)], vectors


def project(
    folder: Path, sources: list[tuple[list[dict[str, Any]], dict[str, Any]]], vectors: np.ndarray, **changes: Any
) -> tuple[Layout, Config]:
    """Sources, each its traces and what tracer.yaml says of it beside the path, with a vector for each row."""
    named = []
    for i, (traces, keys) in enumerate(sources):
        path = write_jsonl(folder / f"traces{i}.jsonl", traces)
        named.append({"path": str(path), "text": "input", "label": "teacher", **keys})
    write_array(folder / "vectors.npy", vectors)
    settings = quick(**{"embedder": None, "zoo": LINEAR, **changes})
    made = project_config(settings, "traces.jsonl", {"kind": "precomputed", "path": str(folder / "vectors.npy")})
    config = made.model_copy(update={"traces": [TraceSource.model_validate(source) for source in named]})
    return Layout.of_folder(folder, folder / ".tracer"), config


def marked(traces: list[dict[str, Any]], origins: list[str]) -> list[dict[str, Any]]:
    return [{**trace, "origin": origin} for trace, origin in zip(traces, origins, strict=True)]


def mixed(folder: Path, **changes: Any) -> tuple[Layout, Config]:
    """240 organic traces, 60 audited and 500 deferred ones, in one file."""
    traces, vectors = drawn(800, 1, noise=1.6)
    origins = ["organic"] * 240 + ["audit", *["deferred"] * 9] * 50 + ["audit"] * 10 + ["deferred"] * 50
    return project(folder, [(marked(traces, origins), {"origin": "origin"})], vectors, **changes)


# --- origin -----------------------------------------------------------------------------------------


def test_deferred_rows_train_and_are_counted_nowhere_else(tmp_path: Path) -> None:
    layout, config = mixed(tmp_path)
    run_all(layout, config)
    fit, holdout = read_table(layout.fit), read_table(layout.holdout)
    origin = np.array(fit["origin"].to_pylist())
    assert (origin == "deferred").sum() == 500 and set(holdout["origin"].to_pylist()) == {"organic", "audit"}
    rows = fit_rows.read(layout, config)
    assert (rows.evidence == (origin != "deferred")).all()
    meta = read_json(layout.model("linear") / "meta.json")
    probabilities = read_array(layout.model("linear") / "oof.npy")
    assert meta["fit_rows"] == len(fit) == len(probabilities)
    agrees = probabilities.argmax(axis=1) == rows.data.labels
    assert meta["out_of_fold_agreement"] == pytest.approx(agrees[rows.evidence].mean(), abs=1e-6)
    out_of_fold = read_table(layout.candidate / "oof.parquet")
    assert out_of_fold["key"].to_pylist() == [
        key for key, own in zip(fit["key"].to_pylist(), rows.evidence, strict=True) if own
    ]
    candidate = read_json(layout.candidate / "candidate.json")
    assert candidate["fit_rows"] == candidate["reference_rows"] == len(fit)
    assert candidate["out_of_fold_agreement"] == pytest.approx(
        np.mean(np.array(out_of_fold["label"].to_pylist()) == np.array(out_of_fold["predicted"].to_pylist()))
    )
    result = result_of(layout)
    assert all(target["evidence_rows"] == len(holdout) for target in result.manifest["targets"])


def test_with_crossfit_the_evidence_is_what_is_organic_or_audited(tmp_path: Path) -> None:
    layout, config = mixed(tmp_path, evidence="crossfit")
    run_all(layout, config)
    out_of_fold, holdout = read_table(layout.candidate / "oof.parquet"), read_table(layout.holdout)
    assert len(out_of_fold) + len(holdout) == 300
    manifest = result_of(layout).manifest
    assert all(target["evidence_rows"] == 300 for target in manifest["targets"])
    assert manifest["fit_rows"] == 800 - len(holdout)
    page = layout.report.read_text(encoding="utf-8")
    assert f"300 texts, {len(out_of_fold)} of them out of fold and {len(holdout)} held out" in page


@pytest.mark.parametrize("evidence", ["holdout", "crossfit"])
def test_more_deferred_rows_make_a_better_surrogate_on_the_same_evidence(tmp_path: Path, evidence: str) -> None:
    traces, vectors = drawn(1200, 2, noise=2.6, labels=12)
    found = []
    for name, count in (("few", 160), ("many", 1200)):
        origins = ["organic"] * 150 + ["deferred"] * 1050
        source = marked(traces, origins)[:count], {"origin": "origin"}
        layout, config = project(tmp_path / name, [source], vectors[:count], evidence=evidence)
        run_all(layout, config)
        found.append((read_json(layout.candidate / "candidate.json"), read_table(layout.holdout)["key"]))
    (few, its_holdout), (many, same_holdout) = found
    assert its_holdout == same_holdout
    assert many["out_of_fold_agreement"] > few["out_of_fold_agreement"] + 0.05


def test_a_text_that_was_audited_once_is_evidence_and_a_label_that_was_only_deferred_can_be_said(
    tmp_path: Path,
) -> None:
    traces, vectors = drawn(600, 3)
    traces = marked(traces, ["deferred" if trace["teacher"] == "d" else "organic" for trace in traces])
    first = next(i for i, trace in enumerate(traces) if trace["teacher"] == "a")
    again = [{**traces[first], "origin": "deferred"}, {**traces[first], "origin": "audit"}]
    layout, config = project(
        tmp_path, [(traces + again, {"origin": "origin"})], np.concatenate([vectors, vectors[[first, first]]])
    )
    run_all(layout, config)
    fit, holdout = (read_table(path, ["row", "origin"]).to_pylist() for path in (layout.fit, layout.holdout))
    assert next(row["origin"] for row in fit + holdout if row["row"] == first) == "organic"
    manifest = result_of(layout).manifest
    assert manifest["labels"] == ["a", "b", "c", "d"] and result_of(layout).deploy
    router = tracer.load_router(layout.policy)
    new = next(i for i, trace in enumerate(traces) if trace["teacher"] == "d")
    assert router.predict(vectors[new])["label"] == "d"


def test_too_little_evidence_says_what_is_missing(tmp_path: Path) -> None:
    layout, config = mixed(tmp_path)
    ingest.run(layout, config)
    embed.run(layout, config)
    table = read_table(layout.fit)
    meta = table.schema.metadata
    for organic in (0, 4):
        origins = pa.array(["organic"] * organic + ["deferred"] * (len(table) - organic))
        place = table.schema.get_field_index("origin")
        write_table(layout.fit, table.set_column(place, "origin", origins).replace_schema_metadata(meta))
        with pytest.raises(
            DataError,
            match=f"of {len(table)} texts to fit on, {organic} are organic or audited, and 5 folds need at least 5: .*"
            "origin: audit",
        ):
            train.run(layout, config, "linear")
    origins = pa.array(["organic"] * 5 + ["deferred"] * (len(table) - 5))
    write_table(layout.fit, table.set_column(place, "origin", origins).replace_schema_metadata(meta))
    train.run(layout, config, "linear")


def test_a_target_that_one_answer_reaches_on_the_evidence_is_refused(tmp_path: Path) -> None:
    """The deferred rows have other labels too, but say nothing of the traffic."""
    traces, vectors = drawn(600, 4)
    origins = ["organic" if trace["teacher"] == "a" or i % 40 == 0 else "deferred" for i, trace in enumerate(traces)]
    layout, config = project(tmp_path, [(marked(traces, origins), {"origin": "origin"})], vectors)
    with pytest.raises(ConfigError, match=r"% of the organic and audited texts to fit on have the label 'a'"):
        run_all(layout, config)


# --- weight -----------------------------------------------------------------------------------------


def test_weights_that_are_all_the_same_change_no_byte(tmp_path: Path) -> None:
    traces, vectors = drawn(260, 5)
    made = []
    for name, weight in (("one", 1.0), ("other", 3.7)):
        layout, config = project(tmp_path / name, [(traces, {"weight": weight})], vectors, zoo=EVERY_KIND)
        config = config.model_copy(update={"targets": config.targets.model_copy(update={"method": "rsb"})})
        ingest.run(layout, config)
        embed.run(layout, config)
        assert set(read_table(layout.fit, ["weight"])["weight"].to_pylist()) == {weight}
        for slug in config.slugs():
            train.run(layout, config, slug)
        calibrate.run(layout, config)
        made.append(files_of(layout.model("kernel").parent) | files_of(layout.candidate))
    assert made[0] == made[1] and len(made[0]) == 3 * len(EVERY_KIND) + 3


@pytest.mark.parametrize("kind", ["kernel", "near"])
def test_the_heavier_source_is_learnt_and_every_text_is_tested_once(tmp_path: Path, kind: str) -> None:
    """Two sources with a text at every place, and other labels: weights tell which one the surrogate follows."""
    traces, vectors = drawn(300, 6, noise=0.3)
    swapped = [
        {"input": f"old {trace['input']}", "teacher": "bcda"["abcd".index(trace["teacher"])]} for trace in traces
    ]
    both = np.concatenate([vectors, vectors])
    zoo = {kind: EVERY_KIND[kind]}
    for heavy, right in ((0, traces), (1, swapped)):
        weights = [{"weight": 8.0 if i == heavy else 0.5} for i in (0, 1)]
        sources = list(zip((traces, swapped), weights, strict=True))
        layout, config = project(tmp_path / str(heavy), sources, both, zoo=zoo, target_teacher_agreement=0.3)
        run_all(layout, config)
        router = tracer.load_router(layout.policy)
        said = router.predict_batch(vectors)["labels"]
        assert np.mean([label == trace["teacher"] for label, trace in zip(said, right, strict=True)]) > 0.95
        manifest = result_of(layout).manifest
        assert manifest["targets"][0]["evidence_rows"] == len(read_table(layout.holdout))
        # Half of the texts have the other label: no weight makes that better than it is.
        assert read_json(layout.candidate / "candidate.json")["out_of_fold_agreement"] == pytest.approx(0.5, abs=0.06)
