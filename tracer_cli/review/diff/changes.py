"""What a refit changed: the facts of two revisions compared. Data only; `review.diff.verdict` says what it means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from tracer_cli.config.document import KeyPath, key_path
from tracer_cli.config.load import FILE_NAME as TRACER_YAML
from tracer_cli.core.certificate import clopper_pearson
from tracer_cli.core.noise import LEVEL, Comparison, Counts, compare, corrected
from tracer_cli.report.analysis import FEW_ROWS, cost_projection
from tracer_cli.review.facts import HOLDOUT_LABELS, HOLDOUT_TEXTS, Facts, LabelFacts, TargetFacts
from tracer_cli.review.parameters import ABSENT, Differing, differing, key_of, value_at
from tracer_cli.review.weaker import Weaker, weaker

Holdout = Literal["same", "relabelled", "kept", "newest", "redrawn", "unknown"]
Judgement = Literal[
    "worse", "better", "perhaps worse", "perhaps better", "within noise", "too little evidence", "not compared"
]


@dataclass(frozen=True)
class Parameter:
    """One key of tracer.yaml whose value changed; before, after: ABSENT on the side that has no such key.

    line: where the new value stands in tracer.yaml; None where it is not written there.
    place: the same for people.
    """

    key: str
    before: Any
    after: Any
    line: int | None
    place: str


@dataclass(frozen=True)
class Count:
    name: str
    before: float | None
    after: float


@dataclass(frozen=True)
class Share:
    """A share of counted rows, with its exact two-sided interval at the certificate's confidence."""

    counts: Counts
    interval: tuple[float, float]


@dataclass(frozen=True)
class TargetChange:
    """One target on both sides; None on the side that has no such target.

    coverage: of the evidence rows, those handled. parity: what the scope certifies, the agreement among the handled or
    the parity over all. Neither is compared where one side certifies nothing; nor is the parity of different scopes.
    """

    target: float
    before: TargetFacts | None
    after: TargetFacts | None
    coverage: Comparison | None
    parity: Comparison | None

    @property
    def changed(self) -> bool:
        return self.before is None or self.after is None or _figures(self.before) != _figures(self.after)

    @property
    def lost(self) -> bool:
        """It was certified, and is no more."""
        return bool(self.before and self.before.certified and self.after and not self.after.certified)

    @property
    def gained(self) -> bool:
        return bool(self.before and not self.before.certified and self.after and self.after.certified)


@dataclass(frozen=True)
class LabelChange:
    """One label that both sides have. agreement: of the answers with it; coverage: of its own holdout texts.

    The p-values behind the judgements are corrected for all labels; see `core.noise`.
    """

    label: str
    before: LabelFacts
    after: LabelFacts
    agreement: Comparison
    agreement_p: float | None
    agreement_judgement: Judgement
    coverage: Comparison
    coverage_p: float | None
    coverage_judgement: Judgement


@dataclass(frozen=True)
class Changes:
    """before: None when the revision holds no refit: everything is new, and nothing is compared.

    holdout: same: the same texts; relabelled: the same texts, but labels of the teacher's changed; kept: other texts by
    the same split, under which a text keeps its side; newest: other texts, because the split is by time; redrawn: by
    another split; unknown: dvc.lock does not tell.
    labels_new, labels_vanished: of the traces. labels_silent: answered with before and not any more;
    labels_answered: the other way round; both empty where a side certifies nothing.
    rejected: rows that could not be used; conflicts: texts seen twice whose own labels differ.
    """

    before: Facts | None
    after: Facts
    parameters: tuple[Parameter, ...]
    weaker: tuple[Weaker, ...]
    traces: tuple[Count, ...]
    rejected: Comparison | None
    conflicts: Comparison | None
    holdout: Holdout
    labels_new: tuple[str, ...]
    labels_vanished: tuple[str, ...]
    labels_silent: tuple[str, ...]
    labels_answered: tuple[str, ...]
    targets: tuple[TargetChange, ...]
    labels: tuple[LabelChange, ...]
    cost_before: dict[str, Any] | None
    cost_after: dict[str, Any]

    @property
    def deployed(self) -> TargetChange:
        """The target that the policy is deployed at now."""
        return self.target(self.after.refit.target)

    def target(self, target: float) -> TargetChange:
        return next(entry for entry in self.targets if entry.target == target)

    def changed(self, key: str) -> Parameter | None:
        return next((entry for entry in self.parameters if entry.key == key), None)

    @property
    def nothing(self) -> bool:
        """Not one value or figure that is compared differs."""
        return self.before is not None and not (
            self.parameters
            or self.labels_new
            or self.labels_vanished
            or any(count.before != count.after for count in self.traces)
            or any(target.changed for target in self.targets)
            or any(label.before != label.after for label in self.labels)
            or self.holdout in ("relabelled", "redrawn")
            or self.cost_before != self.cost_after
        )


