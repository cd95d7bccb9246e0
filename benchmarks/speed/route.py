"""Routing on one thread: one vector or text at a time, and a batch, beside the least that each needs."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import tracer_cli
from benchmarks import generate
from tracer_cli.artifacts import Layout, read_json
from tracer_cli.core.neighbours import landmark_count
from tracer_cli.traces import example

Timer = Callable[[Iterable[int]], list[float]]

BLOCK = 512
WARM_UP = 100


def run(
    folder: Path, rows: int, queries: int, batch: int, rounds: int, zoo: dict[str, Any] | None, texts: bool
) -> dict[str, Any]:
    """Fit on `rows` generated traces, then time. Each thing is done `rounds` times, in turn with what it is held to."""
    layout = _fit(folder, rows, zoo)
    candidate = read_json(layout.candidate / "candidate.json")
    router = tracer_cli.load_router(layout.policy)
    bare = _bare_session(layout.policy_graph)
    name = bare.get_inputs()[0].name
    vectors = np.concatenate([block.vectors for block in generate.blocks(max(queries, batch), seed=1)])
    one = _one_by_one(
        queries,
        rounds,
        _each(lambda i: router.predict(vectors[i])),
        _each_awaited(lambda i: router.apredict(vectors[i])),
        _each(lambda i: bare.run(None, {name: vectors[i : i + 1]})),
    )
    products = _Products(candidate)
    many = _in_turn(rounds, lambda: router.predict_batch(vectors[:batch]), lambda: products(vectors[:batch]))
    return {
        "reference_rows": candidate["reference_rows"],
        "surrogate": _surrogate(candidate),
        "router_ms": _percentiles(one[0]),
        "async_ms": _percentiles(one[1]),
        "session_ms": _percentiles(one[2]),
        "batch_seconds": float(np.median(many[0])),
        "products_seconds": float(np.median(many[1])),
        "texts": _texts(folder / "texts", rows, queries, rounds, zoo) if texts else None,
    }


def _texts(folder: Path, rows: int, queries: int, rounds: int, zoo: dict[str, Any] | None) -> dict[str, Any]:
    """The same for texts with the default tf-idf: embedding, policy and both, each by itself."""
    folder.mkdir()
    traces = list(itertools.islice(example.generate(rows + queries), rows + queries))
    (folder / "traces.jsonl").write_text("".join(f"{json.dumps(trace)}\n" for trace in traces[:rows]), encoding="utf-8")
    config = tracer_cli.FitConfig(target_teacher_agreement=0.85, zoo=zoo)
    tracer_cli.fit(folder / "traces.jsonl", folder / "policy", config=config)
    layout = Layout.of_folder(Path(), folder / "policy")
    candidate = read_json(layout.candidate / "candidate.json")
    router = tracer_cli.load_router(layout.policy)
    texts = [trace["input"] for trace in traces[rows:]]
    vectors = router.embed(texts)
    found = _one_by_one(
        queries,
        rounds,
        _each(lambda i: router.embed([texts[i]])),
        _each(lambda i: router.predict(vectors[i])),
        _each(lambda i: router.predict(texts[i])),
        _each_awaited(lambda i: router.apredict(texts[i])),
    )
    return {
        "reference_rows": candidate["reference_rows"],
        "surrogate": _surrogate(candidate),
        "characters": float(np.mean([len(text) for text in texts])),
        "dim": router.dim,
        **dict(zip(("embed_ms", "policy_ms", "whole_ms", "async_ms"), map(_percentiles, found), strict=True)),
    }


def _surrogate(candidate: dict[str, Any]) -> str:
    return " + ".join(member["kind"] for member in candidate["surrogate"]["members"])


class _Products:
    """The matrix products that the policy cannot do without, in float32, into memory that is there already.

    queries @ reference.T, and for each member of the blend its own: a linear one's queries @ coefficients, a kernel's
    values at the landmarks @ coefficients.
    """

    def __init__(self, candidate: dict[str, Any]) -> None:
        labels, kinds = len(candidate["labels"]), [m["kind"] for m in candidate["surrogate"]["members"]]
        shapes = [(generate.DIM, candidate["reference_rows"])]
        shapes += [(generate.DIM, labels)] * kinds.count("logistic_regression")
        shapes += [(landmark_count(candidate["fit_rows"]), labels)] * kinds.count("kernel_ridge")
        rng = np.random.default_rng(0)
        self._right = [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]
        self._left = [rng.standard_normal((BLOCK, shape[0]), dtype=np.float32) for shape in shapes]
        self._out = [np.empty((BLOCK, shape[1]), np.float32) for shape in shapes]

    def __call__(self, queries: NDArray[np.float32]) -> None:
        for start in range(0, len(queries), BLOCK):
            rows = queries[start : start + BLOCK]
            for left, right, out in zip(self._left, self._right, self._out, strict=True):
                own = rows if right.shape[0] == rows.shape[1] else left[: len(rows)]
                np.matmul(own, right, out=out[: len(rows)])


def _fit(folder: Path, rows: int, zoo: dict[str, Any] | None) -> Layout:
    traces, vectors = generate.write(folder, rows)
    config = tracer_cli.FitConfig(
        target_teacher_agreement=0.85, embedder={"kind": "precomputed", "path": str(vectors)}, zoo=zoo
    )
    tracer_cli.fit(traces, folder / "policy", config=config)
    return Layout.of_folder(Path(), folder / "policy")


def _bare_session(graph: Path) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(graph.read_bytes(), settings, providers=["CPUExecutionProvider"])


def _each(function: Callable[[int], object]) -> Timer:
    def timed(rows: Iterable[int]) -> list[float]:
        found = []
        for row in rows:
            start = time.perf_counter_ns()
            function(row)
            found.append((time.perf_counter_ns() - start) / 1e6)
        return found

    return timed


def _each_awaited(function: Callable[[int], Awaitable[object]]) -> Timer:
    async def timed(rows: Iterable[int]) -> list[float]:
        found = []
        for row in rows:
            start = time.perf_counter_ns()
            await function(row)
            found.append((time.perf_counter_ns() - start) / 1e6)
        return found

    return lambda rows: asyncio.run(timed(rows))


def _one_by_one(count: int, rounds: int, *timers: Timer) -> list[list[float]]:
    """Milliseconds of each call. In blocks, because two graphs in alternation would take turns in the cache too."""
    for timer in timers:
        timer(range(min(count, WARM_UP)))
    times: list[list[float]] = [[] for _ in timers]
    for part in np.array_split(np.arange(count), rounds):
        for timer, found in zip(timers, times, strict=True):
            found += timer(part.tolist())
    return times


def _in_turn(rounds: int, *functions: Callable[[], object]) -> list[list[float]]:
    """Seconds of each call, after one that does not count."""
    times: list[list[float]] = [[] for _ in functions]
    for number in range(rounds + 1):
        for function, found in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            if number:
                found.append(time.perf_counter() - start)
    return times


def _percentiles(values: Iterable[float]) -> dict[str, float]:
    p50, p99 = np.percentile(list(values), [50, 99])
    return {"p50": float(p50), "p99": float(p99)}
