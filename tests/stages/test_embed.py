"""The embed stage: row i of the vectors is row i of the table, the holdout has no say, and memory is bounded."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import REPOSITORY, files_of
from tracer_cli import embedders
from tracer_cli.artifacts import Layout, read_array, read_table, writing_array
from tracer_cli.config.schema import Config
from tracer_cli.embedders import vector_store
from tracer_cli.embedders.probe import TEXT as PROBE
from tracer_cli.errors import DataError, StorageError
from tracer_cli.stages import embed
from tracer_cli.traces import example
from tracer_cli.traces.table import FIT, HOLDOUT, write_rows

TEXTS = [row["input"] for row in itertools.islice(example.generate(400), 260)]


def _config(**embedder: Any) -> Config:
    return Config.model_validate(
        {"traces": [{"path": "t.jsonl"}], "embedder": embedder or {"kind": "tfidf", "dim": 16}}
    )


def _tables(layout: Layout, texts: list[str], holdout: list[str], label: str = "a") -> None:
    """Fit rows on the even places of the traces, holdout rows on the odd ones."""
    fit = [(f"f{i}", 2 * i, None, text, label, 1, 1, None, None, "organic", 1.0) for i, text in enumerate(texts)]
    held = [(f"h{i}", 2 * i + 1, None, text, 1, None, "organic") for i, text in enumerate(holdout)]
    meta = {"holdout_rows": len(held), "rows_read": 2 * len(fit)}
    write_rows(layout.fit, FIT, [fit[:100], fit[100:]] if len(fit) > 100 else [fit], meta)
    write_rows(layout.holdout, HOLDOUT, [held] if held else [])


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Tables of 200 fit and 60 holdout texts; no file of labels exists."""
    layout = Layout.of_project(tmp_path, ".tracer", ".tracer/report.html")
    _tables(layout, TEXTS[:200], TEXTS[200:])
    return layout


def _artifacts(layout: Layout) -> dict[str, bytes]:
    """Everything the stage writes, temporary files that it forgot included."""
    files = files_of(layout.work / "artifacts")
    return {path: data for path, data in files.items() if not path.startswith("traces/")}


