"""calibrate: choose the surrogate, fit the acceptor, and fix the order of the guard's tests.

Reads fit rows only. Whatever is decided here is decided before the holdout's labels are seen, and on out-of-fold
predictions of those fit rows that are a sample of the traffic (see `fit_rows`).
"""

from __future__ import annotations

from typing import Any

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
from tracer_cli.core import policy_graph, surrogates
from tracer_cli.core.acceptor import FEATURES, Logistic
from tracer_cli.core.calibration import Calibration, Settings, calibrate
from tracer_cli.core.cascade import SECOND
from tracer_cli.core.certificate import level_of
from tracer_cli.core.selection import Blend, LabelCheck
from tracer_cli.errors import ConfigError, DataError
from tracer_cli.stages import fit_rows
from tracer_cli.stages.fit_rows import FitRows
from tracer_cli.traces.table import read_fit_meta


def run(layout: Layout, config: Config, rows: FitRows | None = None) -> None:
    """Write artifacts/candidate: candidate.json, policy.onnx, oof.parquet (the rows that are evidence).

    rows: what `fit_rows.read` gives.
    """
    rows = rows or fit_rows.read(layout, config)
    _require_target_above_one_answer(rows, config.targets.agreement)
    holdout_rows = int(read_fit_meta(layout.fit)["holdout_rows"])
    members = {slug: _member(layout, slug, rows) for slug in config.slugs()}
    probabilities = {slug: np.asarray(read_array(layout.model(slug) / "oof.npy")) for slug in members}
    result = calibrate(rows.data, probabilities, _settings(config, int(rows.evidence.sum()), holdout_rows))
    models = {slug: read_bytes(layout.model(slug) / "model.onnx") for slug in result.figures.blend}
    if result.cascade is not None:
        second = result.cascade.fitted
        crossfit = config.targets.evidence == "crossfit"
        models[SECOND] = surrogates.export(second.average if crossfit else second.final, rows.data)
    graph = policy_graph.build(result.policy, models)
    with replacing_folder(layout.candidate) as folder:
        write_bytes(folder / "policy.onnx", graph)
        write_table(folder / "oof.parquet", _out_of_fold_table(rows, result))
        write_json(folder / "candidate.json", _described(result, rows, holdout_rows, members, config))


def _require_target_above_one_answer(rows: FitRows, target: float) -> None:
    """A target that the same answer to every text reaches would certify a policy that has learnt nothing."""
    counts = np.bincount(rows.data.judged(rows.data.labels))
    most = int(counts.argmax())
    share = float(counts[most] / counts.sum())
    texts = "texts to fit on" if rows.data.evidence is None else "organic and audited texts to fit on"
    if share >= target:
        raise ConfigError(
            f"targets.agreement is {target:g}, but {100 * share:.1f} % of the {texts} have the label "
            f"{rows.label_space[most]!r}: to answer every text with it would reach the target. Set targets.agreement "
            f"in tracer.yaml (tracer fit: --target) above {share:.4f}, or bring traces with more of the other labels"
        )


def _settings(config: Config, fit_evidence: int, holdout_rows: int) -> Settings:
    targets = config.targets
    return Settings(
        target=targets.agreement,
        targets=targets.all,
        confidence=1 - level_of(targets.confidence, targets.evidence),
        scope=targets.scope,
        evidence_rows=holdout_rows + (fit_evidence if targets.evidence == "crossfit" else 0),
        method=targets.method,
        blend=config.blend,
        acceptor=config.acceptor.kind,
        distance_quantile=config.acceptor.distance_quantile,
        per_label_min=targets.per_label_min,
        seed=config.seed,
    )


def _member(layout: Layout, slug: str, rows: FitRows) -> dict[str, Any]:
    meta: dict[str, Any] = read_json(layout.model(slug) / "meta.json")
    if meta["labels"] != rows.label_space or meta["fit_rows"] != len(rows.keys):
        raise DataError(
            f"{layout.model(slug)} was trained on other rows than {layout.fit}: run `tracer run train --model {slug}`"
        )
    return meta


