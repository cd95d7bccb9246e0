"""The golden list of what a wrong configuration is told: docs/errors.md, made here from what the command prints.

Run with TRACER_WRITE_GOLDEN=1 to write it anew. Every sentence in the modules below has to occur in it.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import tracer_cli.cli
from support import REPOSITORY
from tracer_cli.artifacts import STAGE_VERSIONS
from tracer_cli.compile.text import HEADER

BAD = Path(__file__).parent / "bad"
PAGE = REPOSITORY / "docs" / "errors.md"
GOOD = "traces: [{path: data/a.jsonl}]\n"
TIMED = "traces: [{path: data/a.jsonl, timestamp: at}]\nsplit: {by: time}\n"

# Whose sentences are errors of the configuration; of `stages.ingest` those that name a key to change.
SOURCES = [
    "config/checks.py",
    "config/document.py",
    "config/json_schema.py",
    "config/literal.py",
    "config/load.py",
    "config/resolve.py",
    "config/scalars.py",
    "config/schema/config.py",
    "config/schema/traces.py",
    "config/sections.py",
    "compile/existing.py",
    "stages/__init__.py",
    "stages/ingest.py",
    "stages/resolve.py",
    "traces/read/files.py",
]

# Said to callers from Python only: click refuses the same on the command line.
NOT_HERE = {"no stage is called "}


@dataclass(frozen=True)
class Case:
    """A project that gets an error. before: what is done to it first; command: what is refused."""

    title: str
    files: dict[str, str]
    command: str
    before: tuple[str | Callable[[Path], object], ...] = ()


@dataclass
class Told:
    """What the command line did with it."""

    title: str
    shown: str
    command: str
    message: str = ""
    code: int = 0
    done: list[str] = field(default_factory=list)


def replace(name: str, old: str, new: str) -> Callable[[Path], object]:
    def edit(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text, (name, old)
        (root / name).write_text(text.replace(old, new))

    edit.__doc__ = f"`{' '.join(old.split())}` becomes `{' '.join(new.split())}` in {name}"
    return edit


def append(name: str, text: str) -> Callable[[Path], object]:
    def edit(root: Path) -> None:
        with (root / name).open("a") as file:
            file.write(text)

    edit.__doc__ = f"`{text.strip().splitlines()[0]}` is added to {name}"
    return edit


def folder(name: str) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        (root / name).mkdir(parents=True)

    make.__doc__ = f"{name} is a folder"
    return make


def without_rules(root: Path) -> None:
    """params.yaml is of a version of tracer that had no section `rules`"""
    path = root / "params.yaml"
    text = path.read_text()
    path.write_text(re.sub(r"^rules:\n(  .*\n)+", "", text, flags=re.MULTILINE))
    assert "rules:" not in path.read_text()


def older_stage(root: Path) -> None:
    """params.yaml is of a version of tracer whose ingest did something else"""
    path = root / "params.yaml"
    text = path.read_text()
    path.write_text(text.replace(f"ingest: {STAGE_VERSIONS['ingest']}\n", "ingest: 0\n"))
    assert path.read_text() != text


def traces(*labels: str, **more: object) -> str:
    rows = [{"input": f"text {number} about {label}", "teacher": label, **more} for number, label in enumerate(labels)]
    return "".join(json.dumps(row) + "\n" for row in rows)


MAJORITY = (
    "traces: [{path: data/a.jsonl}]\nembedder: {kind: tfidf, dim: 4}\nzoo: {sgd: {kind: sgd}}\n"
    "targets: {agreement: 0.7}\nblend: 1\n"
)

PROJECTS = [
    Case("No tracer.yaml", {}, "compile"),
    Case("A folder called tracer.yaml", {}, "compile", (folder("tracer.yaml"),)),
    Case("A dvc.yaml of one's own", {"tracer.yaml": GOOD, "dvc.yaml": "stages: {}\n"}, "compile"),
    Case("A params.yaml of one's own", {"tracer.yaml": GOOD, "params.yaml": "lr: 0.1\n"}, "compile"),
    Case(
        "A merge conflict in dvc.yaml",
        {"tracer.yaml": GOOD, "dvc.yaml": f"{HEADER}<<<<<<< HEAD\nx: 1\n=======\nx: 2\n>>>>>>> other\n"},
        "compile",
    ),
    Case(
        "Stale compiled files",
        {"tracer.yaml": GOOD},
        "compile --check",
        ("compile", append("tracer.yaml", "seed: 1\n")),
    ),
    Case(
        "A model that dvc.yaml does not have yet",
        {"tracer.yaml": GOOD},
        "run resolve",
        ("compile", append("tracer.yaml", "zoo: {mlp: {kind: mlp}}\n")),
    ),
    Case(
        "A value written into params.yaml",
        {"tracer.yaml": GOOD + "targets:\n  agreement: 0.95\n"},
        "run resolve",
        (
            "compile",
            replace("params.yaml", "agreement: 0.95", "agreement: 0.5"),
            replace("params.yaml", "folds: 5", "folds: 4"),
        ),
    ),
    Case(
        "A key added to params.yaml",
        {"tracer.yaml": GOOD},
        "run resolve",
        ("compile", append("params.yaml", "lr: 0.1\n")),
    ),
    Case("No params.yaml", {"tracer.yaml": GOOD}, "run ingest"),
    Case("An empty params.yaml", {"tracer.yaml": GOOD, "params.yaml": ""}, "run ingest"),
    Case(
        "A merge conflict in params.yaml",
        {"tracer.yaml": GOOD, "params.yaml": "<<<<<<< HEAD\nseed: 1\n=======\nseed: 2\n>>>>>>> other\n"},
        "run ingest",
    ),
    Case("The params.yaml of an older version", {"tracer.yaml": GOOD}, "run calibrate", ("compile", without_rules)),
    Case(
        "The params.yaml of an older version of a stage",
        {"tracer.yaml": GOOD, "data/a.jsonl": traces("a", "b")},
        "run ingest",
        ("compile", older_stage),
    ),
    Case(
        "A value of the wrong kind in params.yaml",
        {"tracer.yaml": GOOD},
        "run ingest",
        ("compile", replace("params.yaml", "folds: 5", "folds: 1")),
    ),
    Case(
        "A section of the wrong kind in params.yaml",
        {"tracer.yaml": GOOD},
        "run ingest",
        ("compile", replace("params.yaml", "guard:\n  min_coverage: 0.05\n", "guard: 0.05\n")),
    ),
    Case("A model that is not in the zoo", {"tracer.yaml": GOOD}, "run train --model mlp", ("compile",)),
    Case("Training without naming the model", {"tracer.yaml": GOOD}, "run train", ("compile",)),
    Case("A model for another stage", {"tracer.yaml": GOOD}, "run embed --model knn", ("compile",)),
    Case("A traces file that is not there", {"tracer.yaml": GOOD}, "run ingest", ("compile",)),
    Case(
        "A glob that matches nothing", {"tracer.yaml": "traces: [{path: data/*.jsonl}]\n"}, "run ingest", ("compile",)
    ),
    Case(
        "A database from which nothing was pulled",
        {
            "tracer.yaml": "traces:\n- path: data/tickets/*.parquet\n"
            "  pull: {source: 'postgresql://db.example.com/support', query: select 1}\n"
        },
        "run ingest",
        ("compile",),
    ),
    Case(
        "A condition on a field that is not there",
        {"tracer.yaml": GOOD.replace("}", ", where: \"tem = 'prod'\"}"), "data/a.jsonl": traces("a", "b", team="prod")},
        "run ingest",
        ("compile",),
    ),
    Case(
        "A condition that depends on the day",
        {"tracer.yaml": GOOD.replace("}", ", where: day > now()}"), "data/a.jsonl": traces("a", "b", day="2027-01-01")},
        "run ingest",
        ("compile",),
    ),
    Case(
        "A condition that no row meets",
        {"tracer.yaml": GOOD.replace("}", ", where: team = 'test'}"), "data/a.jsonl": traces("a", "b", team="prod")},
        "run ingest",
        ("compile",),
    ),
    Case(
        "A window that no row lies in",
        {
            "tracer.yaml": "traces: [{path: data/a.jsonl, timestamp: at, since: 2030-01-01}]\n",
            "data/a.jsonl": traces("a", "b", at="2027-01-01"),
        },
        "run ingest",
        ("compile",),
    ),
    Case(
        "Nothing but what a policy deferred",
        {
            "tracer.yaml": "traces: [{path: data/a.jsonl, origin: origin}]\n",
            "data/a.jsonl": traces("a", "b", origin="deferred"),
        },
        "run ingest",
        ("compile",),
    ),
    Case(
        "A folder of traces",
        {"tracer.yaml": "traces: [{path: data}]\n", "data/a.jsonl": ""},
        "run ingest",
        ("compile",),
    ),
    Case(
        "Traces of an unknown kind",
        {"tracer.yaml": "traces: [{path: data/a.json}]\n", "data/a.json": "[]"},
        "run ingest",
        ("compile",),
    ),
    Case(
        "A field that is not in the traces",
        {
            "tracer.yaml": "traces: [{path: data/a.jsonl, label: intnet}]\n",
            "data/a.jsonl": '{"input": "x", "intent": "y"}\n',
        },
        "run ingest",
        ("compile",),
    ),
    Case(
        "A file in two sources",
        {"tracer.yaml": "traces: [{path: data/a.jsonl}, {path: data/*.jsonl}]\n", "data/a.jsonl": traces("a", "b")},
        "run ingest",
        ("compile",),
    ),
    Case(
        "No usable row",
        {"tracer.yaml": GOOD.replace("}", ", max_rejected: 1}"), "data/a.jsonl": traces("", "")},
        "run ingest",
        ("compile",),
    ),
    Case(
        "Too many unusable rows",
        {"tracer.yaml": GOOD, "data/a.jsonl": traces("a", "b", "", "a")},
        "run ingest",
        ("compile",),
    ),
    Case(
        "A split by time of traces without a time",
        {"tracer.yaml": TIMED, "data/a.jsonl": traces("a", "b", at="2027-01-01") + traces("a", "b", at="yesterday")},
        "run ingest",
        ("compile",),
    ),
    Case(
        "Too few texts for the folds",
        {"tracer.yaml": GOOD, "data/a.jsonl": traces(*"abab")},
        "run ingest",
        ("compile",),
    ),
    Case(
        "No text held out",
        {"tracer.yaml": GOOD + "split: {holdout: 0.001}\n", "data/a.jsonl": traces(*"ab" * 5)},
        "run ingest",
        ("compile",),
    ),
    Case("One label", {"tracer.yaml": GOOD, "data/a.jsonl": traces(*"a" * 20)}, "run ingest", ("compile",)),
    Case(
        "A target that one answer to everything reaches",
        {"tracer.yaml": MAJORITY, "data/a.jsonl": traces(*(["other"] * 8 + ["refund", "order"]) * 6)},
        "run calibrate",
        ("compile", "run ingest", "run embed", "run train --model sgd"),
    ),
    Case("A key that is not there", {"tracer.yaml": GOOD}, "explain targets.agrement"),
    Case("A model that is not there", {"tracer.yaml": GOOD}, "explain zoo.kernal.gamma"),
    Case("A version of the code", {"tracer.yaml": GOOD}, "explain stage_version.embed"),
]


def call(command: str) -> tuple[int, str]:
    """`tracer` in this process: its exit code and what it wrote to stderr."""
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        code = tracer_cli.cli.run(command.split())
    return code, told.getvalue()


def bad_file(path: Path, root: Path) -> Told:
    raw = path.read_bytes()
    (root / "tracer.yaml").write_bytes(raw)
    text = raw.decode("utf-8", errors="replace")
    plain = all(line.isprintable() and len(line) <= 130 for line in text.splitlines()) and 0 < len(text) < 1500
    shown = (
        f"```yaml\n{text.rstrip()}\n```\n" if plain else f"(the file is `{path.relative_to(REPOSITORY).as_posix()}`)\n"
    )
    told = Told(path.stem.replace("_", " ").capitalize(), shown, "compile")
    told.code, told.message = call(told.command)
    return told


def bad_project(case: Case, root: Path) -> Told:
    shown = ""
    for name, text in case.files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        if name == "tracer.yaml" and text != GOOD:
            shown += f"```yaml\n{text.rstrip()}\n```\n\n"
    told = Told(case.title, shown, case.command)
    for step in case.before:
        if callable(step):
            step(root)
            told.done.append(str(step.__doc__))
        else:
            code, message = call(step)
            assert code == 0, message
            told.done.append(f"`tracer {step}`")
    told.code, message = call(case.command)
    told.message = message.replace(str(root.resolve()), "/project")
    return told


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, list[Told]]]:
    """All cases, run once: those of a tracer.yaml alone, and those of a project."""

    def within(case: Path | Case) -> Told:
        root = tmp_path_factory.mktemp("project")
        with contextlib.chdir(root) if hasattr(contextlib, "chdir") else changed_to(root):
            return bad_file(case, root) if isinstance(case, Path) else bad_project(case, root)

    files = [within(path) for path in sorted(BAD.glob("*.yaml"))]
    return [("In tracer.yaml itself", files), ("Around it", [within(case) for case in PROJECTS])]


@contextlib.contextmanager
def changed_to(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def page(golden: list[tuple[str, list[Told]]]) -> str:
    lines = [
        "# Errors of the configuration",
        "",
        "Made by `make docs` from what the commands print; a test keeps it fresh. Every one of these exits with 2, names",
        "the place, says what was expected, and leaves the files as they were. All mistakes of one tracer.yaml are told at",
        "once.",
        "",
    ]
    for heading, cases in golden:
        lines += [f"## {heading}", ""]
        for told in cases:
            lines += [f"### {told.title}", ""]
            lines += [told.shown.rstrip(), ""] if told.shown else []
            before = f"After {'; '.join(told.done)}: " if told.done else ""
            lines += [f"{before}`tracer {told.command}` says", "", "```text", shown(told.message), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def shown(message: str) -> str:
    """What a page cannot hold, written out."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else f"\\u{ord(character):04x}"
        for character in message.rstrip()
    )


