"""Using a policy: decisions, fallbacks, and each refusal with its own error."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tracer_cli as tracer
from support import clustered, example_traces, files_of, quick, write_jsonl
from tracer_cli.api import FitResult
from tracer_cli.artifacts import read_table
from tracer_cli.errors import (
    DataError,
    EmbedderMismatchError,
    PolicyError,
    PolicyIntegrityError,
    PolicyNotCertifiedError,
)

TEXTS = [trace["input"] for trace in example_traces(1400)[1200:]]


@pytest.fixture(scope="module")
def router(fitted: FitResult) -> tracer.Router:
    return tracer.load_router(fitted.path)


def test_decisions_follow_the_score_and_the_certified_threshold(router: tracer.Router) -> None:
    threshold = next(t["threshold"] for t in router.manifest["targets"] if t["target"] == 0.85)
    decisions = set()
    for text in TEXTS[:100]:
        out = router.predict(text)
        decisions.add(out["decision"])
        assert out["decision"] == ("handled" if out["accept_score"] >= threshold else "deferred")
        assert (out["label"] in router.labels) == (out["decision"] == "handled")
        assert out["target"] == 0.85
    assert decisions == {"handled", "deferred"}


def test_a_batch_decides_as_one_by_one_and_vectors_as_texts(router: tracer.Router, fitted: FitResult) -> None:
    batch = router.predict_batch(TEXTS)
    single = [router.predict(text) for text in TEXTS]
    assert batch["decisions"] == [one["decision"] for one in single]
    assert batch["labels"] == [one["label"] for one in single]
    assert batch["accept_scores"] == pytest.approx([one["accept_score"] for one in single], abs=1e-5)
    from tracer_cli.embedders import load

    vectors = load(fitted.path / "embedder").embed(TEXTS)
    assert router.predict_batch(vectors)["labels"] == batch["labels"]
    assert router.predict(vectors[0])["label"] == single[0]["label"]
    assert router.predict(vectors[0].tolist())["label"] == single[0]["label"]


def test_the_guards_figures_are_what_the_router_does(fitted: FitResult) -> None:
    """The router, fed the holdout's texts, handles exactly the rows that the manifest counts."""
    router = tracer.load_router(fitted.path)
    traces = fitted.path / "work" / "artifacts" / "traces"
    texts = read_table(traces / "holdout.parquet")["text"].to_pylist()
    labels = read_table(traces / "holdout_labels.parquet")["label"].to_pylist()
    for entry in fitted.manifest["targets"]:
        if entry["certified"]:
            out = router.predict_batch(texts, target=entry["target"])
            assert out["handled"].sum() == entry["handled"]
            agreed = sum(a == b for a, b in zip(out["labels"], labels, strict=True))
            assert agreed == entry["agreed"]


def far_from_all(router: tracer.Router, fitted: FitResult) -> list[NDArray[np.float32]]:
    """A direction that no fit text has, the opposite of one that some have, and no direction at all."""
    fit = np.load(fitted.path / "work" / "artifacts" / "vectors" / "fit.npy")
    last = np.linalg.svd(fit, full_matrices=True)[2][-1]
    return [last.astype(np.float32), -fit[0], np.zeros(router.dim, np.float32)]


def accepts_all(manifest: dict[str, Any]) -> list[float]:
    return [t["target"] for t in manifest["targets"] if t["certified"] and t["threshold"] < 1e-9]


def test_an_input_far_from_all_fit_texts_is_deferred_at_every_target(tmp_path: Path) -> None:
    """Also where everything is accepted; and nothing else is deferred there."""
    traces, vectors = clustered(600)
    traces = write_jsonl(tmp_path / "t.jsonl", traces)
    config = quick(embedder=None, target_teacher_agreement=0.5, frontier_targets=(0.7, 0.9))
    result = tracer.fit(traces, tmp_path / "p", embeddings=vectors, config=config)
    assert 0.5 in accepts_all(result.manifest)
    router = tracer.load_router(tmp_path / "p")
    for t in result.manifest["targets"]:
        assert t["certified"]
        for vector in far_from_all(router, result):
            out = router.predict(vector, fallback=lambda: "from the LLM", target=t["target"])
            assert (out["decision"], out["label"], out["accept_score"]) == ("deferred", "from the LLM", 0.0)
        batch = router.predict_batch(np.array(far_from_all(router, result)), target=t["target"])
        assert not batch["handled"].any() and (batch["accept_scores"] == 0).all()
    fit = np.load(result.path / "work" / "artifacts" / "vectors" / "fit.npy")
    assert router.predict_batch(fit)["handled"].all()


