"""Labelled texts to draw splits from: the public sets, or any JSONL file of traces."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from tracer_cli.traces.text import normalise

WHERE_FROM = """\
The public data is not part of this repository. Put it into a folder and name that with --data or TRACER_BENCH_DATA:
  banking77/train.csv, banking77/test.csv (columns text, category): banking_data/ of
    https://github.com/PolyAI-LDN/task-specific-datasets (CC BY 4.0)
  banking77-gpt/traces.jsonl ("input": the text, "teacher": the label that the GPT model gave, one object a line):
    data/raw/banking77/test.csv and data/processed/banking77/dev.csv of https://github.com/stoyian/OCaTS (MIT)
Or give traces of your own with --traces FILE.jsonl."""


class UserError(click.ClickException):
    """What the user can put right; exit 2."""

    exit_code = 2


@dataclass(frozen=True)
class DataSet:
    """Texts, each once, and the teacher's label of each. vectors: (texts, dim), None when they are to be made."""

    name: str
    texts: list[str]
    teacher: list[str]
    vectors: NDArray[np.float32] | None = None


def public(name: str, folder: Path | None) -> DataSet:
    """One of PUBLIC from the folder with the public data; UserError with its sources when it is not there."""
    if folder is None:
        raise UserError(f"no folder with the public data was given.\n{WHERE_FROM}")
    files, read = PUBLIC[name]
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise UserError(f"{folder} does not have {', '.join(missing)}.\n{WHERE_FROM}")
    return _distinct(name, [row for file in files for row in read(folder / file)])


def trace_file(path: Path, vectors: Path | None = None) -> DataSet:
    """A JSONL file with `input` and `teacher`; vectors: a .npy matrix with one row for each line."""
    rows = _jsonl(path)
    matrix = None if vectors is None else np.load(vectors, allow_pickle=False)
    if matrix is not None and (matrix.ndim != 2 or len(matrix) != len(rows)):
        raise UserError(f"{vectors} has shape {matrix.shape}; {path} has {len(rows):,} traces and needs a row for each")
    return _distinct(path.stem, rows, matrix)


def _distinct(name: str, rows: list[tuple[str, str]], vectors: NDArray[np.float32] | None = None) -> DataSet:
    """The first of each text, as tracer tells texts apart, so that no text lies on both sides of a split."""
    seen: dict[str, int] = {}
    for index, (text, _) in enumerate(rows):
        seen.setdefault(normalise(text), index)
    kept = sorted(index for key, index in seen.items() if key)
    return DataSet(
        name,
        [rows[i][0] for i in kept],
        [rows[i][1].strip() for i in kept],
        None if vectors is None else np.asarray(vectors[kept], np.float32),
    )


def _csv(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


def _jsonl(path: Path) -> list[tuple[str, str]]:
    rows = []
    with path.open(encoding="utf-8") as file:
        for number, line in _not_blank(file):
            try:
                row = json.loads(line)
                rows.append((str(row["input"]), str(row["teacher"])))
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"{path}, line {number}: expected a JSON object with input and teacher ({type(error).__name__})"
                ) from error
    return rows


def _not_blank(lines: Iterable[str]) -> Iterable[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


PUBLIC: dict[str, tuple[tuple[str, ...], Callable[[Path], list[tuple[str, str]]]]] = {
    "banking77": (("banking77/train.csv", "banking77/test.csv"), _csv),
    "banking77-gpt": (("banking77-gpt/traces.jsonl",), _jsonl),
}
