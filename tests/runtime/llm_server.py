"""A stand-in for an LLM's endpoint: real HTTP, the shapes of OpenAI's chat completions."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "gpt-test-2026"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = request["messages"][-1]["content"]
        if text == "fail":
            self._send(400, "application/json", json.dumps({"error": {"message": "no"}}))
        elif request.get("stream"):
            self._send(200, "text/event-stream", _events(text))
        else:
            self._send(200, "application/json", json.dumps(_completion(request, text)))

    def _send(self, status: int, kind: str, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode("ascii"))

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _completion(request: dict[str, Any], text: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": f"label of {text}"}
    if request.get("tools"):
        function = {"name": "route", "arguments": json.dumps({"intent": text})}
        message = {"role": "assistant", "content": None}
        message["tool_calls"] = [{"id": "c1", "type": "function", "function": function}]
    finish = "length" if text == "long" else "stop"
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _events(text: str) -> str:
    deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word}, None) for word in ("label ", "of ", text)]
    deltas += [({}, "stop")]
    chunks = [[{"index": 0, "delta": delta, "finish_reason": finish}] for delta, finish in deltas] + [[]]
    head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return "".join(f"data: {json.dumps({**head, 'choices': choices})}\n\n" for choices in chunks) + "data: [DONE]\n\n"


@contextmanager
def serving() -> Iterator[str]:
    """The address that a client takes for its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
