"""The one place that turns what a command raises into a message and an exit code."""

from __future__ import annotations

import errno
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable

import click

from tracer_cli.errors import TracerError

BUG = 1
USER_ERROR = 2
INTERRUPTED = 130
PIPE_CLOSED = 141  # what a shell shows for a program that SIGPIPE ended


def exit_code_of(command: Callable[[], object]) -> int:
    """Call `command` and return the exit code of the process; messages go to stderr."""
    try:
        result = command()
        sys.stdout.flush()
    except TracerError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return USER_ERROR
    except (click.Abort, KeyboardInterrupt, EOFError):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except SystemExit as done:  # no command of ours exits by itself: click does, with 1 for a closed pipe
        return PIPE_CLOSED if done.code else 0  # and with 0 when it has answered a shell's request for completions
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            _discard_stdout()
            return PIPE_CLOSED
        click.echo(
            f"error: a bug in tracer: {type(error).__name__}: {error}\n"
            f"The traceback is in {_write_log(error)}; please report it with that file.",
            err=True,
        )
        return BUG
    return result if isinstance(result, int) else 0


def _discard_stdout() -> None:
    """Keep the interpreter's own flush at exit from failing on the same pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_log(error: Exception) -> str:
    from tracer_cli import __version__

    handle, name = tempfile.mkstemp(prefix="tracer-error-", suffix=".log")
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"tracer {__version__}, Python {platform.python_version()}, {platform.platform()}\n")
        file.write(f"arguments: {sys.argv[1:]}\n\n")
        file.writelines(traceback.format_exception(error))
    return name
