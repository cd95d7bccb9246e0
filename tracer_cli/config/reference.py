"""docs/configuration.md: every key of tracer.yaml, made from the model that checks the file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from tracer_cli.config.json_schema import Node, described, expectation, kind_section, model_schema, resolved
from tracer_cli.config.schema import default_zoo

_INTRO = """\
# tracer.yaml

Every key, made by `make docs` from the model that checks the file; a test keeps this page fresh. `tracer explain KEY`
says the same about one key of a project, with its value, its place in the file and the stages that a change runs again.

Only `traces` must be there. A key that is left out has its default, and `params.yaml` shows every value that ran. An
unknown key, a wrong type and a key written twice are errors, told all at once ([errors.md](errors.md)). Names and
labels are text, quoted or not: `yes`, `0123` and `1e-3` stay as written. No key reads an environment variable. Paths
are relative to tracer.yaml, with forward slashes.

`schema` is raised only when an old file would mean something else. A file without it is read as schema 1; a file of a
later schema is refused.
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join([_INTRO, *_section(_Part("", "", model_schema()), 1)]).rstrip() + "\n"


class _Part(NamedTuple):
    """A section of the page: the path of its keys, which kind it is for, and its schema."""

    path: str
    kind: str
    node: Node

    @property
    def title(self) -> str:
        return f"{self.path}, kind: {self.kind}" if self.kind else self.path


def _section(part: _Part, depth: int) -> Iterator[str]:
    """A table of the section's own keys, then the sections in it."""
    inner: list[_Part] = []
    yield "| key | what it may be | default | meaning |"
    yield "|---|---|---|---|"
    for key, spec in part.node["properties"].items():
        parts = list(_parts(f"{part.path}.{key}".lstrip("."), spec))
        inner += parts
        may_be = _links(parts) if parts else f"`{part.kind}`" if key == "kind" and part.kind else expectation(spec)
        required = key in part.node.get("required", ())
        meaning = "Which section this is." if "const" in spec else described(spec)
        cells = [f"`{key}`", may_be, "required" if required else _default(spec, parts), meaning]
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
    yield ""
    for each in inner:
        yield f"{'#' * (depth + 1)} {each.title}"
        yield ""
        yield described(each.node)
        yield ""
        yield from _section(each, depth + 1)


def _parts(path: str, spec: Node) -> Iterator[_Part]:
    """The sections that a key holds: one, one for each kind, one for each item or name."""
    node = resolved(spec)
    if "properties" in node:
        yield _Part(path, "", node)
    elif "discriminator" in node:
        for kind in node["discriminator"]["mapping"]:
            yield _Part(path, kind, kind_section(node, kind))
    elif node.get("type") == "array":
        yield from _parts(f"{path}[]", node["items"])
    elif isinstance(node.get("additionalProperties"), dict):
        yield from _parts(f"{path}.NAME", node["additionalProperties"])
    else:
        for branch in node.get("anyOf", ()):
            yield from _parts(path, branch)


def _links(parts: list[_Part]) -> str:
    return ", ".join(f"[{part.kind or part.path}](#{_anchor(part.title)})" for part in parts)


def _anchor(title: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _default(spec: Node, parts: list[_Part]) -> str:
    if "default" not in spec:  # made by a function, which the schema does not show
        models = default_zoo().items()
        return ", ".join(f"`{name}: {{kind: {model.kind}}}`" for name, model in models)
    value = spec["default"]
    if not parts or value is None:
        return f"`{value if isinstance(value, str) else json.dumps(value)}`"
    return f"`{{kind: {value['kind']}}}`" if parts[0].kind else "the defaults of its keys"