def between(before: Facts | None, after: Facts) -> Changes:
    """Raises DataError when the files of one side are not of one refit."""
    old = before.labels if before else {}
    common = [label for label in after.labels if label in old]
    comparable = before is not None and before.refit.certified and after.refit.certified
    return Changes(
        before=before,
        after=after,
        parameters=parameters(before, after) if before else (),
        weaker=tuple(weaker(before.params, after.params)) if before else (),
        traces=tuple(Count(name, before.traces.get(name) if before else None, n) for name, n in after.traces.items()),
        rejected=_comparison(before, after, "rows_rejected", "rows_read"),
        conflicts=_comparison(before, after, "conflicting_texts", "texts_seen_twice"),
        holdout=_holdout(before, after),
        labels_new=tuple(label for label in after.labels if label not in old) if before else (),
        labels_vanished=tuple(label for label in old if label not in after.labels),
        labels_silent=tuple(_answered_by_one(before, after)) if before and comparable else (),
        labels_answered=tuple(_answered_by_one(after, before)) if before and comparable else (),
        targets=_targets(before, after),
        labels=_labels([(old[label], after.labels[label]) for label in common]),
        cost_before=cost(before) if before else None,
        cost_after=cost(after),
    )


# --- parameters -----------------------------------------------------------------------------------


def parameters(before: Facts, after: Facts) -> tuple[Parameter, ...]:
    """Each key of tracer.yaml whose value changed, once, in the order of params.yaml."""
    found: dict[KeyPath, Parameter] = {}
    for entry in differing(before.params, after.params):
        key = key_of(entry.path, after.params if entry.after is not ABSENT else before.params)
        line = after.lines.get(key) if entry.after is not ABSENT else None
        found.setdefault(
            key, Parameter(key_path(key), _shown(entry.before), _shown(entry.after), line, _place(entry, line))
        )
    return tuple(found.values())


def _shown(value: Any) -> Any:
    """A model without its name, which is its key."""
    return {k: v for k, v in value.items() if k != "name"} if isinstance(value, dict) and "kind" in value else value


def _place(entry: Differing, line: int | None) -> str:
    if entry.path[0] == "stage_version":
        return "tracer's own"
    if entry.after is ABSENT:
        return "removed"
    return f"{TRACER_YAML}:{line}" if line else "default"


# --- traces ---------------------------------------------------------------------------------------


def _comparison(before: Facts | None, after: Facts, part: str, whole: str) -> Comparison | None:
    """Of the shares of two counts in metrics/traces.json; None where a side does not count them."""
    if before is None:
        return None
    try:
        old, new = (Counts(int(facts.traces[part]), int(facts.traces[whole])) for facts in (before, after))
    except KeyError:
        return None
    return compare(old, new)


def _holdout(before: Facts | None, after: Facts) -> Holdout:
    if before is None:
        return "unknown"
    texts, labels = ((before.digests.get(p), after.digests.get(p)) for p in (HOLDOUT_TEXTS, HOLDOUT_LABELS))
    if all(texts) and texts[0] == texts[1]:
        return "same" if labels[0] == labels[1] else "relabelled"
    split = (("seed",), ("ingest", "split", "by"))
    if any(value_at(before.params, key) != value_at(after.params, key) for key in split):
        return "redrawn"
    if not all(texts):
        return "unknown"
    return "newest" if value_at(after.params, split[1]) == "time" else "kept"


