"""`tracer diff` as a person calls it; TRACER_WRITE_GOLDEN=1 writes the golden pages anew."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import pytest
from rich.console import Console

import tracer_cli.cli
from programs.test_git import commit, run
from review.refits import LABELS, Refit
from support import DvcProject, example_traces, write_jsonl
from tracer_cli.cli._diff import compare, print_page
from tracer_cli.review.diff.page import page
from tracer_cli.review.sentences import visible

GOLDEN = Path(__file__).parent / "golden"
tracer = tracer_cli.cli.run

ZOO = {"kernel": {"kind": "kernel_ridge"}, "logreg": {"kind": "logistic_regression"}}
HOSTILE = "a|b`c @octocat <b>\n\x1b[31m"
BEFORE = Refit(settings={"zoo": ZOO, "targets": {"agreement": 0.95}}, labels=LABELS | {"old": (9, 9, 5, 5, 5)})
# A pull request that brings a week of traces and a model, and asks for less.
AFTER = Refit(
    settings={
        "zoo": {"kernel": {"kind": "kernel_ridge", "gamma": 2.0}, "mlp": {"kind": "mlp", "hidden": [64]}},
        "targets": {"agreement": 0.9, "frontier": [0.95]},
        "rules": {"max_labels_lost": 3},
    },
    targets={0.9: (880, 816), 0.95: (630, 610)},
    rows=950,
    fit_rows=1200,
    rejected=80,
    holdout=("more", "more"),
    labels=LABELS | {"login": (300, 210, 120, 120, 90), "other": (60, 100, 20, 20, 19), HOSTILE: (9, 9, 9, 9, 9)},
    surrogate="60 % kernel + 40 % mlp",
    threshold=0.81,
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in a folder of a git repository: tag `empty` without a refit, then `v1`, then `v2`."""
    root = tmp_path_factory.mktemp("diff")
    run(root, "init", "-q", "-b", "main")
    commit(root, README="x")
    run(root, "tag", "empty")
    for tag, refit in (("v1", BEFORE), ("v2", AFTER)):
        refit.write(root / "bots" / "support")
        commit(root)
        run(root, "tag", tag)
    return root


