"""The stages of a dvc.yaml, each member of a `matrix` on its own, in an order in which they can run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tracer_cli.artifacts import STAGES
from tracer_cli.config.paths import inside
from tracer_cli.review.plan.lock import Entry


@dataclass(frozen=True)
class Stage:
    """One stage.

    params: keys of params.yaml. uncached: outputs that git keeps. persist: an output stays in place during a run,
    which keeps the stage out of the run cache. added: not one of tracer's own; its last run tells what it reads.
    """

    name: str
    cmd: str
    deps: tuple[str, ...]
    params: tuple[str, ...]
    outs: tuple[str, ...]
    uncached: tuple[str, ...] = ()
    frozen: bool = False
    persist: bool = False
    added: bool = False


def stages_of(data: Mapping[str, Any], lock: Mapping[str, Entry], names: Iterable[str] = ()) -> list[Stage]:
    """The stages in dvc.yaml's data, upstream first.

    names: what DVC calls the stages that changed. With dvc.lock they tell the members of a stage that people added,
    whose templates and variables DVC alone can fill in.
    """
    stages = []
    for name, stage in data.get("stages", {}).items():
        if name in STAGES:
            stages += _own(name, stage)
        else:
            members = {each for each in (*lock, *names) if each == name or each.startswith(f"{name}@")}
            stages += [_added(each, stage, lock.get(each)) for each in sorted(members or {name})]
    return _ordered(stages)


def upstream_of(stages: Iterable[Stage]) -> dict[str, list[str]]:
    """Stage -> the stages that write something that it reads."""
    every = list(stages)
    return {
        stage.name: [
            other.name
            for other in every
            if other is not stage and any(overlap(dep, out) for dep in stage.deps for out in other.outs)
        ]
        for stage in every
    }


def overlap(one: str, other: str) -> bool:
    """Whether two paths are the same, or one lies in the other."""
    return inside(one, other) or inside(other, one)


def _own(name: str, stage: Mapping[str, Any]) -> list[Stage]:
    if "matrix" not in stage:
        return [_filled(name, stage, "")]
    return [_filled(f"{name}@{model}", stage, model) for model in stage["matrix"]["model"]]


def _filled(name: str, stage: Mapping[str, Any], model: str) -> Stage:
    def fill(values: Iterable[Any]) -> tuple[str, ...]:
        paths = (value if isinstance(value, str) else next(iter(value)) for value in values)
        return tuple(path.replace("${item.model}", model) for path in paths)

    outs = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
    return Stage(
        name=name,
        cmd=stage["cmd"].replace("${item.model}", model),
        deps=fill(stage.get("deps", [])),
        params=fill(stage.get("params", [])),
        outs=fill(outs),
        uncached=fill(out for out in outs if _flag(out, "cache") is False),
        frozen=bool(stage.get("frozen")),
        persist=any(_flag(out, "persist") for out in outs),
    )


def _flag(out: Any, name: str) -> Any:
    return next(iter(out.values())).get(name) if isinstance(out, dict) else None


def _added(name: str, stage: Any, entry: Entry | None) -> Stage:
    return Stage(
        name=name,
        cmd=entry.cmd if entry else "",
        deps=tuple(entry.deps) if entry else (),
        params=tuple(entry.params) if entry else (),
        outs=tuple(entry.outs) if entry else (),
        frozen=isinstance(stage, dict) and bool(stage.get("frozen")),
        added=True,
    )


def _ordered(stages: list[Stage]) -> list[Stage]:
    """Each after what it reads from, else as they stand."""
    upstream = upstream_of(stages)
    done: dict[str, Stage] = {}
    rest = list(stages)
    while rest:
        free = next((stage for stage in rest if done.keys() >= set(upstream[stage.name])), rest[0])
        done[free.name] = free
        rest.remove(free)
    return list(done.values())
