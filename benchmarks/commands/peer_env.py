"""`peer-env`: the peer in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks.commands.options import Command

PEER = "tracer-llm==0.3.3"


@click.command("peer-env")
@click.argument("path", type=click.Path(path_type=Path, file_okay=False))
def command(path: Path) -> None:
    """Make a virtual environment at PATH with tracer-llm 0.3.3, from the package index that pip uses.

    Its interpreter is what `compare --peer` and `speed fit --peer` take.
    """
    python = path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(path, with_pip=True)
    if subprocess.run([python, "-m", "pip", "install", PEER], check=False).returncode:
        raise click.ClickException(f"pip could not install {PEER} into {path}")
    click.echo(python)


def version_of(python: Path) -> str:
    """The version of tracer-llm that this interpreter imports."""
    done = subprocess.run(
        [python, "-c", "import tracer, numpy; print(tracer.__version__)"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise click.BadParameter(
            f"{python} does not import tracer-llm; `python -m benchmarks peer-env PATH` makes an environment that "
            f"does.\n{done.stderr}",
            param_hint="--peer",
        )
    return done.stdout.strip()


peer_option = click.option(
    "--peer",
    type=click.Path(path_type=Path, dir_okay=False, exists=True, executable=True),
    help="Interpreter of an environment with tracer-llm; without it the peer is left out.",
)


def peer_skip_option(*default: str) -> Callable[[Command], Command]:
    return click.option(
        "--peer-skip",
        multiple=True,
        default=default,
        show_default=True,
        help="Model that the peer leaves out of its zoo (its own option `skip`); repeatable; '' for none.",
    )
