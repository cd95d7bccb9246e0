"""The endpoint embedder against a real HTTP server: order, concurrency, failures, and the model behind the address."""

from __future__ import annotations

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from embedding_service import DIM, TEXTS, Reply, Request, Service, failing, first, hang, made, saved, vectors
from support import files_of
from tracer_cli import embedders
from tracer_cli.config.schema import EndpointEmbedder as EndpointSection
from tracer_cli.embedders import Cache, Embedder, request
from tracer_cli.embedders.endpoint import KIND
from tracer_cli.embedders.probe import SAME_MODEL
from tracer_cli.embedders.probe import TEXT as PROBE
from tracer_cli.errors import ConfigError, EmbedderError, EmbedderMismatchError

# --- right answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 10, 128])
def test_each_text_gets_its_own_vector_in_the_order_of_the_texts(service: Service, batch_size: int) -> None:
    service.behave = lambda request: time.sleep(0.02 * (request.number % 3))  # answers overtake each other
    found = made(service, batch_size=batch_size).embed(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, vectors(TEXTS))
    assert sorted(service.texts) == TEXTS and max(len(r.texts) for r in service.requests) <= batch_size


def test_a_request_is_what_the_service_expects(service: Service) -> None:
    made(service, model="m-3", dimensions=DIM, prefix="query: ", headers={"api-version": "7"}).embed(["a", "ü\ud800"])
    sent = service.requests[-1]
    assert sent.path == "/v1/embeddings"
    assert sent.body == {
        "input": ["query: a", "query: ü\ud800"],
        "model": "m-3",
        "dimensions": DIM,
        "encoding_format": "float",
    }
    headers = {name.lower(): value for name, value in sent.headers.items()}
    assert headers["content-type"] == "application/json" and headers["api-version"] == "7"
    assert "authorization" not in headers


def test_what_is_null_is_not_sent(service: Service) -> None:
    made(service).embed(["a"])
    assert service.requests[-1].body == {"input": ["a"], "encoding_format": "float"}


def test_vectors_are_scaled_to_length_1_and_zero_stays_zero(service: Service) -> None:
    service.shape = lambda texts, rows: {
        "data": [
            {"embedding": [0.0] * DIM if text == "nothing" else row} for text, row in zip(texts, rows, strict=True)
        ]
    }
    found = made(service, normalize=True).embed(["a", "nothing", "b"])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 0, 1], rtol=1e-6)
    expected = vectors(["a"])[0]
    np.testing.assert_allclose(found[0], expected / np.linalg.norm(expected), rtol=1e-6)


def test_no_texts_ask_for_no_vector(service: Service) -> None:
    embedder = made(service)
    assert list(embedder.batches([])) == [] and service.requests == []
    assert embedder.embed([]).shape == (0, DIM) and service.texts == []


def test_parts_come_as_they_are_ready_and_cover_every_row_once(service: Service) -> None:
    service.behave = failing("text 0", Reply(act=lambda handler: time.sleep(0.3)))
    embedder = made(service, batch_size=2, concurrency=5, timeout=5.0)
    embedder.dim  # noqa: B018
    service.behave = lambda request: time.sleep(0.3) if "text 0" in request.texts else None
    parts = list(embedder.batches(TEXTS))
    assert parts[-1][0] == range(0, 2)
    assert sorted(row for rows, _ in parts for row in rows) == list(range(10))
    for rows, part in parts:
        np.testing.assert_array_equal(part, vectors([TEXTS[row] for row in rows]))


def test_other_dimensions_than_were_asked_for(service: Service) -> None:
    with pytest.raises(EmbedderError, match=f"vectors of length {DIM}, not the 4 of embedder.dimensions"):
        made(service, dimensions=4).embed(["a"])


