"""Data -> YAML text in DVC's own style: keys in order, lists not indented, text quoted where in doubt.

Text is quoted wherever any reader could take it for something else: YAML 1.1 reads `yes`, `0123` and `12:30` as
values, YAML 1.2 reads `1e-3` and `0o14` as numbers, and DVC's reader fails on a plain `=`.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from tracer_cli.config.document import core_value

_PLAIN = re.compile(r"[A-Za-z./][\w./@*+${}(),;'-]*( [\w./@*+${}(),;'-]+)*", re.ASCII)


def emit(data: Any) -> str:
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**9)
    return text


def scalar(value: str) -> str:
    """One piece of text as it would stand after a key."""
    return emit({"k": value}).removeprefix("k: ").rstrip("\n")


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))


def _style(text: str) -> str | None:
    if not text.isprintable():
        return '"'
    first_kind = yaml.SafeDumper.yaml_implicit_resolvers.get(text[:1], [])
    is_text_in_yaml_1_1 = not any(pattern.match(text) for _, pattern in first_kind)
    if _PLAIN.fullmatch(text) and is_text_in_yaml_1_1 and isinstance(core_value(text), str):
        return None
    return "'"


_Dumper.add_representer(str, _text)
