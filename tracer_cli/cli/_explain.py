"""The text and the JSON of `tracer explain`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracer_cli.compile.dvc import dvc_data
from tracer_cli.compile.emit import scalar
from tracer_cli.compile.existing import embedder_path
from tracer_cli.config.document import KeyPath, key_path
from tracer_cli.config.explain import Entry, Explainer
from tracer_cli.config.load import FILE_NAME, load_document


def explainer(folder: Path) -> Explainer:
    """Raises ConfigError when tracer.yaml is missing or wrong."""
    document, config = load_document(folder / FILE_NAME)
    return Explainer(document, config, lambda config: dvc_data(config, embedder_path(folder, config)))


def shown(about: Explainer, paths: Sequence[KeyPath] | None, as_json: bool) -> str:
    """paths: the keys that were asked for; None: every value."""
    if as_json:
        return json.dumps(_data(about, paths), indent=2, ensure_ascii=False) + "\n"
    if paths is None:
        return _table(about, about.entries())
    return "\n".join(_one(about, path) for path in paths)


def _data(about: Explainer, paths: Sequence[KeyPath] | None) -> Any:
    if paths is None:
        return [_entry(about, entry) for entry in about.entries()]
    found = [_full(about, path) for path in paths]
    return found[0] if len(found) == 1 else found


def _entry(about: Explainer, entry: Entry) -> dict[str, Any]:
    place = entry.place
    where = {"file": about.document.name, "line": place.line, "column": place.column} if place else None
    return {"key": entry.name, "value": entry.value, "set": where, "meaning": entry.key.meaning}


def _full(about: Explainer, path: KeyPath) -> dict[str, Any]:
    entry, effects, unused = about.entry(path), about.effects(path), about.unused(about.entry(path))
    data = _entry(about, entry) | {
        "expected": entry.key.expected,
        "required": entry.key.required,
        "default": entry.key.node.get("default"),
        "unused": unused,
        "params": effects.params,
        "reruns": [] if unused else effects.reruns,
        "then": effects.then,
        "recompile": effects.recompile,
    }
    if about.is_section(path):
        data["keys"] = [_entry(about, inner) for inner in about.entries(path)]
    return data


def _table(about: Explainer, entries: list[Entry], indent: str = "") -> str:
    """A line for each value, with an empty one between the sections of the file."""
    rows = [(entry.name, value_text(entry.value), _where(about, entry), entry.key.meaning) for entry in entries]
    widths = [min(max((len(row[column]) for row in rows), default=0), 40) for column in range(3)]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    lines = []
    for number, (entry, row) in enumerate(zip(entries, rows, strict=True)):
        if number and entry.path[0] != entries[number - 1].path[0] and len(entry.path) > 1:
            lines.append("")
        cells = [cell.ljust(size) for cell, size in zip(row[:3], widths, strict=True)]
        lines.append(_cut(indent + "  ".join([*cells, row[3]]).rstrip(), width))
    return "".join(f"{line}\n" for line in lines)


def _one(about: Explainer, path: KeyPath) -> str:
    entry = about.entry(path)
    section = about.is_section(path)
    head = entry.name if section else f"{entry.name} = {value_text(entry.value)}"
    unused = about.unused(entry)
    facts = {"expected": entry.key.expected}
    if unused:
        return _facts(f"{entry.name} has no value here", entry.key.meaning, {**facts, "not in use": unused})
    if not section:
        default = entry.key.node.get("default")
        facts["default"] = "none: it must be written" if entry.key.required else value_text(default)
    facts["written at"] = _written(about, entry)
    effects = about.effects(path)
    facts["in params"] = ", ".join(effects.params) or "nothing: no stage reads it"
    alone = effects.reruns == ["resolve"] and not effects.recompile
    facts["a change runs"] = (
        "resolve, which writes params.yaml, and no other stage" if alone else ", ".join(effects.reruns)
    )
    if effects.then:
        facts["and then"] = f"{', '.join(effects.then)}: what depends on their results, where these differ"
    if effects.recompile:
        facts["first"] = "tracer compile: it can change dvc.yaml too"
    text = _facts(head, entry.key.meaning, facts)
    return f"{text}\n{_table(about, about.entries(path), '  ')}" if section else text


def _facts(head: str, meaning: str, facts: dict[str, str]) -> str:
    lines = [head, *([f"  {meaning}"] if meaning else []), ""]
    return "".join(f"{line}\n" for line in [*lines, *(f"  {name:<14} {text}" for name, text in facts.items())])


def _written(about: Explainer, entry: Entry) -> str:
    name = about.document.name
    if entry.place:
        return f"{name}:{entry.place.line}:{entry.place.column}"
    near = about.nearest(entry.path)
    if near:
        return f"nowhere: it is the default; the section to write it in is at {name}:{near.line}"
    top = key_path(entry.path[:1])
    return f"nowhere: it is the default; {name} has no {top} yet"


def _where(about: Explainer, entry: Entry) -> str:
    return f"{about.document.name}:{entry.place.line}" if entry.place else "default"


def value_text(value: Any) -> str:
    """A value as it would be written in tracer.yaml, in one line."""
    if isinstance(value, str):
        return scalar(value)
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key)}: {value_text(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def _cut(line: str, width: int) -> str:
    return line if not width or len(line) <= width else f"{line[: width - 1]}…"
