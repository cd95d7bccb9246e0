"""`compile.write`: what is rewritten, what stays, and what is refused."""

from pathlib import Path

import pytest
import yaml

from tracer_cli.compile import write
from tracer_cli.compile.existing import embedder_path
from tracer_cli.config.load import load_config
from tracer_cli.errors import ConfigError

SOURCE = "traces: [{path: data/a.jsonl}]\ntargets: {agreement: 0.95}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tracer.yaml").write_text(SOURCE)
    write(tmp_path)
    return tmp_path


def set_target(project: Path, value: float) -> None:
    (project / "tracer.yaml").write_text(SOURCE.replace("0.95", str(value)))


def state(project: Path) -> list[tuple[bytes, int]]:
    return [
        ((project / name).read_bytes(), (project / name).stat().st_mtime_ns) for name in ("dvc.yaml", "params.yaml")
    ]


def test_a_second_run_touches_nothing(project: Path) -> None:
    before = state(project)
    outcome = write(project)
    assert outcome.stale == ()
    assert state(project) == before


def test_check_writes_nothing_and_shows_the_change(project: Path) -> None:
    before = state(project)
    set_target(project, 0.9)
    outcome = write(project, check=True)
    assert outcome.stale == ("params.yaml",)
    assert "-    agreement: 0.95\n+    agreement: 0.9\n" in outcome.diff
    assert outcome.notes == (), "an old file is not a hand edit"
    assert state(project) == before
    assert write(project).stale == ("params.yaml",)
    assert write(project, check=True).stale == ()


def test_both_files_are_missing_at_first(tmp_path: Path) -> None:
    (tmp_path / "tracer.yaml").write_text(SOURCE)
    assert write(tmp_path, check=True).stale == ("dvc.yaml", "params.yaml", "metrics/previous.json")
    assert not (tmp_path / "dvc.yaml").exists()


def test_the_facts_of_the_policy_before_are_an_input_that_is_there_from_the_start(project: Path) -> None:
    """Written where it is missing, as in a project of an earlier version, and never again."""
    facts = project / "metrics" / "previous.json"
    assert facts.read_text() == "{}\n"
    facts.unlink()
    assert write(project, check=True).stale == ("metrics/previous.json",)
    assert not facts.exists()
    assert write(project).stale == ("metrics/previous.json",)
    facts.write_text('{"schema": 1}\n')
    assert write(project).stale == ()
    assert facts.read_text() == '{"schema": 1}\n'


def test_windows_line_ends_are_not_stale(project: Path) -> None:
    for name in ("dvc.yaml", "params.yaml"):
        (project / name).write_bytes((project / name).read_bytes().replace(b"\n", b"\r\n"))
    assert write(project, check=True).stale == ()


def test_frozen_and_comments_are_not_stale_and_frozen_survives_a_rewrite(project: Path) -> None:
    path = project / "dvc.yaml"
    path.write_text(path.read_text().replace("  embed:\n", "  embed:\n    frozen: true\n") + "# mine\n")
    assert write(project, check=True).stale == ()
    (project / "tracer.yaml").write_text(SOURCE + "zoo: {a: {kind: sgd}}\n")
    outcome = write(project)
    assert "dvc.yaml" in outcome.stale
    assert outcome.notes == ("dvc.yaml: comments in it were not kept",)
    stages = yaml.safe_load(path.read_text())["stages"]
    assert stages["embed"]["frozen"] is True
    assert stages["train"]["matrix"] == {"model": ["a"]}


def test_added_stages_and_sections_are_not_stale_and_survive(project: Path) -> None:
    path = project / "dvc.yaml"
    text = path.read_text().replace("\nplots:\n", "\n  extra:\n    cmd: echo hi\nplots:\n- mine.csv\n")
    text = text.replace("    type: model\n", "    type: model\n    labels: [production]\n")
    text += "  graph:\n    path: .tracer/policy.onnx\nmetrics:\n- mine.json\n"
    path.write_text(text)
    before = yaml.safe_load(text)
    assert write(project, check=True).stale == ()
    (project / "tracer.yaml").write_text(SOURCE + "zoo: {a: {kind: sgd}}\noutputs: {policy: p, report: r.html}\n")
    assert "dvc.yaml" in write(project).stale
    data = yaml.safe_load(path.read_text())
    assert data["stages"]["extra"] == {"cmd": "echo hi"}
    assert data["plots"] == before["plots"] and data["plots"][0] == "mine.csv"
    assert data["artifacts"] == {
        "policy": before["artifacts"]["policy"] | {"path": "p"},
        "graph": {"path": ".tracer/policy.onnx"},
    }
    assert data["artifacts"]["policy"]["labels"] == ["production"]
    assert data["metrics"] == ["mine.json"]


