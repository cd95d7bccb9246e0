"""What each key of tracer.yaml is worth now, where that comes from, and what follows from a change of it.

Which stages run again is read off the compiled graph and params.yaml, not off a table of its own.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tracer_cli.config.document import Document, KeyPath, Place, key_path
from tracer_cli.config.json_schema import Key, kind_section, look_up, value_at
from tracer_cli.config.load import FILE_NAME as TRACER_YAML
from tracer_cli.config.paths import inside
from tracer_cli.config.resolve import FILE_NAME as PARAMS_YAML
from tracer_cli.config.resolve import params_of, source_key
from tracer_cli.config.schema import Config
from tracer_cli.errors import ConfigError

Graph = Callable[[Config], dict[str, Any]]

_TOKEN = re.compile(r"\[(\d+)\]|\[('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\]|(?:^|\.)([^.\[\]]+)")


@dataclass(frozen=True)
class Entry:
    """One key. place: where the value is written in tracer.yaml; None: it is the default."""

    path: KeyPath
    value: Any
    key: Key
    place: Place | None

    @property
    def name(self) -> str:
        return key_path(self.path)


@dataclass(frozen=True)
class Effects:
    """What a change of a key leads to.

    params: where its value stands in params.yaml; reruns: stages that read it there, or stand otherwise in dvc.yaml;
    then: stages that depend on the results of those; recompile: dvc.yaml changes too.
    """

    params: list[str]
    reruns: list[str]
    then: list[str]
    recompile: bool


class Explainer:
    """Answers about one tracer.yaml. graph: a configuration -> the data of dvc.yaml."""

    def __init__(self, document: Document, config: Config, graph: Graph) -> None:
        self.document = document
        self.config = config
        self.graph = graph
        self.values: dict[str, Any] = config.model_dump(mode="json", by_alias=True)
        self.params = params_of(config)

    def entries(self, under: KeyPath = ()) -> list[Entry]:
        """Every value at or below a key, in the order of the schema; a list of plain values is one."""
        return [self.entry(path) for path in _leaves(_at(self.values, under), under)]

    def entry(self, path: KeyPath) -> Entry:
        key = look_up(path, self.values)
        assert key is not None, path
        place = self.document.place(path, key=self.is_section(path)) if self.document.has(path) else None
        return Entry(path, _at(self.values, path), key, place)

    def is_section(self, path: KeyPath) -> bool:
        return _is_section(_at(self.values, path))

    def find(self, text: str) -> list[KeyPath]:
        """The keys that `text` names: a path of tracer.yaml, or of params.yaml, where a group names several.

        Raises ConfigError, with the nearest names, when there is none.
        """
        path = parse(text)
        if path and look_up(path, self.values) and self._there(path):
            return [path]
        return self._of_params(path) or self._unknown(text, path)

    def names(self) -> list[str]:
        """Every key and section that `find` takes, as it is written."""
        paths: dict[KeyPath, None] = {}
        for leaf in _leaves(self.values, ()):
            paths |= dict.fromkeys(leaf[:end] for end in range(1, len(leaf) + 1))
        return [key_path(path) for path in paths]

    def nearest(self, path: KeyPath) -> Place | None:
        """Where the section stands in which a key is to be written; None when it is not there either."""
        inner = next((path[:end] for end in range(len(path) - 1, 0, -1) if self.document.has(path[:end])), None)
        return self.document.place(inner, key=True) if inner else None

    def unused(self, entry: Entry) -> str | None:
        """Why the key has no value here; None when it has one."""
        if entry.key.kind is not None:
            at, kind = entry.key.kind
            return f"goes with {key_path((*at, 'kind'))}: {kind}, which is {_at(self.values, (*at, 'kind'))} here"
        for end in range(1, len(entry.path)):
            if _at(self.values, entry.path[:end]) is None:
                return f"{key_path(entry.path[:end])} is null here"
        return None

    def effects(self, path: KeyPath) -> Effects:
        stages = expanded(self.graph(self.config))
        changed = [
            at
            for at in _leaves(self.params, ())
            if (source := source_key(at, self.params))
            and (_begins(source, path) or (_begins(path, source) and not self.is_section(source)))
        ]
        direct = {
            name for name, stage in stages.items() if _reads(stage, changed) or TRACER_YAML in _names(stage, "deps")
        }
        recompile = False
        for other in self._probes(path):
            there = expanded(self.graph(other))
            recompile |= there != stages
            direct |= {name for name in stages if name in there and there[name] != stages[name]}
        then = _downstream(stages, direct)
        return Effects(
            [key_path(at) for at in _common(changed, self.params)],
            [name for name in stages if name in direct],
            [name for name in stages if name in then],
            recompile,
        )

    def _there(self, path: KeyPath) -> bool:
        """Whether the names and list items on the way are those of this file; a key of another kind need not be."""
        value: Any = self.values
        for part in path:
            if isinstance(value, list) and not (isinstance(part, int) and part < len(value)):
                return False
            if value is self.values["zoo"] and part not in self.config.zoo:
                return False
            value = value_at(value, part)
        return True

    def _of_params(self, path: KeyPath) -> list[KeyPath]:
        sources = (source_key(at, self.params) for at in _leaves(self.params, ()) if path and _begins(at, path))
        return list(dict.fromkeys(source for source in sources if source is not None))

    def _unknown(self, text: str, path: KeyPath) -> list[KeyPath]:
        known = self.names()
        if path[:1] == ("stage_version",):
            raise ConfigError(f"{text} is no key of {self.document.name}: it is the version of tracer's own code")
        if path[:1] == ("zoo",) and len(path) > 1 and path[1] not in self.config.zoo:
            near = difflib.get_close_matches(str(path[1]), self.config.zoo, n=1)
            hint = f"its zoo has {', '.join(map(repr, self.config.zoo))}{_meant(near)}"
            raise ConfigError(f"{self.document.name} has no model {str(path[1])!r}; {hint}")
        last = str(path[-1]) if path else text
        near = [name for name in known if parse(name)[-1] == last] or difflib.get_close_matches(text, known, n=1)
        if not near:  # a slip in a last part that stands alone
            ends = {str(parse(name)[-1]): name for name in reversed(known)}
            near = [ends[end] for end in difflib.get_close_matches(last, ends, n=1)]
        raise ConfigError(f"{self.document.name} has no key {text!r} (`tracer explain` lists all){_meant(near[:3])}")

    def _probes(self, path: KeyPath) -> Iterator[Config]:
        """The configuration with other values of the key, where that can change dvc.yaml: text and names."""
        for at in _leaves(_at(self.values, path), path):
            value = _at(self.values, at)
            if isinstance(value, str):
                yield from self._with(at, f"elsewhere/{value.lstrip('/')}")
        if path in (("embedder",), ("embedder", "kind")):
            key = look_up(("embedder",), self.values)
            assert key is not None
            for kind in key.node["discriminator"]["mapping"]:
                needed = kind_section(key.node, kind).get("required", ())
                yield from self._with(("embedder",), {**dict.fromkeys(needed, "elsewhere"), "kind": kind})
        if path[:1] == ("zoo",) and len(path) <= 2:
            zoo = self.values["zoo"]
            names = [name for name in zoo if path[1:] in ((), (name,))]
            yield from self._with(("zoo",), {f"other {name}" if name in names else name: zoo[name] for name in zoo})

    def _with(self, path: KeyPath, value: Any) -> Iterator[Config]:
        try:
            yield Config.model_validate(_replaced(self.values, path, value))
        except ValidationError:  # such as a choice that is not one of the words
            return


def _meant(near: list[str]) -> str:
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def parse(text: str) -> KeyPath:
    """The inverse of `key_path`; () when `text` is no path."""
    path: list[str | int] = []
    end = 0
    for match in _TOKEN.finditer(text):
        if match.start() != end:
            return ()
        end = match.end()
        index, quoted, word = match.groups()
        path.append(int(index) if index else ast.literal_eval(quoted) if quoted else word)
    return tuple(path) if end == len(text) else ()


def expanded(graph: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The stages of dvc.yaml with each matrix written out, named as DVC names them."""
    stages: dict[str, dict[str, Any]] = {}
    for name, stage in graph["stages"].items():
        for model in stage.get("matrix", {}).get("model", [None]):
            plain = {key: value for key, value in stage.items() if key != "matrix"}
            stages[f"{name}@{model}" if model else name] = _filled(plain, model)
    return stages


