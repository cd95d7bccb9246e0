"""Options that several commands have, and what they stand for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from benchmarks import data, vectors
from benchmarks.vectors import DEFAULT_CACHE, Prepared

Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)

data_folder = click.option(
    "--data",
    type=FOLDER,
    envvar="TRACER_BENCH_DATA",
    show_envvar=True,
    help="Folder with banking77/ and banking77-gpt/.",
)
cache_folder = click.option(
    "--cache",
    type=FOLDER,
    default=DEFAULT_CACHE,
    show_default="~/.cache/tracer-bench",
    help="Folder for vectors, outside the repository.",
)
trace_options = (
    click.option(
        "--traces",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="A JSONL file with input and teacher, instead of the public data (with it, if --data is given too).",
    ),
    click.option(
        "--vectors",
        "vector_file",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="A .npy matrix with one row for each line of --traces. [default: MiniLM's]",
    ),
    click.option("--n", "sizes", type=click.IntRange(1), multiple=True, help="Traces drawn from --traces; repeatable."),
)
study_options = (
    click.option("--first-seed", type=int, default=0, show_default=True, help="Seed of the first split."),
    click.option(
        "--delta",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=0.1,
        show_default=True,
        help="The certificates may fail with this probability.",
    ),
    click.option("--zoo", metavar="JSON", help="tracer's `zoo` section as JSON. [default: the package's default zoo]"),
    click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Processes side by side."),
    click.option(
        "--results",
        type=FILE,
        required=True,
        help="JSONL file that results are appended to; what it holds is not run again.",
    ),
)


def add(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options in the order in which they are to be shown."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def zoo_of(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        zoo = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--zoo") from error
    if not isinstance(zoo, dict):
        raise click.BadParameter("expected an object: a name and a kind for each model", param_hint="--zoo")
    return zoo


def row_of(text: str) -> tuple[str, int]:
    """`banking77:2000` as name and number."""
    name, _, size = text.partition(":")
    if name not in data.PUBLIC or not size.isdecimal():
        raise click.BadParameter(f"{text!r} is not one of {', '.join(data.PUBLIC)} with a size, as in banking77:2000")
    return name, int(size)


def wants_public(traces: Path | None) -> bool:
    """The public data is used unless --traces stands in for it: a folder that only the environment names does not."""
    given = click.get_current_context().get_parameter_source("data") is click.core.ParameterSource.COMMANDLINE
    return traces is None or given


def prepared(names: list[str], folder: Path | None, cache: Path) -> dict[str, Prepared]:
    """The public sets of these names, each read once."""
    sets = {name: data.public(name, folder) for name in dict.fromkeys(names)}
    return {name: vectors.prepare(found, cache) for name, found in sets.items()}


def prepared_traces(path: Path, vector_file: Path | None, sizes: tuple[int, ...], cache: Path) -> Prepared:
    if not sizes:
        raise click.UsageError("--traces needs --n: how many of them a system is given")
    return vectors.prepare(data.trace_file(path, vector_file), cache)
