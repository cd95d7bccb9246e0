"""One JSON request to a service, sent again while there is hope.

No error shows the key, or more of a URL than scheme, host and path. A redirect is an error and not followed:
neither the key nor the texts go to a host that the configuration does not name.
"""

from __future__ import annotations

import json
import os
import queue
import random
import ssl
import threading
import time
import unicodedata
from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import requests
import urllib3
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict

from tracer_cli.errors import EmbedderError

# Seconds. Each wait is twice the one before, less up to a half of it by chance, so that requests that were
# refused together do not come back together. A service that asks for more than LONGEST_WAIT gets that.
FIRST_WAIT = 0.5
LONGEST_BACKOFF = 30.0
LONGEST_WAIT = 120.0

LARGEST_ANSWER = 1 << 30
BLOCK = 1 << 16
SHOWN = 200

_LOST = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.ProtocolError,
    urllib3.exceptions.TimeoutError,
    urllib3.exceptions.DecodeError,
    urllib3.exceptions.SSLError,
)


class Client:
    """Sends to one address; safe to share between threads, of which at most `concurrency` have a request under way."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """settings: the endpoint section of tracer.yaml. Raises EmbedderError when its URL is none."""
        self._url: str = settings["url"]
        self._settings = settings
        parts = _parts(self._url)
        if parts is None:
            raise EmbedderError("embedder.url: expected http:// or https://, a host and a path")
        if "@" in parts.netloc:
            raise EmbedderError(
                f"embedder.url: {address(self._url)} holds a user name or a password; name the environment variable "
                "of a key in embedder.key_env instead"
            )
        # A session is of one thread at a time; made when one is first needed.
        self._sessions: queue.LifoQueue[requests.Session | None] = queue.LifoQueue()
        for _ in range(settings["concurrency"]):
            self._sessions.put(None)

    def post(self, body: dict[str, Any], stop: threading.Event) -> Any:
        """The answer's JSON. stop: set by another thread when an answer is of no use any more.

        Raises EmbedderError after a refusal, or when the last try failed.
        """
        key = self._key()
        data = json.dumps(body).encode("ascii")
        tries = self._settings["retries"] + 1
        for attempt in range(tries):
            try:
                return self._once(data, key)
            except _AgainError as again:
                reason, asked = again.reason, again.wait
            if attempt + 1 < tries and not stop.is_set():
                stop.wait(wait_before(attempt, asked))
            if stop.is_set():
                break
        raise EmbedderError(f"{address(self._url)} {reason} (tried {attempt + 1} times)")

    def _once(self, data: bytes, key: str | None) -> Any:
        session = self._sessions.get()
        try:
            session = session or requests.Session()
            return self._exchange(session, data, key)
        except _LOST as error:
            reason = _loss(error, self._settings["timeout"])
            if _is_certificate(error):
                raise EmbedderError(f"{address(self._url)} {reason}") from None
            raise _AgainError(reason) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            # Their texts may hold a header's value or the URL.
            raise EmbedderError(
                f"the request to {address(self._url)} cannot be sent ({type(error).__name__}); check embedder.url and "
                "embedder.headers"
            ) from None
        finally:
            self._sessions.put(session)

    def _exchange(self, session: requests.Session, data: bytes, key: str | None) -> Any:
        timeout = self._settings["timeout"]
        deadline = time.monotonic() + timeout
        headers = CaseInsensitiveDict({"Content-Type": "application/json", "Accept": "application/json"})
        headers.update(self._settings["headers"])
        with session.post(
            self._url,
            data=data,
            headers=dict(headers),
            auth=_Key(self._settings["key_header"], key),
            timeout=timeout,
            stream=True,
            allow_redirects=False,
        ) as response:
            content = _read(response, deadline)
        status = response.status_code
        if status == 429 or status >= 500:
            raise _AgainError(f"answered {status}{_message(content, key)}", _retry_after(response.headers))
        if 300 <= status < 400:
            target = address(urljoin(self._url, response.headers.get("Location", "")))
            raise EmbedderError(
                f"{address(self._url)} answered {status}, a redirect to {_clean(target, key)}, which is not followed: "
                "where that is the right place, write it as embedder.url"
            )
        if status >= 400:
            raise EmbedderError(f"{address(self._url)} answered {status}{_message(content, key)}")
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            start = _clean(content[: 4 * SHOWN].decode("utf-8", "replace"), key)
            raise EmbedderError(f"{address(self._url)} answered {status}, but not with JSON: {start!r}") from None

    def _key(self) -> str | None:
        variable = self._settings["key_env"]
        if variable is None:
            return None
        key = os.environ.get(variable, "").strip()
        if not key:
            raise EmbedderError(
                f"embedder.key_env: the environment variable {variable} is not set; it must hold the key for "
                f"{address(self._url)}"
            )
        if not (key.isascii() and key.isprintable()):
            raise EmbedderError(f"embedder.key_env: {variable} holds a character that a header cannot carry")
        return key


class _AgainError(Exception):
    """What may go better at the next try. wait: seconds that the service asked for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


