"""The systems that are compared. A system is a module with `run(task, **options) -> Outcome`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Scope = Literal["handled", "overall"]


@dataclass(frozen=True)
class System:
    """module, options: how it is run; scope: what its targets mean; settings: those that change its results.

    process: systems with the same name here run in one process and share its fit.
    """

    title: str
    module: str
    process: str
    options: dict[str, str] = field(default_factory=dict)
    scope: Scope = "handled"
    settings: tuple[str, ...] = ()


def _tracer(evidence: str, scope: Scope) -> System:
    title = f"tracer, {evidence}" + (", overall" if scope == "overall" else "")
    options = {"evidence": evidence, "scope": scope}
    return System(title, "benchmarks.systems.tracer", f"tracer {evidence}", options, scope, ("zoo", "deploy"))


def _mapie(title: str, fwer_method: str) -> System:
    options = {"fwer_method": fwer_method}
    return System(title, "benchmarks.systems.mapie", "tracer holdout", options, "handled", ("zoo", "deploy"))


SYSTEMS: dict[str, System] = {
    "tracer": _tracer("holdout", "handled"),
    "tracer-crossfit": _tracer("crossfit", "handled"),
    "tracer-overall": _tracer("holdout", "overall"),
    "tracer-crossfit-overall": _tracer("crossfit", "overall"),
    "peer": System("tracer-llm", "benchmarks.systems.peer", "peer", settings=("peer_version", "peer_skip")),
    "mapie": _mapie("MAPIE, Bonferroni-Holm", "bonferroni_holm"),
    "mapie-ordered": _mapie("MAPIE, learned order", "split_fixed_sequence"),
    "threshold": System("plain confidence threshold", "benchmarks.systems.threshold", "threshold"),
}


def settings_of(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that change this system's results, without those that are not set."""
    return {key: settings[key] for key in SYSTEMS[name].settings if settings.get(key)}
