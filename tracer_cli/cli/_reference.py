"""docs/cli.md: every command with its arguments, options and examples, made from the click commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from tracer_cli.cli import main

_INTRO = """\
# The command line

Made by `make docs` from the commands themselves; a test keeps it fresh. `tracer COMMAND --help` shows the same.

Results go to stdout, progress and warnings to stderr. A command that prints a result has `--json`. The exit code is 0
when it is done, 2 when the usage, the configuration or the data is wrong, 3 when the parity guard did not pass, and 1
for a bug of tracer, whose traceback is then in the file that the message names.

`tracer completion SHELL` prints the script that makes the Tab key complete commands, options and names.
"""


def page() -> str:
    """The page as Markdown."""
    lines = [_INTRO]
    found = list(commands())
    lines += [f"- [`tracer {x}`](#tracer-{x.replace(' ', '-')}): {_summary(command)}" for x, command in found]
    for name, command in found:
        lines += ["", *_command(f"tracer {name}", command)]
    return "\n".join(lines) + "\n"


def commands(group: click.Group = main, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that can be run, with its name; those of a group have two words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        elif command is not None:
            yield " ".join((*words, name)), command


def examples(command: click.Command) -> list[str]:
    """The lines under `Examples:` in the command's help."""
    _, _, block = inspect.cleandoc(command.help or "").partition("\b\nExamples:\n")
    return [line.strip() for line in block.splitlines() if line.strip()]


def _command(name: str, command: click.Command) -> Iterator[str]:
    text, _, _ = inspect.cleandoc(command.help or "").partition("\b\nExamples:\n")
    yield f"## {name}"
    yield ""
    yield f"    {' '.join([name, *_usage(command)])}"
    yield ""
    yield text.replace("\b\n", "").rstrip()
    yield ""
    options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    if options:
        yield "| option | meaning |"
        yield "|---|---|"
        for option in options:
            yield f"| {_cell(f'`{_spelled(option)}`')} | {_cell(_meaning(option))} |"
        yield ""
    yield "Examples:"
    yield ""
    yield from (f"    {line}" for line in examples(command))


def _usage(command: click.Command) -> Iterator[str]:
    if any(isinstance(parameter, click.Option) for parameter in command.params):
        yield "[OPTIONS]"
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            word = parameter.metavar or str(parameter.name).upper()
            yield word if parameter.required or word.startswith("[") else f"[{word}]"


def _spelled(option: click.Option) -> str:
    names = ", ".join(sorted(option.opts, key=len))
    if option.secondary_opts:
        names += f" / {', '.join(option.secondary_opts)}"
    if option.is_flag:
        return names
    word = option.metavar or ("|".join(option.type.choices) if isinstance(option.type, click.Choice) else _word(option))
    return f"{names} {word}"


def _word(option: click.Option) -> str:
    return {"integer": "N", "integer range": "N", "float": "NUMBER", "float range": "NUMBER", "text": "TEXT"}.get(
        option.type.name, option.type.name.upper()
    )


def _meaning(option: click.Option) -> str:
    parts = [str(option.help)]
    if isinstance(option.show_default, str):
        parts.append(f"Default: {option.show_default}.")
    elif option.show_default and not option.is_flag:
        parts.append(f"Default: `{option.default}`.")
    if option.multiple:
        parts.append("May be given more than once.")
    if option.envvar:
        parts.append(f"Environment: `{option.envvar}`.")
    return " ".join(parts)


def _summary(command: click.Command) -> str:
    return " ".join(inspect.cleandoc(command.help or "").split("\n\n")[0].split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
