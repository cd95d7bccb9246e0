"""One turn of the flywheel: organic traces make a policy, traffic goes through it, what is logged makes another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tracer_cli
from benchmarks import tables
from benchmarks.summary import Future
from benchmarks.vectors import Loaded, load
from tracer_cli.api import project_config, run_all
from tracer_cli.artifacts import Layout, read_bytes, read_json, write_array
from tracer_cli.core import policy
from tracer_cli.core.onnx_session import session

ORGANIC, POOLED, RULE, ALL = "organic only", "pooled as evidence", "the rule", "all labelled"
POLICIES = (ORGANIC, POOLED, RULE, ALL)


@dataclass(frozen=True)
class Turned:
    """One of POLICIES after one turn. labelled: requests that the teacher answered; handled, agreed: of the future."""

    policy: str
    labelled: int
    certified: bool
    future: int
    handled: int
    agreed: int


@dataclass(frozen=True)
class Deployed:
    """A policy as the guard left it; threshold: None where nothing is certified."""

    graph: bytes
    labels: NDArray[np.object_]
    threshold: float | None

    def run(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.object_]]:
        """Whether each is handled, and its label."""
        got = policy.run(session(self.graph), vectors)
        none = np.zeros(len(vectors), bool)
        return none if self.threshold is None else got.accept_scores >= self.threshold, self.labels[got.labels]


def turn(
    folder: Path,
    data: str,
    organic: int,
    requests: int,
    audit: float,
    target: float,
    delta: float,
    seed: int,
    zoo: dict[str, Any] | None,
) -> list[dict[str, Any]]:
    """A random permutation: the first rows are organic, the next are requests, all others the future.

    data: a file that `vectors.prepare` wrote. Nothing sees a label of the future, and of the requests a policy sees
    those alone that it would have been logged with.
    """
    loaded, rng = load(Path(data)), np.random.default_rng(seed)
    order = rng.permutation(len(loaded.texts))
    traces, asked, future = np.split(order, [organic, organic + requests])
    settings = tracer_cli.FitConfig(
        target_teacher_agreement=target,
        frontier_targets=(target,),
        min_deploy_coverage=0.0,
        confidence=1 - delta,
        seed=seed,
        zoo=zoo,
    )

    def fitted(name: str, rows: NDArray[np.intp], origins: Sequence[str]) -> Deployed:
        more = np.concatenate([traces, rows])
        return _fit(folder / name, loaded, more, ["organic"] * organic + list(origins), settings)

    first = fitted(ORGANIC, asked[:0], [])
    audited = rng.random(requests) < audit
    logged = audited | ~first.run(loaded.vectors[asked])[0]
    origins = np.where(audited, "audit", "deferred")[logged].tolist()
    made = {
        ORGANIC: (0, first),
        POOLED: (int(logged.sum()), fitted(POOLED, asked[logged], ["organic"] * len(origins))),
        RULE: (int(logged.sum()), fitted(RULE, asked[logged], origins)),
        ALL: (requests, fitted(ALL, asked, ["organic"] * requests)),
    }
    truth = np.array(loaded.teacher, object)[future]
    results = []
    for name, (labelled, item) in made.items():
        handled, labels = item.run(loaded.vectors[future])
        agreed = int((handled & (labels == truth)).sum())
        found = Turned(name, labelled, item.threshold is not None, len(future), int(handled.sum()), agreed)
        results.append(vars(found))
    return results


def _fit(
    folder: Path, data: Loaded, rows: NDArray[np.intp], origins: Sequence[str], settings: tracer_cli.FitConfig
) -> Deployed:
    """All stages on these rows, each with its origin."""
    layout = Layout.of_folder(folder, folder / "policy")
    vectors, traces = folder / "vectors.npy", folder / "traces.jsonl"
    write_array(vectors, data.vectors[rows])
    with traces.open("w", encoding="utf-8") as file:
        for row, origin in zip(rows, origins, strict=True):
            record = {"input": data.texts[row], "teacher": data.teacher[row], "origin": origin}
            file.write(json.dumps(record) + "\n")
    config = project_config(settings, str(traces), {"kind": "precomputed", "path": str(vectors)})
    sources = [source.model_copy(update={"origin": "origin"}) for source in config.traces]
    run_all(layout, config.model_copy(update={"traces": sources}))
    manifest = read_json(layout.manifest)
    (outcome,) = manifest["targets"]
    return Deployed(read_bytes(layout.policy_graph), np.array(manifest["labels"], object), outcome["threshold"])


def table(turns: Sequence[tuple[str, int, int, float, list[Turned]]]) -> str:
    """turns: data set, organic traces, requests, target, and every round's policies."""
    header = (
        "data",
        "organic",
        "requests",
        "target",
        "fitted on",
        "rounds",
        "requests labelled",
        "coverage on the future",
        "parity on the future",
        "violations of certified",
    )
    rows = []
    for name, organic, requests, target, found in turns:
        for kind in POLICIES:
            own = [item for item in found if item.policy == kind]
            futures = [Future(item.future, item.handled, item.agreed, "handled", target) for item in own]
            parities = [future.parity for future in futures if future.parity is not None]
            rows.append(
                (
                    name,
                    f"{organic:,}",
                    f"{requests:,}",
                    f"{target:.2f}",
                    kind,
                    str(len(own)),
                    f"{mean(item.labelled for item in own):,.0f}",
                    f"{mean(item.handled / item.future for item in own):.3f}",
                    f"{mean(parities):.3f}" if parities else "-",
                    f"{sum(future.violated for future in futures)}/{sum(item.certified for item in own)}",
                )
            )
    return tables.markdown(header, rows)
