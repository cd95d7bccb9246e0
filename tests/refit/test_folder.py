"""`tracer.update` of a policy that `tracer.fit` made: the same as a fit on all of the traces, with nothing lost."""

from __future__ import annotations

import json
import shutil
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracer_cli as tracer
from support import clustered, example_traces, files_of, quick, write_jsonl
from tracer_cli.artifacts import exclusive, read_json, read_table
from tracer_cli.embedders import Embedder
from tracer_cli.errors import ConfigError, DataError, EmbedderError, EmbedderMismatchError, StorageError, TracerError
from tracer_cli.refit import update_folder
from tracer_cli.traces.log_format import Entry, line

ROWS = example_traces(700)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with traces.jsonl, its policy, and two files of new traces. Shared: copy it."""
    folder = tmp_path_factory.mktemp("first")
    write_jsonl(folder / "traces.jsonl", ROWS[:500])
    write_jsonl(folder / "new.jsonl", ROWS[480:600])
    write_jsonl(folder / "more.jsonl", ROWS[600:])
    tracer.fit(folder / "traces.jsonl", folder / ".tracer", config=quick(target_teacher_agreement=0.7))
    return folder


@pytest.fixture
def home(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same in a folder of its own, which is the current one."""
    shutil.copytree(first, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def policy(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("policy.onnx", "frontier.json", "embedder/spec.json")}


def test_an_update_is_a_fit_on_all_of_the_traces(home: Path) -> None:
    result = tracer.update("new.jsonl")
    assert result.deploy and tracer.load_router().target == 0.7
    whole = write_jsonl(home / "whole.jsonl", ROWS[:500] + ROWS[480:600])
    again = tracer.fit(whole, home / "q", config=quick(target_teacher_agreement=0.7))
    assert policy(home / ".tracer") == policy(again.path)
    assert result.manifest["targets"] == again.manifest["targets"]
    (part,) = (home / ".tracer/work/traces").iterdir()
    assert part.read_bytes() == (home / "new.jsonl").read_bytes() and part.name.startswith("part-")


def test_the_order_of_two_updates_does_not_matter_and_two_files_may_come_at_once(home: Path) -> None:
    found = []
    for name, updates in (("a", [["new.jsonl"], ["more.jsonl"]]), ("b", [["more.jsonl", "new.jsonl"]])):
        shutil.copytree(home / ".tracer", home / name / ".tracer")
        shutil.copy(home / "traces.jsonl", home / name)
        for files in updates:
            tracer.update(files, home / name / ".tracer")
        found.append(policy(home / name / ".tracer"))
    assert found[0] == found[1]


def test_the_same_content_again_changes_not_one_byte(home: Path) -> None:
    tracer.update("new.jsonl")
    before = files_of(home)
    shutil.copy("new.jsonl", "another name.jsonl")
    done = update_folder([Path("another name.jsonl")], Path(".tracer"))
    assert [part["new"] for part in done.parts] == [False] and done.traces is None
    Path("another name.jsonl").unlink()
    assert files_of(home) == before


def test_what_changed_is_told_against_the_policy_before(home: Path) -> None:
    before = read_json(home / ".tracer/manifest.json")
    done = update_folder([Path("new.jsonl")], Path(".tracer"))
    previous = read_json(home / ".tracer/work/metrics/previous.json")
    assert previous["verdict"] == before["verdict"] and previous == done.before
    changed = read_json(home / ".tracer/qualitative_report.json")["changed"]
    assert changed == done.changed()
    assert changed["verdict"] == {"before": before["verdict"], "now": done.result.manifest["verdict"]}
    assert changed["traces"]["now"]["rows_read"] - changed["traces"]["before"]["rows_read"] == 120
    assert done.traces is not None
    assert done.traces["rows"]["accepted"] == 120
    old = {row["input"] for row in ROWS[:500]}
    assert done.traces["texts_new"] == len({row["input"] for row in ROWS[480:600]} - old)


def test_settings_of_the_first_fit_stay_and_those_given_again_replace_them(home: Path) -> None:
    assert tracer.update("new.jsonl").manifest["target"] == 0.7
    assert tracer.update("new.jsonl", target_teacher_agreement=0.8, frontier_targets=(0.75,)).manifest["target"] == 0.8
    manifest = tracer.update("more.jsonl").manifest
    assert [t["target"] for t in manifest["targets"]] == [0.75, 0.8]
    kept = read_json(home / ".tracer/work/fit.json")
    assert kept["settings"]["target_teacher_agreement"] == 0.8 and len(kept["parts"]) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedder_": 1}, "there is no setting 'embedder_'; expected one of target_teacher_agreement"),
        ({"text_field": "x"}, "text_field cannot change in an update"),
        ({"confidence": 2}, "confidence"),
        ({"embeddings": np.zeros((120, 3))}, "embeds texts by itself: leave the embeddings out"),
    ],
)
def test_wrong_settings_write_nothing(home: Path, settings: dict[str, object], message: str) -> None:
    before = files_of(home)
    with pytest.raises(ConfigError, match=message):
        tracer.update("new.jsonl", **settings)  # type: ignore[arg-type]
    assert files_of(home) == before


