"""A router whose folder changes: it goes over to what is whole and certified, and to nothing else."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer_cli as tracer
from support import REPOSITORY, DvcProject, clustered, example_traces, files_of, quick, write_jsonl
from tracer_cli import embedders
from tracer_cli.api import FitResult
from tracer_cli.errors import (
    DataError,
    EmbedderError,
    EmbedderMismatchError,
    PolicyError,
    PolicyIntegrityError,
    PolicyNotCertifiedError,
    TracerError,
)
from tracer_cli.runtime import text_embedder
from tracer_cli.runtime.policy_folder import manifest_digest, policy_id
from tracer_cli.swap import replacing_policy

TEXTS = [trace["input"] for trace in example_traces(1320)[1200:]]
LONG = 60.0


def whole(policy: Path, target: Path) -> Path:
    return Path(shutil.copytree(policy, target, ignore=shutil.ignore_patterns("work"), dirs_exist_ok=True))


@pytest.fixture(scope="module")
def first(fitted: FitResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole(fitted.path, tmp_path_factory.mktemp("first") / "p")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of other traces: another embedder of the same dimension, other labels' order, other thresholds."""
    folder = tmp_path_factory.mktemp("second")
    result = tracer.fit(write_jsonl(folder / "t.jsonl", example_traces(1000)[100:]), folder / "p", config=quick())
    assert result.deploy
    return whole(result.path, folder / "q")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """On vectors of the caller's, of 16 dimensions."""
    folder = tmp_path_factory.mktemp("narrow")
    traces, vectors = clustered(600)
    config = quick(embedder=None, target_teacher_agreement=0.7)
    result = tracer.fit(write_jsonl(folder / "t.jsonl", traces), folder / "p", embeddings=vectors, config=config)
    assert result.deploy
    return whole(result.path, folder / "q")


@pytest.fixture
def place(first: Path, tmp_path: Path) -> Path:
    return whole(first, tmp_path / ".tracer")


def put(policy: Path, place: Path) -> str:
    """As `tracer fit` and `tracer update` do it; the policy's id."""
    with replacing_policy(place) as new:
        whole(policy, new)
    return id_of(policy)


def id_of(policy: Path) -> str:
    return policy_id((policy / "manifest.json").read_bytes())


def edited(policy: Path, target: Path, edit: Callable[[dict[str, Any]], Any]) -> Path:
    """A copy with another manifest."""
    manifest = json.loads((whole(policy, target) / "manifest.json").read_bytes())
    edit(manifest)
    if "digest" in manifest:
        manifest["digest"] = manifest_digest(manifest)
    (target / "manifest.json").write_text(json.dumps(manifest))
    return target


def answers(policy: Path) -> list[Any]:
    router = tracer.load_router(policy)
    return [router.predict(text) for text in TEXTS]