def test_the_page_is_fresh(golden: list[tuple[str, list[Told]]]) -> None:
    text = page(golden)
    if os.environ.get("TRACER_WRITE_GOLDEN"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text, "run `make docs`"


def test_each_is_an_error_of_the_user_and_none_a_traceback(golden: list[tuple[str, list[Told]]]) -> None:
    for _, cases in golden:
        for told in cases:
            assert told.code == 2, told
            assert "error: " in told.message, told
            assert "a bug in tracer" not in told.message, told
            assert "Traceback" not in told.message, told


def test_titles_are_not_used_twice(golden: list[tuple[str, list[Told]]]) -> None:
    titles = [told.title for _, cases in golden for told in cases]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize("module", SOURCES)
def test_every_sentence_of_the_source_is_in_the_list(module: str, golden: list[tuple[str, list[Told]]]) -> None:
    """A new error needs a case, and one that nothing can cause is to be taken out."""
    told = "\n".join(told.message for _, cases in golden for told in cases)
    source = (REPOSITORY / "tracer_cli" / module).read_text(encoding="utf-8")
    missing = [
        f"{module}:{line}: {text!r}" for line, text in sentences(source) if text not in told and text not in NOT_HERE
    ]
    assert not missing, "\n".join(missing)


def sentences(source: str) -> Iterator[tuple[int, str]]:
    """The pieces of text inside functions that are words for people: two words or more; docstrings and what is only
    compared with are not."""
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        silent = {id(node.value) for node in function.body[:1] if isinstance(node, ast.Expr)}
        silent |= {
            id(part)
            for node in ast.walk(function)
            if isinstance(node, ast.Compare)
            for part in [node.left, *node.comparators]
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
                for piece in node.value.split("\n"):
                    if re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}", piece):
                        yield node.lineno, piece


def test_a_sentence_that_nothing_says_would_be_found() -> None:
    source = 'def f(x):\n    """No error."""\n    raise Error(f"{x} is wrong" if x == "some text" else "key")\n'
    assert list(sentences(source)) == [(3, " is wrong")]
