"""`tracer guard --check` in a project, as a reviewer and a CI job see it: real git, real DVC."""

from __future__ import annotations

import json
import os
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import tracer_cli.cli
from review.judgements import every_result
from support import DvcProject, example_traces, files_of, write_jsonl
from tracer_cli.api import FitResult
from tracer_cli.cli import _guard
from tracer_cli.review.guard.outcome import RULES

GOLDEN = Path(__file__).parent / "golden" / "guard.txt"


def settings(agreement: float = 0.85, more: str = "") -> str:
    return (
        "schema: 1\nproject: support\ntraces:\n  - path: data/traces/*.jsonl\n"
        "embedder: {kind: tfidf, dim: 64}\nzoo:\n  logreg: {kind: logistic_regression, C: 10}\n"
        f"targets:\n  agreement: {agreement}\n  frontier: [0.7, 0.85]\n{more}"
    )


class Guard:
    """The command in this process, in the project's folder."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str) -> int:
        self.capsys.readouterr()
        code = tracer_cli.cli.run(["guard", *arguments])
        self.out, self.err = self.capsys.readouterr()
        return code

    def results(self, *arguments: str) -> dict[str, str]:
        """Rule -> its result."""
        self("--check", "--json", *arguments)
        return {entry["rule"]: entry["outcome"] for entry in json.loads(self.out)["rules"]}


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> DvcProject:
    """Tag `empty`: before the first refit; tag `main`: a refit that was committed."""
    folder = tmp_path_factory.mktemp("guard")
    (folder / "project").mkdir()
    project = DvcProject(folder / "project", folder / "home")
    write_jsonl(project.root / "data" / "traces" / "a.jsonl", example_traces(900))
    (project.root / "tracer.yaml").write_text(settings())
    project.tracer("init")
    project.commit()
    project.git("tag", "empty")
    project.tracer("compile")
    project.dvc("repro")
    project.commit()
    project.git("tag", "main")
    return project


@pytest.fixture
def project(reproduced: DvcProject, monkeypatch: pytest.MonkeyPatch) -> DvcProject:
    """The same at `main`, whatever an earlier test did to it."""
    reproduced.git("reset", "-q", "--hard", "main")
    reproduced.git("clean", "-fdq")
    reproduced.dvc("checkout", "-q", "--force")
    monkeypatch.chdir(reproduced.root)
    for name in ("HOME", "PATH"):
        monkeypatch.setenv(name, reproduced.environment[name])
    monkeypatch.delenv("TRACER_GUARD_ACCEPT", raising=False)
    return reproduced


@pytest.fixture
def guard(capsys: pytest.CaptureFixture[str]) -> Guard:
    return Guard(capsys)


def edited(path: str, old: str, new: str) -> None:
    """Edit a file as by hand, a read-only one too."""
    file = Path(path)
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.unlink()
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.dvc
@pytest.mark.slow
class TestInAProject:
    def test_a_clean_refit_passes_every_rule_and_leaves_the_project_as_it_is(
        self, project: DvcProject, guard: Guard, tmp_path: Path
    ) -> None:
        before = files_of(project.root / ".tracer") | files_of(project.root / "artifacts")
        xml, summary = tmp_path / "new" / "guard.xml", tmp_path / "guard.md"
        options = ("--baseline", "main", "--recompute", "--committed", "--junit", str(xml), "--markdown", str(summary))
        assert guard("--check", *options) == 0, guard.out + guard.err
        assert guard.err == "" and guard.out.endswith("\nGUARD passed\n")
        lines = [line.split()[0] for line in guard.out.splitlines() if line[:1].isalpha()]
        assert lines.count("pass") == len(RULES)
        cases = list(ET.parse(xml).iter("testcase"))
        assert [case.attrib["name"] for case in cases] == list(RULES)
        assert not any(case.find("failure") is not None for case in cases)
        assert summary.read_text().count("\n| ✅ pass | ") == len(RULES)
        assert guard.results(*options) == dict.fromkeys(RULES, "pass")
        assert files_of(project.root / ".tracer") | files_of(project.root / "artifacts") == before
        assert project.git("status", "--porcelain") == ""
        assert "up to date" in project.dvc("status")

    def test_without_options_the_rules_that_need_them_are_not_asked(self, project: DvcProject, guard: Guard) -> None:
        assert guard("--check") == 0
        results = guard.results()
        assert {rule for rule, result in results.items() if result == "not asked"} == {
            "coverage-drop", "labels-lost", "loosened", "committed", "recomputed",
        }  # fmt: skip

    def test_a_lowered_target_is_caught_until_somebody_accepts_it(
        self, project: DvcProject, guard: Guard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        edited("tracer.yaml", "agreement: 0.85", "agreement: 0.7")
        project.dvc("repro")
        options = ("--baseline", "main", "--recompute", "--committed")
        assert guard("--check", *options) == 3
        assert "dvc.lock, metrics/guard.json, params.yaml, plots/" in guard.err
        project.commit()
        assert guard("--check", *options) == 3
        sentence = "weaker than at `main (" + project.git("rev-parse", "--short=7", "main").strip() + ")`: "
        sentence += "`targets.agreement` 0.85 -> 0.7 (tracer.yaml:9)"
        assert guard.err.startswith(f"error: the parity guard did not pass: loosened: {sentence}")
        assert guard.err.count("\n") == 1
        results = guard.results(*options)
        assert [rule for rule, result in results.items() if result != "pass"] == ["loosened"]
        summary = tmp_path / "guard.md"
        assert guard("--check", *options, "--accept", "loosened", "--markdown", str(summary)) == 0
        assert "GUARD passed, with loosened accepted" in guard.out
        assert "| ⚠️ accepted | `loosened` | weaker than at" in summary.read_text()
        monkeypatch.setenv("TRACER_GUARD_ACCEPT", "noise loosened")
        assert guard("--check", "--baseline", "main") == 0
        monkeypatch.setenv("TRACER_GUARD_ACCEPT", " ")
        assert guard("--check", "--baseline", "main") == 3
        monkeypatch.setenv("TRACER_GUARD_ACCEPT", "everything")
        assert guard("--check", "--baseline", "main") == 2

    def test_a_target_that_cannot_be_certified_fails_on_its_own_terms(self, project: DvcProject, guard: Guard) -> None:
        edited("tracer.yaml", "agreement: 0.85", "agreement: 0.995")
        project.dvc("repro")
        assert guard("--check", "--baseline", "main") == 3
        assert "the parity guard did not pass: nothing can be certified at 0.995" in guard.err
        assert "coverage: 0.0 % of the evidence is handled, at least 5.0 % is required" in guard.err
        assert "compared at 0.85" in " ".join(guard.out.split())
        results = guard.results("--baseline", "main")
        failed = {rule for rule, result in results.items() if result == "fail"}
        # 350 texts are too few for 0.995 even if no label differed; at 0.85 nothing dropped.
        assert failed == {"certificate", "coverage", "labels-lost", "holdout"}
        assert guard() == 0 and "BLOCKED  support" in guard.out

    def test_metrics_edited_by_hand_are_caught_though_dvc_and_git_agree_with_them(
        self, project: DvcProject, guard: Guard
    ) -> None:
        true = json.loads(Path("metrics/guard.json").read_text())["certified_coverage"]
        edited("metrics/guard.json", f'"certified_coverage": {true}', '"certified_coverage": 0.91')
        assert guard.results("--recompute")["recomputed"] == "fail"
        project.dvc("commit", "-q", "-f")
        project.commit()
        assert "Running stage" not in project.dvc("repro")
        assert guard("--check", "--recompute", "--committed", "--baseline", "main") == 3
        assert guard.err == (
            "error: the parity guard did not pass: recomputed: metrics/guard.json: certified_coverage is 0.91 in the "
            f"file but {true} when recomputed from the artifacts\n"
        )
        assert guard("--check", "--committed", "--baseline", "main") == 0  # without --recompute nothing is wrong

    def test_a_manifest_edited_by_hand_is_caught(self, project: DvcProject, guard: Guard) -> None:
        edited(".tracer/manifest.json", '"deploy": true', '"deploy": false')
        project.dvc("commit", "-q", "-f")
        project.commit()
        assert guard("--check", "--recompute", "--committed") == 3
        assert "recomputed: .tracer/manifest.json: verdict.deploy is false in the file but true when" in guard.err

    def test_params_edited_by_hand_are_caught_with_the_place_to_write_them(
        self, project: DvcProject, guard: Guard
    ) -> None:
        edited("params.yaml", "agreement: 0.85", "agreement: 0.7")
        project.commit()
        assert guard("--check", "--baseline", "main") == 3
        assert (
            "compiled: params.yaml was edited by hand: calibrate.targets.agreement is 0.7 here and 0.85 by tracer.yaml: "
            "write targets.agreement at tracer.yaml:9"
        ) in guard.err  # fmt: skip

    def test_a_lock_of_other_artifacts_is_caught(self, project: DvcProject, guard: Guard) -> None:
        digest = project.git("grep", "-A2", "-h", "path: artifacts/traces/holdout_labels", "dvc.lock").split("md5: ")[1]
        text = Path("dvc.lock").read_text()
        Path("dvc.lock").write_text(text.replace(digest.split()[0], "a" * 32))
        project.commit()
        assert guard("--check", "--recompute") == 3
        assert (
            "recomputed: artifacts/traces/holdout_labels.parquet is not what dvc.lock names for ingest, gu" in guard.err
        )
        assert guard.results()["recomputed"] == "not asked"

    def test_an_artifact_edited_by_hand_is_caught(self, project: DvcProject, guard: Guard) -> None:
        edited("artifacts/candidate/candidate.json", "{", "{ ")
        assert guard("--check", "--recompute") == 3
        assert "recomputed: artifacts/candidate is not what dvc.lock names for calibrate, guard, report" in guard.err

    def test_a_policy_that_was_swapped_is_no_certificate(self, project: DvcProject, guard: Guard) -> None:
        Path(".tracer/policy.onnx").unlink()
        Path(".tracer/policy.onnx").write_bytes(b"another")
        assert guard("--check") == 3
        assert "`.tracer/policy.onnx` is not the file that the manifest names" in guard.err

    def test_what_cannot_be_judged_is_exit_2_with_the_way_out(self, project: DvcProject, guard: Guard) -> None:
        assert guard("--check", "--baseline", "nope") == 2
        assert "git has no revision 'nope'" in guard.err and guard.out == ""
        shutil.rmtree("artifacts/vectors")
        assert guard("--check") == 0
        assert guard("--check", "--recompute") == 2
        assert "artifacts/vectors/fit.npy, artifacts/vectors/holdout.npy are missing; fetch them with `dvc" in guard.err
        Path(".tracer/policy.onnx").unlink()
        assert guard("--check") == 2 and ".tracer/policy.onnx is missing; fetch it with `dvc pull`" in guard.err
        Path(".tracer/manifest.json").unlink()
        assert guard("--check") == 2 and ".tracer is not a policy folder" in guard.err
        edited("tracer.yaml", "targets:", "target:")
        assert guard("--check") == 2 and "tracer.yaml:8:1: target: unknown key" in guard.err

    def test_a_baseline_before_the_first_refit_has_nothing_to_compare_with(
        self, project: DvcProject, guard: Guard
    ) -> None:
        assert guard("--check", "--baseline", "empty") == 0
        results = guard.results("--baseline", "empty")
        # `tracer init` wrote params.yaml: what it asks for may not be loosened.
        assert [results[rule] for rule in ("coverage-drop", "labels-lost", "loosened")] == [*["not asked"] * 2, "pass"]
        assert "holds no refit to compare with: it has no metrics/traces.json" in guard.out

    def test_the_baseline_may_stand_in_tracer_yaml(self, project: DvcProject, guard: Guard) -> None:
        Path("tracer.yaml").write_text(settings(more="rules: {baseline: main, max_coverage_drop: null}\n"))
        project.dvc("repro")
        project.commit()
        results = guard.results("--recompute", "--committed")
        assert results["labels-lost"] == "pass" and results["coverage-drop"] == "not asked"
        # A rule of main was taken out, and the artifacts did not change with the rules.
        assert (results["loosened"], results["recomputed"]) == ("fail", "pass")
        assert "`rules.max_coverage_drop` 0.05 -> null (tracer.yaml:11)" in guard.out

    def test_another_folder_and_the_projects_own_policy(
        self, project: DvcProject, guard: Guard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        folder = ("--dir", str(project.root))
        assert guard(*folder) == 0 and guard.out.startswith("CERTIFIED  support")
        assert guard("--check", *folder, "--baseline", "main", str(project.root / ".tracer")) == 0
        assert guard("--check", *folder, "--baseline", "main", str(tmp_path)) == 2
        assert "is not the policy of" in guard.err

    def test_settings_that_the_policy_was_not_made_with_are_seen_without_a_run(
        self, project: DvcProject, guard: Guard
    ) -> None:
        Path("tracer.yaml").write_text(settings(more="  min_coverage: 0.01\nrules: {min_holdout: 500}\n"))
        project.tracer("compile")
        assert guard("--check", "--baseline", "main") == 3
        assert guard.err.startswith(
            "error: the parity guard did not pass: the policy was made with another `targets.min_coverage`: run "
            "`dvc repro`\n  holdout: 350 texts in the evidence, at least 500 required (`rules.min_holdout`)\n  loosened: "
        )
        assert guard.out.endswith("\nGUARD did not pass: certificate, holdout, loosened\n")


def test_the_terminal_is_as_the_golden_one(capsys: pytest.CaptureFixture[str]) -> None:
    _guard._show(every_result(), as_json=False)
    text = "".join(f"{line.rstrip()}\n" for line in capsys.readouterr().out.splitlines())
    assert "\x1b" not in text and "\x00" not in text
    if os.environ.get("TRACER_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


class TestAPolicyAlone:
    def test_its_certificate_is_all_that_is_judged(self, fitted: FitResult, guard: Guard, tmp_path: Path) -> None:
        xml, summary = tmp_path / "guard.xml", tmp_path / "guard.md"
        assert guard(str(fitted.path), "--check", "--junit", str(xml), "--markdown", str(summary)) == 0
        assert guard.out.startswith("CERTIFIED") and guard.err == ""
        assert [case.attrib["name"] for case in ET.parse(xml).iter("testcase")] == ["certificate"]
        assert "| ✅ pass | `certificate` |" in summary.read_text()

    def test_a_blocked_one_is_exit_3_and_its_files_are_written(
        self, blocked: FitResult, guard: Guard, tmp_path: Path
    ) -> None:
        xml = tmp_path / "guard.xml"
        assert guard(str(blocked.path), "--check", "--junit", str(xml)) == 3
        assert guard.err == f"error: the parity guard did not pass: {blocked.verdict}\n"
        assert ET.parse(xml).getroot().attrib["failures"] == "1"
        assert guard(str(blocked.path), "--check", "--json") == 3
        assert json.loads(guard.out) == blocked.manifest

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("--recompute",), "--recompute goes with --check"),
            (("--junit", "x.xml"), "--junit goes with --check"),
            (("--baseline", "main"), "--baseline goes with --check"),
            (("--check", "--committed"), "--committed judges a project, and tracer.yaml does not exist"),
            (("--check", "--accept", "all"), "'all' is not one of 'certificate', 'coverage'"),
            (("--check",), ".tracer is not a policy folder"),
        ],
    )
    def test_options_without_sense_are_exit_2(
        self, arguments: tuple[str, ...], told: str, guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert guard(*arguments) == 2
        assert told in " ".join(guard.err.split())

    def test_a_file_that_cannot_be_written_is_a_sentence(self, fitted: FitResult, guard: Guard, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        assert guard(str(fitted.path), "--check", "--junit", str(tmp_path / "file" / "x.xml")) == 2
        assert "cannot write" in guard.err and "x.xml" in guard.err

    def test_a_link_is_written_through_and_not_replaced(self, fitted: FitResult, guard: Guard, tmp_path: Path) -> None:
        """/dev/stdout is one."""
        (tmp_path / "target").write_text("")
        (tmp_path / "link").symlink_to(tmp_path / "target")
        assert guard(str(fitted.path), "--check", "--markdown", str(tmp_path / "link")) == 0
        assert (tmp_path / "link").is_symlink() and "Guard passed" in (tmp_path / "target").read_text()
