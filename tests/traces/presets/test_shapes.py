"""The same traces in every shape give the same rows, on the same side of the split, in the same order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from support import example_traces
from tracer_cli.artifacts import Layout
from tracer_cli.config.schema import Config
from tracer_cli.stages import ingest
from traces.presets.shapes import SHAPES, fields

TABLES = ("fit", "holdout", "holdout_labels")

# What people write and programs break: quotes, newlines, other scripts, an emoji beyond the first plane.
HARD = (
    'Where is my "card"?',
    "two\nlines\tand a tab",
    "\u00dcberweisung nach K\u00f6ln \u2013 caf\u00e9",
    "\u05d0\u05d9\u05e4\u05d4 \u05d4\u05db\u05e8\u05d8\u05d9\u05e1",
    "\u5361\u5728\u54ea\u91cc",
    "card \U0001f4b3 lost \U0001f468\u200d\U0001f469\u200d\U0001f467",
    '{"json": "in the text"}',
    "[1, 2]",
    "back\\slash \\u0041",
    "<b>&amp;</b>, a;b",
    " leading and trailing ",
    "```json\n{}\n```",
    "0123",
)


def tables(folder: Path, source: dict[str, Any], columns: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    config = Config.model_validate({"schema": 1, "traces": [source]})
    layout = Layout.of_folder(folder, folder / "out")
    ingest.run(layout, config)
    assert not layout.rejected.read_text()
    wanted = {"key", "row", "text", "label", "count", "label_count", "origin", "weight", *columns}
    found = {}
    for name in TABLES:
        table = pq.read_table(getattr(layout, name))
        found[name] = table.select([column for column in table.column_names if column in wanted]).to_pylist()
    return found


def check(rows: list[dict[str, Any]], shape: str, folder: Path) -> None:
    plain, other = folder / "plain", folder / "other"
    plain.mkdir()
    other.mkdir()
    carries = tuple(name for name in SHAPES[shape].carries if name in rows[0])
    expected = tables(plain, fields(rows, plain), carries)
    assert len(expected["fit"]) + len(expected["holdout"]) == len({row["input"] for row in rows})
    assert tables(other, SHAPES[shape].write(rows, other), carries) == expected


def generated() -> list[dict[str, Any]]:
    rows = [{"input": row["input"], "teacher": row["teacher"]} for row in example_traces(300)]
    rows += [{"input": text, "teacher": ("lost", "found")[number % 2]} for number, text in enumerate(HARD)]
    rows += [{**row, "teacher": "lost"} for row in rows[:40]]  # the same texts again, some with another label
    for number, row in enumerate(rows):
        row |= {"id": f"r-{number}", "timestamp": f"2026-01-{1 + number % 28:02d}T{number % 24:02d}:00:07Z"}
    return rows


@pytest.mark.parametrize("shape", SHAPES)
def test_generated_traces_are_the_same_rows_in_every_shape(shape: str, tmp_path: Path) -> None:
    check(generated(), shape, tmp_path)


@pytest.mark.shared
@pytest.mark.parametrize("shape", SHAPES)
def test_real_traces_are_the_same_rows_in_every_shape(shape: str, real_data: Path, tmp_path: Path) -> None:
    lines = (real_data / "banking77-gpt" / "traces.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 4081
    check([{"input": row["input"], "teacher": row["teacher"]} for row in rows], shape, tmp_path)
