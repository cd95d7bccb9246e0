"""The label in a teacher's answer. What does not parse to a label is rejected with its reason, never guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from tracer_cli.config.schema import JsonParse, Parse, RegexParse, ToolParse
from tracer_cli.errors import ConfigError
from tracer_cli.traces.calls import Answer, UnusableError
from tracer_cli.traces.expressions import MISSING, parse
from tracer_cli.traces.values import required_text, scalar_text

SHOWN = 60
# Reasons that name the nearest label are worked out for this many different texts; then they come without it.
MOST_HINTS = 1000

_FENCE = re.compile(r"```[^\S\n]*[\w+.-]*[^\S\n]*\n?(.*?)(?:```|\Z)", re.DOTALL)


def compiled(pattern: str, key: str) -> re.Pattern[str]:
    """The regular expression that `key` of tracer.yaml holds. Raises ConfigError.

    One that backtracks without end (`(a+)+$`) makes ingest hang: Python's `re` cannot be told to give up.
    """
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"traces: {key} {pattern!r} is no regular expression: {error}") from error


class LabelParser:
    """Made from the `parse` section of a source."""

    def __init__(self, parse: Parse, place: str, longest: int) -> None:
        """place: what holds the answer, for the reasons; longest: of a label, in characters."""
        self._parse = parse
        self._place = place
        self._answer = "the answer" if place == "answer" else f"the answer ({place})"
        self._longest = longest
        self._pattern = compiled(parse.pattern, "parse.pattern") if isinstance(parse, RegexParse) else None
        self._allowed = None if parse.allowed is None else dict.fromkeys(parse.allowed)
        self._hints: dict[str, str] = {}

    def label(self, answers: tuple[Answer, ...]) -> str:
        """The label, not empty and without white space at its ends. Raises UnusableError.

        Each choice is parsed, and all must give the same label.
        """
        if not answers:
            raise UnusableError(f"the label ({self._place}) is missing")
        labels = [self._of(answer) for answer in answers]
        return labels[0] if len(labels) == 1 else self._one(labels, f"{len(labels)} choices with")

    def _of(self, answer: Answer) -> str:
        kind = self._parse
        if isinstance(kind, ToolParse):
            return self._one(self._in_tools(answer, kind), "calls of the tool with")
        content = answer.content
        if answer.tools and (kind.kind == "text" or content in (None, "")):
            names = ", ".join(dict.fromkeys(repr(call.name[:SHOWN]) for call in answer.tools))
            raise UnusableError(f"{self._answer} is a call of the tool {names}; set parse.kind: tool")
        if isinstance(kind, JsonParse):
            return self._finished(self._value(self._object(content), kind.key, "key"))
        if self._pattern is not None:
            return self._one(self._matches(content, self._pattern), "matches of parse.pattern with")
        return self._finished(required_text(content, "label", self._place, self._longest, "max_label_length"))

    def _one(self, labels: Iterable[str], what: str) -> str:
        found = list(dict.fromkeys(labels))
        if len(found) > 1:
            shown = ", ".join(repr(label[:SHOWN]) for label in found[:3]) + (", ..." if len(found) > 3 else "")
            raise UnusableError(f"{what} different labels: {shown}")
        return found[0]

    # --- where it stands --------------------------------------------------------------------------

    def _object(self, content: Any) -> Mapping[str, Any]:
        """The one JSON object in the answer: all of it, or all of its one code fence."""
        if isinstance(content, Mapping):
            return content
        what = self._answer
        text = self._text(content).strip().removeprefix("\ufeff")
        if not text.startswith("{"):
            fences = [block for block in _FENCE.findall(text) if block and not block.isspace()]
            if len(fences) > 1:
                raise UnusableError(f"{what} holds {len(fences)} code fences; one JSON object is expected")
            if fences and _has_object(_FENCE.sub(" ", text)):
                raise UnusableError(f"{what} holds a JSON object beside the one in its code fence")
            text = fences[0].strip() if fences else text
        return _decoded_object(text, what)

    def _value(self, found: Mapping[str, Any], key: str, name: str) -> str:
        value = parse(key).find(found)
        if value is MISSING:
            names = ", ".join(repr(str(name)[:SHOWN]) for name in list(found)[:5]) or "nothing"
            raise UnusableError(f"{self._answer} has no {name} {key!r}; it has {names}")
        return required_text(value, "label", f"{self._place}, {name} {key}", self._longest, "max_label_length")

    def _matches(self, content: Any, pattern: re.Pattern[str]) -> list[str]:
        """The label of each match; a match of nothing is none."""
        group = "label" if "label" in pattern.groupindex else min(pattern.groups, 1)
        found = [match[group] for match in pattern.finditer(self._text(content))]
        if not found:
            raise UnusableError(f"{self._answer} does not match parse.pattern")
        texts = [text for text in found if text and not text.isspace()]
        if not texts:
            raise UnusableError(f"the label ({self._place}, parse.pattern) is empty")
        place = f"{self._place}, parse.pattern"
        checked = (required_text(text, "label", place, self._longest, "max_label_length") for text in texts)
        return [self._finished(text) for text in checked]

    def _in_tools(self, answer: Answer, kind: ToolParse) -> list[str]:
        if not answer.tools:
            raise UnusableError(f"{self._answer} calls no tool")
        names = list(dict.fromkeys(call.name for call in answer.tools))
        shown = ", ".join(repr(name[:SHOWN]) for name in names[:5])
        if kind.tool is None and len(names) > 1:
            raise UnusableError(f"{self._answer} calls the tools {shown}; name one with parse.tool")
        calls = [call for call in answer.tools if kind.tool in (None, call.name)]
        if not calls:
            raise UnusableError(f"{self._answer} calls the tool {shown}, not {kind.tool!r}")
        return [self._finished(self._argument(call.name, call.arguments, kind.argument)) for call in calls]

    def _argument(self, tool: str, arguments: Any, argument: str) -> str:
        what = f"the arguments of {tool[:SHOWN]!r} ({self._place})"
        if not isinstance(arguments, Mapping):
            arguments = _decoded_object(scalar_text(arguments, what).strip(), what)
        return self._value(arguments, argument, "argument")

    def _text(self, content: Any) -> str:
        if content is MISSING:
            raise UnusableError(f"the label ({self._place}) is missing")
        return scalar_text(content, self._answer)

    # --- what is made of it -----------------------------------------------------------------------

    def _finished(self, text: str) -> str:
        """strip, case, aliases, allowed."""
        rules = self._parse
        label = text.strip()
        if rules.strip is not None:
            before = None
            while label != before:
                before, label = label, label.strip(rules.strip).strip()
        if rules.case != "keep":
            label = label.lower() if rules.case == "lower" else label.upper()
        label = rules.aliases.get(label, label).strip()
        what = f"the label ({self._place})"
        if not label:
            raise UnusableError(f"{what} is empty after parse.strip: {text[:SHOWN]!r}")
        if len(label) > self._longest:
            raise UnusableError(f"{what} has {len(label):,} characters, more than max_label_length: {self._longest}")
        if self._allowed is not None and label not in self._allowed:
            raise UnusableError(f"{what} is {_shortened(label)}, which parse.allowed does not hold{self._hint(label)}")
        return label

    def _hint(self, label: str) -> str:
        if label not in self._hints:
            if len(self._hints) >= MOST_HINTS:
                return ""
            nearest = get_close_matches(label, self._allowed or (), n=1, cutoff=0.6)
            self._hints[label] = f" (the nearest there is {_shortened(nearest[0])})" if nearest else ""
        return self._hints[label]


def _shortened(label: str) -> str:
    return repr(label if len(label) <= SHOWN else label[: SHOWN - 3] + "...")


# --- JSON -----------------------------------------------------------------------------------------


class _TwiceError(ValueError):
    """A name with two values in one object: neither of them is the label."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        for name, value in pairs:
            if found[name] != value:
                raise _TwiceError(name)
    return found


# Numbers stay as they are written, as in the readers.
_decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=float, object_pairs_hook=_members)


def _decoded_object(text: str, what: str) -> Mapping[str, Any]:
    try:
        found = _decoder.decode(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.startswith("{"):
            raise UnusableError(f"{what} has more behind its JSON object (column {error.pos + 1})") from None
        raise UnusableError(f"{what} is not a JSON object: {_beginning(text)}") from None
    except _TwiceError as error:
        raise UnusableError(f"{what} has two values for {str(error)[:SHOWN]!r}") from None
    except RecursionError:
        raise UnusableError(f"{what} is nested too deeply") from None
    if not isinstance(found, dict):
        raise UnusableError(f"{what} is not a JSON object: {_beginning(text)}")
    return found


def _has_object(text: str) -> bool:
    start = text.find("{")
    while start >= 0:
        try:
            _decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
        else:
            return True
    return False


def _beginning(text: str) -> str:
    return _shortened(text) if text else "it is empty"
