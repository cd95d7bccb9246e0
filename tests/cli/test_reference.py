"""docs/cli.md is what the commands say; every example in help and docs is a command line that click takes.

Run with TRACER_WRITE_GOLDEN=1 to write the page anew.
"""

import inspect
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from support import REPOSITORY
from tracer_cli import cli
from tracer_cli.cli import _reference
from tracer_cli.cli._reference import examples, page

PAGE = REPOSITORY / "docs" / "cli.md"


def commands() -> dict[str, click.Command]:
    return dict(_reference.commands())


def tracer_lines(text: str) -> Iterator[str]:
    """The `tracer ...` command lines in code of a Markdown page: indented, fenced, continued with a backslash."""
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        match = re.match(r"\s*(?:\$ )?(tracer .*)$", line)
        synopsis = "[-" in line  # of a command's options
        if match and not synopsis and (line.startswith("    ") or _fenced(joined, line)):
            yield match[1]


def _fenced(text: str, line: str) -> bool:
    """Whether the line stands in a shell block."""
    return any(
        line in block.splitlines() for block in re.findall(r"```(?:sh|bash|shell|console)\n(.*?)```", text, re.S)
    )


def parsed(line: str, home: Path) -> None:
    """Raises click.ClickException when a command line is not one that the commands take; runs nothing."""
    for part in re.split(r"\||&&|;", line.replace("~/", f"{home}/")):
        words = shlex.split(part, comments=True)
        cut = next((number for number, word in enumerate(words) if re.fullmatch(r"\d?[<>]{1,2}.*", word)), len(words))
        words = words[:cut]
        if words[:1] != ["tracer"] or len(words) == 1:
            continue
        for word in words:
            if Path(word).suffix in (".jsonl", ".csv", ".parquet", ".npy") and "*" not in word:
                Path(word).parent.mkdir(parents=True, exist_ok=True)
                Path(word).touch()
        with click.Context(cli.main, info_name="tracer") as context:
            if words[1].startswith("-"):
                cli.main.parse_args(context, words[1:])
                continue
            _, command, rest = cli.main.resolve_command(context, words[1:])
            assert command is not None
            if isinstance(command, click.Group):
                with click.Context(command, info_name=words[1], parent=context) as context:
                    _, command, rest = command.resolve_command(context, rest)
                    assert command is not None
            command.make_context(words[1], rest, parent=context)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder: an example may name files, and the test makes them."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_is_fresh() -> None:
    if os.environ.get("TRACER_WRITE_GOLDEN"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_command_option_and_example_is_in_the_page() -> None:
    text = page()
    for name, command in commands().items():
        assert f"## tracer {name}\n" in text
        assert examples(command), name
        section = text.split(f"## tracer {name}\n")[1].split("\n## ")[0]
        for line in examples(command):
            assert f"    {line}\n" in section
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.name}"
                assert parameter.help.replace("|", "\\|") in section
                assert all(option in section for option in parameter.opts)
            else:
                word = (parameter.metavar or str(parameter.name)).strip("[].").upper()
                assert word in section
                assert parameter.nargs == 1 or "..." in section


def test_an_argument_is_explained_in_the_text() -> None:
    for name, command in commands().items():
        text = inspect.cleandoc(command.help or "").split("\b")[0]
        for parameter in command.params:
            if isinstance(parameter, click.Argument):
                word = (parameter.metavar or str(parameter.name)).strip("[].").upper()
                assert re.search(rf"\b{word}\b", text), f"{name}: what is {word}?"


def test_every_result_can_be_had_as_json() -> None:
    """Commands that write files, stages and scripts for a shell print no result."""
    silent = {"init", "compile", "schema", "run", "route", "report-html", "demo", "completion"}
    for name, command in commands().items():
        has = any("--json" in parameter.opts for parameter in command.params)
        assert has == (name not in silent), name


@pytest.mark.parametrize("name", commands())
def test_every_example_is_a_command_line(name: str, folder: Path) -> None:
    lines = [line for line in examples(commands()[name]) if not line.startswith("#")]
    assert any(line.startswith(f"tracer {name}") for line in lines)
    for line in lines:
        parsed(line, folder)


def test_the_commands_in_the_main_help_and_in_the_docs_are_command_lines(folder: Path) -> None:
    lines = list(tracer_lines("    " + inspect.cleandoc(cli.main.help or "").replace("\n", "\n    ")))
    for path in [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]:
        if path != PAGE:  # the usage lines there hold metavariables
            lines += tracer_lines(path.read_text(encoding="utf-8"))
    assert len(lines) > 2
    for line in lines:
        parsed(line, folder)


@pytest.mark.parametrize(
    "line",
    ["tracer compile --chek", "tracer nonsense", "tracer run", "tracer run embd", "tracer fit --target x t.jsonl"],
)
def test_a_line_that_is_none_would_be_found(line: str, folder: Path) -> None:
    with pytest.raises(click.ClickException):
        parsed(line, folder)
