"""What an update says of the new traces beside the old ones, in data and in the terminal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracer_cli as tracer
import tracer_cli.cli
from support import clustered, quick, write_jsonl
from support import tracer as run_tracer
from tracer_cli.api import project_config, run_all
from tracer_cli.artifacts import Layout, read_json
from tracer_cli.config.schema import Config, TraceSource
from tracer_cli.errors import DataError
from tracer_cli.refit.incoming import Incoming, examine
from tracer_cli.refit.known import texts_there
from tracer_cli.refit.summary import traces_summary
from tracer_cli.stages import ingest

LABELS = [f"label {i}" for i in range(10)]


def rows(labels: list[str], start: int = 0, origin: str = "organic") -> list[dict[str, Any]]:
    """Texts that tell their label, `start` and on; each its own."""
    return [
        {"input": f"word{label} text {start + i}", "teacher": label, "origin": origin} for i, label in enumerate(labels)
    ]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy on 40 texts of each of ten labels, and 60 deferred ones of label 0 alone. Shared: copy it."""
    folder = tmp_path_factory.mktemp("old")
    traces = rows(LABELS * 40) + rows(LABELS[:1] * 60, 1000, origin="deferred")
    path = write_jsonl(folder / "traces.jsonl", traces)
    config = quick(embedder={"kind": "tfidf", "dim": 16, "char_ngrams": 0}, frontier_targets=())
    source = {"path": str(path), "origin": "origin"}
    values = project_config(config, str(path), config.embedder).model_dump(by_alias=True) | {"traces": [source]}
    layout = Layout.of_folder(folder, folder / ".tracer")
    run_all(layout, Config.model_validate(values))
    assert read_json(layout.traces_metrics)["deferred_texts"] == 60
    return folder


def examined(folder: Path, new: list[dict[str, Any]], **source: Any) -> tuple[Incoming, dict[str, Any]]:
    path = write_jsonl(folder / "new.jsonl", new)
    incoming = examine(folder, [TraceSource(path=str(path), origin="origin", **source)], 0)
    layout = Layout.of_folder(folder, folder / ".tracer")
    return incoming, traces_summary(incoming, layout)


def test_new_traces_like_the_old_ones(old: Path) -> None:
    new = rows(LABELS * 10, 390)  # the first ten are old texts
    incoming, found = examined(old, [*new, new[0], {"input": "x", "teacher": ""}], max_rejected=0.1)
    assert found["rows"] == {"read": 102, "accepted": 101, "merged": 1, "rejected": 1, "skipped": 0}
    assert (found["texts"], found["texts_new"]) == (100, 90)
    assert found["origins"] == {"organic": 100, "audit": 0, "deferred": 0}
    assert found["labels"]["new"] == found["labels"]["absent"] == [] and found["notes"] == []
    shift = found["distribution"]
    # Deferred texts are left out on the old side as well: label 0 is no more frequent than the others.
    assert (shift["texts_before"], shift["texts_new"], shift["beyond_noise"], shift["labels"]) == (400, 100, False, [])
    assert shift["distance"] == pytest.approx(0)
    assert incoming.rows["read"] == sum(count.read for count in incoming.counts)


def test_labels_that_came_went_and_moved(old: Path) -> None:
    new = rows(LABELS[:5] * 30, 500) + rows(["fresh"] * 40, 500)
    _, found = examined(old, new)
    assert found["labels"]["new"] == [{"label": "fresh", "texts": 40}]
    assert [entry["label"] for entry in found["labels"]["absent"]] == LABELS[5:]
    assert all(entry["texts_before"] == 40 and entry["chance"] < 0.001 for entry in found["labels"]["absent"])
    shift = found["distribution"]
    assert shift["beyond_noise"] and shift["distance"] > 0.4 > shift["distance_by_chance"]
    assert {entry["label"] for entry in shift["labels"]} >= {"fresh", *LABELS[5:]}


def test_deferred_rows_are_compared_with_nothing(old: Path) -> None:
    """A policy defers other labels than come: that is no move. A label that came deferred has not gone, and is new."""
    new = rows(LABELS[:9] * 11, 500, origin="audit") + rows([*LABELS[9:], "fresh"] * 40, 500, origin="deferred")
    _, found = examined(old, new)
    assert found["origins"] == {"organic": 0, "audit": 99, "deferred": 80}
    assert found["labels"]["new"] == [{"label": "fresh", "texts": 40}] and found["labels"]["absent"] == []
    assert found["distribution"]["texts_new"] == 99
    (note,) = found["notes"]
    assert note.startswith("80 texts came as `deferred` only: they are not like the traffic")
    _, found = examined(old, rows(LABELS * 3, 800, origin="deferred"))
    assert found["distribution"] is None