def test_traces_that_cannot_be_used_write_nothing_and_are_told(home: Path) -> None:
    before = files_of(home)
    rows = [*ROWS[600:650], *({"input": f"text {i}", "teacher": None} for i in range(5))]
    write_jsonl(home / "bad.jsonl", rows)
    with pytest.raises(DataError) as caught:
        tracer.update("bad.jsonl")
    told = str(caught.value)
    assert "bad.jsonl: 5 of 55 rows (9.1 %) cannot be used:\n  bad.jsonl, line 51: " in told
    assert "Nothing was added" in told
    rejected = Path(told.split("Every rejected row is in ")[1].split("; mend")[0])
    assert [json.loads(line)["line"] for line in rejected.read_text().splitlines()] == [51, 52, 53, 54, 55]
    Path("bad.jsonl").unlink()
    assert files_of(home) == before
    for name, text, message in (
        ("none.jsonl", None, "none.jsonl: there is no such file"),
        ("odd.txt", "x", "odd.txt is of no known kind"),
        ("empty.jsonl", "", "empty.jsonl is empty"),
        (".", None, "is a folder: name the files in it"),
    ):
        if text is not None:
            Path(name).write_text(text)
        with pytest.raises(DataError, match=message):
            tracer.update(name)


def test_one_bad_row_among_many_is_rejected_and_said(home: Path) -> None:
    write_jsonl(home / "new.jsonl", [*ROWS[600:660], {"input": " ", "teacher": "x"}])
    done = update_folder([Path("new.jsonl")], Path(".tracer"))
    assert done.traces is not None
    assert (done.traces["rows"]["rejected"], len(done.traces["rejected_first"])) == (1, 1)
    assert "line 61" in done.traces["rejected_first"][0]


def test_a_policy_that_fit_did_not_make_is_refused(home: Path) -> None:
    with pytest.raises(StorageError, match=r"holds no fit that can be updated.*tracer fit"):
        tracer.update("new.jsonl", "elsewhere")
    shutil.rmtree(home / ".tracer" / "work")
    with pytest.raises(StorageError, match="holds no fit that can be updated"):
        tracer.update("new.jsonl")
    (home / ".tracer" / "work").mkdir()
    (home / ".tracer" / "work" / "fit.json").write_text('{"schema": 9}')
    with pytest.raises(StorageError, match="is not as this version of tracer writes it"):
        tracer.update("new.jsonl")


def test_traces_that_went_are_an_error_and_traces_that_changed_are_taken_as_they_are(home: Path) -> None:
    Path("traces.jsonl").rename("moved.jsonl")
    before = files_of(home)
    with pytest.raises(DataError, match=r"are not at traces\.jsonl any more: put them back there, or fit anew"):
        tracer.update("new.jsonl")
    assert files_of(home) == before
    write_jsonl(home / "traces.jsonl", ROWS[:450])
    done = update_folder([Path("new.jsonl")], Path(".tracer"))
    assert done.notes == ["traces.jsonl is not as it was at the first fit: this fit takes it as it is now"]
    assert read_json(home / ".tracer/work/metrics/traces.json")["rows_read"] == 450 + 120


