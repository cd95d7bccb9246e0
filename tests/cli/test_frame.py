"""The frame of the command line: help, errors, exit codes."""

import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import pkgutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import click
import pytest

import tracer_cli.cli as cli
from tracer_cli.cli._boundary import exit_code_of
from tracer_cli.errors import ConfigError, GuardFailedError, StorageError

REPOSITORY = Path(__file__).parents[2]


def tracer(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "-m", "tracer_cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def commands() -> list[tuple[str, click.Command]]:
    context = click.Context(cli.main)
    found = [(name, cli.main.get_command(context, name)) for name in cli.main.list_commands(context)]
    return [(name, command) for name, command in found if command is not None]


def test_every_module_is_a_command_and_every_command_has_a_module() -> None:
    modules = {module.name for module in pkgutil.iter_modules(cli.__path__) if not module.name.startswith("_")}
    assert modules == set(cli.COMMANDS.values())
    assert len(commands()) == len(cli.COMMANDS)


def test_every_command_and_option_has_help_and_an_example() -> None:
    for name, command in commands():
        text = inspect.cleandoc(command.help or "")
        assert "\b\nExample" in text, f"{name}: no example"
        assert f"tracer {name}" in text.split("\b")[1], name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize("name", ["scope", "evidence", "method"])
def test_the_choices_of_fit_are_those_of_tracer_yaml(name: str) -> None:
    from tracer_cli.config.schema import Targets

    parameters = {parameter.name: parameter for parameter in dict(commands())["fit"].params}
    field = Targets.model_fields[name]
    choice = parameters[name].type
    assert isinstance(choice, click.Choice)
    assert tuple(choice.choices) == get_args(field.annotation)
    assert parameters[name].default == field.default


def test_the_help_of_fit_shows_every_choice() -> None:
    done = tracer("fit", "--help")
    for part in ("[handled|overall]", "[holdout|crossfit]", "[auto|global|l2d|rsb]", "--per-label-min FLOAT"):
        assert part in done.stdout, part


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, tracer_cli.cli as c; assert c.run(['--help']) == 0; "
        "heavy = {'numpy', 'pandas', 'pydantic', 'rich', 'yaml', 'sklearn', 'pyarrow', 'duckdb', 'onnxruntime'}; "
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    best = 9.0
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        best = min(best, time.perf_counter() - start)
        assert done.stderr.strip() == "[]"
    assert best < 0.3
    for name, _ in commands():
        assert f"\n  {name} " in done.stdout


def test_version() -> None:
    from tracer_cli import __version__

    done = tracer("--version")
    assert (done.returncode, done.stdout) == (0, f"tracer, version {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["comple"], "no command 'comple'; did you mean 'compile'?"),
        (["zzz"], "no command 'zzz'; the commands are init, compile"),
        (["compile", "--chek"], "--chek"),
        (["run"], "Missing argument 'STAGE'"),
        (["run", "nonsense"], "'resolve', 'ingest'"),
        ([], "Usage: tracer"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_possible(arguments: list[str], told: str) -> None:
    done = tracer(*arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stdout == ""


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigError("tracer.yaml is wrong"), 2, "error: tracer.yaml is wrong\n"),
        (StorageError("disk full"), 2, "error: disk full\n"),
        (GuardFailedError("not certified"), 3, "error: not certified\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (click.Abort(), 130, "interrupted\n"),
    ],
)
def test_errors_become_exit_codes(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(raising(error)) == code
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", message)


def test_a_bug_keeps_its_traceback_in_a_file_whose_path_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(raising(ZeroDivisionError("of all things"))) == 1
    shown = capsys.readouterr().err
    assert "a bug in tracer: ZeroDivisionError: of all things" in shown
    assert "Traceback" not in shown
    log = Path(shown.split("The traceback is in ")[1].split(";")[0])
    text = log.read_text(encoding="utf-8")
    log.unlink()
    assert "Traceback" in text
    assert "test_frame.py" in text


def test_success_is_0() -> None:
    assert exit_code_of(lambda: None) == 0


@pytest.mark.skipif(os.name == "nt", reason="pipes close differently")
@pytest.mark.parametrize("arguments", [["schema"], ["--help"], ["compile", "--help"]])
def test_a_closed_pipe_is_quiet(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "tracer_cli", *arguments],
        cwd=REPOSITORY,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


def test_a_command_that_is_added_is_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.util.module_from_spec(importlib.machinery.ModuleSpec("tracer_cli.cli.hello", None))
    module.command = click.command(help="Greet.")(lambda: click.echo("hello"))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tracer_cli.cli.hello", module)
    monkeypatch.setitem(cli.COMMANDS, "hello", "hello")
    assert cli.exit_code_of(lambda: cli.main.main(["hello"], standalone_mode=False)) == 0
    assert capsys.readouterr().out == "hello\n"
