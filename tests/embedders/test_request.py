"""Requests to a service that refuses, breaks off, hangs, redirects or says the key: tried again or told, never leaked."""

from __future__ import annotations

import base64
import json
import logging
import ssl
import threading
import time
import traceback
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embedding_service
from embedding_service import TEXTS, Reply, Service, first, hang, made, running, saved, vectors
from support import files_of
from tracer_cli.config.schema import EndpointEmbedder as EndpointSection
from tracer_cli.embedders import Embedder, request
from tracer_cli.embedders.endpoint import EndpointEmbedder
from tracer_cli.errors import ConfigError, EmbedderError

KEY = "sk-secret/0123+456789"


# --- what may go better at the next try -----------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"error": "slow down"}, 429),
        Reply(b"", 500),
        Reply(b"<html>bad gateway</html>", 502),
        Reply({}, 503),
        Reply({}, 529),
        Reply(act=embedding_service.reset),
        Reply(act=embedding_service.cut),
        Reply(act=embedding_service.cut_chunks),
        Reply(act=embedding_service.slam),
        Reply(b"not gzip", 200, {"Content-Encoding": "gzip"}),
    ],
    ids=["429", "500", "502", "503", "529", "reset", "cut", "cut-chunks", "slam", "gzip"],
)
def test_what_may_pass_is_tried_again_and_then_given_up(service: Service, reply: Reply) -> None:
    service.behave = first(3, reply)
    np.testing.assert_array_equal(made(service, retries=3).embed(TEXTS), vectors(TEXTS))
    assert service.texts == TEXTS * 4
    service.behave = lambda request: reply if request.number >= 0 else None
    embedder = made(service, retries=2)
    with pytest.raises(EmbedderError, match=r"^http://127\.0\.0\.1:\d+/v1/embeddings .*\(tried 3 times\)$"):
        embedder.embed(TEXTS)
    assert len(service.texts) == 10 * (4 + 3)


@pytest.mark.parametrize("reply", [hang(1.5), Reply(act=embedding_service.drip)], ids=["hang", "drip"])
def test_an_answer_that_does_not_come_in_time_is_asked_for_again(service: Service, reply: Reply) -> None:
    service.behave = first(1, reply)
    began = time.monotonic()
    np.testing.assert_array_equal(made(service, timeout=0.3).embed(TEXTS), vectors(TEXTS))
    assert time.monotonic() - began < 1.4
    service.behave = lambda request: reply if request.number >= 0 else None
    embedder = made(service, timeout=0.2, retries=0)
    with pytest.raises(EmbedderError, match=r"did not answer within 0\.2 s \(tried 1 times\)"):
        embedder.embed(TEXTS)


def test_a_service_that_is_not_there(service: Service) -> None:
    embedder = Embedder.from_endpoint("http://127.0.0.1:9/v1", retries=1)
    with pytest.raises(EmbedderError, match=r"^http://127.0.0.1:9/v1 cannot be reached: Connection refused \(tried 2"):
        embedder.embed(TEXTS)
    nowhere = Embedder.from_endpoint("http://no-such-host.invalid/v1", retries=0)
    with pytest.raises(EmbedderError, match=r"^http://no-such-host\.invalid/v1 cannot be reached: "):
        nowhere.embed(TEXTS)


def test_a_proxy_that_is_not_there(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://user:hidden-word@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(EmbedderError, match="cannot be reached through the proxy that the environment names") as info:
        Embedder.from_endpoint("http://embeddings.invalid/v1", retries=0).embed(TEXTS)
    assert "hidden-word" not in str(info.value)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_waited_out(service: Service, form: str) -> None:
    when = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=2), usegmt=True)
    service.behave = first(1, Reply({}, 429, {"Retry-After": "0.4" if form == "seconds" else when}))
    embedder = made(service)
    embedder.dim  # noqa: B018
    began = time.monotonic()
    embedder.embed(["a"])
    assert 0.39 < time.monotonic() - began < 2.5


def test_retry_after_has_a_limit(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "LONGEST_WAIT", 0.1)
    service.behave = first(1, Reply({}, 429, {"Retry-After": "86400"}))
    began = time.monotonic()
    made(service).embed(["a"])
    assert 0.1 < time.monotonic() - began < 3


@pytest.mark.parametrize("value", ["", "soon", "-3", "1e9", "nan", "Wed, 99 Foo 2024 00:00:00 GMT", "٣"])
def test_a_retry_after_that_is_none_is_no_wait(value: str) -> None:
    assert request._retry_after({"Retry-After": value}) is None


def test_a_date_in_the_past_is_no_wait() -> None:
    assert request._retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert request._retry_after({"Retry-After": "9" * 400}) == float("inf")
    assert request.wait_before(0, float("inf")) == request.LONGEST_WAIT


def test_waits_double_and_are_not_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "FIRST_WAIT", 0.5)
    for attempt in range(25):
        waits = [request.wait_before(attempt, None) for _ in range(50)]
        longest = min(0.5 * 2**attempt, request.LONGEST_BACKOFF)
        assert longest / 2 <= min(waits) < max(waits) <= longest
    assert all(request.wait_before(2, 1.7) >= 1.7 for _ in range(50))


