"""The generated files that `speed ingest` reads hold the same traces in every shape."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks import shapes
from benchmarks.speed.ingest import layout_of, run_embed, run_ingest


@pytest.mark.parametrize("preset", shapes.SHAPES)
def test_every_shape_holds_the_same_traces(tmp_path: Path, preset: str) -> None:
    source = shapes.write(tmp_path, 40, preset)
    assert run_ingest(tmp_path, str(tmp_path), source)["mb"] == pytest.approx(0.05, abs=0.03)
    rows = pq.read_table(layout_of(tmp_path).fit).to_pylist()
    expected = list(islice(shapes.traces(40), 40))
    assert len(rows) > 20
    for row in rows:
        assert (row["text"], row["label"]) == expected[row["row"]][1:]


def test_texts_are_about_1_kb_and_distinct_and_do_not_depend_on_the_number_of_rows(tmp_path: Path) -> None:
    texts = [trace.text for trace in shapes.traces(300)]
    assert len(set(texts)) == 300 and 900 < sum(map(len, texts)) / 300 < 1200
    assert [trace.text for trace in islice(shapes.traces(300), 100)] == texts[:100]
    source = shapes.write(tmp_path, 60, "fields")
    run_ingest(tmp_path, str(tmp_path), source)
    assert run_embed(tmp_path, str(tmp_path), source)["seconds"] > 0
