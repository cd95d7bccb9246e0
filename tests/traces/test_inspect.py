"""What `tracer init FILE` finds in a file that nobody has described."""

import json
from pathlib import Path

import pytest

from tracer_cli.errors import DataError, StorageError
from tracer_cli.traces.inspect import Guess, inspect


def jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def roles(guess: Guess) -> tuple[str | None, ...]:
    return (guess.text, guess.label, guess.id, guess.timestamp, guess.ground_truth)


def test_known_names_come_first_in_their_order(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"prompt": "p", "query": "q", "answer": "a", "intent": "i", "uuid": "1", "ts": 5, "gold": "g"}
    ]
    guess = inspect(jsonl(tmp_path / "a.jsonl", rows))
    assert roles(guess) == ("query", "intent", "uuid", "ts", "gold")
    assert (guess.format, guess.rows, guess.preset) == ("jsonl", 1, "fields")


def test_unknown_names_are_told_apart_by_content(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [f"{n},web,message number {n} of a customer who writes at length,{'ab'[n % 2]}" for n in range(20)]
    path.write_text("no,channel,body,category\n" + "\n".join(rows))
    guess = inspect(path)
    assert roles(guess) == ("body", "category", None, None, None)
    assert guess.fields == ("no", "channel", "body", "category")


def test_a_field_that_only_has_a_known_name_but_no_text_is_not_taken(tmp_path: Path) -> None:
    guess = inspect(jsonl(tmp_path / "a.jsonl", [{"input": {"x": 1}, "question": "why", "label": "a"}]))
    assert guess.text == "question"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "", "no row can be read (it is empty)"),
        ("a.csv", "input,teacher\n", "no row can be read (it is empty)"),
        ("a.jsonl", "\nnot json\n", "no row can be read (line 2: not valid JSON"),
        ("a.jsonl", '{"input": "x"}', "no field looks like a label; the fields are: input"),
        ("a.jsonl", '{"label": "x"}', "no field looks like a text; the fields are: label"),
        ("a.csv", "hello there,greeting\nbye,farewell\nhi,greeting\n", "seems to have no header"),
        ("a.txt", "x", "is of no known kind"),
    ],
)
def test_hopeless_files(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as error:
        inspect(tmp_path / name)
    assert message in str(error.value) and name in str(error.value)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file"):
        inspect(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        inspect(tmp_path)