# --- what is refused at once ----------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 422])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "no such model"}}, "no such model"),
        ({"error": "no such model"}, "no such model"),
        ({"message": "no such model"}, "no such model"),
        ({"detail": [{"loc": ["input"]}]}, r"\[\{\"loc\": \[\"input\"\]\}\]"),
        (b"no\tsuch\r\nmodel", "no such model"),
        (b"\x1b[31mno\x00 such\xff \xe2\x80\xaemodel", r"\[31mno such\ufffd model"),
    ],
)
def test_a_refusal_is_not_tried_again_and_told_in_the_services_words(
    service: Service, status: int, body: Any, said: str
) -> None:
    service.behave = first(9, Reply(body, status))
    embedder = made(service)
    with pytest.raises(EmbedderError, match=rf"/v1/embeddings answered {status}: {said}$"):
        embedder.embed(["a"])
    assert service.texts == ["a"]


def test_a_long_refusal_is_shortened(service: Service) -> None:
    service.behave = first(1, Reply(b"x" * 1_000_000, 400))
    with pytest.raises(EmbedderError) as info:
        made(service).embed(["a"])
    assert str(info.value).endswith("xxx...") and len(str(info.value)) < 300


def test_an_answer_without_an_end(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "LARGEST_ANSWER", 100_000)
    service.behave = first(1, Reply(b" " * 1_000_000))
    with pytest.raises(EmbedderError, match="answered with more than 100000 bytes"):
        made(service).embed(["a"])


# --- redirects, certificates, netrc ---------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_its_target_gets_nothing(
    service: Service, monkeypatch: Any, status: int
) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    with running() as other:
        service.behave = first(9, Reply(b"", status, {"Location": f"{other.url}?token=hidden-word"}))
        with pytest.raises(EmbedderError, match=rf"answered {status}, a redirect to {other.url}, which is not") as info:
            made(service, key_env="THE_KEY").embed(["a"])
        assert other.requests == [] and "hidden-word" not in str(info.value)


def test_a_password_in_netrc_is_never_sent(service: Service, monkeypatch: Any, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hidden-word\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    made(service).embed(["a"])
    monkeypatch.setenv("THE_KEY", KEY)
    made(service, key_env="THE_KEY").embed(["a"])
    sent = [{n.lower(): v for n, v in r.headers.items()}.get("authorization") for r in service.requests]
    assert sent == [None, None, f"Bearer {KEY}", f"Bearer {KEY}"]


def test_a_certificate_that_cannot_be_trusted_is_not_tried_again(tmp_path: Path) -> None:
    trustme_less = _self_signed(tmp_path)
    if trustme_less is None:
        pytest.skip("no openssl to make a certificate with")
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trustme_less)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *args: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        url = f"https://127.0.0.1:{server.server_port}/v1"
        with pytest.raises(EmbedderError, match=r"cannot be reached: .*(?i:certificate)") as info:
            Embedder.from_endpoint(url).embed(["a"])
        assert "tried" not in str(info.value)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _self_signed(folder: Path) -> Path | None:
    import shutil
    import subprocess

    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    pem = folder / "both.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-keyout", str(pem), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    pem.write_text(pem.read_text() + (folder / "cert.pem").read_text())
    return pem


# --- the key --------------------------------------------------------------------------------------


def test_the_key_comes_from_the_environment_at_each_request(service: Service, monkeypatch: Any) -> None:
    embedder = made(service, key_env="THE_KEY")
    monkeypatch.delenv("THE_KEY", raising=False)
    with pytest.raises(EmbedderError, match="the environment variable THE_KEY is not set; it must hold the key for"):
        embedder.embed(["a"])
    assert service.requests == []
    monkeypatch.setenv("THE_KEY", f" {KEY}\n")
    embedder.embed(["a"])
    assert service.requests[-1].headers["Authorization"] == f"Bearer {KEY}"
    monkeypatch.setenv("THE_KEY", "another")
    embedder.embed(["a"])
    assert service.requests[-1].headers["Authorization"] == "Bearer another"


def test_the_key_can_have_a_header_of_its_own(service: Service, monkeypatch: Any) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    made(service, key_env="THE_KEY", key_header="x-ours", headers={"X-Ours": "mine"}).embed(["a"])
    sent = [(name.lower(), value) for name, value in service.requests[-1].headers.items()]
    assert ("x-ours", KEY) in sent and "authorization" not in dict(sent) and "mine" not in dict(sent).values()


@pytest.mark.parametrize("key", ["", "  \n", "two\nlines", "ключ", "a\x00b"])
def test_a_key_that_cannot_be_sent_is_not_shown(service: Service, monkeypatch: Any, key: str) -> None:
    if "\x00" in key:
        monkeypatch.setattr(request.os, "environ", {"THE_KEY": key})
    else:
        monkeypatch.setenv("THE_KEY", key)
    with pytest.raises(
        EmbedderError, match=r"THE_KEY (is not set|holds a character that a header cannot carry)"
    ) as info:
        made(service, key_env="THE_KEY").embed(["a"])
    assert not key.strip() or key not in str(info.value)