def test_a_small_file_says_little(old: Path) -> None:
    _, found = examined(old, rows(LABELS[:2] * 3, 500))
    assert found["labels"]["absent"] == [] and found["distribution"]["labels"] == []


def test_what_only_some_files_of_a_source_have_may_be_missing_and_an_origin_may_not(old: Path) -> None:
    new = rows(LABELS * 3, 500)
    _, found = examined(old, new, id="id", ground_truth="human")
    assert found["rows"]["accepted"] == 30
    with pytest.raises(DataError, match="has a field 'origin'"):
        examined(old, [{"input": row["input"], "teacher": row["teacher"]} for row in new])


def test_without_the_tables_of_before_nothing_is_compared(old: Path, tmp_path: Path) -> None:
    shutil.copytree(old, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/.tracer/work/artifacts")
    _, found = examined(tmp_path / "copy", rows(LABELS * 3, 500))
    assert found["texts_new"] is None and found["distribution"] is None
    assert "artifacts/traces; `dvc pull`" in found["notes"][0]
    assert texts_there(Layout.of_folder(tmp_path, tmp_path / "none"), []) is None


def test_a_teacher_with_other_instructions_or_another_model_is_told(tmp_path: Path) -> None:
    def chat(system: str, text: str, label: str) -> dict[str, Any]:
        messages = [("system", system), ("user", text), ("assistant", label)]
        return {"messages": [{"role": role, "content": content} for role, content in messages]}

    first = [chat("Answer.", f"text {i}", "ab"[i % 2]) for i in range(40)]
    second = [chat("Answer in one word.", f"other {i}", "ab"[i % 2]) for i in range(20)]
    write_jsonl(tmp_path / "a.jsonl", first)
    write_jsonl(tmp_path / "b.jsonl", [*first[:10], *second])
    layout = Layout.of_folder(tmp_path, tmp_path / ".tracer")
    source = {"path": str(tmp_path / "a.jsonl"), "preset": "openai-chat"}
    ingest.run(layout, Config.model_validate({"traces": [source], "split": {"folds": 2}}))
    layout.labels_table.parent.mkdir(parents=True)
    layout.labels_table.write_text("label,holdout_rows\na,1\nb,1\n")
    incoming = examine(tmp_path, [TraceSource(path=str(tmp_path / "b.jsonl"), preset="openai-chat")], 0)
    teacher = traces_summary(incoming, layout)["teacher"]
    assert teacher == {"instructions": 2, "instructions_new": 1, "models_new": [], "complete": True}


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy on precomputed vectors, and 300 new rows: half of them of a label with control characters."""
    folder = tmp_path_factory.mktemp("home")
    traces, vectors = clustered(800)
    write_jsonl(folder / "traces.jsonl", traces[:500])
    new = [row | {"teacher": "\x1b[31mred"} if row["teacher"] == "a" else row for row in traces[500:]]
    write_jsonl(folder / "new.jsonl", new)
    np.save(folder / "new.npy", vectors[500:])
    tracer.fit(
        folder / "traces.jsonl", folder / ".tracer", embeddings=vectors[:500], config=quick(embedder=None, zoo=None)
    )
    return folder


def test_the_text_says_it_all_without_a_control_sequence(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home")
    done = run_tracer("update", "new.jsonl", "--embeddings", "new.npy", cwd=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    out = " ".join(done.stdout.split())
    assert "\x1b" not in done.stdout and "\x1b" not in done.stderr
    assert "added: new.jsonl as .tracer/work/traces/part-" in out
    assert "rows: 300 read, 300 accepted, 0 merged, 0 rejected, 0 skipped" in out
    assert "texts: 300, 300 of them new; 300 organic" in out
    assert "new labels: ?[31mred (" in out and "labels that did not come any more: a (" in out
    assert "label distribution: moved beyond noise (p = " in out and "?[31mred: 0.0 % before, " in out
    assert "before now" in out and "verdict certified at 0.85" in out
    assert "labels that the policy can answer with, gained: ?[31mred" in out
    again = run_tracer("update", "new.jsonl", "--embeddings", "new.npy", "--check", "--json", cwd=tmp_path / "home")
    told = json.loads(again.stdout)
    assert again.returncode == 0 and told["parts"][0]["new"] is False and told["traces"] is None


def test_options_that_do_not_go_together(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    for arguments, message in (
        (["new.jsonl", "--source", "0"], "--source and --results go with a project"),
        (["new.jsonl"], "was fitted on precomputed vectors"),
        (["new.jsonl", "--artifact-dir", "nowhere"], "holds no fit that can be updated"),
        ([], "Missing argument"),
    ):
        assert tracer_cli.cli.run(["update", *arguments]) == 2
        assert message in capsys.readouterr().err
