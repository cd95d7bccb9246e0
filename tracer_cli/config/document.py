"""Strict YAML with places: text in, plain data and the line and column of every key and value out.

Scalars follow the YAML 1.2 core schema, and a plain scalar that is not text stays a `Scalar`, so that a name
may be written `0123` or `1e-3` without quotes. Tags, repeated keys and anchors that hold themselves are problems.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tracer_cli.config.scalars import Scalar
from tracer_cli.errors import ConfigError

KeyPath = tuple[str | int, ...]

_MOST_NODES = 100_000  # aliases can make a short file large
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_WIDEST_SNIPPET = 110

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"[-+]?\.(inf|Inf|INF)")
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def core_value(text: str) -> bool | int | float | str | None:
    """The value of a plain scalar under the YAML 1.2 core schema (YAML 1.2.2, section 10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    try:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _OCTAL.fullmatch(text):
            return int(text[2:], 8)
        if _HEXADECIMAL.fullmatch(text):
            return int(text[2:], 16)
        if _FLOAT.fullmatch(text):
            return float(text)
    except ValueError:  # more digits than Python converts
        return text
    if _INFINITY.fullmatch(text):
        return float("-inf") if text[0] == "-" else float("inf")
    return text


# In a line that is shown with an error: user and password of a URL, and what its parameters call a secret.
_URL_SECRET = re.compile(
    r"(?<=://)[^/?#@\s'\"]*@|(?<=[?&])[^=&\s]*(?:key|token|secret|passw)[^=&\s]*=[^&\s'\",}]*", re.IGNORECASE
)


@dataclass(frozen=True, order=True)
class Place:
    """A line and a column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, order=True)
class Problem:
    """secret: what stands at the place may be a password or a key, and is not shown."""

    place: Place
    text: str
    secret: bool = False


@dataclass
class Document:
    """One YAML file as it was read; `problems` are in it, not raised, so that all can be told at once."""

    name: str
    text: str
    data: Any = None
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: KeyPath, key: bool = False) -> Place:
        """Where the value (or the key) at `path` stands; the nearest section around it when it is not written."""
        for end in range(len(path), -1, -1):
            places = self.keys if (key or end < len(path)) and path[:end] in self.keys else self.values
            if path[:end] in places:
                return places[path[:end]]
        return Place(1, 1)

    def has(self, path: KeyPath) -> bool:
        return path in self.values

    def error(self, problems: list[Problem]) -> ConfigError:
        """All problems in one error, sorted by place, each with its line and a caret."""
        lines = [_URL_SECRET.sub(_stars, line) for line in _LINE_BREAK.split(self.text)]
        for problem in problems:
            if problem.secret and problem.place.line <= len(lines):
                shown, hidden = (lines[problem.place.line - 1][part] for part in _parts_at(problem.place))
                lines[problem.place.line - 1] = shown + re.sub(r"\S", "*", hidden)
        blocks = []
        for problem in sorted(set(problems)):
            block = f"{self.name}:{problem.place.line}:{problem.place.column}: {problem.text}"
            snippet = _snippet(lines, problem.place)
            blocks.append(f"{block}\n{snippet}" if snippet else block)
        return ConfigError("\n".join(blocks))

    def plain(self) -> Any:
        """The data with every `Scalar` replaced by its value."""
        return _plain(self.data)


def read(path: Path, name: str | None = None) -> Document:
    """Read a YAML file; only a file that cannot be opened is raised, as ConfigError."""
    name = name or str(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"{name}: no such file; `tracer init` writes one, or name its folder with --dir") from error
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror or error}") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = raw[: error.start].decode("utf-8-sig")
        shown = raw.decode("utf-8-sig", errors="replace")
        problem = Problem(_place_of(good), f"not UTF-8: byte 0x{raw[error.start]:02x}; expected a file saved as UTF-8")
        return Document(name, shown, problems=[problem])
    return parse(text, name)


def parse(text: str, name: str) -> Document:
    document = Document(name, text)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
        if node is not None:
            document.data = _Reading(document).value(node, ())
    except yaml.reader.ReaderError as error:
        code = error.character if isinstance(error.character, int) else ord(error.character)
        document.problems.append(
            Problem(_place_of(text[: error.position]), f"the character U+{code:04X} is not allowed in YAML; remove it")
        )
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        document.problems.append(Problem(place, _syntax(error)))
    except RecursionError:
        document.problems.append(Problem(Place(1, 1), "nested too deeply"))
    return document


class _Loader(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser, yaml.composer.Composer):
    """PyYAML without its YAML 1.1 resolver: a plain scalar gets the tag `plain`, a quoted one `quoted`."""

    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)
        yaml.composer.Composer.__init__(self)

    def descend_resolver(self, parent: Any, index: Any) -> None: ...

    def ascend_resolver(self) -> None: ...

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        return "plain" if kind is yaml.ScalarNode and implicit[0] else "quoted"


class _Reading:
    """Turns nodes into data and writes places and problems into the document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.open: set[int] = set()
        self.nodes = 0

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.nodes += 1
        self.document.values[path] = place = _start(node)
        if self.nodes > _MOST_NODES:
            raise yaml.MarkedYAMLError(None, None, f"more than {_MOST_NODES} values", node.start_mark)
        if id(node) in self.open:
            return self.problem(place, path, "an anchor that holds itself; write the value out")
        if node.tag not in ("plain", "quoted"):
            shown = node.tag.replace("tag:yaml.org,2002:", "!!")
            return self.problem(place, path, f"the tag {shown} is not allowed; to make a value text, quote it")
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            return self.scalar(node, path)
        finally:
            self.open.discard(id(node))

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = _start(key_node)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in ("plain", "quoted"):
                self.problem(place, path, "this key is not text; expected a name")
                continue
            key = self.text(key_node, path)
            inner = (*path, key)
            if key in data:
                first = self.document.keys[inner].line
                self.problem(place, inner, f"written twice, first in line {first}; remove one")
                continue
            self.document.keys[inner] = place
            data[key] = self.value(value_node, inner)
        return data

    def scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        text = self.text(node, path)
        if node.tag == "quoted":
            return text
        value = core_value(text)
        return value if value is None or isinstance(value, str) else Scalar(text, value)

    def text(self, node: yaml.Node, path: KeyPath) -> str:
        text = str(node.value)
        if any("\ud800" <= character <= "\udfff" for character in text):
            self.problem(_start(node), path, "half of a surrogate pair (\\ud800 to \\udfff) is not a character")
            return text.encode("utf-8", "replace").decode("utf-8")
        return text

    def problem(self, place: Place, path: KeyPath, text: str) -> None:
        self.document.problems.append(Problem(place, f"{key_path(path)}: {text}" if path else text))


def key_path(path: KeyPath) -> str:
    """`traces[0].path`; a name with other characters is quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[\w-]+", part):
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, Scalar) else value


def _start(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _place_of(before: str) -> Place:
    lines = _LINE_BREAK.split(before)
    return Place(len(lines), len(lines[-1]) + 1)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "cannot be read"
    if "'\\t'" in problem:
        return "not valid YAML: a tab cannot begin a value or an indentation; expected spaces"
    if problem == "but found another document":
        return "not valid YAML: a second document begins here; expected one document"
    if problem.startswith("more than"):
        return f"{problem}: an anchor is used too often"
    context = f" ({error.context})" if error.context and error.problem else ""
    return f"not valid YAML: {problem}{context}"


def _parts_at(place: Place) -> tuple[slice, slice]:
    return slice(place.column - 1), slice(place.column - 1, None)


def _stars(match: re.Match[str]) -> str:
    return "*" * len(match[0])


def _snippet(lines: list[str], place: Place) -> str:
    """The source line, cut to a window around the column, and a caret below it."""
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    column = min(place.column - 1, len(line))
    begin = 0 if len(line) <= _WIDEST_SNIPPET else max(0, column - _WIDEST_SNIPPET // 2)
    shown = line[begin : begin + _WIDEST_SNIPPET].rstrip()
    if not shown.strip():
        return ""
    blank = "".join("\t" if character == "\t" else " " for character in shown[: column - begin])
    return f"    {shown}\n    {blank.ljust(column - begin)}^"
