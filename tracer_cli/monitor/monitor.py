"""`tracer monitor`: everything that the trace logs tell about one policy, as data."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from tracer_cli.artifacts import read_bytes
from tracer_cli.core.certificate import clopper_pearson
from tracer_cli.core.drift import below_p_value, holm
from tracer_cli.core.noise import LEVEL
from tracer_cli.core.sequential import first_below
from tracer_cli.monitor.audits import Audit, Logs, read_audits
from tracer_cli.monitor.comparisons import compared
from tracer_cli.monitor.reference import certified
from tracer_cli.runtime.parity import Audits, Watched, judge, side_of, watched
from tracer_cli.runtime.policy_folder import MANIFEST, policy_id, read_manifest

HOURS_BELOW_DAYS = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def monitor(paths: Iterable[Path], policy: Path, target: float | None = None) -> dict[str, Any]:
    """Read the logs and judge. target: a certified one of the policy; None: the deployed one. Raises TracerError."""
    manifest = read_manifest(policy)
    what = watched(manifest, policy_id(read_bytes(policy / MANIFEST)), target)
    logs = read_audits(paths, what, manifest)
    entry = next(t for t in manifest["targets"] if t["target"] == what.target)
    return {
        "project": manifest["project"],
        **asdict(what),
        "logs": _lines(logs),
        "parity": _parity(what, logs.audits),
        "labels": _labels(what, logs.audits),
        "drift": compared(logs.audits, certified(policy, manifest), entry, what.confidence),
        "volume": _volume(logs),
    }


def _lines(logs: Logs) -> dict[str, Any]:
    return {
        "files": logs.files,
        "lines": logs.lines,
        "audits": len(logs.audits),
        "deferred": len(logs.deferred),
        "other_policies": dict(logs.other.most_common()),
        "without_policy": logs.no_policy,
        "other_target": logs.other_target,
        "repeated": logs.repeated,
        "unusable": dict(logs.unusable.most_common()),
        "unreadable": logs.unreadable,
        "first_unreadable": logs.first_unreadable,
    }


def _parity(what: Watched, audits: Sequence[Audit]) -> dict[str, Any]:
    """`below_target`: at some time the upper bound was below the target; `first`: when that was."""
    found = judge(what, counts(audits))
    number = _first(what, audits)
    return {
        "from": iso(audits[0].time) if audits else None,
        "to": iso(audits[-1].time) if audits else None,
        **asdict(found.audits),
        "agreement": found.audits.agreed / found.audits.handled if found.audits.handled else None,
        "counted": found.counted,
        "share": found.share,
        "interval": [found.lower, found.upper],
        "error_of_each_side": side_of(what),
        "below_target": number is not None,
        "at_least_target": found.above,
        "first": None if number is None else _time_of(what, audits[:number]),
    }


def _first(what: Watched, audits: Sequence[Audit]) -> int | None:
    """How many audits it took until the upper bound was below the target; None: it never was."""
    if what.scope == "overall":
        return first_below([not (a.handled and not a.agrees) for a in audits], what.target, side_of(what))
    places = [place for place, audit in enumerate(audits) if audit.handled]
    number = first_below([audits[place].agrees for place in places], what.target, side_of(what))
    return None if number is None else places[number - 1] + 1


def _time_of(what: Watched, audits: Sequence[Audit]) -> dict[str, Any]:
    found = judge(what, counts(audits))
    last = audits[-1]
    interval = [found.lower, found.upper]
    return {"time": iso(last.time), "id": last.id, **asdict(found.audits), "share": found.share, "interval": interval}


def counts(audits: Sequence[Audit]) -> Audits:
    handled = [audit for audit in audits if audit.handled]
    return Audits(len(audits), len(handled), sum(audit.agrees for audit in handled))


def _labels(what: Watched, audits: Sequence[Audit]) -> list[dict[str, Any]]:
    """Of the handled audits, those answered with each label; the one that is most surely below the target first.

    p: exact binomial, of "at least the target agrees", corrected for all labels (Holm); for one look. None in scope
    overall, which promises nothing about the handled alone.
    """
    groups: dict[str, list[bool]] = defaultdict(list)
    for audit in audits:
        if audit.handled:
            groups[str(audit.answered)].append(audit.agrees)
    entries: list[dict[str, Any]] = [
        {
            "label": label,
            "answered": len(agrees),
            "agreed": sum(agrees),
            "agreement": sum(agrees) / len(agrees),
            "interval": list(clopper_pearson(sum(agrees), len(agrees), what.confidence)),
            "p": None,
            "below_target": None,
        }
        for label, agrees in groups.items()
    ]
    if what.scope == "handled":
        adjusted = holm([below_p_value(entry["agreed"], entry["answered"], what.target) for entry in entries])
        for entry, p in zip(entries, adjusted, strict=True):
            entry["p"], entry["below_target"] = p, p <= LEVEL
    return sorted(entries, key=lambda e: (1.0 if e["p"] is None else e["p"], e["interval"][1], e["label"]))


def _volume(logs: Logs) -> dict[str, Any]:
    """Counts by day (UTC), or by hour below three days. requests: all of them, estimated from the audits' share, with
    the standard error; None where an audit does not tell its probability."""
    deferred = [time for time in logs.deferred if time is not None]
    times = [*(audit.time for audit in logs.audits), *deferred]
    if not times:
        return {"unit": "day", "periods": []}
    span = timedelta(microseconds=max(times) - min(times))
    unit = "hour" if span < timedelta(days=HOURS_BELOW_DAYS) else "day"
    periods: dict[str, list[Audit]] = defaultdict(list)
    others: dict[str, int] = defaultdict(int)
    for audit in logs.audits:
        periods[_period(audit.time, unit)].append(audit)
    for time in deferred:
        others[_period(time, unit)] += 1
    entries = [
        {
            "period": name,
            **asdict(counts(periods[name])),
            "deferred_logged": others[name],
            **_requests([audit.probability for audit in periods[name]]),
        }
        for name in sorted({*periods, *others})
    ]
    return {"unit": unit, "periods": entries}


def _requests(probabilities: Sequence[float | None]) -> dict[str, float | None]:
    known = np.array([p for p in probabilities if p is not None and 0 < p <= 1])
    if len(known) < len(probabilities):
        return {"requests": None, "requests_error": None}
    return {"requests": float((1 / known).sum()), "requests_error": math.sqrt(float(((1 - known) / known**2).sum()))}


def _period(time: int, unit: str) -> str:
    return iso(time)[: len("2026-01-01") if unit == "day" else len("2026-01-01T00")].replace("T", " ")


def iso(time: int) -> str:
    return (_EPOCH + timedelta(microseconds=time)).isoformat(timespec="seconds")