def test_without_the_check_it_is_handled(tmp_path: Path) -> None:
    """What the test above would see if the check did nothing."""
    traces, vectors = clustered(600)
    traces = write_jsonl(tmp_path / "t.jsonl", traces)
    config = quick(embedder=None, target_teacher_agreement=0.5, acceptor={"distance_quantile": None})
    result = tracer.fit(traces, tmp_path / "p", embeddings=vectors, config=config)
    router = tracer.load_router(tmp_path / "p")
    assert result.manifest["distance_limit"] is None and 0.5 in accepts_all(result.manifest)
    assert router.predict_batch(np.array(far_from_all(router, result)))["handled"].all()


def test_a_text_of_unknown_words_is_deferred(router: tracer.Router) -> None:
    out = router.predict("ξψ ωφ", target=0.7)
    assert (out["decision"], out["label"], out["accept_score"]) == ("deferred", None, 0.0)


def test_a_label_below_its_minimum_is_never_answered_with(tmp_path: Path) -> None:
    traces, vectors = clustered(600)
    config = quick(embedder=None, target_teacher_agreement=0.7, per_label_min=0.9)
    result = tracer.fit(write_jsonl(tmp_path / "t.jsonl", traces), tmp_path / "p", embeddings=vectors, config=config)
    outcomes = {check["label"]: check["outcome"] for check in result.manifest["label_checks"]}
    assert outcomes == {"a": "reached", "b": "reached", "c": "deferred", "d": "deferred"}
    assert 0.7 in accepts_all(result.manifest)
    out = tracer.load_router(tmp_path / "p").predict_batch(vectors)
    own = np.array([trace["teacher"] for trace in traces])
    assert set(out["labels"]) == {"a", "b", None}
    deferred = np.isin(own, ["c", "d"])
    assert (out["accept_scores"][deferred] == 0).all() and not out["handled"][deferred].any()
    assert out["handled"][~deferred].mean() > 0.9


def test_a_fallback_answers_what_is_deferred_and_nothing_else(router: tracer.Router) -> None:
    deferred = next(t for t in TEXTS if router.predict(t)["decision"] == "deferred")
    handled = next(t for t in TEXTS if router.predict(t)["decision"] == "handled")
    assert router.predict(deferred)["label"] is None
    assert router.predict(deferred, fallback=lambda: "from the LLM")["label"] == "from the LLM"
    assert router.predict(deferred, fallback=lambda text: text.upper())["label"] == deferred.upper()
    assert router.predict(deferred, fallback=lambda text="x": text)["label"] == "x"

    def never() -> str:
        raise AssertionError("called for a handled input")

    assert router.predict(handled, fallback=never)["decision"] == "handled"

    def broken() -> str:
        raise RuntimeError("the LLM is down")

    with pytest.raises(RuntimeError, match="the LLM is down"):
        router.predict(deferred, fallback=broken)


def test_another_certified_target_defers_more_or_less(router: tracer.Router, fitted: FitResult) -> None:
    easy = router.predict_batch(TEXTS, target=0.7)["handled"].sum()
    assert easy >= router.predict_batch(TEXTS)["handled"].sum()
    assert tracer.load_router(fitted.path, target=0.7).predict_batch(TEXTS)["handled"].sum() == easy
    with pytest.raises(DataError, match=r"target 0\.5 is not certified by this policy; certified: 0\.7"):
        router.predict(TEXTS[0], target=0.5)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "not a text with at least one character"),
        ("  \n", "not a text with at least one character"),
        (np.zeros(3), "the vector has dimension 3, this policy was fitted with 64"),
        (np.zeros((2, 64)), "dimension"),
        (np.full(64, np.nan), "NaN or infinite"),
    ],
)
def test_a_bad_input_is_named(router: tracer.Router, value: object, message: str) -> None:
    with pytest.raises((DataError, EmbedderMismatchError), match=message):
        router.predict(value)  # type: ignore[arg-type]


def test_bad_batches_are_named(router: tracer.Router) -> None:
    assert router.predict_batch([])["labels"] == []
    with pytest.raises(DataError, match="expected a list of texts"):
        router.predict_batch("one text")
    with pytest.raises(DataError, match="input 1 is not a text"):
        router.predict_batch(["fine", None])  # type: ignore[list-item]
    with pytest.raises(EmbedderMismatchError, match="has dimension 5"):
        router.predict_batch(np.zeros((4, 5)))


