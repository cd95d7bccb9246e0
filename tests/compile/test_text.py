"""dvc.yaml and params.yaml byte for byte; TRACER_WRITE_GOLDEN=1 writes the golden files anew."""

import os
from pathlib import Path

import pytest
import yaml

from tracer_cli.artifacts import Layout
from tracer_cli.compile import dvc_yaml, params_yaml
from tracer_cli.compile.dvc import dvc_data
from tracer_cli.compile.emit import emit, scalar
from tracer_cli.config.load import load_config
from tracer_cli.config.resolve import params_of
from tracer_cli.config.schema import Config

GOLDEN = Path(__file__).parent / "golden"


def config(**values: object) -> Config:
    return Config.model_validate({"traces": [{"path": "data/a.jsonl"}], **values})


@pytest.mark.parametrize("name", ["plain", "rich"])
@pytest.mark.parametrize(("kind", "compiled"), [("dvc", dvc_yaml), ("params", params_yaml)])
def test_the_compiled_text_is_exactly_this(name: str, kind: str, compiled: object) -> None:
    text = compiled(load_config(GOLDEN / f"{name}.tracer.yaml"))  # type: ignore[operator]
    golden = GOLDEN / f"{name}.{kind}.yaml"
    if os.environ.get("TRACER_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def inputs(stage: dict[str, list[str]]) -> set[str]:
    return set(stage["deps"])


def outputs(stage: dict[str, list[object]]) -> set[str]:
    entries = [*stage.get("outs", ()), *stage.get("metrics", ()), *stage.get("plots", ())]
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}  # type: ignore[call-overload]


def test_nothing_before_guard_depends_on_the_labels_of_the_holdout_even_through_others() -> None:
    stages = dvc_data(config())["stages"]
    labels = Layout.of_project(Path(), ".tracer", ".tracer/report.html").holdout_labels.as_posix()
    readers = [name for name, stage in stages.items() if labels in inputs(stage)]
    assert readers == ["guard", "report"]
    after_guard = outputs(stages["guard"])
    for name in ("resolve", "ingest", "embed", "train", "calibrate"):
        assert not inputs(stages[name]) & after_guard
        for path in inputs(stages[name]):
            assert not labels.startswith(f"{path}/"), "a folder dependency would hold the labels too"


def test_every_input_is_made_by_an_earlier_stage_or_comes_from_outside() -> None:
    made: set[str] = set()
    for stage in dvc_data(config())["stages"].values():
        for path in inputs(stage) - {"tracer.yaml", "data/a.jsonl", "metrics/previous.json"}:
            assert path in made or path.replace(path.rsplit("/", 1)[1], "${item.model}") in made, path
        made |= outputs(stage)


def test_calibrate_names_each_model_and_takes_the_whole_zoo() -> None:
    stage = dvc_data(config(zoo={"a": {"kind": "sgd"}, "b": {"kind": "sgd"}}))["stages"]["calibrate"]
    assert {"artifacts/models/a", "artifacts/models/b"} <= inputs(stage)
    assert "train.zoo" in stage["params"]


def test_the_target_is_a_param_of_calibrate_and_later_alone() -> None:
    stages = dvc_data(config())["stages"]
    assert [name for name, stage in stages.items() if "calibrate" in stage.get("params", ())] == [
        "calibrate",
        "guard",
        "report",
    ]


def read_by(stage: dict[str, list[str]], params: dict[str, object]) -> list[object]:
    """The values that DVC watches for a stage."""
    found = []
    for key in stage.get("params", ()):
        value: object = params
        for part in key.replace(".${item.model}", "").split("."):
            value = value[part]  # type: ignore[index]
        found.append(value)
    return found


LATE = ["calibrate", "guard", "report"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"targets": {"agreement": 0.9}}, LATE),
        ({"targets": {"confidence": 0.9}}, LATE),
        ({"targets": {"frontier": [0.9]}}, LATE),
        ({"targets": {"scope": "overall"}}, LATE),
        ({"targets": {"method": "rsb"}}, LATE),
        ({"targets": {"per_label_min": 0.9}}, LATE),
        ({"acceptor": {"kind": "lightgbm"}}, LATE),
        ({"acceptor": {"distance_quantile": None}}, LATE),
        ({"blend": 1}, LATE),
        ({"targets": {"min_coverage": 0.1}}, ["guard"]),
        ({"targets": {"evidence": "crossfit"}}, ["ingest", "train", *LATE]),
        ({"split": {"folds": 3}}, ["train", "calibrate", "guard"]),
        ({"zoo": {"a": {"kind": "kernel_ridge", "gamma": 1}}}, ["train", "calibrate", "guard"]),
        ({"cost": {"per_call": 1}}, ["report"]),
    ],
)
def test_a_change_reaches_the_stages_that_read_it_alone(change: dict[str, object], expected: list[str]) -> None:
    base = {"embedder": {"kind": "sentence-transformers"}, "zoo": {"a": {"kind": "kernel_ridge"}}}
    old, new = params_of(config(**base)), params_of(config(**{**base, **change}))
    stages = dvc_data(config(**base))["stages"]
    assert [name for name, stage in stages.items() if read_by(stage, old) != read_by(stage, new)] == expected


def test_every_stage_is_described_and_runs_one_plain_command() -> None:
    for name, stage in dvc_data(config())["stages"].items():
        assert stage["desc"]
        assert stage["cmd"].startswith(f"tracer run {name}")
        assert not set(stage["cmd"]) & set("|&;<>\"'\\\n")
        assert "wdir" not in stage


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["data/a.jsonl", "./data/a.jsonl"], ["data/a.jsonl"]),
        (["data/*/x.csv", "data/y/z.csv"], ["data"]),
        (["data/ab/x.csv", "data/a*.csv"], ["data"]),
        (["data/ab/x.csv", "data/a/*.csv"], ["data/a", "data/ab/x.csv"]),
        (["../logs/[ab].csv", "/srv/x?.csv"], ["../logs", "/srv"]),
    ],
)
def test_sources_become_files_or_static_folders_none_inside_another(paths: list[str], expected: list[str]) -> None:
    stage = dvc_data(config(traces=[{"path": path} for path in paths]))["stages"]["ingest"]
    assert stage["deps"] == expected


def test_precomputed_vectors_and_a_local_model_are_watched() -> None:
    own = dvc_data(config(embedder={"kind": "precomputed", "path": "./v/x.npy"}))["stages"]["embed"]
    assert "v/x.npy" in own["deps"]
    local = dvc_data(config(embedder={"kind": "sentence-transformers"}), "models/m")["stages"]["embed"]
    assert "models/m" in local["deps"]


def test_text_is_quoted_where_any_reader_could_mistake_it() -> None:
    for text in (
        "yes",
        "1e-3",
        "0123",
        "null",
        "~",
        "=",
        "12:30",
        "2001-01-01",
        "0o14",
        "1_000",
        "",
        " a",
        "a: b",
        "#",
    ):
        assert scalar(text)[0] in "'\"", text
        assert yaml.safe_load(scalar(text)) == text
    for text in ("data/traces/*.jsonl", "tracer run train --model ${item.model}", ".tracer", "all-MiniLM-L6-v2"):
        assert scalar(text) == text


def test_no_line_is_broken_and_no_alias_is_made() -> None:
    shared = ["x" * 200 + " " + "y" * 200]
    assert emit({"a": shared, "b": shared}).count("\n") == 4
