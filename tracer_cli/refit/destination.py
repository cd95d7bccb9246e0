"""Where in a project a new file of traces goes: the folder of the source that it belongs to."""

from __future__ import annotations

import glob
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tracer_cli.config.paths import WILDCARDS, dependency, normal
from tracer_cli.config.schema import Config, TraceSource
from tracer_cli.errors import ConfigError
from tracer_cli.traces.parts import part_name

BATCH = "openai-batch"


@dataclass(frozen=True)
class Destination:
    """index, source: of tracer.yaml; folder: of the parts, relative to it."""

    index: int
    source: TraceSource
    folder: str


def destination(config: Config, suffix: str, wanted: str | None) -> Destination:
    """The first source that would read a part with this ending; or the one that `wanted` names by its index or `path`.

    Raises ConfigError, which says how to declare a folder, when there is none.
    """
    sources = list(enumerate(config.traces))
    if wanted is not None:
        sources = [(index, source) for index, source in sources if wanted in (str(index), source.path)]
        if not sources:
            known = ", ".join(f"{index} ({source.path})" for index, source in enumerate(config.traces))
            raise ConfigError(f"--source: no source {wanted!r}; expected the index or the path of one: {known}")
    problems = []
    for index, source in sources:
        problem = _problem(source, suffix)
        if problem is None:
            return Destination(index, source, dependency(source.path))
        problems.append(f"  traces[{index}].path {source.path}: {problem}")
    example = f"path: data/traces/*{suffix}"
    raise ConfigError(
        f"no source of tracer.yaml takes a new file that ends in {suffix}:\n"
        + "\n".join(problems)
        + f"\nDeclare a folder, with the files that are there in it, such as `{example}`"
    )


def _problem(source: TraceSource, suffix: str) -> str | None:
    if source.pull is not None:
        return "its files come from `tracer pull`"
    if not any(character in source.path for character in WILDCARDS):
        return "it is a single file, to which nothing can be added"
    if not reads(source.path, suffix):
        return f"it would not read {dependency(source.path)}/{part_name('0' * 16, suffix)}"
    return None


def reads(pattern: str, suffix: str) -> bool:
    """Whether a glob would find a part with this ending in the folder before its first wildcard."""
    below = normal(pattern).removeprefix(dependency(pattern)).lstrip("/")
    with tempfile.TemporaryDirectory(prefix="tracer-glob-") as folder:
        part = Path(folder) / part_name("0" * 16, suffix)
        part.touch()
        return part.name in glob.glob(below, root_dir=folder, recursive=True)  # noqa: PTH207 (as ingest finds them)


def require_reads(key: str, pattern: str, suffix: str) -> None:
    """Raises ConfigError when the glob under this key would not find a part with this ending."""
    if not any(character in pattern for character in WILDCARDS) or not reads(pattern, suffix):
        raise ConfigError(
            f"{key}: {pattern} would not read a new file that ends in {suffix}; declare a folder, such as "
            f"data/answers/*{suffix}"
        )