def test_policy_and_traces_may_move_together(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.rename(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    done = update_folder([Path("elsewhere/new.jsonl")], Path("elsewhere/.tracer"))
    assert done.result.deploy and done.notes == []


def test_files_that_are_not_the_policys_stay(home: Path) -> None:
    (home / ".tracer" / "notes.txt").write_text("mine")
    (home / ".tracer" / "logs").mkdir()
    (home / ".tracer" / "logs" / "a.jsonl").write_text("mine too")
    assert tracer.update("new.jsonl").deploy
    assert (home / ".tracer" / "notes.txt").read_text() == "mine"
    assert (home / ".tracer" / "logs" / "a.jsonl").read_text() == "mine too"
    tracer.load_router()
    assert {p.name for p in (home / ".tracer").iterdir() if p.name.startswith(".")} == set()


def test_a_fit_anew_keeps_the_parts_and_does_not_use_them(home: Path) -> None:
    tracer.update("new.jsonl")
    (part,) = (home / ".tracer/work/traces").iterdir()
    result = tracer.fit("traces.jsonl", config=quick(target_teacher_agreement=0.7))
    assert part.is_file() and read_json(home / ".tracer/work/metrics/traces.json")["rows_read"] == 500
    assert any("1 parts that `tracer update` had added are not in this fit" in note for note in result.notes)
    tracer.update("more.jsonl")
    assert read_json(home / ".tracer/work/metrics/traces.json")["rows_read"] == 600
    tracer.update(part)
    assert read_json(home / ".tracer/work/metrics/traces.json")["rows_read"] == 720


def test_a_second_run_at_once_is_refused_and_loses_nothing(home: Path) -> None:
    before = files_of(home)
    with exclusive(home / ".tracer"), pytest.raises(StorageError, match="another tracer run is writing"):
        tracer.update("new.jsonl")
    assert files_of(home) == before
    outcomes: list[str] = []

    def run(name: str) -> None:
        try:
            tracer.update(home / name, home / ".tracer")
            outcomes.append(name)
        except StorageError:
            outcomes.append("refused")

    threads = [threading.Thread(target=run, args=(name,)) for name in ("new.jsonl", "more.jsonl")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 2 and len(set(outcomes)) == 2  # both in turn, or one refused
    for name in ("new.jsonl", "more.jsonl"):
        tracer.update(name)
    assert read_json(home / ".tracer/work/metrics/traces.json")["rows_read"] == 720


def test_a_router_that_loads_while_policies_are_swapped_finds_a_whole_one(home: Path) -> None:
    """A reader in a loop beside two updates: each load is of the old policy or of the new one."""
    stop, problems, loaded = threading.Event(), [], set()

    def read() -> None:
        while not stop.is_set():
            try:
                loaded.add(json.loads((home / ".tracer/manifest.json").read_text())["holdout_rows"])
            except (OSError, ValueError) as error:
                problems.append(repr(error))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        tracer.update("new.jsonl")
        tracer.update("more.jsonl")
    finally:
        stop.set()
        reader.join()
    assert problems == [] and len(loaded) == 3


# --- vectors --------------------------------------------------------------------------------------


def test_precomputed_vectors_follow_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an array or in a file, in two updates: as a fit on all rows and all vectors, in the order of the parts."""
    monkeypatch.chdir(tmp_path)
    traces, vectors = clustered(900)
    slices = {"a.jsonl": slice(0, 500), "b.jsonl": slice(500, 720), "c.jsonl": slice(720, 900)}
    for name, rows in slices.items():
        write_jsonl(tmp_path / name, traces[rows])
    np.save("a.npy", vectors[slices["a.jsonl"]])
    section = {"kind": "precomputed", "path": "a.npy"}
    for folder, config, given in (
        ("array", quick(embedder=None), vectors[slices["a.jsonl"]]),
        ("file", quick(embedder=section), None),
    ):
        tracer.fit("a.jsonl", folder, embeddings=given, config=config)
        for name in ("b.jsonl", "c.jsonl"):
            tracer.update(name, folder, embeddings=vectors[slices[name]])
    parts = sorted((tmp_path / "array/work/traces").glob("*.jsonl"))
    names = [next(name for name in slices if (tmp_path / name).read_bytes() == part.read_bytes()) for part in parts]
    order = ["a.jsonl", *names]
    write_jsonl(tmp_path / "whole.jsonl", [row for name in order for row in traces[slices[name]]])
    matrix = np.vstack([vectors[slices[name]] for name in order])
    tracer.fit("whole.jsonl", "whole", embeddings=matrix, config=quick(embedder=None))
    assert policy(tmp_path / "array") == policy(tmp_path / "file") == policy(tmp_path / "whole")
    assert not (tmp_path / "file/work/embeddings.npy").exists()
    assert not list(tmp_path.glob("*/work/all_*"))


def test_vectors_that_do_not_fit_write_nothing(tmp_path: Path) -> None:
    traces, vectors = clustered(400)
    write_jsonl(tmp_path / "a.jsonl", traces[:300])
    new = write_jsonl(tmp_path / "b.jsonl", [*traces[300:399], {"input": "", "teacher": "a"}])
    tracer.fit(tmp_path / "a.jsonl", tmp_path / "p", embeddings=vectors[:300], config=quick(embedder=None))
    before = files_of(tmp_path)
    wrong = vectors[300:].copy()
    wrong[3, 2] = np.nan
    for given, kind, message in (
        (None, DataError, "was fitted on precomputed vectors: give those of the new rows too"),
        (vectors[300:399], DataError, "the embeddings have 99 rows, but 100 new trace rows were read"),
        (vectors[300:, :7], TracerError, "7"),
        (wrong, TracerError, "NaN"),
    ):
        with pytest.raises(kind, match=message):
            tracer.update(new, tmp_path / "p", embeddings=given)
        assert files_of(tmp_path) == before, message
    tracer.update(new, tmp_path / "p", embeddings=vectors[300:])
    assert read_table(tmp_path / "p/work/artifacts/traces/fit.parquet").num_rows > 0


def test_an_embedder_object_is_asked_for_again(tmp_path: Path) -> None:
    """The policy keeps its fingerprint alone; another one is refused."""
    traces, vectors = clustered(500)
    rows = {trace["input"]: vector for trace, vector in zip(traces, vectors, strict=True)}

    def embed(texts: list[str]) -> np.ndarray:
        return np.array([rows.get(text, vectors[0]) for text in texts])

    def other(texts: list[str]) -> np.ndarray:
        return -embed(texts)

    embedder = Embedder.from_callable(embed)
    write_jsonl(tmp_path / "a.jsonl", traces[:400])
    new = write_jsonl(tmp_path / "b.jsonl", traces[400:])
    tracer.fit(tmp_path / "a.jsonl", tmp_path / "p", config=quick(embedder=embedder))
    with pytest.raises(EmbedderError, match="was fitted with an embedder object"):
        tracer.update(new, tmp_path / "p")
    with pytest.raises(EmbedderMismatchError, match="the embedder given is not the one"):
        tracer.update(new, tmp_path / "p", embedder=Embedder.from_callable(other))
    assert tracer.update(new, tmp_path / "p", embedder=embedder).manifest["fit_rows"] > 0


def counted(home: Path) -> dict[str, int]:
    found: dict[str, int] = read_json(home / ".tracer" / "work" / "metrics" / "traces.json")
    return found


def a_log(path: Path, rows: list[dict[str, Any]], origin: str) -> Path:
    entries = [
        Entry(id=str(n), time=datetime(2026, 3, 1, tzinfo=timezone.utc), input=row["input"], teacher=row["teacher"], origin=origin,
              probability=1.0)
        for n, row in enumerate(rows)
    ]  # fmt: skip
    path.write_bytes(b"".join(map(line, entries)))
    return path


def test_what_a_policy_deferred_is_no_evidence_when_its_log_comes_as_an_update(home: Path) -> None:
    before = counted(home)
    new = [{"input": f"{row['input']} please", "teacher": row["teacher"]} for row in example_traces(40)]
    tracer.update(a_log(Path("log.jsonl"), new, "deferred"))
    now = counted(home)
    assert before["deferred_texts"] == 0
    assert now["deferred_texts"] == len({row["input"] for row in new})
    assert now["holdout_rows"] == before["holdout_rows"]


def test_a_log_is_read_as_what_it_is_by_a_fit(home: Path) -> None:
    rows = example_traces(400)
    log = a_log(Path("organic.jsonl"), rows[:300], "organic")
    log.write_bytes(log.read_bytes() + a_log(Path("deferred.jsonl"), rows[300:], "deferred").read_bytes())
    tracer.fit(log, "other", config=quick())
    found = json.loads(Path("other/work/metrics/traces.json").read_text())
    assert 0 < found["deferred_texts"] <= 100
