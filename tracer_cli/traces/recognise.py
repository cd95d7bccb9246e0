"""Which preset the records of an undescribed file are of, and how the label lies in the teacher's answers."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tracer_cli.config.schema import TraceSource
from tracer_cli.errors import DataError
from tracer_cli.traces.calls import Answer, NoCallError, UnusableError
from tracer_cli.traces.expressions import MISSING, from_json
from tracer_cli.traces.presets import preset_of
from tracer_cli.traces.read.files import TraceFile
from tracer_cli.traces.read.records import read_records

SAMPLE_CALLS = 500

# Types of Langfuse's observations, of which a generation is a call.
GENERATION = "GENERATION"
OBSERVATIONS = frozenset(
    (GENERATION, "SPAN", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL")
)

# Names that a label often has in a teacher's answer; else it is the text that repeats the most.
LABEL_NAMES = ("label", "intent", "category", "class", "classification", "topic", "tag")

# What the records of a preset have, whatever else they have.
_SIGNS: Mapping[str, tuple[frozenset[str], ...]] = {
    "otel": (frozenset({"resourceSpans"}), frozenset({"resource_spans"})),
    "tracer": (frozenset({"schema", "input", "teacher", "origin"}),),
    "litellm": (frozenset({"request_id", "call_type"}),),
    "openai-batch": (frozenset({"custom_id", "body"}), frozenset({"custom_id", "response"})),
    "langfuse": (
        frozenset({"type", "startTime", "input", "output"}),
        frozenset({"type", "start_time", "input", "output"}),
        frozenset({"type", "traceId", "startTime"}),
    ),
    "openai-chat": (frozenset({"messages"}),),
}


def declared(file: TraceFile) -> dict[str, Any]:
    """`preset` and `parse` as tracer.yaml would have them; {} for plain fields. Raises DataError for half a batch."""
    with tempfile.TemporaryDirectory(prefix="tracer-inspect-") as scratch:
        records = islice(read_records(file, None, Path(scratch)), SAMPLE_CALLS)
        preset = preset_name([record.fields for record in records if record.fields is not None])
    if preset == "fields":
        return {}
    if preset == "openai-batch":
        raise DataError(
            f"{file.path}: it is a file of the OpenAI batch API, whose inputs and outputs are two files: name both in "
            "tracer.yaml (path: the input file, preset: openai-batch, results: the output file; see docs/traces.md)"
        )
    parse = parse_of(file, preset)
    return {"preset": preset} | ({"parse": parse} if parse else {})


def preset_name(rows: Sequence[Mapping[str, Any]]) -> str:
    """The preset whose signs every record has; `fields` when there is none."""
    if not rows:
        return "fields"
    common = frozenset.intersection(*(frozenset(row) for row in rows))
    for name, signs in _SIGNS.items():
        if any(sign <= common for sign in signs) and (name != "langfuse" or _observations(rows)):
            return name
    return "fields"


def _observations(rows: Sequence[Mapping[str, Any]]) -> bool:
    kinds = {_text(row["type"]) for row in rows}
    return GENERATION in kinds and kinds <= OBSERVATIONS


def parse_of(file: TraceFile, preset: str) -> dict[str, Any]:
    """The `parse` section for the answers of the first calls; {} where the whole answer seems to be the label."""
    answers = list(_answers(file, preset))
    called = [answer for answer in answers if answer.tools]
    if called and len(called) * 2 > len(answers):
        names = {call.name for answer in called for call in answer.tools}
        argument = _repeated([_object(call.arguments) for answer in called for call in answer.tools])
        section: dict[str, Any] = {"kind": "tool"} | ({"tool": names.pop()} if len(names) == 1 else {})
        return section | ({"argument": argument} if argument else {})
    objects = [_object(answer.content) for answer in answers]
    if sum(1 for value in objects if value) * 2 > len(answers):
        key = _repeated(objects)
        return {"kind": "json", "key": key} if key else {}
    return {}


def _answers(file: TraceFile, preset: str) -> Iterator[Answer]:
    source = TraceSource(path=file.path.as_posix(), preset=preset)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory(prefix="tracer-inspect-") as scratch:
        reader = preset_of(source, file.path.parent, Path(scratch))
        for of, record in islice(reader.read([file]), SAMPLE_CALLS):
            if record.fields is not None:
                try:
                    yield from reader.call(of, record.fields).answers[:1]
                except (UnusableError, NoCallError):
                    continue


def _repeated(objects: Sequence[Mapping[str, Any]]) -> str | None:
    """The field with a usual name, or whose texts are short, differ, and repeat the most, as a label does."""
    values: dict[str, Counter[str]] = {}
    for fields in objects:
        for name, value in fields.items():
            if isinstance(value, str) and 0 < len(value) <= 60 and not _is_number(value):
                values.setdefault(name, Counter())[value] += 1
    often = {name: counts for name, counts in values.items() if counts.total() * 2 > len(objects)}
    named = next((name for name in LABEL_NAMES if name in often), None)
    differing = [name for name in often if len(often[name]) > 1]
    return named or min(differing, key=lambda name: (len(often[name]) / often[name].total(), name), default=None)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _object(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str | bytes):
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        value = from_json(text.strip().removeprefix("```json").removeprefix("```").removesuffix("```"))
    return value if value is not MISSING and isinstance(value, Mapping) else {}


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
