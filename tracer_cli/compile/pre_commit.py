"""A hook for pre-commit that refuses a commit with stale compiled files, added to a configuration that may exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import yaml

from tracer_cli.compile.emit import emit

FILE = ".pre-commit-config.yaml"
HOOK = "tracer-compile-check"


def entry(folder: str) -> dict[str, Any]:
    """The hook for a project in this folder of its repository, '' for the repository itself.

    It is a local one and runs the `tracer` of the environment: another version would compile other files.
    """
    prefix = re.escape(f"{folder}/") if folder else ""
    hook = {
        "id": HOOK,
        "name": "dvc.yaml and params.yaml are compiled from tracer.yaml",
        "entry": f"tracer compile --check{f' --dir {shlex.quote(folder)}' if folder else ''}",
        "language": "system",
        "files": rf"^{prefix}(tracer|dvc|params)\.yaml$",
        "pass_filenames": False,
    }
    return {"repo": "local", "hooks": [hook]}


def text_of(folder: str) -> str:
    """The repository's entry as it stands under `repos:`."""
    return emit([entry(folder)])


def with_hook(text: str, folder: str) -> str | None:
    """A configuration with the hook added and every other line as it was.

    The same text when it has the hook already; None when it cannot be added safely: the result, read again, would not
    be what was there and the hook.
    """
    old = _values(text)
    if old is None:
        return None
    ours = entry(folder)
    if any(_has(repository, ours) for repository in old.get("repos") or []):
        return text
    wanted = {**old, "repos": [*(old.get("repos") or []), ours]}
    return next((new for new in _candidates(text, old, folder) if _values(new) == wanted), None)


def _has(repository: Any, ours: dict[str, Any]) -> bool:
    """Whether the hook is there for this project; a repository with several projects has one for each."""
    hooks = repository.get("hooks") if isinstance(repository, dict) else None
    wanted = ours["hooks"][0]["entry"]
    return any(
        isinstance(hook, dict) and hook.get("id") == HOOK and hook.get("entry", wanted) == wanted
        for hook in (hooks if isinstance(hooks, list) else [])
    )


def _values(text: str) -> dict[str, Any] | None:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    if values is None:
        return {}
    usable = isinstance(values, dict) and isinstance(values.get("repos") or [], list)
    return values if usable else None


def _candidates(text: str, old: dict[str, Any], folder: str) -> Iterator[str]:
    """The text with the entry put after the last one: before the comments that follow it, or after them, since what
    looks like a comment may be the end of a block of text."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    block = text_of(folder).splitlines(keepends=True)
    if "repos" not in old:
        yield "".join([*lines, "repos:\n", *block])
        return
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    key, node = next((key, node) for key, node in root.value if key.value == "repos")
    indent = node.start_mark.column if isinstance(node, yaml.SequenceNode) and not node.flow_style else 0
    after = node.end_mark.line + (1 if node.end_mark.column else 0)
    before = after
    while before > key.start_mark.line + 1 and not lines[before - 1].split("#", 1)[0].strip():
        before -= 1
    for place in (before, after):
        yield "".join([*lines[:place], *(f"{' ' * indent}{line}" for line in block), *lines[place:]])
