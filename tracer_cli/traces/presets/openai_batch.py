"""preset: openai-batch. Input files of OpenAI's batch API, each line with its answer out of the output files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tracer_cli.errors import ConfigError, DataError
from tracer_cli.traces.calls import Call, NoCallError, UnusableError
from tracer_cli.traces.expressions import MISSING, from_json
from tracer_cli.traces.presets.answers import answers_of_choices
from tracer_cli.traces.presets.base import Found
from tracer_cli.traces.presets.chat import ChatPreset
from tracer_cli.traces.presets.joined import Joined, opened_joined
from tracer_cli.traces.presets.messages import Message, messages_of
from tracer_cli.traces.presets.responses import choice_of_response, messages_of_input, response_format_of
from tracer_cli.traces.read.files import TraceFile, find_files
from tracer_cli.traces.read.records import Record, read_records
from tracer_cli.traces.values import optional_text

Body = Mapping[str, Any]

SHOWN = 120
_KINDS = ("chat/completions", "responses", "completions")


class OpenAIBatchPreset(ChatPreset):
    """Records: {custom_id, request, response, error}, in the order of the input files.

    `request` is the input line, `response` and `error` are those of the one output line with its `custom_id`; without
    one they are not there. Lines of either side that have no partner, or more than one, are records too, each with its
    own file and line, and are rejected.
    """

    expands = True

    def read(self, files: list[TraceFile]) -> Iterator[Found]:
        results = self._results(files)
        with opened_joined(self.scratch) as joined:
            for number, file in enumerate(results):
                for record in read_records(file, None, self.scratch):
                    joined.add_answer(number, *_named(record))
            for file in files:
                for record in read_records(file, None, self.scratch):
                    joined.add_request(_named(record)[1])
            joined.ready()
            for file in files:
                for record in read_records(file, None, self.scratch):
                    yield file, _with_answer(*_named(record), joined)
            for file, record, name, requests, answers in joined.alone(results):
                problem = record.problem or _ambiguous(name, requests, answers)
                yield file, replace(record, problem=problem or f"there is no request with custom_id {_shown(name)}")

    def _results(self, files: list[TraceFile]) -> list[TraceFile]:
        if self.source.results is None:
            raise ConfigError(f"traces: {self.source.path} has preset: openai-batch, which needs `results` as well")
        results = find_files(self.root, self.source.results)
        inputs = {file.path.resolve() for file in files}
        for file in [*files, *results]:
            if file.format != "jsonl":
                raise DataError(f"traces: {file.name} is no JSONL file, as those of a batch are")
        for file in results:
            if file.path.resolve() in inputs:
                raise DataError(
                    f"traces: {file.name} is named by both `path` and `results`; name requests in one alone"
                )
        return results

    def call(self, file: TraceFile, fields: Mapping[str, Any]) -> Call:
        request, response = fields["request"], fields.get("response")
        body = _object(request.get("body"), "the body of the request")
        kind = _kind(request.get("url"), body)
        if "response" not in fields and "error" not in fields and "label" not in self.named:
            raise UnusableError(f"there is no answer with custom_id {_shown(fields['custom_id'])}")
        answer = {} if "label" in self.named and not isinstance(response, Mapping) else _answered(fields)
        messages, form = _request(kind, body)
        return self.made(
            fields,
            messages,
            lambda: answers_of_choices([choice_of_response(answer)] if kind == "responses" else answer.get("choices")),
            tools=body.get("tools") or body.get("functions"),
            response_format=form,
            model=answer.get("model") or body.get("model"),
            id=fields["custom_id"],
            timestamp=answer.get("created") or answer.get("created_at"),
        )


# --- joining --------------------------------------------------------------------------------------


def _named(record: Record) -> tuple[Record, str | None]:
    """The record with its custom_id; without one it has a problem."""
    if record.fields is None:
        return record, None
    name = optional_text(record.fields.get("custom_id"))
    return (replace(record, fields=None, problem="custom_id is missing"), None) if name is None else (record, name)


def _with_answer(record: Record, name: str | None, joined: Joined) -> Record:
    if name is None:
        return record
    requests, answers = joined.partners(name)
    problem = _ambiguous(name, requests, len(answers))
    if problem is not None:
        return replace(record, fields=None, problem=problem)
    fields: dict[str, Any] = {"custom_id": name, "request": record.fields}
    for line in answers:
        answer = from_json(line)
        fields |= {"response": answer.get("response"), "error": answer.get("error")}
    return replace(record, fields=fields)


def _ambiguous(name: str | None, requests: int, answers: int) -> str | None:
    if requests > 1 or answers > 1:
        return f"custom_id {_shown(name)} is that of more than one {'request' if requests > 1 else 'answer'}"
    return None


def _shown(name: Any) -> str:
    return repr(str(name)[:SHOWN])


# --- requests and answers -------------------------------------------------------------------------


def _object(value: Any, what: str) -> Body:
    if not isinstance(value, Mapping):
        raise UnusableError(f"{what} is {'missing' if value is None else 'not an object'}")
    return value


def _kind(url: Any, body: Body) -> str:
    """Of _KINDS. Raises NoCallError for another endpoint, such as embeddings."""
    if isinstance(url, str):
        path = url.split("?")[0].rstrip("/")
        for kind in _KINDS:
            if path == kind or path.endswith("/" + kind):
                return kind
        raise NoCallError(f"a request to {path}")
    return next((k for k, key in zip(_KINDS, ("messages", "input", "prompt"), strict=True) if key in body), _KINDS[0])


def _request(kind: str, body: Body) -> tuple[list[Message], Any]:
    """The messages, and the form of the answer that was asked for."""
    if kind == "responses":
        return messages_of_input(body), response_format_of(body)
    if kind == "completions":
        return [{"role": "user", "content": _prompt(body.get("prompt"))}], None
    return messages_of(body.get("messages", MISSING)), body.get("response_format")


def _prompt(value: Any) -> Any:
    if isinstance(value, list | tuple):
        if len(value) != 1:
            raise UnusableError(f"the prompt is a list of {len(value)}; one text is expected")
        return value[0]
    return value


def _answered(fields: Mapping[str, Any]) -> Body:
    """The body of the response. Raises UnusableError when the request failed."""
    if fields.get("error") is not None:
        raise UnusableError(f"the request failed: {_told(fields['error'])}")
    response = _object(fields.get("response"), "the response")
    status = optional_text(response.get("status_code"))
    body = response.get("body")
    if status != "200":
        error = body.get("error") if isinstance(body, Mapping) else None
        raise UnusableError(f"the request failed with status {status}: {_told(error)}")
    return _object(body, "the body of the response")


def _told(error: Any) -> str:
    if not isinstance(error, Mapping):
        return str(error)[:SHOWN]
    return (
        ": ".join(str(error[key])[:SHOWN] for key in ("code", "message") if error.get(key) is not None) or "no reason"
    )