@pytest.mark.parametrize("name", ["bad name", "bad\nname", "naïve€"])
def test_a_header_that_cannot_be_sent(service: Service, name: str) -> None:
    with pytest.raises(EmbedderError, match="cannot be sent") as info:
        EndpointEmbedder({**_section(service.url), "headers": {name: "hidden\nword"}}).embed(["a"])
    assert "hidden" not in str(info.value)


def test_the_key_is_in_no_error_no_file_and_no_log(
    service: Service, monkeypatch: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the service does, also when it says the key again, in each form that it could."""
    monkeypatch.setenv("THE_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    quoted = KEY.replace("/", "%2F").replace("+", "%2B")
    echoes: list[Reply] = [
        Reply({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401),
        Reply({"error": {"message": f"{'x' * 190}{KEY}"}}, 401),  # would be cut in its middle
        Reply({"error": f"key\u200b {KEY[:5]}\x00{KEY[5:]}"}, 403),  # whole again without the control character
        Reply(f"see ?key={quoted}".encode(), 400),
        Reply(json.dumps({"x": KEY}).replace("/", "\\/").encode(), 400),
        Reply({"error": f"Bearer {KEY}"}, 429),
        Reply(KEY.encode(), 500),
        Reply(f"<html>{KEY}".encode(), 200),
        Reply({"data": [{"index": 0, "embedding": [KEY]}]}),
        Reply({"data": [{"index": KEY, "embedding": [1.0]}]}),
        Reply({"data": [{"index": 0, "embedding": KEY}]}),
        Reply(b"", 307, {"Location": f"http://{KEY}@x.invalid/{KEY}?k={KEY}"}),
        Reply(act=embedding_service.reset),
        hang(0.5),
    ]
    told = []
    for number, reply in enumerate(echoes):
        embedder = made(service, key_env="THE_KEY", retries=1, timeout=0.2, headers={"x": str(number)})
        folder = saved(embedder, tmp_path / str(number))
        service.behave = lambda request, reply=reply: reply
        with pytest.raises(EmbedderError) as info:
            embedder.embed(["a"])
        assert len(str(info.value)) < 500
        told.append("".join(traceback.format_exception(info.value)).encode())  # as a log has it
        told += files_of(folder).values()
        service.behave = lambda request: None
    told.append(caplog.text.encode())
    everything = b"\n".join(told)
    assert everything.count(b"***") >= 7  # it was said, and taken out
    for form in (KEY, quoted, KEY.replace("/", "\\/"), base64.b64encode(KEY.encode()).decode(), KEY[:8]):
        assert form.encode() not in everything


URLS = ["ftp://x/y", "x", "//x/y", "https://", "http://x:port/", "http://[::1/", "file:///etc/passwd"]


@pytest.mark.parametrize("url", URLS)
def test_a_url_that_is_none(url: str) -> None:
    """From Python as in tracer.yaml, and in the folder of a policy, which nobody has checked."""
    with pytest.raises(ConfigError, match=r"embedder\.url: found '.*'; expected an address such as"):
        Embedder.from_endpoint(url)
    with pytest.raises(EmbedderError, match=r"embedder\.url: expected http:// or https://"):
        EndpointEmbedder(_section(url))


@pytest.mark.parametrize("url", ["https://me:hidden-word@x.invalid/v1", "https://x.invalid/v1?api_key=hidden-word"])
def test_credentials_in_a_url_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match=r"embedder\.url: holds credentials, .* name it with `key_env`") as info:
        Embedder.from_endpoint(url)
    assert "hidden-word" not in str(info.value)


def test_credentials_in_a_header_are_refused_and_not_shown(service: Service) -> None:
    with pytest.raises(ConfigError, match=r"embedder\.headers\.Authorization: looks like a secret") as info:
        made(service, headers={"Authorization": "hidden-word"})
    assert "hidden-word" not in str(info.value)


def test_no_more_of_a_url_is_shown_than_its_place(service: Service) -> None:
    with pytest.raises(EmbedderError, match="holds a user name or a password") as info:
        EndpointEmbedder(_section("https://me:hidden-word@x.invalid/v1?x=hidden-word"))
    assert "hidden-word" not in str(info.value)
    service.behave = first(9, Reply({}, 400))
    with pytest.raises(EmbedderError, match=r"/v1/embeddings answered 400") as info:
        Embedder.from_endpoint(f"{service.url}?v=hidden-word").embed(["a"])
    assert "hidden-word" not in str(info.value)
    assert service.requests[-1].path.endswith("?v=hidden-word")


def _section(url: str) -> dict[str, Any]:
    return EndpointSection(kind="endpoint", url=url).model_dump(exclude={"kind", "text_features"})