# --- targets --------------------------------------------------------------------------------------


def _figures(facts: TargetFacts) -> tuple[Any, ...]:
    return (facts.certified, facts.deployed, facts.threshold, facts.handled, facts.agreed, facts.evidence_rows)


def scope_of(facts: Facts) -> str:
    return str(value_at(facts.params, ("calibrate", "targets", "scope"), "handled"))


def confidence_of(facts: Facts) -> float:
    return float(value_at(facts.params, ("calibrate", "targets", "confidence"), 0.95))


def coverage_of(row: TargetFacts, facts: Facts) -> Share:
    return _share(Counts(row.handled, row.evidence_rows), facts)


def parity_of(row: TargetFacts, facts: Facts) -> Share:
    """What the scope certifies: agreement among the handled, or parity over all, where the deferred agree."""
    if scope_of(facts) == "overall":
        return _share(Counts(row.evidence_rows - (row.handled - row.agreed), row.evidence_rows), facts)
    return _share(Counts(row.agreed, row.handled), facts)


def _share(counts: Counts, facts: Facts) -> Share:
    return Share(counts, clopper_pearson(counts.successes, counts.trials, confidence_of(facts)))


def _targets(before: Facts | None, after: Facts) -> tuple[TargetChange, ...]:
    old = {row.target: row for row in before.targets} if before else {}
    new = {row.target: row for row in after.targets}
    entries = []
    for target in sorted({*old, *new}):
        a, b = old.get(target), new.get(target)
        coverage = parity = None
        if before and a and b and a.certified and b.certified:
            coverage = compare(coverage_of(a, before).counts, coverage_of(b, after).counts)
            if scope_of(before) == scope_of(after):
                parity = compare(parity_of(a, before).counts, parity_of(b, after).counts)
        entries.append(TargetChange(target, a, b, coverage, parity))
    return tuple(entries)


def cost(facts: Facts) -> dict[str, Any]:
    """The projection of the report: at the certified coverage, or at none when the guard did not pass."""
    prices = value_at(facts.params, ("report", "cost"), {})
    prices = {"per_call": 0.0, "calls_per_day": 0.0, "currency": ""} | prices
    return cost_projection(facts.refit.coverage if facts.refit.deployed else 0.0, **prices)


# --- labels ---------------------------------------------------------------------------------------


def _answered_by_one(this: Facts, other: Facts) -> Iterable[str]:
    for name, label in this.labels.items():
        if label.answered and not (name in other.labels and other.labels[name].answered):
            yield name


def _labels(pairs: list[tuple[LabelFacts, LabelFacts]]) -> tuple[LabelChange, ...]:
    agreements = [compare(Counts(a.agreed, a.answered), Counts(b.agreed, b.answered)) for a, b in pairs]
    coverages = [compare(Counts(a.handled, a.holdout_rows), Counts(b.handled, b.holdout_rows)) for a, b in pairs]
    return tuple(
        LabelChange(
            a.label, a, b, agreement, agreement_p, _judge(agreement, agreement_p), coverage, p, _judge(coverage, p)
        )
        for (a, b), agreement, agreement_p, coverage, p in zip(
            pairs, agreements, corrected(agreements), coverages, corrected(coverages), strict=True
        )
    )


def _judge(entry: Comparison, adjusted: float | None) -> Judgement:
    if entry.change is None:
        return "not compared"
    if entry.beyond:
        if adjusted is not None and adjusted <= LEVEL:
            return "better" if entry.change > 0 else "worse"
        return "perhaps better" if entry.change > 0 else "perhaps worse"
    few = min(entry.before.trials, entry.after.trials) < FEW_ROWS
    return "too little evidence" if few else "within noise"
