"""A real HTTP server on the loopback that embeds texts, and misbehaves as it is told."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from tracer_cli.embedders import Embedder
from tracer_cli.embedders.probe import TEXT as PROBE

DIM = 8


def vector(text: str, dim: int = DIM, model: str = "a") -> list[float]:
    """What the service's model gives for a text: any text its own direction."""
    seed = int.from_bytes(hashlib.sha256(f"{model}\0{text}".encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return [round(float(x), 4) for x in np.random.default_rng(seed).standard_normal(dim)]


def bag(text: str) -> list[float]:
    """Counts of the words by their hash: like texts have like vectors, so that something can be learnt."""
    counts = [0.0] * 128
    for word in text.lower().split():
        counts[zlib.crc32(word.encode()) % 128] += 1.0
    return counts


def bags(texts: list[str], rows: list[list[float]]) -> Any:
    """A shape for services that answer with bags."""
    return {"data": [{"index": i, "embedding": bag(text)} for i, text in enumerate(texts)]}


def vectors(texts: list[str], dim: int = DIM, model: str = "a") -> np.ndarray:
    return np.array([vector(text, dim, model) for text in texts], np.float32).reshape(-1, dim)


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    texts: list[str]
    number: int  # among those that ask for more than the probe, counted from 0; -1 for the probe


@dataclass
class Reply:
    """status and body (JSON, or bytes as they are); act: instead of an answer, given the handler."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    act: Callable[[BaseHTTPRequestHandler], None] | None = None


@dataclass
class Service:
    """behave: the reply to a request, None for the right one; model: changes every vector."""

    url: str = ""
    model: str = "a"
    dim: int = DIM
    input_key: str = "input"
    shape: Callable[[list[str], list[list[float]]], Any] | None = None
    behave: Callable[[Request], Reply | None] = lambda request: None
    requests: list[Request] = field(default_factory=list)
    most_at_once: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def texts(self) -> list[str]:
        """Every text that was asked for, again and again where it was, without the probe."""
        return [text for request in self.requests if request.number >= 0 for text in request.texts]

    def answer(self, texts: list[str]) -> Any:
        found = [vector(text, self.dim, self.model) for text in texts]
        if self.shape is not None:
            return self.shape(texts, found)
        data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(found)]
        return {"object": "list", "data": data[::-1], "model": self.model}  # out of order, as it may be

    def receive(self, handler: BaseHTTPRequestHandler) -> Reply:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        texts = body[self.input_key]
        with self._lock:
            number = -1 if texts and texts[0].endswith(PROBE) else sum(r.number >= 0 for r in self.requests)
            request = Request(handler.path, dict(handler.headers), body, texts, number)
            self.requests.append(request)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            return self.behave(request) or Reply(self.answer(texts))
        finally:
            with self._lock:
                self._now -= 1


@contextlib.contextmanager
def running(**settings: Any) -> Iterator[Service]:
    service = Service(**settings)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            reply = service.receive(self)
            if reply.act is not None:
                with contextlib.suppress(OSError):
                    reply.act(self)
                self.close_connection = True
                return
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in ({"Content-Length": str(len(content))} | reply.headers).items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}/v1/embeddings"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# --- those who ask --------------------------------------------------------------------------------

TEXTS = [f"text {i}" for i in range(10)]


def made(service: Service, **settings: Any) -> Embedder:
    return Embedder.from_endpoint(service.url, **{"normalize": False, **settings})


def saved(embedder: Embedder, folder: Path) -> Path:
    folder.mkdir()
    embedder.save(folder)
    return folder


def first(count: int, reply: Reply) -> Any:
    """The first requests get `reply`, all others the right answer."""
    return lambda request: reply if 0 <= request.number < count else None


def failing(text: str, reply: Reply) -> Any:
    return lambda request: reply if text in request.texts else None


# --- misbehaviour ---------------------------------------------------------------------------------


def hang(seconds: float) -> Reply:
    return Reply(act=lambda handler: time.sleep(seconds))


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Half an answer, then the connection is reset."""
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"data": [')
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def cut(handler: BaseHTTPRequestHandler) -> None:
    """An answer that ends before the length that it names."""
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"data": []}')


def cut_chunks(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{"data": []\r\n')


def slam(handler: BaseHTTPRequestHandler) -> None:
    """The connection ends without an answer."""


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte at a time, never so late that the socket times out, for 5 seconds."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)
