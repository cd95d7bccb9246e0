"""tracer.yaml -> Config, or one ConfigError with everything that is wrong, each at its line and column."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tracer_cli.config import checks, literal
from tracer_cli.config.document import Document, KeyPath, Problem, core_value, key_path, read
from tracer_cli.config.json_schema import choices, expectation, locate
from tracer_cli.config.scalars import Scalar
from tracer_cli.config.schema import SCHEMA_VERSION, Config

FILE_NAME = "tracer.yaml"

_UNKNOWN_KEY = "extra_forbidden"
_NO_KIND = "union_tag_not_found"
_WRONG_KIND = "union_tag_invalid"


def load_config(path: Path) -> Config:
    """Read and check one tracer.yaml; the folder that holds it is what its relative paths start from."""
    return load_document(path)[1]


def load_document(path: Path) -> tuple[Document, Config]:
    """The same, together with the document that knows where each key stands."""
    document = read(path)
    return document, config_from(document, path.parent)


def config_from(document: Document, root: Path) -> Config:
    """Check what was read; relative paths start from `root`."""
    if document.data is None and not document.problems:
        document.problems.append(
            Problem(document.place(()), "the file is empty; expected at least traces: with the path of one source")
        )
    elif not isinstance(document.data, dict) and document.data is not None:
        document.problems.append(
            Problem(document.place(()), f"found {_found(document.data)}; expected a mapping with keys such as traces")
        )
    if not isinstance(document.data, dict):
        raise document.error(document.problems)
    _refuse_future(document)
    try:
        config = Config.model_validate(document.data)
    except ValidationError as error:
        told = {problem.place for problem in document.problems}
        new = [problem for problem in _problems(document, error) if problem.place not in told]
        raise document.error([*document.problems, *new]) from None
    if document.problems:
        raise document.error(document.problems)
    wrongs = [
        Problem(document.place(wrong.at), f"{key_path(wrong.at)}: {wrong.message}", wrong.secret)
        for wrong in checks.check(config, root)
    ]
    if wrongs:
        raise document.error(wrongs)
    return config


def _refuse_future(document: Document) -> None:
    """A file of a later schema is refused for that alone: what else looks wrong may be right there."""
    version = document.data.get("schema")
    if isinstance(version, Scalar) and type(version.value) is int and version.value > SCHEMA_VERSION:
        text = (
            f"schema: this file is written for schema {version.text}, and this tracer reads schema {SCHEMA_VERSION}: "
            "upgrade tracer (pip install --upgrade tracer-cli), and check with `tracer --version`"
        )
        raise document.error([Problem(document.place(("schema",)), text)])


def problem_texts(data: Any, name: str, error: ValidationError) -> list[str]:
    """What is wrong in data that did not come from a file with places, in the order of the keys."""
    return [problem.text for problem in _problems(Document(name, "", data), error)]


def _problems(document: Document, error: ValidationError) -> list[Problem]:
    """One problem for each place: the branches of a union are one message."""
    problems: dict[KeyPath, Problem] = {}
    for detail in error.errors(include_url=False):
        path, problem = _problem(document, detail)
        problems.setdefault(path, problem)
    return list(problems.values())


def _problem(document: Document, detail: ErrorDetails) -> tuple[KeyPath, Problem]:
    kind, context = detail["type"], detail.get("ctx", {})
    spot = locate(detail["loc"])
    path, known = spot.path, choices(spot.node)
    if kind == "wrong":
        path = (*path, *context["at"])
        return path, Problem(document.place(path, key=True), f"{key_path(path)}: {context['message']}")
    if kind == _UNKNOWN_KEY:
        text = f"unknown key; expected one of {', '.join(known)}{_nearest(path[-1], known)}"
    elif kind == "missing":
        text = f"missing; expected {expectation(spot.node)}"
    elif kind == _NO_KIND and isinstance(_at(document.data, path), dict):
        path = (*path, "kind")
        text = f"missing; expected one of {', '.join(known)}"
    elif kind == _WRONG_KIND:
        value = _at(document.data, (*path, "kind"))
        path = (*path, "kind")
        text = f"found {_found(value)}; expected one of {', '.join(known)}{_nearest(value, known)}"
    elif spot.is_key:
        text = f"found {_found(path[-1])} as a name; expected {expectation(spot.node)}"
    else:
        value = _at(document.data, path)
        text = f"found {_found(value)}; expected {expectation(spot.node)}{_nearest(value, known)}"
        if value is None and spot.optional:
            text += "; to keep the default, leave the key out"
        elif isinstance(value, str) and literal.VARIABLE.search(value):
            text += "; environment variables are not filled in: write the value out"
        elif "number" in text and isinstance(value, str) and isinstance(core_value(value), int | float):
            text += "; take the quotes off"
    place = document.place(path, key=spot.is_key)
    return path, Problem(place, f"{key_path(path)}: {text}" if path else text)


def _at(data: Any, path: KeyPath) -> Any:
    for part in path:
        data = data[part]
    return data


def _found(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, Scalar):
        return _short(value.text)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    return f"the text {_short(repr(value))}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _nearest(word: object, known: Sequence[str]) -> str:
    text = str(word)
    folded = {name.lower().replace("-", "_"): name for name in known}
    match = difflib.get_close_matches(text.lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    return f"; did you mean {folded[match[0]]!r}?" if match and not isinstance(word, dict | list) else ""