# --- concurrency ----------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3])
def test_never_more_requests_at_once_than_allowed(service: Service, concurrency: int) -> None:
    embedder = made(service, batch_size=1, concurrency=concurrency)

    def behave(request: Request) -> None:
        """An answer waits until as many requests as are allowed have been there at once, and a little for one more."""
        end = time.monotonic() + 10
        while request.number >= 0 and service.most_at_once < concurrency and time.monotonic() < end:
            time.sleep(0.002)
        time.sleep(0.01)

    service.behave = behave
    with ThreadPoolExecutor(4) as pool:  # the limit is of the embedder, not of one call
        results = list(pool.map(embedder.embed, [TEXTS] * 4))
    assert service.most_at_once == concurrency
    for found in results:
        np.testing.assert_array_equal(found, vectors(TEXTS))


def test_threads_that_wait_for_another_try_do_not_hold_a_place(service: Service, monkeypatch: Any) -> None:
    monkeypatch.setattr(request, "FIRST_WAIT", 0.6)
    service.behave = first(1, Reply({}, 503))
    embedder = made(service, concurrency=1)
    embedder.dim  # noqa: B018
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(embedder.embed, ["slow"])
        while not service.texts:
            time.sleep(0.005)
        began = time.monotonic()
        embedder.embed(["fast"])
        assert time.monotonic() - began < 0.25
        slow.result()
    assert service.texts == ["slow", "fast", "slow"]


# --- failures in the middle -----------------------------------------------------------------------


def test_what_came_back_is_yielded_before_the_error(service: Service) -> None:
    """The failure comes first; what is under way by then is not lost, and nothing new is begun."""

    def behave(request: Request) -> Reply | None:
        if "text 3" in request.texts:
            return Reply({"error": "no"}, 400)
        time.sleep(0.2 if request.number >= 0 else 0)
        return None

    service.behave = behave
    embedder = made(service, batch_size=1, concurrency=4)
    parts = embedder.batches(TEXTS)
    kept = []
    with pytest.raises(EmbedderError, match="answered 400: no"):
        for rows, part in parts:
            kept.append(rows)
            np.testing.assert_array_equal(part, vectors([TEXTS[row] for row in rows]))
    assert {range(i, i + 1) for i in range(3)} <= set(kept)
    assert len(kept) == len(service.texts) - 1 <= 4  # all that was asked for, but for the one that failed


def test_a_failure_ends_the_waits_of_the_others(service: Service, monkeypatch: Any) -> None:
    monkeypatch.setattr(request, "FIRST_WAIT", 30.0)
    service.behave = lambda request: (
        Reply({}, 503) if "text 1" in request.texts else hang(0.2) if "text 0" in request.texts else None
    )
    embedder = made(service, batch_size=1, concurrency=2, retries=3, timeout=5.0)
    service.behave, keep = lambda request: None, service.behave
    embedder.dim  # noqa: B018
    refused = threading.Event()

    def behave(request: Request) -> Reply | None:
        if "text 0" in request.texts:
            refused.wait(5)
            time.sleep(0.1)
            return Reply({}, 400)
        if "text 1" in request.texts:
            refused.set()
        return keep(request)

    service.behave = behave
    began = time.monotonic()
    with pytest.raises(EmbedderError, match="answered 400"):
        embedder.embed(TEXTS[:2])
    assert time.monotonic() - began < 5


def test_who_stops_listening_stops_the_requests(service: Service) -> None:
    service.behave = lambda request: time.sleep(0.02)
    parts = made(service, batch_size=1, concurrency=1).batches(TEXTS)
    next(parts)
    parts.close()
    asked = len(service.texts)
    time.sleep(0.1)
    assert len(service.texts) == asked <= 3


