"""A policy folder as far as the monitor reads it, and trace logs of its requests."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from tracer_cli.artifacts import read_bytes, sha256_file, write_json
from tracer_cli.core.drift import reference
from tracer_cli.runtime.policy_folder import policy_id
from tracer_cli.traces.log_format import Entry, line

LABELS = ("card_arrival", "lost_card", "refund", "top_up")
START = datetime(2026, 8, 1, 9, 0, tzinfo=timezone.utc)


def target(value: float, handled: int, rows: int = 1500) -> dict[str, Any]:
    return {"target": value, "certified": handled > 0, "threshold": 0.5, "handled": handled, "evidence_rows": rows}


def write_policy(folder: Path, **changes: Any) -> str:
    """The folder's files; the id of the policy."""
    manifest = {
        "schema": 2,
        "project": "support-intents",
        "labels": list(LABELS),
        "target": 0.95,
        "confidence": 0.95,
        "scope": "handled",
        "evidence": "holdout",
        "targets": [target(0.9, 1200), target(0.95, 900), target(0.98, 0)],
        "holdout_rows": 1500,
        "teacher": {
            "sources": [{"preset": "fields", "turns": "single", "text_pattern": None, "parse": {"kind": "text"}}]
        },
    }
    write_json(folder / "manifest.json", manifest | changes)
    chance = random.Random(1)
    write_json(
        folder / "qualitative_report.json",
        {
            "manifest": sha256_file(folder / "manifest.json"),
            "labels": [{"label": label, "holdout_rows": 375} for label in LABELS],
            "reference": {
                "scores": asdict(reference([chance.random() for _ in range(1500)])),  # type: ignore[call-overload]
                "distances": asdict(reference([0.5 * chance.random() for _ in range(1500)])),  # type: ignore[call-overload]
            },
        },
    )
    return policy_id(read_bytes(folder / "manifest.json"))


def audit(policy: str, number: int, **changes: Any) -> Entry:
    """One audited request, every twenty minutes one."""
    return replace(
        Entry(
            id=f"r{number}",
            time=START + timedelta(minutes=20 * number),
            input=f"text {number}",
            teacher="refund",
            origin="audit",
            probability=0.01,
            policy=policy,
            decision="handled",
            label="refund",
            score=0.9,
            distance=0.2,
            target=0.95,
            latency_ms=3.0,
        ),
        **changes,
    )


def traffic(policy: str, size: int, parity: float, seed: int = 0, **changes: Any) -> list[Entry]:
    """Audits like the holdout of `write_policy`: 60 % are handled, and of these `parity` agree; each third request is
    also deferred and logged as such."""
    chance = random.Random(seed)
    entries = []
    for number in range(size):
        score, label = chance.random(), chance.choice(LABELS)
        handled, agrees = score >= 0.4, chance.random() < parity
        decision = "handled" if handled else "deferred"
        teacher = label if agrees else LABELS[(LABELS.index(label) + 1) % 4]
        values = {"score": score, "distance": 0.001 + 0.5 * chance.random(), "label": label, "decision": decision}
        entries.append(audit(policy, number, **({"teacher": teacher} | values | changes)))
        if number % 3 == 0:
            values = {"origin": "deferred", "decision": "deferred", "probability": 1.0, "id": f"d{number}"}
            entries.append(audit(policy, number, **values))
    return entries


def write_log(path: Path, entries: Iterable[Entry]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line(entry) for entry in entries))
    return path
