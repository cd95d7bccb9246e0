"""The command line: one file per command, imported when it is called.

A command is a module here that has a click command named `command`, and a line in COMMANDS.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence

import click

from tracer_cli import __version__
from tracer_cli.cli._boundary import exit_code_of
from tracer_cli.cli._log import show_log

# The command's name -> its module, in the order of the help text. Modules import numpy, pandas, pydantic and the
# like inside the command's body only: the help text imports all of them.
COMMANDS = {
    "init": "init",
    "compile": "compile",
    "pull": "pull",
    "plan": "plan",
    "explain": "explain",
    "schema": "schema",
    "run": "run_stage",
    "fit": "fit",
    "update": "update",
    "diff": "diff",
    "guard": "guard",
    "route": "route",
    "monitor": "monitor",
    "report": "report",
    "report-html": "report_html",
    "doctor": "doctor",
    "cache": "cache",
    "demo": "demo",
    "completion": "completion",
}


class Commands(click.Group):
    """Finds commands by name, late, and names the nearest one when there is none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"tracer_cli.cli.{COMMANDS[cmd_name]}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; the commands are {', '.join(COMMANDS)}"
            raise click.UsageError(f"no command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tracer")
def main() -> None:
    """Learn a cheap surrogate from an LLM's own traces, and certify where it may answer.

    One file, tracer.yaml, declares a project; `tracer compile` turns it into DVC stages and `dvc repro` runs them.

    \b
    Start here:
      tracer init traces.jsonl     # write tracer.yaml for your file
      git init && dvc init
      dvc repro                    # fit, certify, report
    """
    show_log()


def run(args: Sequence[str] | None = None) -> int:
    """The console script: run one command and return the exit code (0, 1, 2, 3; 130, 141)."""
    return exit_code_of(lambda: main.main(args, prog_name="tracer", standalone_mode=False))
