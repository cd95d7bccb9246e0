"""`tracer init FILE` declares a file of any preset as it must be declared."""

from __future__ import annotations

from pathlib import Path

import pytest

import tracer_cli.cli
from support import example_traces
from tracer_cli.config.load import load_config
from tracer_cli.config.schema import TraceSource
from tracer_cli.errors import DataError
from tracer_cli.traces.inspect import inspect
from traces.presets.shapes import SHAPES

BATCH = [name for name in SHAPES if name.startswith("openai-batch")]


@pytest.mark.parametrize("name", [name for name in SHAPES if name not in BATCH])
def test_a_file_in_any_shape_is_declared_as_it_must_be(name: str, tmp_path: Path) -> None:
    rows = [{**row, "id": str(i), "timestamp": "2026-01-05T10:00:00Z"} for i, row in enumerate(example_traces(60))]
    (tmp_path / "in").mkdir()
    right = TraceSource.model_validate(SHAPES[name].write(rows, tmp_path / "in"))
    (file,) = (tmp_path / "in").iterdir()
    assert tracer_cli.cli.run(["init", str(file), "--dir", str(tmp_path / "new")]) == 0
    source = load_config(tmp_path / "new" / "tracer.yaml").traces[0]
    assert (source.preset, source.parse) == (right.preset, right.parse)


@pytest.mark.parametrize("name", BATCH)
def test_the_two_files_of_a_batch_are_for_a_person_to_name(name: str, tmp_path: Path) -> None:
    SHAPES[name].write([{**row, "id": str(i)} for i, row in enumerate(example_traces(5))], tmp_path)
    for file in tmp_path.iterdir():
        with pytest.raises(DataError, match="preset: openai-batch, results:"):
            inspect(file)