def until(condition: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class Heard:
    def __init__(self) -> None:
        self.reloads: list[tuple[str, str]] = []
        self.refused: list[TracerError] = []

    def __call__(self, path: Path, seconds: float | None = None, **more: Any) -> tracer.LiveRouter:
        return tracer.LiveRouter(
            path, seconds, **more, on_reload=lambda *ids: self.reloads.append(ids), on_refused=self.refused.append
        )


@pytest.fixture
def heard() -> Heard:
    return Heard()


# --- what is whole and certified ------------------------------------------------------------------


def test_it_goes_over_to_another_policy(place: Path, second: Path, heard: Heard) -> None:
    live = heard(place)
    old, expected = id_of(place), answers(place)
    assert live.policy_id == old and [live.predict(text) for text in TEXTS] == expected
    assert not live.check() and live.reloads == {"loaded": 0, "refused": 0}
    new = put(second, place)
    assert live.policy_id == old, "nobody has looked yet"
    assert live.check() and not live.check()
    assert live.policy_id == new and heard.reloads == [(old, new)] and heard.refused == []
    assert [live.predict(text) for text in TEXTS] == answers(second) != expected
    assert live.reloads == {"loaded": 1, "refused": 0} and live.problem is None
    assert live.manifest == json.loads((second / "manifest.json").read_bytes())
    assert live.labels == live.manifest["labels"] and live.dim == 64


def test_all_methods_are_there(place: Path, second: Path) -> None:
    live = tracer.LiveRouter(place, None)
    put(second, place)
    live.check()
    router = tracer.load_router(second)
    vectors = live.embed(TEXTS)
    assert live.predict_batch(TEXTS)["labels"] == router.predict_batch(TEXTS)["labels"]
    assert live.decide(vectors).policy_id == router.policy_id
    assert (live.decide(vectors).accept_scores == router.decide(vectors).accept_scores).all()
    assert asyncio.run(live.apredict(TEXTS[0], target=0.7)) == router.predict(TEXTS[0], target=0.7)
    found = asyncio.run(live.apredict_batch(TEXTS, fallback=lambda inputs: ["LLM"] * len(inputs)))
    assert found["labels"] == router.predict_batch(TEXTS, fallback=lambda inputs: ["LLM"] * len(inputs))["labels"]
    assert (live.target, live.targets) == (router.target, router.targets)


def test_a_thread_looks(place: Path, second: Path, first: Path) -> None:
    reloaded = threading.Event()
    with tracer.LiveRouter(place, 0.02, on_reload=lambda old, new: reloaded.set()) as live:
        new = put(second, place)
        assert reloaded.wait(30) and live.policy_id == new
        reloaded.clear()
        put(first, place)
        assert reloaded.wait(30) and live.policy_id == id_of(first)
    with tracer.load_router(place, reload=0.02) as live:
        put(second, place)
        until(lambda: live.policy_id == new)


def test_the_same_manifest_again_is_no_reload(place: Path, first: Path, heard: Heard) -> None:
    live = heard(place, 0.02)
    router = live.current
    os.utime(place / "manifest.json")
    assert not live.check()
    (place / "manifest.json").write_bytes((place / "manifest.json").read_bytes())
    put(first, place)
    time.sleep(0.2)
    assert live.current is router and live.problem is None and not heard.refused
    live.close()


def test_a_request_ends_with_the_policy_that_it_began_with(place: Path, second: Path) -> None:
    vector = tracer.load_router(place).embed(TEXTS[:1])[0]
    inside, release = threading.Event(), threading.Event()

    def embed(texts: Any) -> Any:
        if texts == ["slow"]:
            inside.set()
            assert release.wait(60)
        return np.repeat(vector[None], len(texts), 0)

    live = tracer.LiveRouter(place, None, embed)
    old, new = (tracer.load_router(path).predict(vector, target=0.7) for path in (place, second))
    assert old["accept_score"] != new["accept_score"]
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.append(live.predict("slow", target=0.7)))
    asking.start()
    assert inside.wait(30)
    put(second, place)
    assert live.check() and live.predict("quick", target=0.7) == new
    release.set()
    asking.join(30)
    assert found == [old]


def test_many_ask_while_policies_come_and_go(place: Path, first: Path, second: Path, heard: Heard) -> None:
    expected = {id_of(path): dict(zip(TEXTS, answers(path), strict=True)) for path in (first, second)}
    live = heard(place, 0.01)
    end, wrong, asked = threading.Event(), [], [0, 0]

    def ask(seed: int) -> None:
        chance = random.Random(seed)
        try:
            while not end.is_set():
                text, router = chance.choice(TEXTS), live.current
                if router.predict(text) != expected[router.policy_id][text]:
                    wrong.append(text)
                if live.predict(text) not in [known[text] for known in expected.values()]:
                    wrong.append(text)
                asked[seed] += 1
        except BaseException as error:
            wrong.append(repr(error))

    async def await_answers() -> None:
        while not end.is_set():
            for text, one in zip(TEXTS[:8], await asyncio.gather(*map(live.apredict, TEXTS[:8])), strict=True):
                if one not in [known[text] for known in expected.values()]:
                    wrong.append(text)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(2)]
    threads.append(threading.Thread(target=lambda: asyncio.run(await_answers())))
    for thread in threads:
        thread.start()
    for number in range(12):
        new = put((second, first)[number % 2], place)
        until(lambda new=new: live.policy_id == new or wrong)
    end.set()
    for thread in threads:
        thread.join(30)
    live.close()
    assert wrong == [] and min(asked) > 20 and live.reloads == {"loaded": 12, "refused": 0} and not heard.refused


# --- a folder that is being written ---------------------------------------------------------------


@pytest.fixture(scope="module")
def expected(first: Path, second: Path) -> dict[str, list[Any]]:
    return {id_of(path): answers(path)[:5] for path in (first, second)}