class _Key(AuthBase):
    """Sets the key. Also without one it stands in for the password that requests would look up in ~/.netrc."""

    def __init__(self, header: str, key: str | None) -> None:
        self._header = header
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key is not None:
            bearer = self._header.lower() == "authorization"
            request.headers[self._header] = f"Bearer {self._key}" if bearer else self._key
        return request


def address(url: str) -> str:
    """Scheme, host, port and path: without what may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def wait_before(attempt: int, asked: float | None) -> float:
    """Seconds between a try (counted from 0) and the next one; asked: by the service."""
    backoff = min(FIRST_WAIT * 2.0**attempt, LONGEST_BACKOFF) * random.uniform(0.5, 1)
    return backoff if asked is None else min(max(asked, backoff), LONGEST_WAIT)


def _parts(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") and parts.hostname else None


def _read(response: requests.Response, deadline: float) -> bytes:
    """The whole body, as long as it comes before the deadline; requests' own timeout is of a silence."""
    blocks = []
    size = 0
    while block := response.raw.read1(BLOCK, decode_content=True):
        blocks.append(block)
        size += len(block)
        if time.monotonic() > deadline:
            raise requests.Timeout
        if size > LARGEST_ANSWER:
            raise EmbedderError(f"{address(response.url or '')} answered with more than {LARGEST_ANSWER} bytes")
    return b"".join(blocks)


def _retry_after(headers: Any) -> float | None:
    """Seconds, from the number or the date in the header; None when it has neither."""
    value = str(headers.get("Retry-After", "")).strip()
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    now = datetime.now(timezone.utc)
    return max((date.replace(tzinfo=date.tzinfo or timezone.utc) - now).total_seconds(), 0.0)


def _message(content: bytes, key: str | None) -> str:
    """What the service says about an error, from the fields where services put it; else the body."""
    text = content[: 1 << 16].decode("utf-8", "replace")
    try:
        said: Any = json.loads(text)
    except (ValueError, RecursionError):
        said = text
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and said.get(name):
            said = said[name]
    said = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    cleaned = _clean(said, key)
    return f": {cleaned}" if cleaned else ""


def _clean(text: str, key: str | None) -> str:
    """On one line, without what could drive a terminal, without the key, and short."""
    text = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    text = " ".join(text.split())
    if key is not None:
        for form in (key, quote(key, safe=""), json.dumps(key)[1:-1]):
            text = text.replace(form, "***")
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _loss(error: BaseException, timeout: float) -> str:
    chain = list(_chain(error))
    if any(isinstance(e, requests.exceptions.ProxyError) for e in chain):
        return "cannot be reached through the proxy that the environment names"
    said = next((e.strerror for e in reversed(chain) if isinstance(e, OSError) and e.strerror), None)
    if any(isinstance(e, urllib3.exceptions.NewConnectionError | ssl.SSLError) for e in chain):
        return f"cannot be reached: {_clean(str(said or 'no connection'), None)}"
    if any(isinstance(e, requests.Timeout | urllib3.exceptions.TimeoutError) for e in chain):
        return f"did not answer within {timeout:g} s"
    return f"broke off its answer{f': {_clean(str(said), None)}' if said else ''}"


def _is_certificate(error: BaseException) -> bool:
    return any(isinstance(e, ssl.SSLCertVerificationError) for e in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it came from."""
    seen: list[BaseException] = []
    todo: list[object] = [error]
    while todo:
        e = todo.pop(0)
        if isinstance(e, BaseException) and e not in seen:
            seen.append(e)
            yield e
            todo += [e.__cause__, e.__context__, getattr(e, "reason", None), *e.args]