def test_the_callers_vectors_are_left_alone(router: tracer.Router) -> None:
    vectors = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32) * 7
    before = vectors.copy()
    router.predict_batch(vectors)
    assert (vectors == before).all()


def test_threads_may_share_a_router(router: tracer.Router) -> None:
    from concurrent.futures import ThreadPoolExecutor

    expected = router.predict_batch(TEXTS)["labels"]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda text: router.predict(text)["label"], TEXTS * 3))
    assert got == expected * 3


# --- refusals -------------------------------------------------------------------------------------


@pytest.fixture
def copy(fitted: FitResult, tmp_path: Path) -> Path:
    target = tmp_path / "policy"
    shutil.copytree(fitted.path, target, ignore=shutil.ignore_patterns("work"))
    return target


def test_a_policy_runs_from_anywhere_without_its_work_folder(copy: Path) -> None:
    assert tracer.load_router(copy).predict(TEXTS[0])["decision"] in ("handled", "deferred")


def test_a_blocked_policy_does_not_load(blocked: FitResult) -> None:
    with pytest.raises(PolicyNotCertifiedError, match=r"the guard did not pass .*nothing can be certified at 0\.995"):
        tracer.load_router(blocked.path)


def test_one_altered_byte_anywhere_does_not_load(copy: Path) -> None:
    names = [name for name in files_of(copy) if name not in ("report.html", "qualitative_report.json", "manifest.json")]
    assert {"policy.onnx", "frontier.json", "embedder/spec.json"} <= set(names)
    for name in names:
        file = copy / name
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        original = file.read_bytes()
        file.write_bytes(data)
        with pytest.raises(PolicyIntegrityError, match=f"{name} is not the file that .*manifest.json names"):
            tracer.load_router(copy)
        file.unlink()
        with pytest.raises(PolicyIntegrityError, match=f"{name} is missing"):
            tracer.load_router(copy)
        file.write_bytes(original)
    tracer.load_router(copy)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"{", PolicyIntegrityError, "is not a policy manifest"),
        (b"[]", PolicyIntegrityError, "is not a policy manifest"),
        (b"\xff\xfe", PolicyIntegrityError, "is not a policy manifest"),
        (b'{"schema": 99}', PolicyError, "has manifest schema 99, this version of tracer reads 2: upgrade tracer"),
    ],
)
def test_a_manifest_that_cannot_be_read(copy: Path, content: bytes, error: type[Exception], message: str) -> None:
    (copy / "manifest.json").write_bytes(content)
    with pytest.raises(error, match=message):
        tracer.load_router(copy)


def test_no_policy_at_all(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"is not a policy folder: it has no manifest\.json; run"):
        tracer.load_router(tmp_path)


def test_another_embedder_is_refused(copy: Path) -> None:
    class Other:
        kind, dim, fingerprint = "other", 64, "other:1"

        def embed(self, texts):
            return np.zeros((len(texts), 64), np.float32)

        def save(self, folder):
            raise NotImplementedError

    with pytest.raises(EmbedderMismatchError, match="its fingerprint is other:1, the policy's is tfidf:"):
        tracer.load_router(copy, embedder=Other())
    with pytest.raises(PolicyError, match="must be an Embedder or a function"):
        tracer.load_router(copy, embedder=3)  # type: ignore[arg-type]


def test_a_function_as_embedder_is_held_to_the_dimension(copy: Path) -> None:
    router = tracer.load_router(copy, embedder=lambda texts: np.zeros((len(texts), 64)))
    assert router.predict("anything")["decision"] in ("handled", "deferred")
    router = tracer.load_router(copy, embedder=lambda texts: np.zeros((len(texts), 65)))
    with pytest.raises(EmbedderMismatchError, match="has dimension 65, this policy was fitted with 64"):
        router.predict("anything")


def test_a_manifest_whose_verdict_was_edited_is_not_enough_to_serve_another_graph(
    blocked: FitResult, tmp_path: Path
) -> None:
    """Editing the verdict alone makes a blocked policy load no target: none was certified."""
    target = tmp_path / "policy"
    shutil.copytree(blocked.path, target, ignore=shutil.ignore_patterns("work"))
    manifest = json.loads((target / "manifest.json").read_text())
    manifest["verdict"]["deploy"] = True
    (target / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"target 0\.995 is not certified"):
        tracer.load_router(target)