@given(st.data())
@settings(max_examples=15)
def test_file_by_file_in_any_order(
    first: Path,
    second: Path,
    expected: dict[str, list[Any]],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    """Each file is taken away, or cut off in its middle and then written in place; somebody looks at every step."""
    place = whole(first, tmp_path_factory.mktemp("writing") / ".tracer")
    heard = Heard()
    live = heard(place, patience=LONG)
    new = files_of(second)
    steps: list[tuple[str, bytes | None]] = []
    for name in data.draw(st.permutations(sorted(new))):
        how = data.draw(st.sampled_from(["whole", "halves", "removed first"]))
        steps += {"whole": [], "halves": [(name, new[name][: len(new[name]) // 2])], "removed first": [(name, None)]}[
            how
        ]
        steps.append((name, new[name]))
    for name, content in steps:
        if content is None:
            (place / name).unlink(missing_ok=True)
        else:
            (place / name).write_bytes(content)
        live.check()
        assert [live.predict(text) for text in TEXTS[:5]] == expected[live.policy_id]
    assert live.policy_id == id_of(second) and live.problem is None
    assert heard.refused == [] and live.reloads == {"loaded": 1, "refused": 0}


@pytest.mark.dvc
@pytest.mark.slow
def test_dvc_checks_out_another_version(first: Path, second: Path, heard: Heard, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    project = DvcProject(tmp_path / "project", tmp_path / "home")
    for tag, policy in (("one", first), ("two", second)):
        put(policy, project.root / ".tracer")
        project.dvc("add", "-q", ".tracer")
        project.commit()
        project.git("tag", tag)
    with heard(project.root / ".tracer", 0.005, patience=LONG) as live:
        for tag, policy in (("one", first), ("two", second), ("one", first)):
            project.git("checkout", "-q", tag)
            project.dvc("checkout", "-q")
            until(lambda policy=policy: live.policy_id == id_of(policy))
            assert [live.predict(text) for text in TEXTS[:20]] == answers(policy)[:20]
    assert live.reloads == {"loaded": 3, "refused": 0} and heard.refused == []


def test_what_stays_bad_is_reported_once_and_loads_when_it_is_mended(
    place: Path, second: Path, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    live = heard(place, patience=0.3)
    old, new = live.policy_id, put(second, place)
    graph = (place / "policy.onnx").read_bytes()
    (place / "policy.onnx").write_bytes(graph[:-1] + bytes([graph[-1] ^ 1]))
    assert not live.check() and heard.refused == [] and live.reloads["refused"] == 0
    assert isinstance(live.problem, PolicyIntegrityError), "it can be seen, but is not told yet"
    time.sleep(0.35)
    for _ in range(4):
        assert not live.check()
    assert live.policy_id == old and live.reloads == {"loaded": 0, "refused": 1}
    (error,) = heard.refused
    assert isinstance(error, PolicyIntegrityError)
    assert str(place / "policy.onnx") in str(error) and "(it has been so for 0 s)" in str(error)
    (record,) = [record for record in caplog.records if record.name == "tracer"]
    assert record.levelno == logging.ERROR and f"is refused, {old} goes on: " in record.getMessage()
    (place / "policy.onnx").write_bytes(graph)
    assert live.check() and live.policy_id == new and live.problem is None


def test_the_thread_tries_again_when_a_file_changes(place: Path, second: Path, heard: Heard, tmp_path: Path) -> None:
    """Although the manifest, which it looks at, is no other than before."""
    broken = whole(second, tmp_path / "broken")
    (broken / "embedder" / "idf.npy").unlink()
    with heard(place, 0.02, patience=0.1) as live:
        new = put(broken, place)
        until(lambda: heard.refused)
        assert "idf.npy is missing" in str(heard.refused[0]) and live.policy_id != new
        shutil.copy(second / "embedder" / "idf.npy", place / "embedder")
        until(lambda: live.policy_id == new)
        assert live.problem is None


def test_a_folder_that_is_gone_for_a_while(place: Path, first: Path, second: Path, heard: Heard) -> None:
    live = heard(place, patience=0.1)
    old = answers(place)
    for again in (second, first):
        shutil.rmtree(place)
        assert not live.check() and isinstance(live.problem, PolicyError)
        time.sleep(0.12)
        assert not live.check() and not live.check()
        assert [live.predict(text) for text in TEXTS] == old
        whole(again, place)
        assert live.check() and live.problem is None
        old = answers(place)
    assert len(heard.refused) == 2 and all("has no manifest.json" in str(error) for error in heard.refused)


# --- what is refused ------------------------------------------------------------------------------


def certify_less(manifest: dict[str, Any]) -> None:
    for entry in manifest["targets"]:
        if entry["target"] == 0.7:
            entry["certified"] = False


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], Any], type[TracerError], str]] = {
    "the guard did not pass it": (
        lambda m: m["verdict"].update(deploy=False, reason="too little"),
        PolicyNotCertifiedError,
        "the guard did not pass the policy in .*: too little",
    ),
    "of another schema": (lambda m: m.update(schema=99), PolicyError, "has manifest schema 99, this version of tracer"),
    "without the wanted target": (certify_less, DataError, r"target 0\.7 is not certified by this policy"),
    "of another embedder": (
        lambda m: m["embedder"].update(fingerprint="tfidf:0"),
        EmbedderMismatchError,
        "is not the one that the policy was fitted with",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
@pytest.mark.parametrize("wanted", [{"target": 0.7}, {"targets": (0.85, 0.7)}])
def test_it_is_refused_at_once_and_told_once(
    place: Path, first: Path, second: Path, tmp_path: Path, heard: Heard, why: str, wanted: dict[str, Any]
) -> None:
    edit, kind, said = REFUSED[why]
    live = heard(place, patience=LONG, **wanted)
    old, expected = live.policy_id, [live.predict(text) for text in TEXTS]
    for number, source in enumerate((first, second), start=1):
        put(edited(source, tmp_path / f"bad{number}", edit), place)
        for _ in range(3):
            assert not live.check()
        assert live.reloads == {"loaded": 0, "refused": number} and len(heard.refused) == number
        assert type(heard.refused[-1]) is kind and str(live.problem) == str(heard.refused[-1])
        with pytest.raises(kind, match=said):
            raise heard.refused[-1]
    put(tmp_path / "bad1", place)
    live.check()
    assert live.reloads["refused"] == 2 and live.problem is not None, "known already"
    assert live.policy_id == old and [live.predict(text) for text in TEXTS] == expected
    put(first, place)
    assert not live.check() and live.problem is None, "the policy that answers is back"
    new = put(second, place)
    assert live.check() and live.policy_id == new


def test_no_other_error_gets_out(place: Path, second: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    live = heard(place, patience=LONG)

    def broken(folder: Any) -> Any:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("tracer_cli.runtime.router._opened", broken)
    put(second, place)
    assert not live.check()
    (error,) = heard.refused
    assert type(error) is PolicyError and "cannot be loaded: ZeroDivisionError('a bug')" in str(error)


def test_a_broken_callback_breaks_nothing(
    place: Path, first: Path, second: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("of the application")

    with tracer.LiveRouter(place, 0.02, on_reload=broken, on_refused=broken, patience=LONG) as live:
        put(edited(second, tmp_path / "bad", lambda m: m.update(schema=99)), place)
        until(lambda: live.reloads["refused"])
        new = put(second, place)
        until(lambda: live.policy_id == new)
        assert live._thread is not None and live._thread.is_alive()
        until(lambda: sum("a callback of the router failed" in record.message for record in caplog.records) == 2)


def test_a_callback_may_close_the_router(place: Path, second: Path) -> None:
    live = tracer.LiveRouter(place, 0.02, on_reload=lambda old, new: live.close())
    new = put(second, place)
    until(lambda: live._thread is not None and not live._thread.is_alive())
    assert live.policy_id == new


# --- embedders ------------------------------------------------------------------------------------


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    found: list[Path] = []
    real = text_embedder.load

    def counted(folder: Path) -> Any:
        found.append(folder)
        return real(folder)

    monkeypatch.setattr(text_embedder, "load", counted)
    return found


def test_the_same_embedder_is_not_loaded_again(place: Path, tmp_path: Path, second: Path, loads: list[Path]) -> None:
    live = tracer.LiveRouter(place, None)
    assert len(loads) == 1, "before the first text"
    put(edited(place, tmp_path / "same", lambda m: m.update(project="another")), place)
    assert live.check() and live.predict(TEXTS[0]) and len(loads) == 1
    put(second, place)
    assert live.check() and len(loads) == 2, "before the policy takes over"
    assert live.predict(TEXTS[0]) and len(loads) == 2


def test_where_only_vectors_come_no_embedder_is_loaded(place: Path, second: Path, loads: list[Path]) -> None:
    live = tracer.LiveRouter(place, None, texts=False)
    put(second, place)
    assert live.check() and live.predict(np.zeros(64)) and loads == []
    assert live.predict(TEXTS[0]) == answers(second)[0]


def test_vectors_are_routed_where_no_text_can_be(narrow: Path, tmp_path: Path) -> None:
    place = whole(narrow, tmp_path / ".tracer")
    live = tracer.LiveRouter(place, None)
    with pytest.raises(EmbedderError, match="was fitted on precomputed vectors"):
        live.predict("a text")
    new = put(edited(narrow, tmp_path / "again", lambda m: m.update(project="another")), place)
    assert live.check() and live.policy_id == new and live.predict(np.zeros(16))["decision"] == "deferred"


def test_texts_are_not_given_up_for_a_policy_on_vectors(place: Path, narrow: Path, heard: Heard) -> None:
    live = heard(place, patience=0.1)
    before = live.predict(TEXTS[0])
    put(narrow, place)
    live.check()
    time.sleep(0.12)
    assert not live.check() and live.predict(TEXTS[0]) == before
    assert isinstance(heard.refused[0], EmbedderError) and "precomputed vectors" in str(heard.refused[0])


def test_the_callers_embedder_is_compared_with_each_policy(
    place: Path, second: Path, narrow: Path, heard: Heard, tmp_path: Path
) -> None:
    live = heard(place, embedder=embedders.load(place / "embedder"), patience=LONG)
    put(second, place)
    assert not live.check() and isinstance(heard.refused[0], EmbedderMismatchError)
    with tracer.load_router(second, lambda texts: np.zeros((len(texts), 64)), reload=LONG) as by_function:
        by_function._path = narrow
        assert not by_function.check()
        assert "has dimension 64, this policy was fitted with 16" in str(by_function.problem)


# --- its thread, and what it holds ----------------------------------------------------------------


def test_the_thread_ends(place: Path) -> None:
    def names() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "tracer-reload"]

    with tracer.LiveRouter(place, 0.02) as live:
        assert names() == ["tracer-reload"]
    assert names() == [] and live.predict(TEXTS[0]) and not live.check()
    live.close()
    with pytest.raises(ZeroDivisionError), tracer.LiveRouter(place, LONG):
        raise ZeroDivisionError
    assert names() == []
    forgotten = tracer.LiveRouter(place, 0.02)
    gone = weakref.ref(forgotten)
    del forgotten
    until(lambda: gc.collect() >= 0 and gone() is None and names() == [])


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_an_interval_that_is_none(place: Path, seconds: float) -> None:
    with pytest.raises(DataError, match="looks every so many seconds, more than 0"):
        tracer.load_router(place, reload=seconds)


def test_the_first_policy_must_load(place: Path, blocked: FitResult, tmp_path: Path) -> None:
    before = threading.active_count()
    for path, kind in ((tmp_path / "nothing", PolicyError), (blocked.path, PolicyNotCertifiedError)):
        with pytest.raises(kind):
            tracer.load_router(path, reload=0.01)
    with pytest.raises(DataError, match=r"target 0\.95 is not certified"):
        tracer.LiveRouter(place, 0.01, target=0.95)
    assert threading.active_count() == before


def resident() -> float:
    """MB of memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not say what a process holds")
def test_two_hundred_reloads_leave_nothing_behind(place: Path, first: Path, second: Path, tmp_path: Path) -> None:
    live = tracer.LiveRouter(place, None)
    aside = {path: whole(path, tmp_path / path.parent.name) for path in (first, second)}
    seen: list[weakref.ref[Any]] = []

    def reload(count: int) -> tuple[float, int, int]:
        for number in range(count):
            live._path = aside[(second, first)[number % 2]]
            assert live.check() and live.predict(TEXTS[0])
            seen.extend((weakref.ref(live.current), weakref.ref(live.current._texts)))
        gc.collect()
        return resident(), sum(1 for _ in Path("/proc/self/fd").iterdir()), threading.active_count()

    reload(30)
    before = reload(2)
    after = reload(200)
    assert live.reloads["loaded"] == 232
    assert len([one for one in seen if one() is not None]) == 2, "the policy that answers, and its embedder"
    assert after[1:] == before[1:]
    size = sum(map(len, files_of(first).values())) / 2**20
    assert after[0] - before[0] < max(10, 10 * size), (before, after, size)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_reloads_too(place: Path, second: Path) -> None:
    """As a server that loads the application before it forks its workers."""
    code = f"""
import os, sys, time, tracer_cli as tracer
live = tracer.load_router({str(place)!r}, reload=0.05)
old = live.policy_id
child = os.fork()
print("ready" if child else "", flush=True)
end = time.monotonic() + 60
while live.policy_id == old and time.monotonic() < end:
    time.sleep(0.02)
ok = live.policy_id != old and live.predict({TEXTS[0]!r})["decision"] in ("handled", "deferred")
if child == 0:
    os._exit(0 if ok else 1)
print(ok, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "ready":
            pass
        put(second, place)
        out, err = process.communicate(timeout=120)
    assert out.split() == ["True", "0"], err
