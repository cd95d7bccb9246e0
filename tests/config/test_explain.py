"""What `tracer explain` knows: every value with its place, and what a change leads to, held against the graph itself."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_cli.compile.dvc import dvc_data
from tracer_cli.config.document import key_path, parse
from tracer_cli.config.explain import Explainer, expanded
from tracer_cli.config.explain import parse as parse_key
from tracer_cli.config.load import config_from
from tracer_cli.config.resolve import params_of
from tracer_cli.errors import ConfigError

SOURCE = """\
traces:
- path: data/a.jsonl
zoo:
  a.b: {kind: sgd, alpha: 0.5}
  near:
    kind: nearest_neighbours
targets:
  agreement: 0.9
  frontier:
  - 0.8
  - 0.9
"""


def explainer(text: str = SOURCE) -> Explainer:
    document = parse(text, "tracer.yaml")
    return Explainer(document, config_from(document, Path("/project")), dvc_data)


def leaves(value: Any, at: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], Any]:
    if isinstance(value, dict):
        return {path: leaf for key, item in value.items() for path, leaf in leaves(item, (*at, key)).items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {path: leaf for index, item in enumerate(value) for path, leaf in leaves(item, (*at, index)).items()}
    return {at: value}


def test_every_value_is_there_with_its_meaning_and_its_place() -> None:
    about = explainer()
    entries = {entry.path: entry for entry in about.entries()}
    assert {path: entry.value for path, entry in entries.items()} == leaves(
        about.config.model_dump(mode="json", by_alias=True)
    )
    assert all(entry.key.meaning and entry.key.expected for entry in entries.values())
    written = {entry.name: (entry.place.line, entry.place.column) for entry in entries.values() if entry.place}
    assert written == {
        "traces[0].path": (2, 9),
        "zoo['a.b'].kind": (4, 15),
        "zoo['a.b'].alpha": (4, 27),
        "zoo.near.kind": (6, 11),
        "targets.agreement": (8, 14),
        "targets.frontier": (10, 3),
    }


def test_a_default_is_the_one_of_the_schema() -> None:
    for entry in explainer().entries():
        if entry.place is None and entry.path[:2] != ("zoo", "near"):
            assert entry.value == entry.key.node["default"], entry.name
            assert not entry.key.required


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.integers(0, 999), min_size=1))
def test_a_path_is_read_as_it_is_written(path: list[str | int]) -> None:
    assert parse_key(key_path(tuple(path))) == tuple(path)


@given(st.text(max_size=20))
def test_any_text_is_a_path_or_none(text: str) -> None:
    parse_key(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("targets", ["targets"]),
        ("targets.frontier[1]", ["targets.frontier[1]"]),
        ("zoo['a.b'].alpha", ["zoo['a.b'].alpha"]),
        ("train.zoo.a-b.alpha", ["zoo['a.b'].alpha"]),
        ("calibrate.targets.agreement", ["targets.agreement"]),
        ("guard", ["targets.min_coverage"]),
        ("guard.min_coverage", ["targets.min_coverage"]),
        ("report.cost", ["cost.per_call", "cost.calls_per_day", "cost.currency"]),
        ("ingest.evidence", ["targets.evidence"]),
        ("embedder.model", ["embedder.model"]),
        ("zoo.near.alpha", ["zoo.near.alpha"]),
    ],
)
def test_a_key_is_found_by_its_path_in_either_file(text: str, found: list[str]) -> None:
    assert [key_path(path) for path in explainer().find(text)] == found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("targets.agrement", r"no key 'targets\.agrement' .*; did you mean 'targets\.agreement'\?$"),
        ("agreement", "did you mean 'targets.agreement'"),
        ("kind", r"did you mean 'traces\[0\]\.parse\.kind' or 'embedder\.kind' or "),
        ("traces[1].path", r"did you mean 'traces\[0\]\.path'"),
        ("zoo.naer.k", r"no model 'naer'; its zoo has 'a\.b', 'near'; did you mean 'near'\?"),
        ("zoo.a.b.alpha", r"no model 'a'; its zoo has 'a\.b', 'near'"),
        ("stage_version.embed", "the version of tracer's own code"),
        ("qqqq", r"no key 'qqqq' \(`tracer explain` lists all\)$"),
        ("", "no key ''"),
        ("x[", r"no key 'x\['"),
        ("targets.agreement.x", "no key 'targets.agreement.x'"),
        ("targets.frontier[7]", r"did you mean 'targets\.frontier'"),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        explainer().find(text)


def test_every_name_that_is_offered_is_found() -> None:
    about = explainer()
    for name in about.names():
        assert [key_path(path) for path in about.find(name)] == [name]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("embedder.model", "goes with embedder.kind: endpoint or sentence-transformers, which is tfidf here"),
        ("zoo.near.alpha", "goes with zoo.near.kind: mlp or sgd, which is nearest_neighbours here"),
        (
            "embedder.text_features.dim",
            "goes with embedder.kind: callable or endpoint or sentence-transformers, which is tfidf here",
        ),
        ("targets.agreement", None),
    ],
)
def test_a_key_of_another_kind_says_that_it_is_not_in_use(name: str, why: str | None) -> None:
    about = explainer()
    told = about.unused(about.entry(about.find(name)[0]))
    assert told == why


def test_a_key_in_a_section_that_is_null_is_not_in_use() -> None:
    about = explainer("traces: [{path: data/a.jsonl}]\nembedder: {kind: sentence-transformers}\n")
    path = about.find("embedder.text_features.dim")[0]
    assert about.unused(about.entry(path)) == "embedder.text_features is null here"


# A key, and another value that it may have; the rest of the file stays.
EDITS: list[tuple[str, Any]] = [
    ("project", "other"),
    ("seed", 1),
    ("traces[0].path", "more/b.csv"),
    ("traces[0].text", "question"),
    ("traces[0].max_rejected", 0.5),
    ("split.holdout", 0.3),
    ("split.folds", 4),
    ("embedder.dim", 16),
    ("embedder.kind", "precomputed"),
    ("zoo.near.k", 7),
    ("zoo.near.sharpness", 2.0),
    ("zoo['a.b'].alpha", 0.25),
    ("blend", 1),
    ("acceptor.kind", "lightgbm"),
    ("targets.agreement", 0.7),
    ("targets.frontier", [0.5]),
    ("targets.min_coverage", 0.5),
    ("targets.scope", "overall"),
    ("rules.max_labels_lost", 3),
    ("cost.per_call", 1.0),
    ("outputs.policy", "policy"),
    ("outputs.report", "report/report.html"),
]


@pytest.mark.parametrize(("name", "value"), EDITS, ids=lambda item: item if isinstance(item, str) else "")
def test_the_stages_that_a_change_runs_are_those_whose_entry_or_params_differ(name: str, value: Any) -> None:
    """Held against what DVC compares: the stage as dvc.yaml has it, and the values that it names in params.yaml."""
    about = explainer()
    (path,) = about.find(name)
    changed = about.config.model_dump(mode="json", by_alias=True)
    if name == "embedder.kind":
        changed["embedder"] = {"kind": value, "path": "vectors.npy"}
    else:
        section: Any = changed
        for part in path[:-1]:
            section = section[part]
        section[path[-1]] = value
    config = type(about.config).model_validate(changed)
    old, new = expanded(dvc_data(about.config)), expanded(dvc_data(config))
    differ = {stage for stage in old if new.get(stage) != old[stage]}
    for stage, entry in old.items():
        for key in entry.get("params", []):
            if _value(params_of(about.config), key) != _value(params_of(config), key):
                differ.add(stage)
    effects = about.effects(path)
    assert set(effects.reruns) == {"resolve", *differ}
    assert effects.recompile == (old != new)
    assert not set(effects.then) & set(effects.reruns)
    for place in effects.params:
        assert _value(params_of(about.config), place) != _value(params_of(config), place)


def _value(params: Any, key: str) -> Any:
    for part in parse_key(key):
        params = params[part] if not isinstance(params, dict) else params.get(part)
    return params


def test_what_depends_on_the_results_is_named_too() -> None:
    about = explainer()
    assert about.effects(("zoo", "near", "k")).then == ["report"]
    assert about.effects(("split", "by")).then == ["embed", "train@a-b", "train@near", "calibrate", "report"]
    assert about.effects(("rules",)).then == []


def test_a_renamed_model_is_another_graph() -> None:
    about = explainer()
    assert about.effects(("zoo",)).recompile
    assert about.effects(("zoo", "near")).recompile
    assert not about.effects(("zoo", "near", "k")).recompile
    assert about.effects(("zoo", "near")).params == ["train.zoo.near"]
