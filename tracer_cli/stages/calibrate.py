"""calibrate: choose the surrogate, fit the acceptor, and fix the order of the guard's tests.

Reads fit rows only. Whatever is decided here is decided before the holdout's labels are seen.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tracer_cli.artifacts import (
    Layout,
    read_array,
    read_bytes,
    read_json,
    replacing_folder,
    write_bytes,
    write_json,
    write_table,
)
from tracer_cli.config.schema import Config
from tracer_cli.core import acceptor, neighbours, policy_graph, selection
from tracer_cli.core.selection import Candidate
from tracer_cli.errors import DataError
from tracer_cli.stages import fit_rows
from tracer_cli.stages.fit_rows import FitRows
from tracer_cli.traces.table import read_fit_meta


def run(layout: Layout, config: Config) -> None:
    """Write artifacts/candidate: candidate.json, policy.onnx, oof.parquet."""
    rows = fit_rows.read(layout, config)
    holdout_rows = int(read_fit_meta(layout.fit)["holdout_rows"])
    unit = neighbours.unit_rows(rows.vectors)
    k = neighbours.neighbour_count(rows.folds)
    near = neighbours.out_of_fold(unit, rows.labels, rows.folds, k)
    candidates = [_candidate(layout, slug, rows, near) for slug in config.slugs()]
    targets = config.targets
    delta = 1 - targets.confidence
    chosen = selection.choose_surrogate(candidates, holdout_rows, targets.agreement, delta, targets.scope)
    fitted = acceptor.fit(chosen.features, chosen.agrees)
    kept = neighbours.reference_rows(np.arange(len(unit)))
    reference = policy_graph.Reference(unit[kept], rows.labels[kept], k)
    graph = policy_graph.build(read_bytes(layout.model(chosen.model) / "model.onnx"), reference, fitted)
    spec = config.zoo[config.slugs()[chosen.model]]
    with replacing_folder(layout.candidate) as folder:
        write_bytes(folder / "policy.onnx", graph)
        write_table(folder / "oof.parquet", _out_of_fold_table(rows, chosen))
        write_json(
            folder / "candidate.json",
            {
                "surrogate": {"name": config.slugs()[chosen.model], "slug": chosen.model, "kind": spec.kind},
                "labels": rows.label_space,
                "dim": int(unit.shape[1]),
                "neighbours": k,
                "reference_rows": len(kept),
                "acceptor": {
                    "weights": dict(zip(acceptor.FEATURES, (float(w) for w in fitted.weights), strict=True)),
                    "bias": fitted.bias,
                },
                "fit_rows": len(rows.keys),
                "holdout_rows": holdout_rows,
                "confidence": targets.confidence,
                "scope": targets.scope,
                "evidence": targets.evidence,
                "out_of_fold_agreement": float(chosen.agrees.mean()),
                "targets": [_target(chosen, holdout_rows, target, config) for target in targets.all],
                "considered": _considered(candidates, holdout_rows, config),
            },
        )


def _candidate(layout: Layout, slug: str, rows: FitRows, near: neighbours.Neighbours) -> Candidate:
    meta = read_json(layout.model(slug) / "meta.json")
    probabilities = read_array(layout.model(slug) / "oof.npy")
    if meta["labels"] != rows.label_space or len(probabilities) != len(rows.keys):
        raise DataError(
            f"{layout.model(slug)} was trained on other rows than {layout.fit}: run `tracer run train --model {slug}`"
        )
    return selection.candidate(slug, probabilities, rows.labels, near, rows.folds)


def _target(chosen: Candidate, holdout_rows: int, target: float, config: Config) -> dict[str, object]:
    delta, scope = 1 - config.targets.confidence, config.targets.scope
    choice = selection.choose_method(chosen.curve, holdout_rows, target, delta, scope)
    proposal = choice.proposal
    return {
        "target": target,
        "method": choice.method,
        "thresholds": [float(t) for t in proposal.thresholds],
        "out_of_fold_coverage": [round(float(c), 6) for c in proposal.coverage],
        "out_of_fold_agreement": [round(float(a), 6) for a in proposal.agreement],
        "predicted_coverage": None if proposal.predicted is None else round(proposal.predicted_coverage, 6),
    }


def _considered(candidates: list[Candidate], holdout_rows: int, config: Config) -> list[dict[str, object]]:
    """What every zoo member and method would certify at every target: the reason for the choice."""
    delta, scope = 1 - config.targets.confidence, config.targets.scope
    return [
        {
            "model": config.slugs()[item.model],
            "out_of_fold_agreement": round(float(item.agrees.mean()), 6),
            "method": method,
            "target": target,
            "predicted_coverage": round(make(item.curve, holdout_rows, target, delta, scope).predicted_coverage, 6),
        }
        for item in candidates
        for method, make in selection.METHODS.items()
        for target in config.targets.all
    ]


def _out_of_fold_table(rows: FitRows, chosen: Candidate) -> pa.Table:
    space = np.array(rows.label_space, dtype=object)
    return pa.table(
        {
            "key": rows.keys,
            "label": space[rows.labels],
            "predicted": space[chosen.predicted],
            "accept_score": chosen.scores,
        }
    )
