"""What is read of a refit: as it was written, or an error that names the file; and whether it is still true."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from programs.test_git import commit, run
from review.refits import LABELS, Refit, facts_of
from tracer_cli.errors import DataError
from tracer_cli.review import facts
from tracer_cli.review.facts import LabelFacts


def test_everything_is_read_back(tmp_path: Path) -> None:
    found = facts_of(tmp_path, settings={"seed": 3})
    assert found.where == "the working tree" and found.commit == ""
    assert found.params["seed"] == 3 and found.traces["holdout_rows"] == 900
    assert found.refit is found.deployed
    row = found.refit
    assert (row.target, row.deployed, row.certified, row.handled, row.agreed) == (0.95, True, True, 600, 580)
    assert row.coverage_interval[0] < row.coverage < row.coverage_interval[1]
    assert found.targets[2].certified is False and found.targets[2].agreement is None
    assert found.labels["refund"] == LabelFacts("refund", *LABELS["refund"])
    assert found.lines[("seed",)] == 4
    assert found.stale == () and found.edited == ()


def test_a_revision_is_read_from_git_and_not_from_the_working_tree(tmp_path: Path) -> None:
    project = tmp_path / "a" / "project"
    Refit(fit_rows=1000).write(project)
    run(tmp_path, "init", "-q", "-b", "main")
    first = commit(tmp_path)
    Refit(fit_rows=2000).write(project)
    commit(tmp_path)
    Refit(fit_rows=3000).write(project)
    then, last, now = (
        facts.of_revision(project, first),
        facts.of_revision(project, "HEAD"),
        facts.of_working_tree(project),
    )
    assert [found.traces["fit_rows"] for found in (then, last, now)] == [1000, 2000, 3000]
    assert (then.where, then.commit) == (first[:12], first)
    assert last.where.startswith("HEAD (") and last.stale == last.edited == ()
    assert facts.missing_at(project, "HEAD") == ()
    assert facts.missing_at(tmp_path, "HEAD") == facts.RESULTS


@pytest.mark.parametrize("name", ["params.yaml", *facts.RESULTS])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    Refit().write(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=f"^the working tree has no {name}: run `dvc repro`$"):
        facts.of_working_tree(tmp_path)
    run(tmp_path, "init", "-q")
    commit(tmp_path)
    with pytest.raises(
        DataError, match=rf"^HEAD \(\w+\) has no {name}: it holds no refit that was committed with this"
    ):
        facts.of_revision(tmp_path, "HEAD")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("metrics/guard.json", "}", "", "Expecting"),
        ("metrics/guard.json", "{", "[{", "Expecting"),
        ("metrics/guard.json", '"deployed": 1', '"deployed": NaN', "deployed is nan, no finite number"),
        ("metrics/traces.json", '"fit_rows": 1000', '"fit_rows": "many"', "fit_rows is 'many', no finite number"),
        ("params.yaml", "seed: 0", "seed: !!python/object:os.system 0", "the tag"),
        ("params.yaml", "seed: 0", "seed: .nan", "Out of range float values"),
        ("params.yaml", "project: support", "- 1", "expected"),
        ("params.yaml", "agreement: 0.95", "agreement: high", "no finite number"),
        ("params.yaml", "\ncalibrate:", "\ncalibrated:", "agreement"),
        ("plots/targets.csv", "target,", "aim,", "'target'"),
        ("plots/targets.csv", "0.666667", "nan", "coverage is nan, no share"),
        ("plots/targets.csv", "0.666667", "7", "coverage is 7, no share"),
        ("plots/targets.csv", ",600,580,", ",600,601,", "the counts at target 0.95 contradict each other"),
        ("plots/labels.csv", "login,", "refund,", "the label 'refund' stands there twice"),
        ("plots/labels.csv", "login,250", 'login,"250', "unexpected end of data"),
        ("plots/labels.csv", ",120,120,112", ",120,120,121", "the counts of the label 'login' contradict"),
        ("plots/labels.csv", "login,250", "login,-1", "the counts of the label 'login' contradict"),
        ("plots/labels.csv", "login,250", "login,x", "invalid literal"),
    ],
)
def test_a_file_that_is_not_as_written_is_a_sentence(
    tmp_path: Path, name: str, old: str, new: str, message: str
) -> None:
    path = Refit().write(tmp_path) / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        facts.of_working_tree(tmp_path)
    assert str(caught.value).startswith(f"{name} of the working tree is not as tracer writes it (")
    assert message in str(caught.value)


def test_metrics_and_table_of_two_refits_are_an_error(tmp_path: Path) -> None:
    path = Refit().write(tmp_path) / "metrics" / "guard.json"
    path.write_text(path.read_text().replace("0.95", "0.85"))
    with pytest.raises(DataError, match=r"metrics/guard.json is of the target 0.85, and plots/targets.csv has no such"):
        facts.of_working_tree(tmp_path)


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("change", "stale", "edited"),
    [
        (edit("tracer.yaml", "agreement: 0.95", "agreement: 0.9"), ("targets.agreement",), ()),
        (edit("tracer.yaml", "agreement: 0.95", "agreement: 0.95 # so be it"), (), ()),
        (edit("tracer.yaml", "agreement: 0.95", "agreement: [0.9]"), ("tracer.yaml, which is not valid",), ()),
        (edit("params.yaml", "agreement: 0.95", "agreement: 0.9"), ("targets.agreement",), ()),
        (edit("params.yaml", "alpha: 1.0e-05", "alpha: 1.0e-04"), ("zoo.Big.alpha",), ()),
        (edit("params.yaml", "path: data/a.jsonl", "path: data/b.jsonl"), ("traces[0].path",), ()),
        (edit("metrics/guard.json", '"deployed": 1', '"deployed": 0'), (), ("metrics/guard.json",)),
        (edit("plots/labels.csv", "login,250", "login,251"), (), ("plots/labels.csv",)),
        (edit("plots/labels.csv", "\n", "\r\n"), (), ()),
        (lambda root: (root / "dvc.lock").unlink(), (), ()),
        (lambda root: (root / "dvc.lock").write_text("stages: {guard: {outs: 5, params: 7}, x: 1, resolve: }"), (), ()),
        (lambda root: (root / "dvc.lock").write_bytes(b"\xff\x00"), (), ()),
    ],
)
def test_figures_of_other_parameters_and_edited_files_are_noticed(
    tmp_path: Path, change: Callable[[Path], None], stale: tuple[str, ...], edited: tuple[str, ...]
) -> None:
    """Against dvc.lock, which names the values and the digests of the last repro; without it, less is known."""
    Refit(settings={"targets": {"agreement": 0.95}, "zoo": {"Big": {"kind": "sgd"}}}).write(tmp_path)
    change(tmp_path)
    found = facts.of_working_tree(tmp_path)
    assert (found.stale, found.edited) == (stale, edited)


def test_the_target_asked_for_may_be_newer_than_the_figures(tmp_path: Path) -> None:
    Refit().write(tmp_path)
    edit("params.yaml", "agreement: 0.95", "agreement: 0.93")(tmp_path)
    found = facts.of_working_tree(tmp_path)
    assert found.refit.target == 0.95
    with pytest.raises(DataError, match=r"params.yaml is of the target 0.93.*run `dvc repro`"):
        _ = found.deployed


LABEL = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r"), min_size=1)


@settings(max_examples=5)
@example(["a,b\"c\nd\x1b[31m\u2028'; --"])
@given(st.lists(LABEL, unique=True, min_size=20, max_size=60))
def test_any_label_survives_the_table(labels: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Refit(labels=dict.fromkeys(labels, (1, 2, 2, 3, 1))).write(Path(folder))
        found = facts.of_working_tree(root).labels
    assert found == {label: LabelFacts(label, 1, 2, 2, 3, 1) for label in labels}