def test_what_was_paid_for_is_not_asked_for_again_after_a_failure(service: Service, tmp_path: Path) -> None:
    """Through the cache, in another run: exactly the texts whose request did not come back."""
    cache = Cache(tmp_path / "cache")
    section = EndpointSection(
        kind="endpoint", url=service.url, batch_size=2, concurrency=1, normalize=False
    ).model_dump()
    service.behave = failing("text 6", Reply({"error": "no"}, 400))
    with pytest.raises(EmbedderError, match="answered 400: no"):
        embedders.fit(section, [], 0, tmp_path, cache).embed(TEXTS)
    assert service.texts == TEXTS[:8]
    service.requests.clear()
    service.behave = lambda request: None
    again = embedders.fit(section, [], 0, tmp_path, Cache(tmp_path / "cache"))
    np.testing.assert_array_equal(again.embed(TEXTS), vectors(TEXTS))
    assert service.texts == TEXTS[6:]
    service.requests.clear()
    np.testing.assert_array_equal(again.embed([*TEXTS, "new"]), vectors([*TEXTS, "new"]))
    assert service.texts == ["new"]


def test_a_cache_of_another_model_behind_the_address_is_not_used(service: Service, tmp_path: Path) -> None:
    section = EndpointSection(kind="endpoint", url=service.url, normalize=False).model_dump()
    embedders.fit(section, [], 0, tmp_path, Cache(tmp_path / "cache")).embed(TEXTS)
    service.model = "b"
    found = embedders.fit(section, [], 0, tmp_path, Cache(tmp_path / "cache")).embed(TEXTS)
    np.testing.assert_array_equal(found, vectors(TEXTS, model="b"))


# --- the fingerprint, saving, and the model behind the address -----------------------------------


def test_the_fingerprint_is_of_what_decides_the_vectors(service: Service) -> None:
    same: list[dict[str, Any]] = [
        {},
        {"batch_size": 1},
        {"concurrency": 1},
        {"timeout": 1.5},
        {"retries": 0},
        {"headers": {"x": "y"}},
        {"key_env": "PATH"},
        {"key_env": "PATH", "key_header": "x"},
        {"input_key": "a"},
        {"output_key": "b"},
    ]
    other: list[dict[str, Any]] = [
        {"model": "m"},
        {"dimensions": DIM},
        {"prefix": "x"},
        {"normalize": True},
        {"shape": "json", "input_key": "input", "output_key": "data"},
        {"shape": "json", "input_key": "input", "output_key": "data[*]"},
    ]
    embedder = made(service)
    assert {made(service, **settings).fingerprint for settings in same} == {embedder.fingerprint}
    assert embedder.fingerprint.startswith("endpoint:")
    service.shape = lambda texts, rows: {"data": [{"embedding": row} for row in rows]}
    openai = {made(service, **settings).fingerprint for settings in other[:4]}
    service.shape = lambda texts, rows: {"data": rows}
    others = openai | {made(service, **settings).fingerprint for settings in other[4:]}
    service.shape = None
    others |= {Embedder.from_endpoint(f"{service.url}?v=2", normalize=False).fingerprint}
    service.dim = 5
    others |= {made(service).fingerprint}
    assert len(others | {embedder.fingerprint}) == 9


def test_a_saved_endpoint_is_loaded_without_a_request(service: Service, tmp_path: Path) -> None:
    embedder = made(service, model="m", headers={"a": "b"})
    folder = saved(embedder, tmp_path / "e")
    assert list(files_of(folder)) == ["spec.json"]
    asked = len(service.requests)
    loaded = embedders.load(folder)
    assert (loaded.kind, loaded.dim, loaded.fingerprint) == (KIND, DIM, embedder.fingerprint)
    assert len(service.requests) == asked
    np.testing.assert_array_equal(loaded.embed(TEXTS), vectors(TEXTS))
    assert [r.texts for r in service.requests[asked:]] == [[PROBE], TEXTS]  # compared once, before the first use
    loaded.embed(TEXTS)
    assert [r.texts for r in service.requests[asked:]] == [[PROBE], TEXTS, TEXTS]
    assert files_of(saved(loaded, tmp_path / "again")) == files_of(folder)


