"""Reading trace logs: every line is counted as exactly one thing, and only a policy's own audits are its audits."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.stand_in import audit, traffic, write_log, write_policy
from tracer_cli.artifacts import read_json
from tracer_cli.errors import DataError
from tracer_cli.monitor.audits import Logs, read_audits
from tracer_cli.monitor.log_files import log_files
from tracer_cli.monitor.teacher_labels import TeacherLabels
from tracer_cli.runtime.parity import Watched
from tracer_cli.traces.calls import Answer, Call, ToolCall, UnusableError
from tracer_cli.traces.log_format import Entry, line

POLICY = "0123456789abcdef"
WHAT = Watched(POLICY, 0.95, 0.95, "handled")
MANIFEST: dict[str, Any] = {"labels": ["refund", "lost_card"], "teacher": {"sources": []}}


def read(*paths: Path, manifest: dict[str, Any] = MANIFEST) -> Logs:
    logs = read_audits(paths, WHAT, manifest)
    counted = len(logs.audits) + len(logs.deferred) + sum(logs.other.values()) + sum(logs.unusable.values())
    counted += logs.no_policy + logs.other_target + logs.repeated + logs.unreadable
    assert counted == logs.lines
    return logs


def test_each_kind_of_line(tmp_path: Path) -> None:
    write_log(
        tmp_path / "a.jsonl",
        [
            audit(POLICY, 1),
            audit(POLICY, 0, teacher="lost_card"),
            audit(POLICY, 2, decision="deferred", label="lost_card", score=None, distance=None, probability=None),
            audit(POLICY, 3, origin="deferred", decision="deferred"),
            audit("f" * 16, 4),
            replace(audit(POLICY, 5, origin="organic"), policy=None),
            audit(POLICY, 6, target=0.9),
            audit(POLICY, 1),
            audit(POLICY, 7, teacher=""),
            audit(POLICY, 8, origin="organic"),
            audit(POLICY, 9, label=None),
            audit(POLICY, 10, decision=None),
            audit(POLICY, 11, teacher=None),
            audit(POLICY, 12, target=None),
        ],
    )
    with (tmp_path / "a.jsonl").open("ab") as file:
        for change in ({"time": "soon"}, {"schema": 2}, {"origin": None}, {"score": "NaN", "probability": "much"}):
            values = json.loads(line(audit(POLICY, 13))) | {"id": f"c{len(str(change))}"} | change
            file.write(json.dumps(values).encode() + b"\n")
        file.write(b"\n" + line(audit(POLICY, 14))[:60])
    logs = read(tmp_path / "a.jsonl")
    assert [(a.id, a.handled, a.agrees) for a in logs.audits[:4]] == [
        ("r0", True, False),
        ("r1", True, True),
        ("r2", False, False),
        ("r12", True, True),
    ]
    third, last = logs.audits[2], logs.audits[4]
    assert (third.answered, third.teacher, third.score, third.distance, third.probability) == (
        "lost_card",
        "refund",
        None,
        None,
        None,
    )
    assert (last.score, last.probability, last.distance) == (None, None, 0.2)
    assert len(logs.deferred) == 1 and dict(logs.other) == {"f" * 16: 1}
    assert (logs.no_policy, logs.other_target, logs.repeated, logs.unreadable) == (1, 1, 1, 1)
    assert dict(logs.unusable) == {
        "the label (teacher) is empty": 1,
        "the origin is 'organic'; a policy's lines are audit or deferred": 1,
        "the decision, or the label of a handled request, is missing": 2,
        "the policy answered, and the teacher was not asked": 1,
        "the time is missing or is no point in time": 1,
        "schema 2 of the trace log is not known here (the latest is 1): upgrade tracer": 1,
        "the origin is missing; expected one of organic, audit, deferred": 1,
    }
    assert logs.first_unreadable is not None and logs.first_unreadable.startswith(f"{tmp_path}/a.jsonl, line 20: not")


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 6))
def test_any_damage_to_a_log_costs_its_own_lines_alone(
    tmp_path_factory: pytest.TempPathFactory, seed: int, wounds: int
) -> None:
    chance = random.Random(seed)
    lines = [line(entry) for entry in traffic(POLICY, 20, 0.8)]
    whole = set(range(len(lines)))
    for at in chance.sample(range(len(lines)), wounds):
        data = bytearray(lines[at])
        place = chance.randrange(len(data) - 1)
        data[place : place + chance.randrange(1, 9)] = chance.randbytes(3).replace(b"\n", b"?")
        lines[at] = bytes(data).replace(b"\n", b"") + b"\n"
        whole.discard(at)
    path = tmp_path_factory.mktemp("log") / "a.jsonl"
    path.write_bytes(b"".join(lines))
    logs = read(path)
    expected = {json.loads(lines[at])["id"] for at in whole if b'"origin":"audit"' in lines[at]}
    assert expected <= {entry.id for entry in logs.audits} and logs.lines == len(lines)


def test_a_folder_is_its_logs_in_any_form_each_once(tmp_path: Path) -> None:
    entries = traffic(POLICY, 9, 1.0)
    write_log(tmp_path / "b.jsonl", entries[:3])
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(b"".join(line(entry) for entry in entries[3:6])))
    write_log(tmp_path / "a.jsonl.open", entries[6:])
    for name in ("parity-x.json", "notes.txt", ".lock"):
        (tmp_path / name).write_text("{}")
    files = log_files([tmp_path, tmp_path / "b.jsonl"])
    assert [Path(file.name).name for file in files] == ["a.jsonl.open", "b.jsonl", "c.jsonl.gz"]
    assert [a.id for a in read(tmp_path).audits] == [f"r{number}" for number in range(9)]
    # Finished, and so renamed, between the look into the folder and the reading.
    (tmp_path / "a.jsonl.open").rename(tmp_path / "a.jsonl")
    assert len(read(tmp_path).audits) == 9


def test_a_file_that_is_finished_while_it_is_read(tmp_path: Path) -> None:
    from tracer_cli.monitor.log_files import read_log

    [file] = log_files([write_log(tmp_path / "a.jsonl.open", [audit(POLICY, 1)])])
    file.path.rename(tmp_path / "a.jsonl")
    [record] = read_log(file, tmp_path)
    assert record.fields is not None and record.fields["id"] == "r1"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "no such file: .*nothing; name the folder or the files of a trace log"),
        ("empty", "empty holds no trace log: no file whose name ends in .jsonl, .jsonl.gz"),
        ("a.txt", "a.txt is of no known kind"),
        ("torn.jsonl.gz", "torn.jsonl.gz: cannot be decompressed"),
    ],
)
def test_what_is_no_log_is_an_error(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "torn.jsonl.gz").write_bytes(gzip.compress(random.Random(0).randbytes(5000))[:3000])
    with pytest.raises(DataError, match=message):
        read(tmp_path / name)


def test_the_order_is_that_of_the_times_whatever_the_files(tmp_path: Path) -> None:
    entries = traffic(POLICY, 12, 0.5)
    random.Random(4).shuffle(entries)
    paths = [write_log(tmp_path / f"{part}.jsonl", entries[part::3]) for part in range(3)]
    assert [a.id for a in read(*paths).audits] == [f"r{number}" for number in range(12)]
    assert read(*paths).audits == read(*reversed(paths)).audits


def test_texts_that_were_taken_away_are_no_repeats(tmp_path: Path) -> None:
    entries = [audit(POLICY, 1, input=""), audit(POLICY, 2, input=" "), audit(POLICY, 3, input="a  b")]
    logs = read(write_log(tmp_path / "a.jsonl", [*entries, audit(POLICY, 4, input=" a b ")]))
    assert len({a.key for a in logs.audits}) == 3


# --- the teacher's label ----------------------------------------------------------------------------


def source(preset: str, **parse: Any) -> dict[str, Any]:
    return {"preset": preset, "turns": "single", "text_pattern": None, "parse": parse}


def label(answer: Answer, *sources: dict[str, Any]) -> str:
    return TeacherLabels({"labels": ["refund", "lost_card"], "teacher": {"sources": list(sources)}}).of(
        Call("text", (answer,))
    )


def test_the_label_is_found_as_in_the_fit() -> None:
    as_json = source("openai-chat", kind="json", key="intent", case="lower")
    as_tool = source("tracer", kind="tool", argument="label")
    assert label(Answer('{"intent": "REFUND"}'), as_json) == "refund"
    assert label(Answer(None, (ToolCall("route", '{"label": "lost_card"}'),)), as_json, as_tool) == "lost_card"
    # A text would be a label as well; the one that the policy knows counts, wherever its source stands.
    assert label(Answer('{"intent": "refund"}'), source("fields", kind="text"), as_json) == "refund"
    assert (
        label(Answer("Refund"), source("tracer", kind="text"), source("fields", kind="text", case="lower")) == "refund"
    )
    assert label(Answer("new"), source("fields", kind="text")) == "new"
    assert TeacherLabels({"labels": []}).of(Call("text", (Answer(" x "),))) == "x"
    with pytest.raises(UnusableError, match="calls no tool"):
        label(Answer("refund"), as_json, as_tool)


def test_a_policy_as_it_is_made_is_read(tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "p")
    entries: list[Entry] = traffic(policy, 5, 1.0)
    what = Watched(policy, 0.95, 0.95, "handled")
    logs = read_audits([write_log(tmp_path / "a.jsonl", entries)], what, read_json(tmp_path / "p/manifest.json"))
    assert len(logs.audits) == 5 and all(a.agrees for a in logs.audits)
