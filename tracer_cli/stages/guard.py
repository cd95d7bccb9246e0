"""guard: the only stage that sees the holdout's labels; tests the candidate and writes the policy.

The verdict is written whatever it is, so that the report exists and a failed experiment is kept;
`tracer guard --check` is what fails a job.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tracer_cli import __version__
from tracer_cli.artifacts import (
    MANIFEST_SCHEMA,
    Layout,
    read_array,
    read_bytes,
    read_json,
    read_table,
    replacing_folder,
    sha256_file,
    sha256_json,
    write_bytes,
    write_csv,
    write_json,
    write_table,
)
from tracer_cli.config.resolve import params_of
from tracer_cli.config.schema import Config
from tracer_cli.core import policy, power
from tracer_cli.core.certificate import Certificate, certify, clopper_pearson, level_of
from tracer_cli.core.onnx_session import session
from tracer_cli.core.policy import Decisions
from tracer_cli.errors import DataError
from tracer_cli.stages import fit_rows

# plots/targets.csv; certified, deployed: 1 or 0; empty where nothing is certified
TARGET_COLUMNS = (
    "target",
    "deployed",
    "certified",
    "method",
    "surrogate",
    "threshold",
    "coverage",
    "coverage_low",
    "coverage_high",
    "agreement",
    "agreement_low",
    "agreement_high",
    "lower_bound",
    "handled",
    "agreed",
    "evidence_rows",
)
LIBRARIES = ("lightgbm", "numpy", "onnx", "onnxruntime", "scikit-learn", "skl2onnx")


@dataclass(frozen=True)
class Holdout:
    """The holdout after the policy ran on it, one entry per text; counts: how often each came."""

    keys: list[str]
    labels: list[str]
    predicted: list[str]
    decisions: Decisions
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Evidence:
    """The rows that the tests see: the holdout, with `crossfit` preceded by the out-of-fold rows; (n,) each."""

    scores: NDArray[np.float64]
    agrees: NDArray[np.bool_]
    counts: NDArray[np.int64]


def run(layout: Layout, config: Config) -> None:
    """Walk every target's sequence on the evidence; write the policy folder, the holdout's rows and the metrics."""
    candidate = read_json(layout.candidate / "candidate.json")
    holdout = _holdout(layout, candidate)
    evidence = _evidence(layout, holdout, config)
    results = [_certify(target, evidence, config) for target in candidate["targets"]]
    outcomes = [
        _outcome(target, result, evidence, config) for target, result in zip(candidate["targets"], results, strict=True)
    ]
    deployed = next(item for item in outcomes if item["target"] == config.targets.agreement)
    verdict = _verdict(deployed, outcomes, config)

    write_table(layout.guard_rows, _rows_table(holdout))
    write_bytes(layout.policy_graph, read_bytes(layout.candidate / "policy.onnx"))
    with replacing_folder(layout.policy_embedder) as folder:
        shutil.copytree(layout.embedder, folder, dirs_exist_ok=True)
    write_json(layout.frontier, _frontier(candidate, results, outcomes))
    write_json(layout.guard_metrics, _metrics(verdict, deployed, outcomes, candidate))
    write_csv(layout.targets_table, TARGET_COLUMNS, [_target_row(o, deployed, verdict, candidate) for o in outcomes])
    # Last, because it names the digests of all the others: a policy without a fitting manifest does not load.
    write_json(layout.manifest, _manifest(layout, config, candidate, outcomes, deployed, verdict))


def _holdout(layout: Layout, candidate: dict[str, Any]) -> Holdout:
    texts = read_table(layout.holdout, ["key", "count"])
    labels = read_table(layout.holdout_labels, ["key", "label"])
    vectors = read_array(layout.holdout_vectors)
    if texts["key"] != labels["key"] or len(vectors) != texts.num_rows:
        raise DataError(
            f"{layout.holdout}, {layout.holdout_labels} and {layout.holdout_vectors} do not hold the same rows: "
            "they come from different runs; run `dvc repro`"
        )
    decisions = policy.run(session(read_bytes(layout.candidate / "policy.onnx")), vectors)
    space = candidate["labels"]
    return Holdout(
        keys=texts["key"].to_pylist(),
        labels=labels["label"].to_pylist(),
        predicted=[space[index] for index in decisions.labels],
        decisions=decisions,
        counts=texts["count"].to_numpy().astype(np.int64),
    )


def _evidence(layout: Layout, holdout: Holdout, config: Config) -> Evidence:
    own = Evidence(holdout.decisions.accept_scores, _equal(holdout.labels, holdout.predicted), holdout.counts)
    if config.targets.evidence == "holdout":
        return own
    rows = read_table(layout.candidate / "oof.parquet")
    fit = read_table(layout.fit, ["key", "count", "origin"])
    fit = fit.filter(fit_rows.is_evidence(fit))
    if rows["key"] != fit["key"]:
        raise DataError(
            f"{layout.candidate / 'oof.parquet'} and {layout.fit} do not hold the same rows: "
            "they come from different runs; run `dvc repro`"
        )
    agrees = _equal(rows["label"].to_pylist(), rows["predicted"].to_pylist())
    return Evidence(
        np.concatenate([rows["accept_score"].to_numpy(), own.scores]),
        np.concatenate([agrees, own.agrees]),
        np.concatenate([fit["count"].to_numpy().astype(np.int64), own.counts]),
    )


def _equal(labels: list[str], predicted: list[str]) -> NDArray[np.bool_]:
    return np.array([a == b for a, b in zip(labels, predicted, strict=True)], bool)


def _certify(target: dict[str, Any], evidence: Evidence, config: Config) -> Certificate:
    return certify(
        evidence.scores,
        evidence.agrees,
        target["thresholds"],
        target["target"],
        level_of(config.targets.confidence, config.targets.evidence),
        config.targets.scope,
    )


def _outcome(target: dict[str, Any], result: Certificate, evidence: Evidence, config: Config) -> dict[str, Any]:
    """One target's entry in the manifest. Intervals are exact and two-sided, each at the certificate's confidence."""
    confidence = config.targets.confidence
    entry: dict[str, Any] = {
        "target": result.target,
        "certified": result.threshold is not None,
        "method": target["method"],
        "threshold": result.threshold,
        "evidence_rows": result.rows,
        "handled": result.handled,
        "agreed": result.agreed,
        "coverage": round(result.coverage, 6),
        "coverage_interval": _rounded(clopper_pearson(result.handled, result.rows, confidence)),
        "agreement": None if result.agreement is None else round(result.agreement, 6),
        "agreement_interval": _rounded(clopper_pearson(result.agreed, result.handled, confidence)),
        "lower_bound": None if result.lower is None else round(result.lower, 6),
        "steps_tested": len(result.steps),
        "traffic_coverage": 0.0,
        "traffic_agreement": None,
        "reason": _reason(result, config.targets.evidence, confidence),
        "shortfall": None if result.threshold is not None else _shortfall(result),
    }
    if result.threshold is not None:
        handled = evidence.scores >= result.threshold
        calls = int(evidence.counts[handled].sum())
        entry["traffic_coverage"] = round(calls / int(evidence.counts.sum()), 6)
        entry["traffic_agreement"] = round(int(evidence.counts[handled & evidence.agrees].sum()) / calls, 6)
    return entry


def _shortfall(result: Certificate) -> dict[str, Any] | None:
    """Where nothing could be certified: what these rows support at the threshold that was tested first, which was
    fixed without them, and how many rows with the same figures the target would need (None: no number would do)."""
    if not result.rows:
        return None
    first = result.steps[0]
    coverage = first.handled / result.rows
    agreement = first.agreed / first.handled if first.handled else 0.0
    supported = power.certifiable(first.handled, first.agreed, result.rows, result.delta, result.scope)
    return {
        "tested_coverage": round(coverage, 6),
        "tested_agreement": round(agreement, 6),
        "supported_target": round(supported, 6),
        # Of a threshold that no row reached nothing is known.
        "evidence_rows_needed": power.rows_needed(coverage, agreement, result.target, result.delta, result.scope)
        if first.handled
        else None,
    }


TEXTS = {"holdout": "holdout texts", "crossfit": "out-of-fold and holdout texts"}


def _reason(result: Certificate, evidence: str, confidence: float) -> str:
    meaning = "parity among handled inputs" if result.scope == "handled" else "parity over all traffic"
    texts = TEXTS[evidence]
    if result.threshold is not None:
        return (
            f"{meaning} is at least {result.target:g} with confidence {confidence:g}: of {result.rows:,} {texts} "
            f"{result.handled:,} are handled, {result.agreed:,} of them agree with the teacher"
        )
    if result.rows == 0:
        return "the holdout is empty: nothing can be certified"
    first = result.steps[0]
    return (
        f"nothing can be certified at {result.target:g}: where certification was likeliest out of fold, "
        f"{first.agreed:,} of {first.handled:,} handled {texts} agree with the teacher, which is too little to show "
        f"{meaning} of {result.target:g} with confidence {confidence:g} (p = {first.p_value:.3g})"
    )


def _advice(deployed: dict[str, Any], outcomes: list[dict[str, Any]], evidence: str) -> str:
    """What would be needed, and what can be had now."""
    short = deployed["shortfall"]
    if short is None:
        return ""
    if not short["tested_coverage"]:
        return "; no text reaches the threshold that was to be tested first: too few texts to certify anything yet"
    needed = short["evidence_rows_needed"]
    if needed is None:
        advice = (
            "; no number of texts would show it with this surrogate, which agrees on "
            f"{_percent(short['tested_agreement'])} there: it needs more traces to learn from, a better embedder, or a "
            "lower target"
        )
    else:
        advice = (
            f"; with the same figures it would take {needed:,} {TEXTS[evidence]} instead of "
            f"{deployed['evidence_rows']:,}"
        )
    now = [item for item in outcomes if item["certified"]]
    if now:
        listed = ", ".join(f"{item['target']:g} (coverage {_percent(item['coverage'])})" for item in now)
        return f"{advice}; certified now: {listed}"
    return f"{advice}; the threshold tested first supports a target of {short['supported_target']:.3f}"


def _verdict(deployed: dict[str, Any], outcomes: list[dict[str, Any]], config: Config) -> dict[str, Any]:
    enough = deployed["coverage"] >= config.targets.min_coverage
    reason = deployed["reason"] + _advice(deployed, outcomes, config.targets.evidence)
    if deployed["certified"] and not enough:
        reason += (
            f"; but the certified coverage {deployed['coverage']:.3f} is below targets.min_coverage "
            f"{config.targets.min_coverage:g}"
        )
    return {"deploy": bool(deployed["certified"] and enough), "target": deployed["target"], "reason": reason}


def guarantee_sentence(target: float, confidence: float, scope: str, evidence: str) -> str:
    """The promise, in the one sense in which it is made everywhere for this scope and evidence."""
    what = (
        f"parity with the teacher of at least {target:g} among the inputs that it handles"
        if scope == "handled"
        else f"at most {1 - target:.6g} of all inputs answered with a label that differs from the teacher's"
    )
    if evidence == "crossfit":
        return (
            f"With probability of about {confidence:g} over the draw of the traces, for many traces and if the models "
            f"change little when a few traces change, the deployed threshold has {what}, on inputs not seen before "
            "that are like the traces (out-of-fold and held-out texts together are the evidence, which is valid for "
            "large numbers under stability of the learner: Bayle et al. 2020; the tests are at half the error level)."
        )
    return (
        f"With probability at least {confidence:g} over the draw of the held-out traces, the deployed threshold has "
        f"{what}, on inputs not seen before that are like the held-out ones."
    )


def _manifest(
    layout: Layout,
    config: Config,
    candidate: dict[str, Any],
    outcomes: list[dict[str, Any]],
    deployed: dict[str, Any],
    verdict: dict[str, Any],
) -> dict[str, Any]:
    targets = config.targets
    policy_files = [layout.policy_graph, layout.frontier, *sorted(_files(layout.policy_embedder))]
    return {
        "schema": MANIFEST_SCHEMA,
        "project": config.project,
        "verdict": verdict,
        "guarantee": guarantee_sentence(targets.agreement, targets.confidence, targets.scope, targets.evidence),
        "method": deployed["method"],
        "surrogate": candidate["surrogate"],
        "second_surrogate": candidate["second_surrogate"],
        "acceptor": config.acceptor.kind,
        "distance_quantile": candidate["distance_quantile"],
        "distance_limit": candidate["distance_limit"],
        "per_label_min": candidate["per_label_min"],
        "label_checks": candidate["label_checks"],
        "reference_rows": candidate["reference_rows"],
        "labels": candidate["labels"],
        "dim": candidate["dim"],
        "embedder": read_json(layout.embedder / "spec.json"),
        "target": targets.agreement,
        "confidence": targets.confidence,
        "scope": targets.scope,
        "evidence": targets.evidence,
        "targets": outcomes,
        "fit_rows": candidate["fit_rows"],
        "holdout_rows": candidate["holdout_rows"],
        "files": {path.relative_to(layout.policy).as_posix(): sha256_file(path) for path in policy_files},
        "teacher": _teacher(layout),
        "inputs": _inputs(layout, config),
        "versions": {"tracer": __version__} | {name: metadata.version(name) for name in LIBRARIES},
    }


def _teacher(layout: Layout) -> dict[str, Any]:
    """What a router must know to take a request for one of those that the policy was fitted for, and to answer it.

    contexts: digests of the teacher's instructions with the rows of each, the most frequent first; sources: how
    texts and labels were read. The instructions themselves stay in artifacts/.
    """
    teacher = read_json(layout.teacher)
    return {
        "contexts": [{key: context[key] for key in ("sha256", "rows")} for context in teacher["contexts"]],
        "contexts_seen": teacher["contexts_seen"],
        "models": teacher["models"],
        "sources": teacher["sources"],
    }


def _inputs(layout: Layout, config: Config) -> dict[str, str]:
    """Digests of what the policy was made from. Where a file lies is no part of it; its contents are. Nor are values
    that this stage does not run again for."""
    elsewhere = ("report", "rules", "pull", "outputs")
    params = {key: value for key, value in params_of(config).items() if key not in elsewhere}
    for source in params["ingest"]["traces"]:
        del source["path"], source["results"]
    if config.embedder.kind == "precomputed":
        del params["embed"]["embedder"]["path"]
    return {
        "params": sha256_json(params),
        "fit": sha256_file(layout.fit),
        "fit_vectors": sha256_file(layout.fit_vectors),
        "holdout": sha256_file(layout.holdout),
        "holdout_vectors": sha256_file(layout.holdout_vectors),
        "holdout_labels": sha256_file(layout.holdout_labels),
    }


def _frontier(candidate: dict[str, Any], results: list[Certificate], outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """Every candidate at each target: what was considered out of fold, and each step that was tested."""
    return {
        "considered": candidate["considered"],
        "methods": candidate["methods"],
        "targets": [
            {
                "target": outcome["target"],
                "method": outcome["method"],
                "certified": outcome["certified"],
                "expected_coverage": target["expected_coverage"],
                "chance": target["chance"],
                "out_of_fold": [
                    {"threshold": t, "coverage": c, "agreement": a}
                    for t, c, a in zip(
                        target["thresholds"],
                        target["out_of_fold_coverage"],
                        target["out_of_fold_agreement"],
                        strict=True,
                    )
                ],
                "tested": [
                    {
                        "threshold": step.threshold,
                        "handled": step.handled,
                        "agreed": step.agreed,
                        "p_value": float(f"{step.p_value:.6g}"),
                        "rejected": step.rejected,
                    }
                    for step in result.steps
                ],
            }
            for target, result, outcome in zip(candidate["targets"], results, outcomes, strict=True)
        ],
    }


def _metrics(
    verdict: dict[str, Any], deployed: dict[str, Any], outcomes: list[dict[str, Any]], candidate: dict[str, Any]
) -> dict[str, int | float]:
    """Flat numbers for `dvc metrics`, which drops null and shows booleans badly: nothing certified is 0."""
    metrics: dict[str, int | float] = {
        "deployed": int(verdict["deploy"]),
        "target_agreement": deployed["target"],
        "certified_coverage": round(deployed["coverage"], 4),
        "evidence_agreement": round(deployed["agreement"] or 0.0, 4),
        "agreement_lower_bound": round(deployed["lower_bound"] or 0.0, 4),
        "handled_rows": deployed["handled"],
        "evidence_rows": deployed["evidence_rows"],
        "holdout_rows": candidate["holdout_rows"],
        "labels_deferred": sum(check["outcome"] == "deferred" for check in candidate["label_checks"]),
    }
    for outcome in outcomes:
        percent = f"{100 * outcome['target']:g}".replace(".", "_")
        metrics[f"coverage_at_{percent}_percent"] = round(outcome["coverage"], 4)
    return metrics


def _target_row(
    outcome: dict[str, Any], deployed: dict[str, Any], verdict: dict[str, Any], candidate: dict[str, Any]
) -> dict[str, Any]:
    row = {name: outcome[name] for name in TARGET_COLUMNS if name in outcome}
    for name in ("coverage", "agreement"):
        row[f"{name}_low"], row[f"{name}_high"] = outcome[f"{name}_interval"]
    members = sorted(candidate["surrogate"]["members"], key=lambda member: -member["share"])
    return row | {
        "certified": int(outcome["certified"]),
        "deployed": int(outcome is deployed and verdict["deploy"]),
        "surrogate": " + ".join(f"{100 * member['share']:.0f} % {member['name']}" for member in members),
    }


def _rows_table(holdout: Holdout) -> pa.Table:
    return pa.table(
        {
            "key": holdout.keys,
            "label": holdout.labels,
            "predicted": holdout.predicted,
            "accept_score": holdout.decisions.accept_scores,
            "distance": holdout.decisions.distances,
        }
    )


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _rounded(interval: tuple[float, float]) -> list[float]:
    return [round(bound, 6) for bound in interval]