def test_another_model_behind_the_address_is_noticed_before_a_vector_is_used(service: Service, tmp_path: Path) -> None:
    folder = saved(made(service), tmp_path / "e")
    service.model = "b"
    loaded = embedders.load(folder)
    for _ in range(2):  # and not only once
        with pytest.raises(
            EmbedderMismatchError,
            match=r"the model behind the endpoint http://127.* is another one now: .* cosine similarity -?0\.\d+",
        ):
            loaded.embed(TEXTS)
        with pytest.raises(EmbedderMismatchError):
            list(loaded.batches(TEXTS))
    assert service.texts == []
    service.model = "a"
    np.testing.assert_array_equal(embedders.load(folder).embed(TEXTS), vectors(TEXTS))


def test_another_dimension_behind_the_address_is_noticed(service: Service, tmp_path: Path) -> None:
    folder = saved(made(service), tmp_path / "e")
    service.dim = 5
    with pytest.raises(EmbedderMismatchError, match=f"vectors of length 5, before with {DIM}: the model behind"):
        embedders.load(folder).embed(TEXTS)


def test_a_probe_that_fails_leaves_the_model_unknown_and_is_sent_again(service: Service, tmp_path: Path) -> None:
    folder = saved(made(service), tmp_path / "e")
    service.model = "b"
    loaded = embedders.load(folder)
    service.behave = lambda request: Reply({}, 400)
    with pytest.raises(EmbedderError, match="answered 400"):
        loaded.embed(TEXTS)
    service.behave = lambda request: None
    with pytest.raises(EmbedderMismatchError, match="is another one now"):
        loaded.embed(TEXTS)


def _moved(cosine: float, length: float = 1.0) -> Any:
    """A shape whose vectors have this cosine similarity and relative length with the right ones."""

    def shape(texts: list[str], rows: list[list[float]]) -> Any:
        out = []
        for row in np.array(rows):
            side = np.roll(row, 1)
            side -= row * (side @ row) / (row @ row)
            side *= np.linalg.norm(row) / np.linalg.norm(side)
            out.append((length * (cosine * row + (1 - cosine**2) ** 0.5 * side)).tolist())
        return {"data": [{"embedding": row} for row in out]}

    return shape


@pytest.mark.parametrize(
    ("cosine", "length", "normalize", "same"),
    [
        (1 - 1e-7, 1.0, True, True),
        (0.99995, 1.0, True, True),
        (SAME_MODEL + 1e-4, 1.0, True, True),
        (SAME_MODEL - 1e-4, 1.0, True, False),
        (0.99, 1.0, True, False),
        (-1.0, 1.0, True, False),
        (1.0, 3.0, True, True),  # only the direction is used
        (1.0, 3.0, False, False),  # the length, too
        (1.0, 0.3, False, False),
        (1.0, 1.01, False, True),
    ],
)
def test_what_counts_as_the_same_model(
    service: Service, tmp_path: Path, cosine: float, length: float, normalize: bool, same: bool
) -> None:
    folder = saved(made(service, normalize=normalize), tmp_path / "e")
    service.shape = _moved(cosine, length)
    if same:
        embedders.load(folder).embed(["a"])
    else:
        with pytest.raises(EmbedderMismatchError, match="is another one now"):
            embedders.load(folder).embed(["a"])