@pytest.fixture
def project(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's folder as it was committed last."""
    run(repository, "checkout", "-q", "--force", "main")
    monkeypatch.chdir(repository / "bots" / "support")
    return repository / "bots" / "support"


def stable(text: str) -> str:
    """Without what differs from one repository to the next, and the white space that a table ends its lines with."""
    text = re.sub(r'"commit": "\w{40}"', '"commit": "<commit>"', text)
    return "\n".join(line.rstrip() for line in re.sub(r"\((\w{7})\)", "(abc1234)", text).splitlines()) + "\n"


@pytest.mark.parametrize(("options", "name"), [((), "diff.txt"), (("--md",), "diff.md"), (("--json",), "diff.json")])
def test_the_page_is_exactly_this(
    project: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], name: str
) -> None:
    assert tracer(["diff", "v1", "v2", *options]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    if os.environ.get("TRACER_WRITE_GOLDEN"):
        (GOLDEN / name).write_text(stable(shown.out), encoding="utf-8")
    assert stable(shown.out) == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_the_terminal(project: Path, width: int) -> None:
    out = Console(width=width, highlight=False, record=True, file=io.StringIO(), force_terminal=True)
    print_page(page(compare(project, "v1", "v2")), out)
    lines = out.export_text().splitlines()
    assert max(map(len, lines)) <= width
    if width >= 80:
        assert any(re.search(r"rules\.max_labels_lost +0 +3 +tracer\.yaml:\d+", line) for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_the_working_tree_against_head_by_default(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tracer(["diff"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "Nothing changed: certified at 0.9, coverage 92.6 %"
    BEFORE.write(project)
    assert tracer(["diff", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["headline"].startswith("Certified at 0.95: coverage 92.6 % -> 66.7 %")
    assert found["before"]["where"].startswith("HEAD (") and found["after"]["where"] == "the working tree"
    assert found["after"]["commit"] is None
    assert "target raised from 0.9 to 0.95" in found["headline"]


def test_from_another_folder_and_with_a_detached_head(
    project: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(repository, "checkout", "-q", "--detach", "v1")
    monkeypatch.chdir(repository)
    assert tracer(["diff", "main", "--dir", "bots/support", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["before"]["target"], found["after"]["target"]) == (0.9, 0.95)
    assert tracer(["diff"]) == 2
    assert "the working tree has no params.yaml: run `dvc repro`" in capsys.readouterr().err


def test_before_the_first_refit(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tracer(["diff", "empty"]) == 0
    shown = capsys.readouterr()
    assert shown.err == "note: empty holds no refit yet: nothing to compare with\n"
    assert "First refit: certified at 0.9, coverage 92.6 %" in shown.out
    assert tracer(["diff", "empty", "--md"]) == 0 and tracer(["diff", "empty", "--json"]) == 0
    assert tracer(["diff", "v1", "empty"]) == 2
    assert re.search(r"error: empty \(\w+\) has no params.yaml: it holds no refit", capsys.readouterr().err)


def test_repro_not_run_yet(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (project / "tracer.yaml").read_text()
    (project / "tracer.yaml").write_text(text.replace("agreement: 0.9", "agreement: 0.85"))
    assert tracer(["diff"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "the figures are of an earlier refit; `targets.agreement` changed since: run `dvc repro`" in shown
    assert tracer(["compile"]) == 0 and tracer(["diff"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "the figures are of an earlier refit; `targets.agreement` changed since: run `dvc repro`" in shown
    assert re.search(r"targets\.agreement 0\.9 0\.85 tracer\.yaml:\d+", shown)
    assert "Certified at 0.9: coverage 92.6 % -> 92.6 % (unchanged)" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nope",), "git has no revision 'nope'"),
        (("v1..v2",), "it is a range; name two revisions with a space between them"),
        (("v1", "nope"), "git has no revision 'nope'"),
        (("v1", "--md", "--json"), "--md and --json exclude each other"),
        (("v1", "v2", "v3"), "unexpected extra argument"),
        (("--dir", "nope"), "the working tree has no params.yaml"),
    ],
)
def test_bad_input_is_exit_2_and_a_sentence(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert tracer(["diff", *arguments]) == 2
    shown = capsys.readouterr()
    assert message in shown.err and shown.out == ""


def test_a_project_without_git(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    BEFORE.write(tmp_path)
    assert tracer(["diff", "--dir", str(tmp_path)]) == 2
    assert "is not in a git repository: there is no revision to compare with" in capsys.readouterr().err
    run(tmp_path, "init", "-q")
    assert tracer(["diff", "--dir", str(tmp_path)]) == 2
    assert "git has no revision 'HEAD': the repository has no commit yet" in capsys.readouterr().err


def test_a_shallow_clone(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, "clone", "-q", "--depth", "1", repository.as_uri(), "clone")
    assert tracer(["diff", "--dir", str(tmp_path / "clone" / "bots" / "support")]) == 0
    assert tracer(["diff", "HEAD~1", "--dir", str(tmp_path / "clone" / "bots" / "support")]) == 2
    assert "this clone is shallow: fetch the whole history" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--md", "--json", None])
def test_no_label_reaches_the_terminal_as_a_command(
    project: Path, capsys: pytest.CaptureFixture[str], option: str | None
) -> None:
    assert tracer(["diff", "v1", *([option] if option else [])]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    if option == "--json":
        assert HOSTILE in json.loads(shown)["traces"]["labels_new"]
    elif option is None:
        assert visible(HOSTILE) in shown
    else:
        assert "@octocat" not in shown and "octocat" in shown


@pytest.mark.dvc
@pytest.mark.slow
def test_with_what_the_real_dvc_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """dvc.lock as DVC writes it: nothing is stale after a repro, and what was edited since is named."""
    (tmp_path / "project").mkdir()
    project = DvcProject(tmp_path / "project", tmp_path / "home")
    write_jsonl(project.root / "data" / "a.jsonl", example_traces(500))
    text = (
        "traces: [{path: data/a.jsonl}]\nembedder: {kind: tfidf, dim: 32}\nzoo: {sgd: {kind: sgd}}\n"
        "targets: {agreement: 0.7, frontier: [0.6]}\n"
    )
    (project.root / "tracer.yaml").write_text(text)

    def diff(*options: str) -> str:
        assert tracer(["diff", "--dir", str(project.root), *options]) == 0
        return capsys.readouterr().out

    project.tracer("init")
    project.tracer("compile")
    project.commit()
    project.dvc("repro", "-q")
    assert "\nFirst refit: " in diff()
    project.commit()
    assert "\nNothing changed: " in diff()

    (project.root / "tracer.yaml").write_text(text.replace("0.7", "0.65"))
    found = json.loads(diff("--json"))
    assert [warning["kind"] for warning in found["warnings"]] == ["stale"]
    assert found["after"]["stale"] == ["targets.agreement"]
    project.dvc("repro", "-q")
    found = json.loads(diff("--json"))
    assert [warning["kind"] for warning in found["warnings"]] == ["loosened"]
    assert found["traces"]["holdout"] == "same" and found["after"]["edited"] == []
    assert [entry["key"] for entry in found["parameters"]] == ["targets.agreement"]
    assert found["parameters"][0]["place"] == "tracer.yaml:4"

    metrics = project.root / "metrics" / "guard.json"
    metrics.write_text(metrics.read_text().replace('"deployed": 1', '"deployed": 0'))
    labels = project.root / "plots" / "labels.csv"
    labels.write_text(labels.read_text() + "made up,1,1,1,1,1,1.0000\n")
    found = json.loads(diff("--json"))
    assert found["after"]["edited"] == ["metrics/guard.json", "plots/labels.csv"]
    assert found["warnings"][0]["kind"] == "edited"
