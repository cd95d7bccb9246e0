"""resolve: an old params.yaml is rewritten, one that a person wrote into is refused."""

from pathlib import Path

import pytest

from tracer_cli.artifacts import exclusive
from tracer_cli.compile import write
from tracer_cli.errors import ConfigError, StorageError
from tracer_cli.stages import layout_of, run_stage
from tracer_cli.stages.resolve import run

SOURCE = """\
project: demo
traces:
- path: data/a.jsonl
targets:
  agreement: 0.95
zoo:
  a.b: {kind: sgd, alpha: 0.5}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tracer.yaml").write_text(SOURCE)
    write(Path())
    return Path()


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_nothing_is_written_when_nothing_changed(project: Path) -> None:
    before = Path("params.yaml").stat().st_mtime_ns
    run(project)
    assert Path("params.yaml").stat().st_mtime_ns == before


def test_an_edit_of_tracer_yaml_arrives_in_params_yaml(project: Path) -> None:
    replace(Path("tracer.yaml"), "0.95", "0.9")
    run(project)
    assert "agreement: 0.9\n" in Path("params.yaml").read_text()
    assert write(project, check=True).stale == ()


def test_two_edits_in_a_row_without_compile(project: Path) -> None:
    for old, new in (("0.95", "0.9"), ("0.9", "0.8"), ("demo", "other")):
        replace(Path("tracer.yaml"), old, new)
        run(project)
    assert "project: other" in Path("params.yaml").read_text()


def test_a_hand_edit_is_refused_with_the_place_to_write_it(project: Path) -> None:
    replace(Path("params.yaml"), "agreement: 0.95", "agreement: 0.5")
    before = Path("params.yaml").read_text()
    with pytest.raises(ConfigError) as caught:
        run(project)
    assert str(caught.value) == (
        "params.yaml: edited by hand, but its values come from tracer.yaml and would be lost. "
        "Write them there, then run `tracer compile`:\n"
        "  calibrate.targets.agreement is 0.5 here and 0.95 by tracer.yaml: write targets.agreement at tracer.yaml:5\n"
        "For an experiment: dvc exp run -S tracer.yaml:targets.agreement=0.5"
    )
    assert Path("params.yaml").read_text() == before


def test_a_hand_edit_of_a_default_names_the_nearest_section(project: Path) -> None:
    replace(Path("params.yaml"), "confidence: 0.95", "confidence: 0.9")
    replace(Path("params.yaml"), "max_iter: 50", "max_iter: 51")
    replace(Path("params.yaml"), "folds: 5", "folds: 4")
    with pytest.raises(ConfigError) as caught:
        run(project)
    message = str(caught.value)
    assert "write targets.confidence, which is not there yet, near tracer.yaml:4" in message
    assert "write zoo['a.b'].max_iter, which is not there yet, near tracer.yaml:7" in message
    assert "write split.folds, which is not there yet, near tracer.yaml:1" in message


def test_a_hand_edit_is_seen_even_when_tracer_yaml_changed_too(project: Path) -> None:
    replace(Path("params.yaml"), "agreement: 0.95", "agreement: 0.5")
    replace(Path("tracer.yaml"), "demo", "other")
    with pytest.raises(ConfigError, match=r"agreement is 0\.5 here"):
        run(project)


def test_an_added_key_is_to_be_taken_out(project: Path) -> None:
    Path("params.yaml").write_text(Path("params.yaml").read_text() + "targets:\n  agreement: 0.9\n")
    with pytest.raises(ConfigError, match=r"targets is \{'agreement': 0.9\} here: no key of tracer.yaml sets it"):
        run(project)


def test_the_same_value_written_in_both_places_is_no_error(project: Path) -> None:
    replace(Path("params.yaml"), "agreement: 0.95", "agreement: 0.5")
    replace(Path("tracer.yaml"), "0.95", "0.5")
    run(project)
    replace(Path("tracer.yaml"), "0.5}", "0.25}")
    run(project)  # the digest was renewed


def test_a_removed_digest_does_not_help(project: Path) -> None:
    lines = Path("params.yaml").read_text().replace("agreement: 0.95", "agreement: 0.5").splitlines(keepends=True)
    Path("params.yaml").write_text("".join(line for line in lines if "sha256" not in line))
    with pytest.raises(ConfigError, match="edited by hand"):
        run(project)


def test_a_missing_or_conflicted_params_file_is_written(project: Path) -> None:
    good = Path("params.yaml").read_text()
    Path("params.yaml").unlink()
    run(project)
    assert Path("params.yaml").read_text() == good
    Path("params.yaml").write_text(good.replace("seed: 0", "<<<<<<< a\nseed: 0\n=======\nseed: 1\n>>>>>>> b"))
    run(project)
    assert Path("params.yaml").read_text() == good


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("zoo:\n", "zoo:\n  c: {kind: sgd}\n", "stages.train.matrix.model"),
        ("data/a.jsonl", "data/b.jsonl", "stages.ingest.deps"),
        ("project: demo\n", "outputs: {policy: other}\n", "stages.guard.outs"),
    ],
)
def test_a_graph_that_no_longer_matches_is_refused(project: Path, old: str, new: str, named: str) -> None:
    replace(Path("tracer.yaml"), old, new)
    with pytest.raises(
        ConfigError, match=r"dvc\.yaml: it is not what tracer\.yaml compiles to .*run `tracer compile`"
    ) as e:
        run(project)
    assert named in str(e.value)
    write(project)
    run(project)


def test_a_frozen_stage_is_no_other_graph(project: Path) -> None:
    replace(Path("dvc.yaml"), "  embed:\n", "  embed:\n    frozen: true\n")
    run(project)


def test_a_second_run_at_once_is_an_error(project: Path) -> None:
    with exclusive(Path("params.yaml")), pytest.raises(StorageError, match="another tracer run is writing"):
        run_stage(project, "resolve")
    run_stage(project, "resolve")


@pytest.mark.parametrize(
    ("stage", "model", "message"),
    [
        ("trian", None, "no stage is called 'trian'; expected one of resolve"),
        ("train", None, "the stage train needs --model"),
        ("embed", "a-b", "--model goes with the stage train alone"),
        ("train", "a.b", "the zoo has no model 'a.b'; expected one of a-b"),
    ],
)
def test_a_wrong_stage_or_model_is_named(project: Path, stage: str, model: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_stage(project, stage, model)


def test_a_stage_without_params_says_so(project: Path) -> None:
    Path("params.yaml").unlink()
    with pytest.raises(ConfigError, match=r"params\.yaml: no such file"):
        run_stage(project, "guard")


def test_the_layout_is_the_compiled_one(project: Path) -> None:
    from tracer_cli.config.load import load_config

    Path("tracer.yaml").write_text(SOURCE + "outputs: {policy: ./build//policy}\n")
    layout = layout_of(load_config(Path("tracer.yaml")), Path("root"))
    assert layout.manifest == Path("root/build/policy/manifest.json")
    assert layout.report == Path("root/.tracer/report.html")
