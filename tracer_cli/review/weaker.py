"""What protects the guarantee, and asks for less in the second of two params.yaml."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tracer_cli.config.document import KeyPath
from tracer_cli.core import power
from tracer_cli.review.parameters import ABSENT, key_of, value_at

_TARGETS = ("calibrate", "targets")
# Weaker when it falls, or when it rises; null asks for nothing.
_LOWEST: tuple[KeyPath, ...] = (
    (*_TARGETS, "agreement"),
    (*_TARGETS, "confidence"),
    (*_TARGETS, "per_label_min"),
    ("guard", "min_coverage"),
    ("rules", "min_holdout"),
)
_HIGHEST: tuple[KeyPath, ...] = (
    ("calibrate", "acceptor", "distance_quantile"),
    ("rules", "max_coverage_drop"),
    ("rules", "max_labels_lost"),
    ("rules", "max_conflict_share"),
)
# Weaker at this value.
_WEAK: dict[KeyPath, Any] = {
    (*_TARGETS, "scope"): "overall",
    (*_TARGETS, "evidence"): "crossfit",
    ("rules", "baseline"): None,
}
_WHY: dict[KeyPath, str] = {
    (*_TARGETS, "agreement"): "coverage at a lower target is bought with parity",
    (*_TARGETS, "confidence"): "the certificate may fail more often",
    (*_TARGETS, "scope"): "deferred inputs then count as agreeing; among the handled alone parity may be lower",
    (*_TARGETS, "evidence"): "the certificate then assumes many texts and a stable learner",
    ("rules", "baseline"): "the rules that compare then do not apply",
}
_FIELDS = {"label": "parity is then with another field", "text": "the policy then reads another field"}


@dataclass(frozen=True)
class Weaker:
    """key: in tracer.yaml; before, after: its values; why: what that means, where it does not go without saying."""

    key: KeyPath
    before: Any
    after: Any
    why: str = ""


def weaker(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Weaker]:
    """Values that are not of their kind, and keys that one side does not have, are passed over."""
    for path in (*_LOWEST, *_HIGHEST, *_WEAK):
        old, new = value_at(before, path, ABSENT), value_at(after, path, ABSENT)
        if ABSENT in (old, new) or old == new:
            continue
        if path in _WEAK:
            less = new == _WEAK[path]
        else:
            low, high = _bound(path, old, before), _bound(path, new, after)
            less = high < low if path in _LOWEST else high > low
        if less:
            yield Weaker(key_of(path, after), old, new, _WHY.get(path, ""))
    for index, source in enumerate(_sources(after)):
        yield from _source(index, _counterpart(before, source, index), source)


def _bound(path: KeyPath, value: Any, params: dict[str, Any]) -> float:
    """The bound as a number: null is none, `auto` the fewest rows that could certify the target."""
    if value is None:
        return -math.inf if path in _LOWEST else math.inf
    if value == "auto":
        targets = value_at(params, _TARGETS)
        asked = (targets[name] for name in ("agreement", "confidence", "evidence", "scope"))
        return power.fewest_rows(*asked) or math.inf
    return float(value) if isinstance(value, int | float) else math.nan


def _sources(params: dict[str, Any]) -> list[dict[str, Any]]:
    return [source for source in value_at(params, ("ingest", "traces"), []) if isinstance(source, dict)]


def _counterpart(params: dict[str, Any], source: dict[str, Any], index: int) -> dict[str, Any]:
    """The source with the same path, else the one in the same place; empty when there is none."""
    sources = _sources(params)
    same = [entry for entry in sources if entry.get("path") == source.get("path")]
    return next(iter([*same, *sources[index : index + 1]]), {})


def _source(index: int, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Weaker]:
    old, new = before.get("max_rejected"), after.get("max_rejected")
    if isinstance(old, int | float) and isinstance(new, int | float) and new > old:
        yield Weaker(("traces", index, "max_rejected"), old, new)
    for name, why in _FIELDS.items():
        if name in before and before[name] != after.get(name):
            yield Weaker(("traces", index, name), before[name], after.get(name), why)
