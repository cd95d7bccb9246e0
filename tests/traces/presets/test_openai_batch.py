"""preset: openai-batch. The join, what becomes of every line of the fixtures, and that no line is lost."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import write_jsonl
from tracer_cli.artifacts import Layout
from tracer_cli.config.schema import Config
from tracer_cli.errors import ConfigError, DataError, StorageError
from tracer_cli.stages import ingest
from tracer_cli.traces.presets import joined
from traces.presets.reading import FIXTURES, outcomes, shorts

IN, OUT = "openai_batch_nasty_input.jsonl", "openai_batch_nasty_output.jsonl"
CALLED = "the answer is a call of the tool 'set_intent'; set parse.kind: tool"

NASTY: dict[str, Any] = {
    f"{IN}:1": ("Where is\nmy parcel?", "delivery"),  # content as parts on both sides
    f"{IN}:2": CALLED,  # null content with a tool call
    f"{IN}:3": ("Two equal choices", "delivery"),
    f"{IN}:4": "2 choices with different labels: 'delivery', 'refund'",
    f"{IN}:5": "the answer was cut off at the token limit (finish_reason: length)",
    f"{IN}:6": "the answer was withheld (finish_reason: content_filter)",
    f"{IN}:7": "the teacher refused: \"I'm sorry, I can't assist with that request.\"",
    f"{IN}:8": ("O\u00f9 \U0001f600?", "d\u00e9livery"),  # escapes, in the custom_id too
    f"{IN}:9": "the content of the user's message holds half of a surrogate pair, which is no character",
    f"{IN}:10": "there is no answer with custom_id 'no answer'",
    f"{IN}:11": "the request failed: batch_expired: This request could not be executed before the completion window expired.",
    f"{IN}:12": "the request failed with status 400: context_length_exceeded: This model's maximum context length is 128000 tokens.",
    f"{IN}:13": "custom_id 'same request' is that of more than one request",
    f"{IN}:14": "custom_id 'same request' is that of more than one request",
    f"{IN}:15": "custom_id 'same answer' is that of more than one answer",
    f"{IN}:16": "skipped: a request to /v1/embeddings",
    f"{IN}:17": "skipped: a request to /v1/embeddings",
    f"{IN}:18": ("[1, 2] as text", "delivery"),  # /v1/responses
    f"{IN}:19": CALLED,
    f"{IN}:20": "the user's message holds an image, which a text classifier cannot see",
    f"{IN}:21": "the answer is incomplete: max_output_tokens",
    f"{IN}:22": 'the teacher refused: "I can\'t."',
    f"{IN}:23": "the conversation has a message of role 'earlier response' beside the user's, and `turns` is single; set turns: last or turns: all",
    f"{IN}:24": ("Label: where is it?", "delivery"),  # /v1/completions
    f"{IN}:25": "custom_id is missing",
    f"{IN}:26": "not valid JSON: Unterminated string starting at (column 50)",
    f"{IN}:27": "the body of the request is missing",
    f"{IN}:28": ("a number for a name", "delivery"),
    f"{IN}:29": ("Another address", "delivery"),  # Azure's
    f"{IN}:30": "the response is missing",
    f"{IN}:31": "choices is empty: there is no answer",
    # Answers that went into no record are rows as well.
    f"{OUT}:14": "custom_id 'same request' is that of more than one request",
    f"{OUT}:15": "custom_id 'same answer' is that of more than one answer",
    f"{OUT}:16": "custom_id 'same answer' is that of more than one answer",
    f"{OUT}:25": "there is no request with custom_id 'nobody asked'",
    f"{OUT}:26": "not valid JSON: Unterminated string starting at (column 37)",
    f"{OUT}:27": "custom_id is missing",
}


def batch(path: str = IN, results: str = OUT, **more: Any) -> dict[str, Any]:
    return {"path": path, "results": results, "preset": "openai-batch", **more}


def test_the_documented_shape() -> None:
    found = outcomes(FIXTURES, **batch("openai_batch_input.jsonl", "openai_batch_output.jsonl"))
    rows = [one.row for one in found]
    assert [(row.text, row.label, row.id, row.timestamp) for row in rows if row] == [
        ("Where is my parcel?", "delivery", "request-1", 1711475054000000),
        ("I want my money back", "refund", "request-2", 1711475055000000),
        ("Please cancel my subscription", "cancel", "request-3", 1711475056000000),
    ]
    assert {one.call.model for one in found if one.call} == {"gpt-4o-mini-2024-07-18"}


def test_every_line_of_the_nasty_variant() -> None:
    assert shorts(FIXTURES, **batch()) == NASTY


def test_tools_also_those_of_the_responses_api() -> None:
    found = outcomes(FIXTURES, **batch(parse={"kind": "tool", "argument": "intent"}))
    by_place = {one.place: one for one in found}
    two, nineteen = by_place[f"{IN}:2"], by_place[f"{IN}:19"]
    assert two.short == ("I want my money back", "refund")
    assert nineteen.short == ("Cancel it", "cancel")
    assert two.call and nineteen.call and two.call.context and nineteen.call.context
    assert two.call.context == nineteen.call.context, "instructions and tools say the same in both APIs"
    assert two.call.context.tools == ("set_intent",)


def test_fields_are_those_of_request_and_response(tmp_path: Path) -> None:
    source = batch("openai_batch_input.jsonl", "openai_batch_output.jsonl")
    found = outcomes(
        FIXTURES,
        **source,
        text="request.body.messages[0].content",
        label="response.body.choices[0].message.role",
        id="response.request_id",
        ground_truth="error",
    )
    assert [one.short for one in found] == [("You label support tickets. Answer with one label.", "assistant")] * 3
    assert found[0].row and found[0].row.id == "req_c187b3"


def test_the_source_needs_results_that_are_others(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / IN, tmp_path / "in.jsonl")
    shutil.copy(FIXTURES / OUT, tmp_path / "out.jsonl")
    with pytest.raises(ConfigError, match=r"traces: in.jsonl has preset: openai-batch, which needs `results` as well"):
        outcomes(tmp_path, path="in.jsonl", preset="openai-batch")
    with pytest.raises(DataError, match=r"no such file: none.jsonl"):
        outcomes(tmp_path, **batch("in.jsonl", "none.jsonl"))
    with pytest.raises(DataError, match=r"in.jsonl is named by both `path` and `results`"):
        outcomes(tmp_path, **batch("in.jsonl", "*.jsonl"))
    (tmp_path / "out.csv").write_text("custom_id\n1\n")
    with pytest.raises(DataError, match=r"out.csv is no JSONL file, as those of a batch are"):
        outcomes(tmp_path, **batch("in.jsonl", "out.csv"))


def test_where_sees_requests_and_answers(tmp_path: Path) -> None:
    names = [f"r{number}" for number in range(60)]
    write_jsonl(tmp_path / "in.jsonl", [request(name) for name in names])
    answers = [answer(name) for name in names]
    for number, one in enumerate(answers):
        one["response"]["body"] |= {"model": "new" if number % 3 else "old", "usage": {"total_tokens": number}}
    write_jsonl(tmp_path / "out.jsonl", [*answers, answer("nobody")])
    where = "response.body.model = 'new' and response.body.usage.total_tokens >= 30 and custom_id <> 'r31'"
    layout = Layout.of_folder(tmp_path, tmp_path / "out")
    source = batch("in.jsonl", "out.jsonl", where=where, max_rejected=1.0)
    ingest.run(layout, Config.model_validate({"schema": 1, "traces": [source], "split": {"folds": 2}}))
    tables = [pq.read_table(path).to_pylist() for path in (layout.fit, layout.holdout)]
    texts = {row["text"] for table in tables for row in table}
    assert texts == {f"text of r{number}" for number in range(30, 60) if number % 3 and number != 31}
    metrics = json.loads(layout.traces_metrics.read_text())
    assert (metrics["rows_read"], metrics["rows_rejected"], metrics["rows_skipped"]) == (61, 1, 41)


# --- the join -------------------------------------------------------------------------------------


def request(name: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": f"text of {name}"}]}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}


def answer(name: Any) -> dict[str, Any]:
    body = {"choices": [{"message": {"role": "assistant", "content": f"label of {name}"}, "finish_reason": "stop"}]}
    return {"custom_id": name, "response": {"status_code": 200, "body": body}, "error": None}


NAMES = st.lists(
    st.sampled_from(["a", "A", "a ", "", "b", "c", "\u00e9", "e\u0301", "\x00", "1", "1.0", "\U0001f600"]), max_size=14
)


@settings(max_examples=60)
@given(NAMES, NAMES)
def test_each_line_is_a_record_exactly_once_and_partners_find_each_other(
    tmp_path_factory: pytest.TempPathFactory, asked: list[str], answered: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("batch")
    write_jsonl(folder / "in.jsonl", [request(name) for name in asked])
    write_jsonl(folder / "out.jsonl", [answer(name) for name in answered])
    found = shorts(folder, **batch("in.jsonl", "out.jsonl"))
    requests, answers = Counter(asked), Counter(answered)
    paired = {name for name in requests if name and requests[name] == 1 == answers[name]}
    for line, name in enumerate(asked, 1):
        outcome = found.pop(f"in.jsonl:{line}")
        assert (outcome == (f"text of {name}", f"label of {name}".strip())) == (name in paired), outcome
    alone = {f"out.jsonl:{line}" for line, name in enumerate(answered, 1) if name not in paired}
    assert set(found) == alone
    assert all(isinstance(outcome, str) for outcome in found.values())


def test_the_order_of_the_answers_and_their_files_does_not_matter(tmp_path: Path) -> None:
    names = [f"request-{number}" for number in range(2500)]
    write_jsonl(tmp_path / "in.jsonl", [request(name) for name in names])
    write_jsonl(tmp_path / "out-1.jsonl", [answer(name) for name in reversed(names[::2])])
    write_jsonl(tmp_path / "out-2.jsonl", [answer(name) for name in names[1::2]])
    found = outcomes(tmp_path, **batch("in.jsonl", "out-*.jsonl"))
    assert [one.row.label if one.row else one for one in found] == [f"label of {name}" for name in names]


def test_a_name_that_all_lines_have_does_not_cost_the_square_of_the_lines(tmp_path: Path) -> None:
    """8,000 of each: 64,000,000 pairs."""
    write_jsonl(tmp_path / "in.jsonl", [request("x")] * 8_000)
    write_jsonl(tmp_path / "out.jsonl", [answer("x")] * 8_000)
    found = outcomes(tmp_path, **batch("in.jsonl", "out.jsonl"))
    assert len(found) == 16_000
    assert {one.rejected for one in found} == {"custom_id 'x' is that of more than one request"}


def test_a_full_disk_is_said_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """A process whose files may not grow beyond 2 MB."""
    write_jsonl(tmp_path / "in.jsonl", [request(number) for number in range(3000)])
    write_jsonl(tmp_path / "out.jsonl", [{**answer(number), "more": "x" * 2000} for number in range(3000)])
    program = """
        import resource, signal, sys
        from pathlib import Path
        from tracer_cli.config.schema import TraceSource
        from tracer_cli.errors import StorageError
        from tracer_cli.traces.presets import preset_of
        from tracer_cli.traces.read.files import find_files
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
        root, scratch = Path(sys.argv[1]), Path(sys.argv[2])
        source = TraceSource(path="in.jsonl", results="out.jsonl", preset="openai-batch")
        try:
            for found in preset_of(source, root, scratch).read(find_files(root, "in.jsonl")):
                print("a record", found)
        except StorageError as error:
            print(error)
        print([path.name for path in scratch.iterdir()])
    """
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path), str(scratch)],
        capture_output=True,
        text=True,
        check=True,
    )
    told, left = done.stdout.splitlines()
    assert told.startswith("the temporary folder is full or cannot be written while requests and answers are joined")
    assert "TMPDIR" in told and left == "[]"


def test_a_scratch_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the temporary folder"), joined.opened_joined(tmp_path / "gone"):
        pass


def test_reading_again_gives_the_same_and_stopping_early_closes_the_database(tmp_path: Path) -> None:
    from tracer_cli.config.schema import TraceSource
    from tracer_cli.traces.presets import preset_of
    from tracer_cli.traces.read.files import find_files

    source = TraceSource.model_validate(batch())
    preset = preset_of(source, FIXTURES, tmp_path)
    reading = preset.read(find_files(FIXTURES, IN))
    first = next(iter(reading))
    assert [path.name for path in tmp_path.iterdir()] == ["joined.sqlite"]
    reading.close()  # type: ignore[attr-defined]
    assert not [*tmp_path.iterdir()]
    assert next(iter(preset.read(find_files(FIXTURES, IN)))) == first
    assert json.loads(first[1].raw or b"")["custom_id"] == "parts"