def test_a_zero_probe_is_the_same_as_a_zero_probe_alone(service: Service, tmp_path: Path) -> None:
    zero = lambda texts, rows: {"data": [{"embedding": [0.0] * DIM} for _ in rows]}  # noqa: E731
    service.shape = zero
    folder = saved(made(service), tmp_path / "e")
    embedders.load(folder).embed(["a"])
    service.shape = None
    with pytest.raises(EmbedderMismatchError, match="cosine similarity none"):
        embedders.load(folder).embed(["a"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda spec: spec.pop("probe"),
        lambda spec: spec["probe"].pop("vector"),
        lambda spec: spec["probe"].update(vector="?"),
        lambda spec: spec["probe"].update(vector=""),
        lambda spec: spec["probe"].update(vector="AAAA"),
        lambda spec: spec["probe"].update(vector=base64.b64encode(np.full(DIM, np.nan, "<f4").tobytes()).decode()),
        lambda spec: spec["probe"].update(vector=base64.b64encode(np.ones(DIM + 1, "<f4").tobytes()).decode()),
        lambda spec: spec["probe"].update(text="another"),
        lambda spec: spec.update(probe=None),
        lambda spec: spec.pop("dim"),
        lambda spec: spec["settings"].pop("url"),
        lambda spec: spec["settings"].update(url=3),
        lambda spec: spec["settings"].update(url="file:///etc/passwd"),
        lambda spec: spec["settings"].update(concurrency=0),
        lambda spec: spec["settings"].update(command="rm"),
    ],
)
def test_a_damaged_folder_is_an_error(service: Service, tmp_path: Path, damage: Any) -> None:
    folder = saved(made(service), tmp_path / "e")
    spec = json.loads((folder / "spec.json").read_text())
    damage(spec)
    (folder / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(EmbedderError):
        embedders.load(folder)


def test_a_setting_that_a_saved_folder_does_not_know_has_its_default(service: Service, tmp_path: Path) -> None:
    embedder = made(service)
    folder = saved(embedder, tmp_path / "e")
    spec = json.loads((folder / "spec.json").read_text())
    del spec["settings"]["retries"], spec["settings"]["key_header"]
    (folder / "spec.json").write_text(json.dumps(spec))
    assert embedders.load(folder).fingerprint == embedder.fingerprint


def test_nothing_is_sent_until_something_must_be_known(service: Service) -> None:
    made(service)
    assert made(service, dimensions=DIM).fingerprint and service.requests == []
    assert made(service).fingerprint and [r.texts for r in service.requests] == [[PROBE]]


# --- in the registry ------------------------------------------------------------------------------


def test_it_is_made_from_tracer_yaml_with_text_features_beside_it(service: Service, tmp_path: Path) -> None:
    section = EndpointSection(kind="endpoint", url=service.url, batch_size=3, text_features={"dim": 4})  # type: ignore[arg-type]
    both = embedders.fit(section.model_dump(), TEXTS, 0, tmp_path)
    assert both.kind == KIND and both.dim > DIM
    found = both.embed(TEXTS)
    expected = vectors(TEXTS)
    np.testing.assert_allclose(found[:, :DIM], expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-5)
    assert both.fingerprint.startswith("endpoint+tfidf:")
    parts = list(both.batches(TEXTS))
    assert len(parts) == 4
    for rows, part in parts:
        np.testing.assert_array_equal(part, found[rows.start : rows.stop])
    folder = saved(both, tmp_path / "e")
    loaded = embedders.load(folder)
    assert loaded.fingerprint == both.fingerprint
    np.testing.assert_array_equal(loaded.embed(TEXTS), found)
    service.model = "b"
    with pytest.raises(EmbedderMismatchError, match="is another one now"):
        embedders.load(folder).embed(TEXTS)


def test_settings_are_checked_as_in_tracer_yaml(service: Service) -> None:
    with pytest.raises(ConfigError, match=r"embedder\.batchsize: unknown key; .*did you mean 'batch_size'"):
        made(service, batchsize=3)
    with pytest.raises(ConfigError, match=r"embedder\.timeout: found 0; expected a number"):
        made(service, timeout=0)
    with pytest.raises(ConfigError, match=r"text_features depends on the traces"):
        made(service, text_features={}, normalize=True)


def test_sessions_are_used_again(service: Service, monkeypatch: Any) -> None:
    opened = []
    session = requests.Session
    monkeypatch.setattr(request.requests, "Session", lambda: opened.append(1) or session())
    embedder = made(service, batch_size=1, concurrency=2)
    for _ in range(3):
        embedder.embed(TEXTS)
    assert 1 <= len(opened) <= 2
