"""Serving a policy with each embedder that is not fitted here: what is asked for, compared and refused."""

from __future__ import annotations

import shutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracer_cli as tracer
from embedding_service import PROBE, Reply, Service, bag, bags, running
from support import example_traces, files_of, quick, write_jsonl
from support import tracer as command
from tracer_cli.api import FitResult
from tracer_cli.embedders import Embedder
from tracer_cli.errors import ConfigError, EmbedderError, EmbedderMismatchError

TRACES = example_traces(1000)
TEXTS = [trace["input"] for trace in TRACES[:20]]
FEATURES = {"dim": 16, "char_ngrams": 0}
VECTORS = """
import zlib

def embed(texts):
    return [[float(sum(zlib.crc32(w.encode()) % 128 == i for w in t.lower().split())) for i in range(128)] for t in texts]
"""


def fit(folder: Path, embedder: Any, **changes: Any) -> FitResult:
    result = tracer.fit(
        write_jsonl(folder / "t.jsonl", TRACES), folder / ".tracer", config=quick(embedder=embedder, **changes)
    )
    assert result.deploy, result.verdict
    return result


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running(shape=bags) as service:
        yield service


@pytest.fixture(autouse=True)
def clean(service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRACER_CACHE_DIR", str(tmp_path / "cache"))
    service.requests.clear()
    service.shape, service.behave = bags, lambda request: None


@pytest.fixture(scope="module")
def by_endpoint(service: Service, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return fit(tmp_path_factory.mktemp("endpoint"), {"kind": "endpoint", "url": service.url, "text_features": FEATURES})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with vectors.py and a policy that was fitted with it, with settings of its own."""
    folder = tmp_path_factory.mktemp("callable")
    (folder / "vectors.py").write_text(VECTORS)
    section = {
        "kind": "callable",
        "function": "vectors:embed",
        "normalize": True,
        "prefix": "q ",
        "text_features": FEATURES,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TRACER_CACHE_DIR", str(folder / "cache"))
        fit(folder, section)
    yield folder
    sys.modules.pop("vectors", None)


def of_project(project: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Embedder:
    monkeypatch.chdir(project)
    return Embedder.from_callable("vectors:embed", **{"normalize": True, "prefix": "q ", **changes})


# --- endpoint -------------------------------------------------------------------------------------


def test_an_endpoint_is_asked_when_the_first_text_comes_and_compared_once(
    service: Service, by_endpoint: FitResult
) -> None:
    router = tracer.load_router(by_endpoint.path)
    assert service.requests == []
    first = router.predict(TEXTS[0])
    assert [r.texts for r in service.requests] == [[PROBE], [TEXTS[0]]]
    batch = router.predict_batch(TEXTS)
    assert len(service.requests) == 3 and batch["decisions"][0] == first["decision"]
    assert {"handled", "deferred"} >= set(batch["decisions"]) and "handled" in batch["decisions"]


def test_vectors_are_routed_without_the_service(service: Service, by_endpoint: FitResult) -> None:
    fit_vectors = np.load(by_endpoint.path / "work" / "artifacts" / "vectors" / "fit.npy")
    assert tracer.load_router(by_endpoint.path).predict_batch(fit_vectors)["handled"].any()
    assert service.requests == []


def test_another_model_behind_the_endpoint_is_refused_also_when_the_caller_gives_the_embedder(
    service: Service, by_endpoint: FitResult
) -> None:
    given = tracer.load_router(by_endpoint.path, embedder=Embedder.from_endpoint(service.url, timeout=5.0))
    assert given.predict_batch(TEXTS)["handled"].any()
    service.shape = lambda texts, rows: {"data": [{"embedding": bag(text)[::-1]} for text in texts]}
    for embedder in (None, Embedder.from_endpoint(service.url, retries=0)):
        with pytest.raises(EmbedderMismatchError, match=r"the model behind the endpoint .* is another one now"):
            tracer.load_router(by_endpoint.path, embedder=embedder).predict(TEXTS[0])


def test_another_endpoint_is_refused(service: Service, by_endpoint: FitResult) -> None:
    for changes in ({"model": "m"}, {"prefix": "x"}, {"normalize": False}):
        with pytest.raises(
            EmbedderMismatchError, match=r"its fingerprint is endpoint:.*, the policy's is endpoint\+tfidf:"
        ):
            tracer.load_router(by_endpoint.path, embedder=Embedder.from_endpoint(service.url, **changes))


def test_a_service_that_fails_is_an_error_of_that_request_alone(service: Service, by_endpoint: FitResult) -> None:
    router = tracer.load_router(by_endpoint.path)
    service.behave = lambda request: Reply({"error": "the model is loading"}, 400)
    with pytest.raises(EmbedderError, match="answered 400: the model is loading"):
        router.predict(TEXTS[0])
    service.behave = lambda request: None
    assert router.predict(TEXTS[0])["decision"] in ("handled", "deferred")


def test_a_policy_holds_no_key(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "hidden-word")
    section = {"kind": "endpoint", "url": service.url, "key_env": "THE_KEY"}
    result = fit(tmp_path, section)
    assert all(r.headers["Authorization"] == "Bearer hidden-word" for r in service.requests)
    assert not [name for name, data in files_of(tmp_path).items() if b"hidden-word" in data]
    assert result.manifest["embedder"]["settings"]["key_env"] == "THE_KEY"


def test_credentials_in_the_settings_of_a_fit_are_refused_and_not_shown(tmp_path: Path) -> None:
    for more in (
        {"url": "https://x.invalid/v1?token=hidden-word"},
        {"url": "https://x.invalid/v1", "token": "hidden-word"},
    ):
        with pytest.raises(ConfigError, match=r"embedder\.(url|endpoint\.token): ") as info:
            fit(tmp_path, {"kind": "endpoint", **more})
        assert "hidden-word" not in "".join(traceback.format_exception(info.value))


# --- callable -------------------------------------------------------------------------------------


def test_a_callables_policy_routes_vectors_and_no_texts_by_itself(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with a file of that name that must not run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vectors.py").write_text(
        "open('it ran', 'w')\ndef embed(texts):\n    return [[0.0] * 128] * len(texts)"
    )
    sys.modules.pop("vectors", None)
    router = tracer.load_router(project / ".tracer")
    fit_vectors = np.load(project / ".tracer" / "work" / "artifacts" / "vectors" / "fit.npy")
    assert router.predict_batch(fit_vectors)["handled"].any()
    with pytest.raises(EmbedderError, match=r"names the function 'vectors:embed' .* load_router\(\.\.\., embedder="):
        router.predict(TEXTS[0])
    assert not (tmp_path / "it ran").exists()


def test_the_caller_gives_the_function_and_its_fingerprint_is_compared(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = tracer.load_router(project / ".tracer", embedder=of_project(project, monkeypatch))
    assert router.predict_batch(TEXTS)["handled"].any()
    for changes in ({"revision": "2"}, {"prefix": "x "}, {"normalize": False}):
        with pytest.raises(EmbedderMismatchError, match="the embedder given is not the one of the policy in"):
            tracer.load_router(project / ".tracer", embedder=of_project(project, monkeypatch, **changes))


def test_a_function_whose_file_changed_is_refused(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("work", "__pycache__"))
    (copy / "vectors.py").write_text(VECTORS + "# another\n")
    with pytest.raises(
        EmbedderMismatchError, match=r"its fingerprint is callable:.*, the policy's is callable\+tfidf:"
    ):
        tracer.load_router(copy / ".tracer", embedder=of_project(copy, monkeypatch))


def test_the_command_runs_the_function_that_it_is_given(project: Path) -> None:
    done = command("route", "--callable", "vectors:embed", *TEXTS[:3], cwd=project)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3 and '"handled"' in done.stdout
    done = command("route", TEXTS[0], cwd=project)
    assert done.returncode == 2 and "tracer route --callable package.module:function" in done.stderr
    done = command("route", "--callable", "os:system", TEXTS[0], cwd=project)
    assert done.returncode == 2 and "was fitted with 'vectors:embed', not 'os:system'" in done.stderr


# --- an embedder object at the fit ----------------------------------------------------------------


def words(texts: list[str]) -> list[list[float]]:
    return [bag(text) for text in texts]


def test_an_embedder_object_is_used_as_it_is(tmp_path: Path) -> None:
    calls: list[int] = []

    def counted(texts: list[str]) -> list[list[float]]:
        calls.append(len(texts))
        return words(texts)

    embedder = Embedder.from_callable(counted, batch_size=10_000)
    result = fit(tmp_path, embedder)
    assert result.manifest["embedder"]["fingerprint"] == embedder.fingerprint
    assert sum(calls) >= len({trace["input"] for trace in TRACES})
    router = tracer.load_router(result.path, embedder=embedder)
    assert router.predict_batch(TEXTS)["handled"].any()
    with pytest.raises(EmbedderMismatchError):
        tracer.load_router(result.path, embedder=Embedder.from_callable(words))
    with pytest.raises(EmbedderError, match="may not name code to run"):
        tracer.load_router(result.path).predict(TEXTS[0])


def test_an_embedder_of_the_callers_own_class(tmp_path: Path) -> None:
    class Mine(Embedder):
        kind, dim, fingerprint = "mine", 128, "mine:1"

        def embed(self, texts: Any) -> Any:
            return np.array(words(texts), np.float32)

        def save(self, folder: Path) -> None:
            from tracer_cli.artifacts import write_json
            from tracer_cli.embedders.base import spec_of

            write_json(folder / "spec.json", spec_of(self, {}))

    result = fit(tmp_path, Mine(), evidence="holdout")
    assert tracer.load_router(result.path, embedder=Mine()).predict_batch(TEXTS)["handled"].any()
    with pytest.raises(EmbedderError, match="unknown embedder kind 'mine'"):
        tracer.load_router(result.path).predict(TEXTS[0])


def test_a_fitted_embedder_object_is_no_evidence_under_crossfit(by_endpoint: FitResult, tmp_path: Path) -> None:
    from tracer_cli import embedders

    with pytest.raises(ConfigError, match="crossfit needs an embedder that is not fitted on the traces"):
        fit(tmp_path, embedders.load(by_endpoint.path / "embedder"), evidence="crossfit")
