"""A service that embeds texts over HTTP: OpenAI's /v1/embeddings, or a JSON object with keys of your choice.

The fingerprint says where the vectors come from and how they were asked for; whether the model behind the address
is still the same, the probe says (`probe`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from tracer_cli.artifacts import sha256_json, write_json
from tracer_cli.embedders import answer, probe
from tracer_cli.embedders.base import SPEC, Embedder, Floats, section, spec_of, unit
from tracer_cli.embedders.request import Client, address
from tracer_cli.errors import EmbedderError, EmbedderMismatchError

KIND = "endpoint"


class EndpointEmbedder(Embedder):
    """Asks the service, and nothing before a vector or its dimension is needed: loading a policy needs no network.

    An embedder that was loaded embeds the probe once before the first text, and raises EmbedderMismatchError when
    that gives another vector than at the fit. The key is read from the environment at each request.
    """

    kind = KIND
    cacheable = True

    def __init__(self, settings: dict[str, Any], dim: int | None = None, expected: Floats | None = None) -> None:
        """settings: the endpoint section, complete. dim, expected: of the saved embedder, the probe's vector (dim,)."""
        self._settings = settings
        self._client = Client(settings)
        self._address = address(settings["url"])
        self._dim: int | None = settings["dimensions"] if dim is None else dim
        self._expected = expected
        self._probe: Floats | None = None
        self._lock = threading.Lock()
        if settings["shape"] == "json":
            answer.steps(settings["output_key"])

    @property
    def dim(self) -> int:
        """As saved or configured, else the length of the probe's vector, which is asked for now."""
        return len(self._asked()) if self._dim is None else self._dim

    @property
    def fingerprint(self) -> str:
        """Of the address and of all that decides the vectors; not of how they are fetched."""
        names = ["url", "shape", "model", "dimensions", "prefix", "normalize"]
        if self._settings["shape"] == "json":
            names += ["input_key", "output_key"]
        return f"{KIND}:{sha256_json([KIND, self.dim, {name: self._settings[name] for name in names}])}"

    def expect(self, spec: dict[str, Any]) -> None:
        self._expected = probe.from_spec(spec)

    def witness(self) -> Floats:
        return self._asked()

    def recognises(self, witness: Floats) -> bool:
        return probe.alike(witness, self._asked())

    def embed(self, texts: Sequence[str]) -> Floats:
        self._asked()
        vectors = np.empty((len(texts), self.dim), np.float32)
        for rows, part in self.batches(texts):
            vectors[rows.start : rows.stop] = part
        return vectors

    def batches(self, texts: Sequence[str]) -> Iterator[tuple[range, Floats]]:
        """A part for each request, as the answers come. After a failure no new request is begun."""
        if not texts:
            return
        self._asked()
        size = self._settings["batch_size"]
        parts = [range(start, min(start + size, len(texts))) for start in range(0, len(texts), size)]
        stop = threading.Event()
        if len(parts) == 1:
            yield parts[0], self._request(texts, stop)
            return
        failures: list[BaseException] = []

        def ask(part: range) -> Floats | None:
            """None when another request has failed: one that is begun goes on, but is not tried again."""
            if stop.is_set():
                return None
            try:
                return self._request(texts[part.start : part.stop], stop)
            except BaseException as error:
                if not stop.is_set():
                    failures.append(error)
                    stop.set()
                return None

        with ThreadPoolExecutor(min(self._settings["concurrency"], len(parts))) as pool:
            try:
                futures = {pool.submit(ask, part): part for part in parts}
                for future in as_completed(futures):
                    vectors = future.result()
                    if vectors is not None:
                        yield futures.pop(future), vectors
            finally:
                stop.set()
        if failures:
            raise failures[0]

    def save(self, folder: Path) -> None:
        """The settings, of which none is a secret, and the probe's vector."""
        write_json(folder / SPEC, spec_of(self, self._settings) | probe.to_spec(self._asked()))

    def _asked(self) -> Floats:
        """The probe's vector as it is now, asked for once; EmbedderMismatchError when it is not the expected one."""
        with self._lock:
            if self._probe is None:
                self._probe = self._request([probe.TEXT], threading.Event())[0]
            if self._expected is not None:
                probe.require_alike(self._expected, self._probe, f"the endpoint {self._address}")
            return self._probe

    def _request(self, texts: Sequence[str], stop: threading.Event) -> Floats:
        settings = self._settings
        prefix = settings["prefix"] or ""
        given = [prefix + text for text in texts]
        more = {name: settings[name] for name in ("model", "dimensions") if settings[name] is not None}
        if settings["shape"] == "openai":
            said = self._client.post({"input": given, "encoding_format": "float", **more}, stop)
            vectors = answer.of_openai(said, len(texts), self._address)
        else:
            said = self._client.post({settings["input_key"]: given, **more}, stop)
            vectors = answer.of_json(said, settings["output_key"], len(texts), self._address)
        self._require_dim(vectors.shape[1])
        return unit(vectors) if settings["normalize"] else vectors

    def _require_dim(self, dim: int) -> None:
        asked = self._settings["dimensions"]
        if asked is not None and dim != asked:
            raise EmbedderError(
                f"{self._address} answered with vectors of length {dim}, not the {asked} of embedder.dimensions"
            )
        known = self._dim if self._probe is None else len(self._probe)
        if known is not None and dim != known:
            raise EmbedderMismatchError(
                f"{self._address} answered with vectors of length {dim}, before with {known}: the model behind the "
                "endpoint is another one now; fit again"
            )


def fit(settings: dict[str, Any], texts: Sequence[str], seed: int, root: Path) -> EndpointEmbedder:
    return EndpointEmbedder({name: value for name, value in settings.items() if name != "kind"})


def load(folder: Path, spec: dict[str, Any], root: Path) -> EndpointEmbedder:
    """Sends nothing; the fingerprint is that of the settings and the dimension in `spec`."""
    return EndpointEmbedder(section(KIND, spec["settings"]), spec["dim"], probe.from_spec(spec))