def _filled(value: Any, model: str | None) -> Any:
    if isinstance(value, dict):
        return {_filled(key, model): _filled(item, model) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, model) for item in value]
    return value.replace("${item.model}", model) if isinstance(value, str) and model else value


def _names(stage: dict[str, Any], *fields: str) -> list[str]:
    entries = [entry for field in fields for entry in stage.get(field, ())]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def _reads(stage: dict[str, Any], changed: list[KeyPath]) -> bool:
    """Whether one of the places in params.yaml is below one that the stage names; slugs hold no dot."""
    watched = [tuple(name.split(".")) for name in _names(stage, "params")]
    return any(_begins(at, name) for at in changed for name in watched)


def _downstream(stages: dict[str, dict[str, Any]], start: set[str]) -> set[str]:
    found = set(start)
    while True:
        made = [out for name in found for out in _names(stages[name], "outs", "metrics", "plots") if out != PARAMS_YAML]
        more = {
            name
            for name, stage in stages.items()
            if any(inside(dep, out) or inside(out, dep) for dep in _names(stage, "deps") for out in made)
        }
        if more <= found:
            return found - start
        found |= more


def _common(paths: list[KeyPath], tree: Any) -> list[KeyPath]:
    """The same places in fewer words: a section instead of all that is in it."""
    kept = dict.fromkeys(paths)
    for depth in range(max(map(len, paths), default=0) - 1, 0, -1):
        for parent in dict.fromkeys(path[:depth] for path in kept if len(path) > depth):
            below = [path for path in kept if _begins(path, parent)]
            if len(below) > 1 and sum(len(_all(path, tree)) for path in below) == len(_all(parent, tree)):
                kept = dict.fromkeys(parent if path in below else path for path in kept)
    return list(kept)


def _all(path: KeyPath, tree: Any) -> list[KeyPath]:
    return list(_leaves(_at(tree, path), path))


def _leaves(value: Any, at: KeyPath) -> Iterator[KeyPath]:
    if not _is_section(value):
        yield at
        return
    for part, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(item, (*at, part))


def _is_section(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))


def _begins(path: KeyPath | None, start: KeyPath) -> bool:
    return path is not None and path[: len(start)] == start


def _at(tree: Any, path: KeyPath) -> Any:
    """The value there; None when it is in a section that is null or of another kind."""
    for part in path:
        tree = value_at(tree, part)
    return tree


def _replaced(tree: Any, path: KeyPath, value: Any) -> Any:
    if not path:
        return value
    items: Any = dict(tree) if isinstance(tree, dict) else list(tree)
    items[path[0]] = _replaced(items[path[0]], path[1:], value)
    return items
