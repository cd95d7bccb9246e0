"""Batches: the decisions of one by one, the fallback for many, the arrays of `decide`, and the stages of a cascade."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import tracer_cli as tracer
from support import example_traces, quick, write_jsonl
from tracer_cli.api import FitResult
from tracer_cli.embedders import load
from tracer_cli.errors import DataError, StorageError
from tracer_cli.runtime import text_embedder

TEXTS = [trace["input"] for trace in example_traces(1600)[1200:]]


@pytest.fixture(scope="module")
def router(fitted: FitResult) -> tracer.Router:
    return tracer.load_router(fitted.path)


@pytest.fixture(scope="module")
def vectors(router: tracer.Router) -> NDArray[np.float32]:
    return router.embed(TEXTS)


# --- one input, one decision ----------------------------------------------------------------------


def test_a_row_on_the_threshold_is_on_the_same_side_everywhere(fitted: FitResult, vectors: NDArray[Any]) -> None:
    """The hardest threshold for each row: the very score that it has alone. Some of these rows have another last bit
    in a batch."""
    router = tracer.load_router(fitted.path)
    alone = [router.predict(vector)["accept_score"] for vector in vectors]
    plain = [router.decide(block).accept_scores for block in np.array_split(vectors, 9)]
    assert (np.concatenate(plain) != alone).any(), "no rounding here: this test shows nothing"
    for start in range(0, len(vectors) - 7, 3):
        block = vectors[start : start + 7]
        for row in range(7):
            router._thresholds = {0.85: alone[start + row]}
            if alone[start + row] > 0:
                assert router.predict_batch(block)["handled"][row]
                router._thresholds = {0.85: float(np.nextafter(alone[start + row], 2))}
                assert not router.predict_batch(block)["handled"][row]


@given(st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=40), st.sampled_from([0.7, 0.85]))
@settings(max_examples=40)
def test_alone_in_a_batch_and_from_threads(
    router: tracer.Router, vectors: NDArray[Any], rows: list[int], target: float
) -> None:
    single = [router.predict(TEXTS[row], target=target) for row in rows]
    batches = [
        router.predict_batch([TEXTS[row] for row in rows], target=target),
        router.predict_batch(vectors[rows], target=target),
        router.decide(vectors[rows], target).all(),
    ]
    with ThreadPoolExecutor(4) as pool:
        threads = list(pool.map(lambda row: router.predict(vectors[row], target=target), rows))
    for one, other in zip(single, threads, strict=True):
        assert one == other
    for batch in batches:
        assert batch["labels"] == [one["label"] for one in single]
        assert batch["decisions"] == [one["decision"] for one in single]
        assert batch["stages"].tolist() == [one["stage"] for one in single]
        assert batch["distances"] == pytest.approx([one["distance"] for one in single], abs=1e-6)
        assert batch["accept_scores"] == pytest.approx([one["accept_score"] for one in single], abs=1e-5)


def test_decide_says_what_predict_says(router: tracer.Router, vectors: NDArray[Any]) -> None:
    found = router.decide(vectors)
    assert (found.policy_id, found.target) == (router.policy_id, 0.85) and len(router.policy_id) == 16
    assert set(found.handled.tolist()) == {True, False}
    for row, vector in enumerate(vectors[:50]):
        one = router.predict(vector)
        assert found.one(row) | {"accept_score": 0} == one | {"accept_score": 0}
    assert (found.handled == (found.accept_scores >= router.targets[0.85])).all()
    fit = load(router._folder.embedder).embed([example_traces(1)[0]["input"]])
    assert router.decide(fit).distances[0] < 0.01 < found.distances.max()


# --- fallback -------------------------------------------------------------------------------------


def test_the_fallback_of_a_batch_gets_the_deferred_inputs_once(router: tracer.Router, vectors: NDArray[Any]) -> None:
    plain = router.predict_batch(TEXTS)
    deferred = [text for text, label in zip(TEXTS, plain["labels"], strict=True) if label is None]
    assert 0 < len(deferred) < len(TEXTS)
    calls: list[list[Any]] = []

    def answer(inputs: list[Any]) -> list[Any]:
        calls.append(inputs)
        return [f"LLM on {value}" if isinstance(value, str) else "LLM" for value in inputs]

    found = router.predict_batch(TEXTS, fallback=answer)
    assert calls == [deferred]
    for text, before, label, decision in zip(TEXTS, plain["labels"], found["labels"], found["decisions"], strict=True):
        assert (label, decision) == ((before, "handled") if before else (f"LLM on {text}", "deferred"))
    for rows in (vectors, vectors.tolist()):
        calls.clear()
        assert router.predict_batch(rows, fallback=answer)["labels"].count("LLM") == len(deferred)
        assert np.array_equal(calls[0], vectors[[label is None for label in plain["labels"]]])


def test_a_fallback_without_an_argument_answers_each(router: tracer.Router) -> None:
    found = router.predict_batch(TEXTS, fallback=iter(range(len(TEXTS))).__next__)
    answers = [
        label
        for label, decision in zip(*map(found.get, ("labels", "decisions")), strict=True)
        if decision == "deferred"
    ]  # type: ignore[arg-type, call-overload]
    assert answers == list(range(len(answers))) != []


def test_any_iterable_of_labels_will_do(router: tracer.Router) -> None:
    for kind in (tuple, iter, np.array, lambda labels: (label for label in labels)):
        found = router.predict_batch(TEXTS, fallback=lambda inputs, kind=kind: kind(["x"] * len(inputs)))
        assert "x" in found["labels"] and None not in found["labels"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda inputs: inputs[1:], r"\(\d+\) and returns a list of as many labels; it returned \d+"),
        (lambda inputs: [*inputs, "more"], r"returns a list of as many labels; it returned \d+"),
        (lambda inputs: "a label", "it returned str"),
        (lambda inputs: None, "it returned NoneType"),
        (lambda inputs: {"a": 1}, "it returned dict"),
        (lambda inputs: set(inputs), "it returned set"),
    ],
)
def test_answers_that_cannot_be_told_apart_are_an_error(router: tracer.Router, answer: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        router.predict_batch(TEXTS, fallback=answer)


def test_what_the_fallback_raises_comes_as_it_is(router: tracer.Router) -> None:
    class Down(BaseException):
        pass

    error = Down()

    def broken(inputs: Any) -> Any:
        raise error

    deferred = next(t for t in TEXTS if router.predict(t)["decision"] == "deferred")
    for call in (lambda: router.predict(deferred, broken), lambda: router.predict_batch(TEXTS, broken)):
        with pytest.raises(Down) as info:
            call()
        assert info.value is error and error.__cause__ is None

    def wrong(inputs: Any) -> Any:
        return inputs.no_such_thing

    with pytest.raises(AttributeError, match="no_such_thing"):
        router.predict_batch(TEXTS, wrong)


def test_an_async_fallback_is_not_a_label(router: tracer.Router) -> None:
    async def answer(value: Any) -> str:
        return "never awaited"

    deferred = next(t for t in TEXTS if router.predict(t)["decision"] == "deferred")
    for call in (lambda: router.predict(deferred, answer), lambda: router.predict_batch(TEXTS, answer)):
        with pytest.raises(DataError, match="the fallback is asynchronous: await apredict or apredict_batch instead"):
            call()


def test_a_fallback_is_not_called_where_all_is_handled(router: tracer.Router) -> None:
    handled = [t for t in TEXTS if router.predict(t)["decision"] == "handled"]
    assert None not in router.predict_batch(handled, fallback=lambda inputs: 1 / 0)["labels"]


# --- the embedder ---------------------------------------------------------------------------------


def test_two_first_requests_load_the_embedder_once(fitted: FitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: Counter[str] = Counter()
    barrier = threading.Barrier(8)
    real = text_embedder.load

    def counted(folder: Path) -> Any:
        loads[folder.name] += 1
        threading.Event().wait(0.2)
        return real(folder)

    monkeypatch.setattr(text_embedder, "load", counted)
    router = tracer.load_router(fitted.path)
    assert not loads

    def first(text: str) -> Any:
        barrier.wait()
        return router.predict(text)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(first, TEXTS[:8]))
    assert loads == {"embedder": 1} and found == [router.predict(text) for text in TEXTS[:8]]


def test_a_load_that_fails_is_tried_again(fitted: FitResult, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "policy"
    shutil.copytree(fitted.path, folder, ignore=shutil.ignore_patterns("work"))
    router = tracer.load_router(folder)
    (folder / "embedder" / "idf.npy").rename(tmp_path / "aside")
    for _ in range(2):
        with pytest.raises(StorageError, match=r"idf\.npy"):
            router.predict(TEXTS[0])
    (tmp_path / "aside").rename(folder / "embedder" / "idf.npy")
    assert router.predict(TEXTS[0]) == tracer.load_router(fitted.path).predict(TEXTS[0])


def test_an_embedders_files_may_be_written_over(fitted: FitResult, tmp_path: Path) -> None:
    """In place, as `cp` does: it would change the vectors of a mapped file, or end the process with SIGBUS."""
    import shutil

    folder = tmp_path / "policy"
    shutil.copytree(fitted.path, folder, ignore=shutil.ignore_patterns("work"))
    router = tracer.load_router(folder)
    before = router.embed(TEXTS)
    for name in ("idf.npy", "components.npy"):
        (folder / "embedder" / name).write_bytes(b"")
    assert (router.embed(TEXTS) == before).all()


# --- stages ---------------------------------------------------------------------------------------


def test_one_stage_alone(router: tracer.Router, vectors: NDArray[Any]) -> None:
    found = router.predict_batch(vectors)
    assert found["stages"].tolist() == np.where(found["handled"], 0, -1).tolist()


def test_the_stage_of_a_cascade_that_answered(tmp_path: Path) -> None:
    traces = write_jsonl(tmp_path / "t.jsonl", example_traces(1200))
    result = tracer.fit(traces, tmp_path / "p", config=quick(method="rsb"))
    assert result.manifest["method"] == "rsb" and result.deploy
    switch = result.manifest["second_surrogate"]["switch"]
    router = tracer.load_router(result.path)
    found = router.predict_batch(TEXTS, target=0.7)
    handled = found["handled"]
    assert set(found["stages"].tolist()) == {0, 1, -1} and ((found["stages"] == -1) == ~handled).all()
    # What the first stage handles lies above (1 + switch) / 2, what it hands over at most at 1/2.
    first = found["accept_scores"][found["stages"] == 0]
    assert (first >= (1 + switch) / 2 - 1e-6).all()
    assert (found["accept_scores"][found["stages"] == 1] <= 0.5).all()
    assert [router.predict(text, target=0.7)["stage"] for text in TEXTS[:40]] == found["stages"][:40].tolist()
