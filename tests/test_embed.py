"""`tracer.embed`: whose vectors it gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracer_cli as tracer
from embedding_service import DIM, Service, running, vectors
from tracer_cli.errors import ConfigError, DataError, EmbedderError

TEXTS = ["one", "two", "three"]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with running() as service:
        yield service


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACER_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def project(folder: Path, embedder: str) -> None:
    (folder / "tracer.yaml").write_text(f"traces:\n  - path: data/t.jsonl\nembedder: {embedder}\n")


def test_an_embedder_or_its_settings(service: Service) -> None:
    by_object = tracer.embed(TEXTS, tracer.Embedder.from_endpoint(service.url, normalize=False))
    by_settings = tracer.embed(TEXTS, {"kind": "endpoint", "url": service.url, "normalize": False})
    assert by_object.dtype == np.float32
    np.testing.assert_array_equal(by_object, vectors(TEXTS))
    np.testing.assert_array_equal(by_settings, by_object)
    assert tracer.embed([], {"kind": "endpoint", "url": service.url}).shape == (0, DIM)
    by_tuple = tracer.embed(tuple(TEXTS), tracer.Embedder.from_callable(lambda texts: [[float(len(t))] for t in texts]))
    assert by_tuple.tolist() == [[3], [3], [5]]


def test_nothing_is_embedded_twice(service: Service) -> None:
    section = {"kind": "endpoint", "url": service.url, "normalize": False}
    tracer.embed(TEXTS, section)
    found = tracer.embed([*TEXTS, "four", "one"], tracer.Embedder.from_endpoint(**_without_kind(section)))
    np.testing.assert_array_equal(found, vectors([*TEXTS, "four", "one"]))
    assert service.texts == [*TEXTS, "four"]


def _without_kind(section: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name != "kind"}


def test_the_projects_own_where_it_needs_no_traces(service: Service, folder: Path) -> None:
    project(folder, f"{{kind: endpoint, url: '{service.url}', normalize: false}}")
    np.testing.assert_array_equal(tracer.embed(TEXTS), vectors(TEXTS))
    (folder / "mine.py").write_text("def embed(texts):\n    return [[1.0, float(len(t))] for t in texts]\n")
    project(folder, "{kind: callable, function: 'mine:embed'}")
    assert tracer.embed(TEXTS).tolist() == [[1, 3], [1, 3], [1, 5]]


@pytest.mark.parametrize(
    "section",
    [
        None,
        "{kind: tfidf}",
        "{kind: precomputed, path: x.npy}",
        "{kind: endpoint, url: 'http://127.0.0.1:9/v1', text_features: {}}",
    ],
)
def test_otherwise_the_small_sentence_transformers_model(
    folder: Path, section: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is installed is not the question here: which one is asked for is."""
    if section is not None:
        project(folder, section)
    asked = []
    monkeypatch.setattr("tracer_cli.embedders.make", lambda section, cache: asked.append(section) or _Ones())
    assert tracer.embed(TEXTS).tolist() == [[1.0]] * 3
    assert asked == [{"kind": "sentence-transformers"}]


class _Ones(tracer.Embedder):
    kind, dim, fingerprint = "ones", 1, "ones:1"

    def embed(self, texts):  # type: ignore[no-untyped-def]
        return np.ones((len(texts), 1), np.float32)

    def save(self, folder):  # type: ignore[no-untyped-def]
        raise AssertionError


@pytest.mark.model
def test_the_small_model_for_real(minilm: Path, folder: Path) -> None:
    found = tracer.embed(TEXTS, tracer.Embedder.from_sentence_transformers(str(minilm)))
    assert found.shape == (3, 384) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    project(folder, f"{{kind: sentence-transformers, model: '{minilm}'}}")
    np.testing.assert_array_equal(tracer.embed(TEXTS), found)


def test_what_cannot_be_embedded_is_named(folder: Path, service: Service) -> None:
    with pytest.raises(DataError, match=r"embed takes a list of texts, not one text: embed\(\[text\]\)"):
        tracer.embed("one")
    with pytest.raises(DataError, match="input 1 is not a text: None"):
        tracer.embed(["a", None], {"kind": "endpoint", "url": service.url})  # type: ignore[list-item]
    with pytest.raises(ConfigError, match=r"embedder: kind tfidf depends on the traces; write the section in"):
        tracer.embed(TEXTS, {"kind": "tfidf"})
    with pytest.raises(ConfigError, match=r"embedder\.kind: missing; expected one of"):
        tracer.embed(TEXTS, {})
    with pytest.raises(ConfigError, match=r"embedder\.kind: found the text 'endpint'.*did you mean 'endpoint'"):
        tracer.embed(TEXTS, {"kind": "endpint"})
    with pytest.raises(ConfigError, match=r"embedder\.url: missing; expected"):
        tracer.embed(TEXTS, {"kind": "endpoint"})
    with pytest.raises(EmbedderError, match="there is no module 'nowhere'"):
        tracer.embed(TEXTS, {"kind": "callable", "function": "nowhere:embed"})
    (folder / "tracer.yaml").write_text("embedder: {kind: endpoint}\n")
    with pytest.raises(ConfigError, match=r"tracer\.yaml"):
        tracer.embed(TEXTS)
