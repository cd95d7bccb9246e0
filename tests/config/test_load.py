"""Every bad file has its exact message beside it; run with TRACER_WRITE_GOLDEN=1 to write the messages anew."""

import os
from pathlib import Path

import pytest

from tracer_cli.config.load import load_config
from tracer_cli.config.schema import (
    KernelRidgeModel,
    LogisticRegressionModel,
    MlpModel,
    NearestNeighboursModel,
    RandomForestModel,
)
from tracer_cli.errors import ConfigError

BAD = Path(__file__).parent / "bad"
PRECOMPUTED = "{kind: precomputed, path: vectors/x.npy}"
CASES = sorted(path.stem for path in BAD.glob("*.yaml"))


def write(folder: Path, text: str) -> Path:
    path = folder / "tracer.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file_gives_exactly_this_message(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tracer.yaml").write_bytes((BAD / f"{case}.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_config(Path("tracer.yaml"))
    golden = BAD / f"{case}.txt"
    if os.environ.get("TRACER_WRITE_GOLDEN"):
        golden.write_text(f"{caught.value}\n", encoding="utf-8")
    assert f"{caught.value}\n" == golden.read_text(encoding="utf-8")


def test_there_are_bad_files() -> None:
    assert len(CASES) > 25


def test_a_missing_file_names_it_and_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tracer\.yaml: no such file; `tracer init` writes one"):
        load_config(tmp_path / "tracer.yaml")


def test_a_folder_in_its_place_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_names_stay_as_written_without_quotes(tmp_path: Path) -> None:
    config = load_config(
        write(
            tmp_path,
            "project: 0123\n"
            "traces:\n"
            "- {path: data/a.jsonl, text: yes, label: on, id: 1e-3, timestamp: 2001-01-01, ground_truth: 1_0}\n"
            "zoo:\n  null: {kind: mlp}\n  0x1F: {kind: random_forest, max_depth: null}\n",
        )
    )
    source = config.traces[0]
    assert config.project == "0123"
    assert (source.text, source.label, source.id, source.timestamp, source.ground_truth) == (
        "yes",
        "on",
        "1e-3",
        "2001-01-01",
        "1_0",
    )
    assert list(config.zoo) == ["null", "0x1F"]
    assert isinstance(config.zoo["null"], MlpModel)
    assert isinstance(config.zoo["0x1F"], RandomForestModel)
    assert list(config.slugs()) == ["null", "m-0x1f"]


def test_numbers_are_numbers_in_any_core_spelling(tmp_path: Path) -> None:
    config = load_config(
        write(
            tmp_path, "traces: [{path: data/a.jsonl, max_text_length: 0x10}]\nseed: 0o14\ntargets: {agreement: 9e-1}\n"
        )
    )
    assert (config.seed, config.targets.agreement, config.traces[0].max_text_length) == (12, 0.9, 16)


def test_only_traces_is_needed_and_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "\ufefftraces: [{path: data/a.jsonl}]\n"))
    assert list(config.zoo) == ["kernel", "logreg", "knn"]


def test_auto_is_a_word_and_anything_else_a_number(tmp_path: Path) -> None:
    config = load_config(
        write(
            tmp_path,
            "traces: [{path: data/a.jsonl}]\n"
            "zoo:\n"
            "  a: {kind: kernel_ridge, gamma: auto, penalty: 1e-1}\n"
            "  b: {kind: logistic_regression, C: 10}\n"
            "  c: {kind: nearest_neighbours, sharpness: 'auto'}\n",
        )
    )
    a, b, c = config.zoo.values()
    assert isinstance(a, KernelRidgeModel)
    assert isinstance(b, LogisticRegressionModel)
    assert isinstance(c, NearestNeighboursModel)
    assert (a.gamma, a.penalty) == ("auto", 0.1)
    assert (b.C, type(b.C)) == (10.0, float)
    assert (c.k, c.sharpness) == (30, "auto")


def test_null_turns_a_check_off_where_it_may(tmp_path: Path) -> None:
    settings = "acceptor: {distance_quantile: null}\ntargets: {per_label_min: ~}\n"
    config = load_config(write(tmp_path, f"traces: [{{path: data/a.jsonl}}]\n{settings}"))
    assert (config.acceptor.distance_quantile, config.targets.per_label_min) == (None, None)


@pytest.mark.parametrize(
    "embedder",
    ["{kind: sentence-transformers}", "{kind: sentence-transformers, text_features: null}", PRECOMPUTED],
)
def test_crossfit_takes_an_embedder_that_is_not_fitted(tmp_path: Path, embedder: str) -> None:
    text = f"traces: [{{path: data/a.jsonl}}]\nembedder: {embedder}\ntargets: {{evidence: crossfit}}\n"
    assert load_config(write(tmp_path, text)).targets.evidence == "crossfit"


def test_an_anchor_may_be_used_again(tmp_path: Path) -> None:
    config = load_config(
        write(tmp_path, "traces: [{path: data/a.jsonl}]\nzoo:\n  a: &a {kind: mlp, hidden: [8]}\n  b: *a\n")
    )
    assert config.zoo["a"] == config.zoo["b"]


def test_wildcards_in_a_sibling_folder_are_fine_and_in_the_project_by_another_name_are_not(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    load_config(write(project, "traces: [{path: ../elsewhere/*.jsonl}]\n"))
    with pytest.raises(ConfigError, match="start in the project's own folder"):
        load_config(write(project, "traces: [{path: ../project/*.jsonl}]\n"))
    with pytest.raises(ConfigError, match="start in the project's own folder"):
        load_config(write(project, f"traces: [{{path: {tmp_path.as_posix()}/*.jsonl}}]\n"))


def test_a_file_without_schema_is_of_the_first(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "traces: [{path: data/a.jsonl}]\n")).schema_version == 1


@pytest.mark.parametrize("more", ["", "seed: x\nseed: y\n", "traces: !!new 1\n", "nonsense: {a: 1}\n"])
def test_a_file_of_a_later_schema_is_refused_for_that_alone(tmp_path: Path, more: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, f"{more}schema: 99\n"))
    message = str(caught.value).splitlines()
    assert len(message) == 3
    assert "schema: this file is written for schema 99, and this tracer reads schema 1: upgrade tracer" in message[0]
    assert message[1] == "    schema: 99"


@pytest.mark.parametrize(
    ("path", "fine"),
    [
        ("data/a~b.jsonl", True),
        ("data/100%.jsonl", True),
        ("data/$5.jsonl", True),
        ("~x.jsonl", True),
        ("data/~/a.jsonl", True),
        ("$X.jsonl", False),
        ("data/${X", False),
        ("~", False),
        ("~ann/a.jsonl", False),
    ],
)
def test_only_what_reads_as_a_variable_or_a_home_folder_is_refused(tmp_path: Path, path: str, fine: bool) -> None:
    file = write(tmp_path, f"traces: [{{path: '{path}'}}]\n")
    if fine:
        assert load_config(file).traces[0].path == path
    else:
        with pytest.raises(ConfigError, match=r"not filled in|home folder"):
            load_config(file)
