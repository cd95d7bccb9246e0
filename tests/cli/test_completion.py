"""Completion in the real shells: what the script of `tracer completion` makes them offer."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import REPOSITORY, absent, tracer

SOURCE = "traces: [{path: data/a.jsonl}]\nzoo:\n  small one: {kind: sgd}\n  big: {kind: mlp}\n"

# Asks bash itself what it would offer after the words; the last word is the one under the cursor.
ASK = """
eval "$(tracer completion bash)"
function=$(complete -p tracer | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
$function tracer
printf '%s\\n' "${COMPREPLY[@]}"
"""
NAMES = [
    (["comp"], ["compile", "completion"]),
    (["compile", "--c"], ["--check"]),
    (["run", "cal"], ["calibrate"]),
    (["run", "train", "--model", ""], ["small-one", "big"]),
    (["explain", "targets.ag"], ["targets.agreement"]),
    (["completion", "z"], ["zsh"]),
]
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tracer.yaml").write_text(SOURCE)
    (tmp_path / "bin").mkdir()
    shim = tmp_path / "bin" / "tracer"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tracer_cli "$@"\n')
    shim.chmod(0o755)
    return tmp_path


def environment(project: Path, **more: str) -> dict[str, str]:
    path = f"{project / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "HOME": str(project), **more}


def offered(project: Path, *words: str) -> list[str]:
    command = ["bash", "--norc", "-c", ASK, "bash", *words]
    done = subprocess.run(command, cwd=project, env=environment(project), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@needs_bash
@pytest.mark.parametrize(("words", "expected"), NAMES, ids=lambda item: " ".join(item))
def test_bash_offers_it(words: list[str], expected: list[str], project: Path) -> None:
    assert offered(project, "tracer", *words) == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_get_the_same_answers(shell: str, project: Path) -> None:
    """As their scripts ask; what the shells make of it is click's part."""
    asked = {"_TRACER_COMPLETE": f"{shell}_complete", "COMP_WORDS": "tracer explain targets.ag"}
    asked["COMP_CWORD"] = "2" if shell == "zsh" else "targets.ag"
    command = [sys.executable, "-m", "tracer_cli"]
    done = subprocess.run(
        command, cwd=project, env=environment(project, **asked), capture_output=True, text=True, check=True
    )
    assert "targets.agreement" in done.stdout
    assert "targets.confidence" not in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_reads_its_script(shell: str, project: Path) -> None:
    if shutil.which(shell) is None:
        absent(f"{shell} is not installed")
    script = tracer("completion", shell, cwd=project).stdout
    (project / "script").write_text(script)
    done = subprocess.run([shell, "-n", "script"], cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_bash
def test_a_project_that_cannot_be_read_offers_nothing(project: Path) -> None:
    (project / "tracer.yaml").write_text("traces: [\n")
    assert offered(project, "tracer", "explain", "t") == []
    (project / "tracer.yaml").unlink()
    assert offered(project, "tracer", "run", "train", "--model", "") == []


def test_each_script_is_printed_and_an_unknown_shell_refused(project: Path) -> None:
    for name in ("bash", "zsh", "fish"):
        done = tracer("completion", name, cwd=project)
        assert (done.returncode, done.stderr) == (0, "")
        assert "_TRACER_COMPLETE" in done.stdout
    assert tracer("completion", "tcsh", cwd=project).returncode == 2


def test_an_answer_is_fast_and_imports_nothing_heavy(project: Path) -> None:
    code = (
        "import sys, tracer_cli.cli as c; assert c.run([]) == 0; "
        "heavy = {'numpy', 'pandas', 'rich', 'sklearn', 'pyarrow', 'duckdb', 'onnxruntime', 'scipy'}; "
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    asked = {"COMP_WORDS": "tracer explain targets.", "COMP_CWORD": "2", "_TRACER_COMPLETE": "bash_complete"}
    best = 9.0
    for _ in range(2):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=project,
            env=environment(project, **asked),
            capture_output=True,
            text=True,
            check=True,
        )
        best = min(best, time.perf_counter() - start)
        assert done.stderr.strip() == "[]"
        assert "plain,targets.agreement\n" in done.stdout
    assert best < 1.5