def test_our_picture_and_artifact_come_back_and_nothing_is_doubled(project: Path) -> None:
    path = project / "dvc.yaml"
    original = path.read_text()
    ours = yaml.safe_load(original)
    lost = {"stages": ours["stages"], "plots": ["a.csv", {"b.csv": None}, {"b.csv": {"x": "x"}}], "artifacts": {}}
    path.write_text(original.splitlines()[0] + "\n" + yaml.safe_dump(lost))
    assert write(project, check=True).stale == ("dvc.yaml",)
    write(project)
    data = yaml.safe_load(path.read_text())
    assert data["plots"] == [*lost["plots"], *ours["plots"]]
    assert data["artifacts"] == ours["artifacts"]
    (picture,) = ours["plots"]
    edited = {**ours, "plots": [{"frontier": picture["frontier"] | {"template": "linear"}}, "a.csv"]}
    path.write_text(original.splitlines()[0] + "\n" + yaml.safe_dump(edited))
    write(project)
    assert yaml.safe_load(path.read_text())["plots"] == [picture, "a.csv"]


def test_an_edited_stage_is_stale_and_comes_back(project: Path) -> None:
    path = project / "dvc.yaml"
    original = path.read_text()
    path.write_text(original.replace("- artifacts/traces/holdout_labels.parquet\n", "", 1))
    assert write(project, check=True).stale == ("dvc.yaml",)
    write(project)
    assert path.read_text() == original


@pytest.mark.parametrize("name", ["dvc.yaml", "params.yaml"])
def test_a_file_that_tracer_did_not_write_is_refused_and_left(name: str, tmp_path: Path) -> None:
    (tmp_path / "tracer.yaml").write_text(SOURCE)
    (tmp_path / name).write_text("stages: {}\n")
    with pytest.raises(ConfigError, match=rf"{name}: it was not written by tracer"):
        write(tmp_path)
    assert (tmp_path / name).read_text() == "stages: {}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["tracer.yaml", name])


def test_a_merge_conflict_in_dvc_yaml_is_located_and_in_params_yaml_is_resolved(project: Path) -> None:
    params = project / "params.yaml"
    text = params.read_text()
    params.write_text(text + "<<<<<<< HEAD\nx: 1\n=======\n>>>>>>> other\n")
    assert write(project).stale == ("params.yaml",)
    assert params.read_text() == text
    dvc = project / "dvc.yaml"
    dvc.write_text(dvc.read_text() + "<<<<<<< HEAD\nx: 1\n=======\n")
    with pytest.raises(ConfigError, match=r"dvc\.yaml:\d+:\d+: not valid YAML"):
        write(project)


def test_a_hand_edit_is_replaced_with_a_warning_that_names_it(project: Path) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("agreement: 0.95", "agreement: 0.5"))
    (note,) = write(project).notes
    assert "calibrate.targets.agreement is 0.5 here and 0.95 by tracer.yaml" in note
    assert "agreement: 0.95" in params.read_text()


def test_a_local_model_is_watched_when_it_is_there_tracked_or_spelled_as_a_path(tmp_path: Path) -> None:
    def watched(model: str) -> str | None:
        path = tmp_path / "tracer.yaml"
        path.write_text(
            f"traces: [{{path: data/a.jsonl}}]\nembedder: {{kind: sentence-transformers, model: {model}}}\n"
        )
        return embedder_path(tmp_path, load_config(path))

    assert watched("models/m") is None, "a model name of the hub"
    assert watched("./models/m") == "models/m"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.dvc").touch()
    assert watched("models/m") == "models/m"
    (tmp_path / "models" / "n").mkdir()
    assert watched("models/n") == "models/n"
    assert watched("../outside") is None
    assert watched("./data") is None, "it holds the traces"