@pytest.mark.parametrize("batch", [7, 64, 1024])
def test_vectors_are_the_saved_embedders_for_each_text_in_order(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(embed, "BATCH", batch)
    embed.run(layout, _config())
    saved = embedders.load(layout.embedder)
    for table, path in ((layout.fit, layout.fit_vectors), (layout.holdout, layout.holdout_vectors)):
        vectors = read_array(path)
        assert vectors.dtype == np.float32
        np.testing.assert_array_equal(vectors, saved.embed(read_table(table, ["text"])["text"].to_pylist()))


def test_two_runs_write_the_same_bytes(layout: Layout) -> None:
    embed.run(layout, _config())
    first = _artifacts(layout)
    embed.run(layout, _config())
    assert _artifacts(layout) == first
    assert sorted({path.split("/")[0] for path in first}) == ["embedder", "vectors"]


def test_holdout_texts_change_neither_the_embedder_nor_the_fit_vectors(layout: Layout) -> None:
    embed.run(layout, _config())
    before = _artifacts(layout)
    _tables(layout, TEXTS[:200], ["quite another text"] * 30 + ["", "漢字"])
    embed.run(layout, _config())
    after = _artifacts(layout)
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {"vectors/holdout.npy"}


def test_labels_change_nothing(layout: Layout) -> None:
    embed.run(layout, _config())
    before = _artifacts(layout)
    _tables(layout, TEXTS[:200], TEXTS[200:], label="b")
    embed.run(layout, _config())
    assert _artifacts(layout) == before


def test_fit_texts_change_the_embedder(layout: Layout) -> None:
    embed.run(layout, _config())
    before = embedders.load(layout.embedder).fingerprint
    _tables(layout, TEXTS[:199], TEXTS[200:])
    embed.run(layout, _config())
    assert embedders.load(layout.embedder).fingerprint != before


def test_an_empty_holdout_gives_an_empty_matrix(layout: Layout) -> None:
    _tables(layout, TEXTS[:200], [])
    embed.run(layout, _config())
    assert read_array(layout.holdout_vectors).shape == (0, 16)


def test_progress_counts_every_row_once(layout: Layout) -> None:
    seen: list[int] = []

    @contextlib.contextmanager
    def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
        seen.append(-total)
        yield seen.append

    embed.run(layout, _config(), progress)
    assert seen[0] == -260 and sum(seen) == 0


@pytest.mark.parametrize("limit", [1, 3, 50, 199, 200, 1000])
def test_many_fit_texts_are_sampled_evenly(layout: Layout, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(embed, "FIT_TEXTS", limit)
    monkeypatch.setattr(embed, "BATCH", 33)
    sample = embed._sample(layout.fit, 200)
    assert len(sample) == min(limit, 200)
    places, after = [], 0
    for text in sample:
        after = TEXTS.index(text, after) + 1
        places.append(after)
    gaps = np.diff([0, *places])
    assert max(gaps[1:], default=0) <= 200 // min(limit, 200) + 1


# --- precomputed vectors --------------------------------------------------------------------------


def test_precomputed_vectors_go_to_the_rows_they_belong_to(layout: Layout, tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).normal(size=(400, 5))
    np.save(tmp_path / "v.npy", matrix)
    embed.run(layout, _config(kind="precomputed", path="v.npy"))
    np.testing.assert_array_equal(read_array(layout.fit_vectors), matrix[0::2].astype(np.float32))
    np.testing.assert_array_equal(read_array(layout.holdout_vectors), matrix[1:121:2].astype(np.float32))
    assert list(files_of(layout.embedder)) == ["spec.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda matrix: matrix[:-1], "v.npy has 399 vectors, but 400 trace rows were read"),
        (lambda matrix: np.where(np.arange(400)[:, None] >= 7, np.nan, matrix), "row 7 .* has NaN"),
    ],
)
def test_precomputed_vectors_that_do_not_fit_leave_the_old_artifacts(
    layout: Layout, tmp_path: Path, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    embed.run(layout, _config())
    before = _artifacts(layout)
    np.save(tmp_path / "v.npy", change(np.ones((400, 5))))
    with pytest.raises(DataError, match=message):
        embed.run(layout, _config(kind="precomputed", path="v.npy"))
    assert _artifacts(layout) == before


# --- vectors that are kept -------------------------------------------------------------------------

FUNCTION = """
from pathlib import Path

def embed(texts):
    with Path(__file__).with_name("asked.txt").open("a") as file:
        file.writelines(f"{text}\\n" for text in texts)
    return [[float(len(text)), float(sum(map(ord, text)) % 997), 1.0] for text in texts]
"""


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("TRACER_CACHE_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """What the stage says, also after a test of the command line has shown the log in its own way."""
    monkeypatch.setattr(logging.getLogger("tracer"), "propagate", True)
    caplog.set_level(logging.INFO, "tracer")
    return caplog


def _many(count: int, start: int = 0) -> list[str]:
    return [f"text number {i}" for i in range(start, start + count)]


@pytest.mark.parametrize("text_features", [None, {"dim": 8}])
def test_a_refit_after_500_new_traces_embeds_500(
    tmp_path: Path, kept: Path, told: pytest.LogCaptureFixture, text_features: dict[str, int] | None
) -> None:
    layout = Layout.of_project(tmp_path, ".tracer", ".tracer/report.html")
    module = f"counted_{text_features is not None}"
    (tmp_path / f"{module}.py").write_text(FUNCTION)
    config = _config(kind="callable", function=f"{module}:embed", normalize=True, text_features=text_features)
    asked = tmp_path / "asked.txt"

    def embedded(fit: list[str], holdout: list[str]) -> list[str]:
        asked.write_text("")
        _tables(layout, fit, holdout)
        embed.run(layout, config)
        return [text for text in asked.read_text().splitlines() if text != PROBE]

    fit, holdout = _many(2000), _many(300, 2000)
    assert sorted(embedded(fit, holdout)) == sorted(fit + holdout)
    first = read_array(layout.fit_vectors).copy()
    new = _many(500, 9000)
    assert embedded(fit + new[:400], holdout + new[400:]) == new
    assert embedded(fit + new[:400], holdout + new[400:]) == []
    if text_features is None:
        np.testing.assert_array_equal(read_array(layout.fit_vectors)[:2000], first)
    again = embedded(fit[:100], [])
    assert again == []
    assert [record.getMessage() for record in told.records] == [
        "embed: 2300 texts embedded, 0 from the cache",
        "embed: 500 texts embedded, 2300 from the cache",
        "embed: 0 texts embedded, 2800 from the cache",
        "embed: 0 texts embedded, 100 from the cache",
    ]
    [file] = (kept / "embeddings").iterdir()
    assert vector_store.describe(file)[1] == 2800


def test_a_change_of_the_function_embeds_all_again(tmp_path: Path, kept: Path, layout: Layout) -> None:
    for part, dim in (("[1.0, 2.0]", 2), ("[1.0, 2.0, 3.0]", 3)):
        (tmp_path / f"changes_{dim}.py").write_text(f"def embed(texts):\n    return [{part} for _ in texts]\n")
        embed.run(layout, _config(kind="callable", function=f"changes_{dim}:embed"))
        assert read_array(layout.fit_vectors).shape == (200, dim)
    assert len(list((kept / "embeddings").iterdir())) == 2


@pytest.mark.parametrize("embedder", [{"kind": "tfidf", "dim": 16}, {"kind": "precomputed", "path": "v.npy"}])
def test_what_is_fitted_or_given_is_not_kept(
    layout: Layout, tmp_path: Path, kept: Path, told: pytest.LogCaptureFixture, embedder: dict[str, Any]
) -> None:
    np.save(tmp_path / "v.npy", np.ones((400, 5)))
    embed.run(layout, _config(**embedder))
    assert not kept.exists() and told.records == []


def test_a_cache_that_cannot_be_used_does_not_fail_the_stage(
    layout: Layout, tmp_path: Path, kept: Path, told: pytest.LogCaptureFixture
) -> None:
    kept.write_text("a file")
    (tmp_path / "plain_vectors.py").write_text("def embed(texts):\n    return [[float(len(t))] for t in texts]\n")
    embed.run(layout, _config(kind="callable", function="plain_vectors:embed"))
    assert read_array(layout.fit_vectors)[:, 0].tolist() == [len(text) for text in TEXTS[:200]]
    assert [record.levelname for record in told.records] == ["WARNING", "INFO"]
    assert "cannot write the embedding cache" in told.records[0].getMessage()


@pytest.mark.model
def test_a_refit_with_a_real_model_embeds_what_is_new(
    minilm: Path, tmp_path: Path, kept: Path, told: pytest.LogCaptureFixture
) -> None:
    layout = Layout.of_project(tmp_path, ".tracer", ".tracer/report.html")
    config = _config(kind="sentence-transformers", model=str(minilm))
    for count in (100, 600):
        _tables(layout, _many(count), [])
        embed.run(layout, config)
    assert [record.getMessage() for record in told.records] == [
        "embed: 100 texts embedded, 0 from the cache",
        "embed: 500 texts embedded, 100 from the cache",
    ]
    whole = embedders.load(layout.embedder).embed(_many(600))
    np.testing.assert_allclose(read_array(layout.fit_vectors), whole, atol=1e-5)


# --- files and memory -----------------------------------------------------------------------------


def test_a_missing_or_broken_table_is_named(layout: Layout) -> None:
    layout.holdout.write_bytes(b"nothing")
    with pytest.raises(StorageError, match=r"cannot read .*holdout\.parquet: it is not a Parquet table.*run ingest"):
        embed.run(layout, _config())
    layout.fit.unlink()
    with pytest.raises(StorageError, match=r"cannot read .*fit\.parquet: no such file"):
        embed.run(layout, _config())


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot reserve space")
def test_the_disk_is_asked_for_the_whole_matrix_before_the_first_batch(tmp_path: Path) -> None:
    with writing_array(tmp_path / "v.npy", (5000, 100)):
        [temporary] = tmp_path.iterdir()
        assert temporary.stat().st_blocks * 512 >= 5000 * 100 * 4


MEASURED = """
import resource, sys
from pathlib import Path
from tracer_cli.artifacts import Layout
from tracer_cli.config.schema import Config
from tracer_cli.stages import embed
from tracer_cli.traces.table import FIT, HOLDOUT, write_rows
from tracer_cli.embedders import tfidf
from tracer_cli.traces import example

rows, megabytes = int(sys.argv[2]), int(sys.argv[3])
layout = Layout.of_project(Path(sys.argv[1]), ".tracer", ".tracer/report.html")
texts = [row["input"] for row in example.generate(1000)]
def groups():
    for start in range(0, rows, 1000):
        numbered = enumerate(texts, start)
        yield [(f"{i}", i, None, f"{text} {start}", "a", 1, 1, None, None, "organic", 1.0) for i, text in numbered]
write_rows(layout.fit, FIT, groups(), {"holdout_rows": 0, "rows_read": rows})
write_rows(layout.holdout, HOLDOUT, [])
embed.FIT_TEXTS = 1000
config = Config.model_validate({"traces": [{"path": "t"}], "embedder": {"kind": "tfidf", "dim": 384, "char_ngrams": 3}})
tfidf.fit(config.embedder.model_dump(), texts, 0, Path())  # what the libraries take for themselves
status = Path("/proc/self/status").read_text()
used = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmData"))) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + megabytes * 2**20,) * 2)
embed.run(layout, config)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    rows, megabytes = 100_000, 60  # the vectors alone are 146 MB
    subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path), str(rows), str(megabytes)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=True,
    )
    assert read_array(tmp_path / "artifacts" / "vectors" / "fit.npy").shape == (rows, 384)