def _described(
    result: Calibration, rows: FitRows, holdout_rows: int, members: dict[str, dict[str, Any]], config: Config
) -> dict[str, Any]:
    gate = result.policy.stages[0].acceptor
    acceptor: dict[str, Any] = {"kind": config.acceptor.kind}
    if isinstance(gate, Logistic):
        weights = zip(FEATURES, (float(weight) for weight in gate.weights), strict=True)
        acceptor |= {"weights": dict(weights), "bias": gate.bias}
    filters = result.policy.filters
    return {
        "method": result.method,
        "surrogate": _surrogate(result, members),
        "second_surrogate": _second(result),
        "labels": rows.label_space,
        "dim": int(rows.data.vectors.shape[1]),
        "neighbours": rows.data.k,
        "reference_rows": len(rows.data.reference),
        "acceptor": acceptor,
        "distance_quantile": config.acceptor.distance_quantile,
        "distance_limit": filters.distance_limit,
        "per_label_min": config.targets.per_label_min,
        "label_checks": [_label_check(check, rows.label_space) for check in result.label_checks],
        "fit_rows": len(rows.keys),
        "holdout_rows": holdout_rows,
        "confidence": config.targets.confidence,
        "scope": config.targets.scope,
        "evidence": config.targets.evidence,
        "out_of_fold_agreement": float(result.figures.agrees.mean()),
        "targets": [
            {
                "target": planned.proposal.target,
                "method": planned.method,
                "thresholds": [float(t) for t in planned.proposal.thresholds],
                "out_of_fold_coverage": [round(float(c), 6) for c in planned.proposal.coverage],
                "out_of_fold_agreement": [round(float(a), 6) for a in planned.proposal.agreement],
                "expected_coverage": round(planned.proposal.expected_coverage, 6),
                "chance": round(planned.proposal.certain, 6),
            }
            for planned in result.planned
        ],
        "considered": [
            {
                "blend": _named(item.blend, members),
                "out_of_fold_agreement": round(item.agreement, 6),
                "expected_coverage": round(item.expected_coverage, 6),
            }
            for item in result.tried
        ],
        "methods": {name: round(coverage, 6) for name, coverage in result.expected.items()},
    }


def _surrogate(result: Calibration, members: dict[str, dict[str, Any]]) -> dict[str, Any]:
    blend = result.figures.blend
    total = sum(blend.values())
    parts = [
        {
            "name": members[slug]["name"],
            "kind": members[slug]["kind"],
            "share": round(weight / total, 6),
            "settings": members[slug]["settings"],
        }
        for slug, weight in blend.items()
    ]
    kind = parts[0]["kind"] if len(parts) == 1 else "blend"
    return {"name": " + ".join(str(part["name"]) for part in parts), "kind": kind, "members": parts}


def _second(result: Calibration) -> dict[str, Any] | None:
    """The cascade's second stage: what it is, and on how many of the first's deferred rows it learnt."""
    if result.cascade is None:
        return None
    return {
        "kind": "logistic_regression",
        "settings": result.cascade.fitted.settings,
        "fit_rows": len(result.cascade.fitted.out_of_fold),
        "switch": result.cascade.switch,
    }


def _named(blend: Blend, members: dict[str, dict[str, Any]]) -> dict[str, int]:
    return {members[slug]["name"]: weight for slug, weight in blend.items()}


def _label_check(check: LabelCheck, space: list[str]) -> dict[str, Any]:
    return {
        "label": space[check.label],
        "handled": check.handled,
        "agreed": check.agreed,
        "outcome": check.outcome,
    }


def _out_of_fold_table(rows: FitRows, result: Calibration) -> pa.Table:
    space = np.array(rows.label_space, dtype=object)
    return pa.table(
        {
            "key": np.array(rows.keys, dtype=object)[rows.evidence],
            "label": space[rows.data.judged(rows.data.labels)],
            "predicted": space[result.figures.predicted],
            "accept_score": result.figures.scores,
            "distance": result.distances,
        }
    )
