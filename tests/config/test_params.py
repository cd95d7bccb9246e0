"""params.yaml as data, and the way back."""

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tracer_cli.compile import params_yaml
from tracer_cli.config.document import parse
from tracer_cli.config.load import config_from
from tracer_cli.config.resolve import config_of, params_of, read_params, source_key
from tracer_cli.config.schema import Config
from tracer_cli.errors import ConfigError

AWKWARD = st.sampled_from(
    [
        *["yes", "no", "on", "null", "~", "true", "1e-3", "0123", "0o14", "0x1F", "1_000", "12:30", "2001-01-01", "="],
        *["<<", ".inf", "- a", "a: b", "#x", "a #b", "'", '"', "\\", "%", "@a", "`", "{a}", "[", "*", "&a", "!x", "|"],
        *[">", "?", "-", " x", "x ", "a\tb", "a\nb", "é ", "😀", "שלום", "\u2028", "\x85", "\ufeff", "\x7f", "\u200f"],
        "x" * 300,
    ]
)
# Everything but surrogates, which are no characters; the label of a field may be any text.
NAMES = AWKWARD | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def raw(**values: object) -> dict[str, object]:
    return {"traces": [{"path": "data/a.jsonl"}], **values}


@settings(deadline=None)
@given(project=NAMES, text=NAMES, label=NAMES, currency=NAMES, model=NAMES)
def test_any_name_survives_the_whole_way(project: str, text: str, label: str, currency: str, model: str) -> None:
    """tracer.yaml -> Config -> params.yaml -> what DVC's reader, PyYAML and we read -> Config."""
    source = {
        "project": project,
        "traces": [{"path": "data/a.jsonl", "text": text, "label": label}],
        "cost": {"currency": currency},
        "zoo": {model[:100]: {"kind": "sgd"}},
    }
    document = parse(yaml.safe_dump(source, allow_unicode=False), "tracer.yaml")
    config = config_from(document, Path("/project"))
    assert (config.project, config.traces[0].text, config.traces[0].label) == (project, text, label)
    assert list(config.zoo) == [model[:100]]
    compiled = params_yaml(config)
    assert compiled == compiled.encode().decode()
    for read in (YAML(typ="safe").load(compiled), yaml.safe_load(compiled), parse(compiled, "params.yaml").plain()):
        assert read == params_of(config)
        assert config_of(read) == config


@given(st.floats(min_value=1e-12, max_value=1e12), st.floats(min_value=1e-9, max_value=0.999999))
def test_numbers_survive_exactly(alpha: float, agreement: float) -> None:
    config = Config.model_validate(raw(zoo={"a": {"kind": "sgd", "alpha": alpha}}, targets={"agreement": agreement}))
    assert math.isclose(config.targets.agreement, agreement, rel_tol=0)
    compiled = params_yaml(config)
    for read in (YAML(typ="safe").load(compiled), yaml.safe_load(compiled), parse(compiled, "x").plain()):
        assert config_of(read) == config


def test_an_integer_and_its_float_give_the_same_bytes() -> None:
    whole = Config.model_validate(raw(cost={"per_call": 1, "calls_per_day": 10000}))
    point = Config.model_validate(raw(cost={"per_call": 1.0}))
    assert params_yaml(whole) == params_yaml(point)


def test_every_default_is_written() -> None:
    params = params_of(Config.model_validate(raw()))
    assert params["calibrate"]["targets"]["agreement"] == 0.95
    assert params["guard"] == {"min_coverage": 0.05}
    assert params["calibrate"]["acceptor"] == {"kind": "logistic_regression", "distance_quantile": 0.999}
    assert params["calibrate"]["blend"] == 6
    assert list(params["train"]["zoo"]) == ["kernel", "logreg", "knn"]
    assert params["train"]["zoo"]["kernel"] == {
        "name": "kernel",
        "kind": "kernel_ridge",
        "gamma": "auto",
        "penalty": "auto",
    }
    assert set(params["stage_version"]) == {"ingest", "embed", "train", "calibrate", "guard", "report"}


def test_the_evidence_stands_with_each_stage_that_it_decides_about() -> None:
    values = raw(embedder={"kind": "sentence-transformers"}, targets={"evidence": "crossfit"})
    config = Config.model_validate(values)
    params = params_of(config)
    for place in (params["ingest"], params["train"], params["calibrate"]["targets"]):
        assert place["evidence"] == "crossfit"
    assert config_of(params) == config
    for at in (("ingest", "evidence"), ("train", "evidence"), ("calibrate", "targets", "evidence")):
        assert source_key(at, params) == ("targets", "evidence")


def test_every_value_of_params_yaml_has_a_key_in_tracer_yaml_or_is_a_stage_version() -> None:
    params = params_of(Config.model_validate(raw()))
    data = Config.model_validate(raw()).model_dump(by_alias=True)
    for trace_source in data["traces"]:
        del trace_source["pull"]

    def leaves(value: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
        if not isinstance(value, dict):
            return [at]
        return [leaf for key, item in value.items() for leaf in leaves(item, (*at, key))]

    for at in leaves(params):
        source = source_key(at, params)
        if at[0] == "stage_version":
            assert source is None
            continue
        assert source is not None
        value: object = data
        for part in source:
            value = value[part]  # type: ignore[index]
        found: object = params
        for part in at:
            found = found[part]  # type: ignore[index]
        assert value == found or at[-1] == "name" or (at == ("pull",) and found == [])


@pytest.mark.parametrize("broken", [{}, {"project": 1}, {"train": []}, {"train": {"zoo": {"a": 1}}}])
def test_another_shape_is_an_error_that_names_the_way_out(broken: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="another version of tracer: run `tracer compile`"):
        config_of(broken)


def test_a_wrong_value_is_named() -> None:
    params = params_of(Config.model_validate(raw()))
    params["train"]["folds"] = 1
    with pytest.raises(ConfigError, match=r"params\.yaml: split\.folds: .*`tracer compile`"):
        config_of(params)


def test_values_that_do_not_go_together_are_named() -> None:
    params = params_of(Config.model_validate(raw()))
    params["calibrate"]["targets"]["evidence"] = "crossfit"
    with pytest.raises(ConfigError, match=r"params\.yaml: targets\.evidence: crossfit needs .*`tracer compile`"):
        config_of(params)


def test_an_unreadable_params_file_is_an_error_that_names_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> x\n")
    with pytest.raises(ConfigError, match=r"`tracer compile` writes params\.yaml anew"):
        read_params(path)
    path.write_text("")
    with pytest.raises(ConfigError, match="holds no values"):
        read_params(path)


def test_what_is_pulled_from_a_database_is_a_group_that_no_stage_reads() -> None:
    pull = {"source": "postgresql://db.example.com/support", "query": "select 1", "cursor": "at"}
    source = {"path": "data/tickets/*.parquet", "pull": pull}
    config = Config.model_validate({**raw(), "traces": [{"path": "data/a.jsonl"}, source]})
    params = params_of(config)
    assert params["pull"] == [{"traces": 1, **pull, "source_env": None}]
    assert all("pull" not in trace_source for trace_source in params["ingest"]["traces"])
    assert config_of(params) == config
    assert source_key(("pull", 0, "query"), params) == ("traces", 1, "pull", "query")
