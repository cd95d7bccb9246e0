"""What the fields of tracer.yaml must satisfy together, so that DVC can run what it compiles to.

The graph must have no loop: nothing that a stage reads from outside may lie where a stage writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tracer_cli.config.literal import Wrong, not_literal
from tracer_cli.config.paths import absolute, dependency, inside, normal
from tracer_cli.config.schema import Config, PrecomputedEmbedder
from tracer_cli.config.sections import embedder_problems, source_problems

WORK_FOLDERS = ("artifacts", "metrics", "plots")
_PROJECT_FILES = ("tracer.yaml", "dvc.yaml", "params.yaml", "dvc.lock")
_TOOL_FOLDERS = (".git", ".dvc")
_POLICY_FILES = ("manifest.json", "policy.onnx", "embedder", "frontier.json", "qualitative_report.json")

_HOME = re.compile(r"~\w*(?=/|$)")


def check(config: Config, root: Path) -> Iterator[Wrong]:
    """Everything that is wrong in a configuration whose fields are each right; `root`: the folder of tracer.yaml."""
    base = Path.cwd().joinpath(root).as_posix()
    outputs = list(_outputs(config, base))
    if outputs:  # the checks below would only repeat it
        yield from outputs
        return
    for index, source in enumerate(config.traces):
        for key, value in (("path", source.path), ("results", source.results)):
            message = _input(value, config, base) if value is not None else None
            if message:
                yield Wrong(("traces", index, key), message)
        for problem in source_problems(source):
            yield Wrong(("traces", index, *problem.at), problem.message, problem.secret)
    if isinstance(config.embedder, PrecomputedEmbedder):
        message = _input(config.embedder.path, config, base)
        if message:
            yield Wrong(("embedder", "path"), message)
    for problem in embedder_problems(config.embedder):
        yield Wrong(("embedder", *problem.at), problem.message, problem.secret)


def output_places(config: Config) -> list[str]:
    """Where the stages write: relative to tracer.yaml."""
    return [*WORK_FOLDERS, normal(config.outputs.policy), normal(config.outputs.report), *_PROJECT_FILES]


def _outputs(config: Config, base: str) -> Iterator[Wrong]:
    policy, report = normal(config.outputs.policy), normal(config.outputs.report)
    taken = (*WORK_FOLDERS, *_PROJECT_FILES, *_TOOL_FOLDERS)
    for key, value, path in (("policy", config.outputs.policy, policy), ("report", config.outputs.report, report)):
        at = ("outputs", key)
        problem = not_literal(value) or _below_home(value)
        if problem:
            yield Wrong(at, problem)
        elif path.startswith("/") or not inside(absolute(base, path), absolute(base, ".")) or path == ".":
            yield Wrong(
                at, f"{value!r} does not lie below the project's folder; expected a relative path such as .tracer"
            )
        else:
            used = next((name for name in taken if inside(path, name) or inside(name, path)), None)
            if used:
                yield Wrong(at, f"{value!r} is where tracer, DVC or git keep {used}; expected a place of its own")
    if inside(policy, report):
        yield Wrong(("outputs", "report"), f"{config.outputs.report!r} is the folder of the policy; expected a file")
    clash = next((name for name in _POLICY_FILES if inside(report, f"{policy}/{name}")), None)
    if clash:
        yield Wrong(
            ("outputs", "report"), f"{config.outputs.report!r} is the policy's own {clash}; expected another name"
        )


def _input(value: str, config: Config, base: str) -> str | None:
    problem = not_literal(value) or _below_home(value)
    if problem:
        return problem
    watched = dependency(value)
    place = absolute(base, watched)
    project = absolute(base, ".")
    if watched != normal(value) and inside(project, place):
        return (
            f"the wildcards of {value!r} start in the project's own folder or above it, where tracer writes; "
            "put the traces into a folder of their own, such as data/traces/*.jsonl"
        )
    for output in output_places(config):
        written = absolute(base, output)
        if inside(place, written):
            return f"{value!r} lies in {output}, which tracer writes; move it to a folder such as data/traces"
        if inside(written, place):
            return f"the folder {watched!r} of {value!r} holds {output}, which tracer writes; use another folder"
    return None


def _below_home(value: str) -> str | None:
    if _HOME.match(value):
        return (
            f"{value!r} begins with a home folder, which is not the same on each machine that runs a refit; expected a "
            "path relative to tracer.yaml"
        )
    return None
