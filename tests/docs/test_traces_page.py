"""docs/traces.md: every example is read as the page says."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, cast

import pytest

from support import REPOSITORY
from tracer_cli.config.load import load_config
from tracer_cli.config.schema import TraceSource
from tracer_cli.traces.collect import collect
from tracer_cli.traces.rejects import Rejects
from tracer_cli.traces.rows import Row
from tracer_cli.traces.store import Store
from traces_page import Example, examples

PAGE = (REPOSITORY / "docs" / "traces.md").read_text(encoding="utf-8")
EXAMPLES = list(examples(PAGE))
PRESETS = [word for word in TraceSource.model_json_schema()["properties"]["preset"]["enum"] if word != "fields"]


class Rows:
    """Stands where the store stands, and keeps what it is given."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, Row]] = []

    def add(self, number: int, row: Row) -> None:
        self.rows.append((number, row))


def becomes(root: Path) -> list[str]:
    """One line for each row that is used or rejected, in their order, and one for those that are left out."""
    rows, quarantine = Rows(), io.StringIO()
    config = load_config(root / "tracer.yaml")
    read = collect(root, config.traces, config.seed, cast(Store, rows), Rejects(quarantine), root)
    lines = [f'"{row.text}" -> {row.label}{_marks(row)}' for _, row in rows.rows]
    for line in quarantine.getvalue().splitlines():
        told: dict[str, Any] = json.loads(line)
        lines.append(f"{told['source']}, line {told['line']}: {told['reason']}")
    return lines + ([f"left out: {read.skipped}"] if read.skipped else [])


def _marks(row: Row) -> str:
    return (f" ({row.origin})" if row.origin != "organic" else "") + (f" (x {row.weight:g})" if row.weight != 1 else "")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_an_example_is_read_as_the_page_says(example: Example, tmp_path: Path) -> None:
    example.write(tmp_path)
    assert becomes(tmp_path) == example.becomes


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_an_example(preset: str) -> None:
    assert any(f"preset: {preset}\n" in example.config for example in EXAMPLES)


@pytest.mark.parametrize("key", sorted(TraceSource.model_fields))
def test_every_key_of_a_source_is_on_the_page(key: str) -> None:
    assert f"`{key}" in PAGE or f"{key}:" in PAGE
