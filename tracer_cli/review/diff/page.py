"""`Changes` as one page: the same words and tables for the terminal and for Markdown, and as data for programs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tracer_cli.config.document import key_path
from tracer_cli.core.noise import LEVEL, TEST, Comparison, Counts, can_differ
from tracer_cli.report import words
from tracer_cli.report.analysis import FEW_ROWS
from tracer_cli.report.words import interval, percent
from tracer_cli.review.diff import verdict
from tracer_cli.review.diff.changes import Changes, Judgement, LabelChange, TargetChange, cost, coverage_of, parity_of
from tracer_cli.review.facts import WORKING_TREE, Facts, TargetFacts
from tracer_cli.review.parameters import ABSENT, value_text
from tracer_cli.review.sentences import Code, Name, Words, joined, listed, number, plain

MOST_ROWS = 12
Cell = str | Words


@dataclass(frozen=True)
class Column:
    """whole: its words are not broken while there is room elsewhere."""

    name: str
    right: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Section:
    """A title with rows, if there are any, and sentences below them."""

    title: str
    columns: tuple[Column, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    notes: tuple[Words, ...] = ()


@dataclass(frozen=True)
class Page:
    """sides: what is compared; passed: the guard's verdict on the newer side; unchanged: what has no section."""

    sides: Words
    headline: Words
    passed: bool
    warnings: tuple[Words, ...]
    sections: tuple[Section, ...]
    unchanged: tuple[str, ...]
    notes: tuple[Words, ...]


def page(changes: Changes) -> Page:
    sections = {
        "targets": _targets(changes),
        "method, surrogate and threshold": _policy(changes),
        "parameters": _parameters(changes),
        "traces": _traces(changes),
        "labels": _labels(changes),
        "coverage of labels": _label_coverage(changes),
        "cost": _cost(changes),
    }
    return Page(
        sides=_sides(changes),
        headline=verdict.headline(changes),
        passed=changes.after.refit.deployed,
        warnings=tuple(warning.text for warning in verdict.warnings(changes)),
        sections=tuple(section for section in sections.values() if section),
        unchanged=tuple(name for name, section in sections.items() if section is None and changes.before is not None),
        notes=tuple(_notes(changes, sections)),
    )


def data(changes: Changes) -> dict[str, Any]:
    """The same as plain values for JSON; shares in [0, 1], None where there is no number."""
    return {
        "headline": plain(verdict.headline(changes)),
        "warnings": [{"kind": warning.kind, "text": plain(warning.text)} for warning in verdict.warnings(changes)],
        "before": _side_data(changes.before),
        "after": _side_data(changes.after),
        "parameters": [
            {
                "key": entry.key,
                "change": "added" if entry.before is ABSENT else "removed" if entry.after is ABSENT else "changed",
                "before": None if entry.before is ABSENT else entry.before,
                "after": None if entry.after is ABSENT else entry.after,
                "place": entry.place,
                "line": entry.line,
            }
            for entry in changes.parameters
        ],
        "loosened": [
            {"key": key_path(entry.key), "before": entry.before, "after": entry.after, "why": entry.why}
            for entry in changes.weaker
        ],
        "traces": {
            "counts": {count.name: {"before": count.before, "after": count.after} for count in changes.traces},
            "holdout": changes.holdout,
            "labels_new": list(changes.labels_new),
            "labels_vanished": list(changes.labels_vanished),
        },
        "targets": [
            {
                "target": entry.target,
                "changed": entry.changed,
                "before": _target_data(changes.before, entry.before),
                "after": _target_data(changes.after, entry.after),
                "coverage": _comparison_data(entry.coverage),
                "parity": _comparison_data(entry.parity),
            }
            for entry in changes.targets
        ],
        "labels": {
            "no_longer_answered": list(changes.labels_silent),
            "answered_now": list(changes.labels_answered),
            "compared": [_label_data(entry) for entry in changes.labels],
        },
        "cost": {"before": changes.cost_before, "after": changes.cost_after},
        "noise": {"level": LEVEL, "test": TEST},
    }


def _side_data(facts: Facts | None) -> dict[str, Any] | None:
    if facts is None:
        return None
    row = facts.refit
    return {
        "where": facts.where,
        "commit": facts.commit or None,
        "deployed": row.deployed,
        "target": row.target,
        "method": row.method,
        "surrogate": row.surrogate,
        "threshold": row.threshold,
        "stale": list(facts.stale),
        "edited": list(facts.edited),
    }


def _target_data(facts: Facts | None, row: TargetFacts | None) -> dict[str, Any] | None:
    if facts is None or row is None:
        return None
    coverage, parity = coverage_of(row, facts), parity_of(row, facts)
    return {
        "certified": row.certified,
        "deployed": row.deployed,
        "method": row.method,
        "surrogate": row.surrogate,
        "threshold": row.threshold,
        "coverage": coverage.counts.share,
        "coverage_interval": list(coverage.interval),
        "parity": parity.counts.share if row.certified else None,
        "parity_interval": list(parity.interval) if row.certified else None,
        "lower_bound": row.lower_bound,
        "handled": row.handled,
        "agreed": row.agreed,
        "evidence_rows": row.evidence_rows,
    }


def _comparison_data(entry: Comparison | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {"change": entry.change, "p": entry.p, "beyond_noise": entry.beyond}


def _label_data(entry: LabelChange) -> dict[str, Any]:
    def share(comparison: Comparison, p: float | None, judgement: Judgement) -> dict[str, Any]:
        return {
            "before": dataclasses.asdict(comparison.before),
            "after": dataclasses.asdict(comparison.after),
            "change": comparison.change,
            "p": comparison.p,
            "p_corrected": p,
            "judgement": judgement,
        }

    return {
        "label": entry.label,
        "agreement": share(entry.agreement, entry.agreement_p, entry.agreement_judgement),
        "coverage": share(entry.coverage, entry.coverage_p, entry.coverage_judgement),
    }


# --- the page's parts -----------------------------------------------------------------------------


def _sides(changes: Changes) -> Words:
    after = _side(changes.after)
    return (*after, " alone") if changes.before is None else (*_side(changes.before), " -> ", *after)


def _side(facts: Facts) -> Words:
    return (WORKING_TREE,) if facts.where == WORKING_TREE else (Code(facts.where),)


def _notes(changes: Changes, sections: dict[str, Section | None]) -> Iterator[Words]:
    if changes.nothing:
        yield ("To see what the last refit changed, name a revision before it: ", Code("tracer diff HEAD~1"))
    elif sections["labels"] or any(target.changed and target.coverage for target in changes.targets):
        yield (f"Noise: {TEST}.",)


def _targets(changes: Changes) -> Section | None:
    changed = [target for target in changes.targets if target.changed]
    if not changed:
        return None
    shown = [target for target in changed if _certified(target) or target.target == changes.after.refit.target]
    parity = verdict.parity_name(changes.after)
    names = ("target", "", "coverage", parity, "at least")
    rows: list[tuple[Cell, ...]] = []
    for target in shown:
        rows += _target_rows(changes, target)
    notes = [("* the target to deploy at; in brackets: exact two-sided interval",)]
    left_out: dict[str, list[TargetChange]] = {}
    for target in changes.targets:
        if target not in shown:
            left_out.setdefault(_why_left_out(changes, target), []).append(target)
    notes += [(f"{why}: {', '.join(f'{target.target:g}' for target in group)}",) for why, group in left_out.items()]
    columns = tuple(Column(name, right=name not in ("target", "")) for name in names)
    return Section("Targets", columns, tuple(rows), tuple(notes))


def _why_left_out(changes: Changes, target: TargetChange) -> str:
    if not target.changed:
        return "unchanged"
    if changes.before is None:
        return "nothing certified"
    if target.before is None:
        return "new target, nothing certified"
    return "no target any more, nothing was certified" if target.after is None else "nothing certified, as before"


def _certified(target: TargetChange) -> bool:
    return any(row is not None and row.certified for row in (target.before, target.after))


def _target_rows(changes: Changes, target: TargetChange) -> list[tuple[Cell, ...]]:
    name = f"{target.target:g}{' *' if target.target == changes.after.refit.target else ''}"
    if changes.before is None:
        return [(name, "", *_target_cells(target.after, changes.after))]
    rows: list[tuple[Cell, ...]] = [
        (name, "before", *_target_cells(target.before, changes.before)),
        ("", "after", *_target_cells(target.after, changes.after)),
    ]
    if target.coverage is not None:
        parity = "-" if target.parity is None else verdict.change_text(target.parity)
        rows.append(("", "change", verdict.change_text(target.coverage), parity, ""))
    return rows


def _target_cells(row: TargetFacts | None, facts: Facts) -> tuple[str, str, str]:
    if row is None:
        return "no such target", "-", "-"
    if not row.certified:
        return "nothing certified", "-", "-"
    coverage, parity = coverage_of(row, facts), parity_of(row, facts)
    return (
        f"{percent(row.coverage)} ({interval(list(coverage.interval))})",
        f"{percent(parity.counts.share)} ({interval(list(parity.interval))})",
        percent(row.lower_bound),
    )


def _policy(changes: Changes) -> Section | None:
    def values(facts: Facts) -> dict[str, Cell]:
        row = facts.refit
        return {
            "method": (Name(row.method),),
            "surrogate": (Name(row.surrogate),),
            "threshold": words.threshold(row.threshold),
        }

    return _before_and_after(changes, "Policy", values, notes=())


def _before_and_after(
    changes: Changes, title: str, values: Callable[[Facts], dict[str, Cell]], notes: tuple[Words, ...]
) -> Section | None:
    """A table of what differs, and a sentence on what does not."""
    after = values(changes.after)
    if changes.before is None:
        columns = (Column(""), Column("now"))
        return Section(title, columns, tuple((name, value) for name, value in after.items()), notes)
    before = values(changes.before)
    rows = tuple((name, before[name], after[name]) for name in after if before[name] != after[name])
    if not rows:
        return None
    same = [name for name in after if before[name] == after[name]]
    if same:
        notes = (*notes, (f"unchanged: {', '.join(same)}",))
    return Section(title, (Column(""), Column("before"), Column("after")), rows, notes)


def _parameters(changes: Changes) -> Section | None:
    if not changes.parameters:
        return None
    rows = tuple(
        ((Code(entry.key),), _value(entry.before), _value(entry.after), entry.place) for entry in changes.parameters
    )
    columns = (Column("key", whole=True), Column("before"), Column("after"), Column("place", whole=True))
    return Section("Parameters", columns, rows)


def _value(value: Any) -> Cell:
    return "-" if value is ABSENT else (Name(value_text(value)),)


_COUNTS = {
    "rows_read": "rows read",
    "rows_rejected": "rows rejected",
    "distinct_texts": "distinct texts",
    "fit_rows": "texts to fit on",
    "holdout_rows": "texts held out",
    "holdout_share": "share held out",
    "labels": "labels",
    "texts_seen_twice": "texts seen twice",
    "conflict_share": "of these in conflict",
}
_HOLDOUT = {
    "same": "holdout: the same texts with the same labels",
    "relabelled": "holdout: the same texts, with other labels of the teacher's",
    "kept": "holdout: by the same split, under which a text keeps its side",
    "newest": "holdout: the newest texts, so not those of before (split.by: time)",
    "redrawn": "holdout: drawn anew, so not the texts of before",
    "unknown": "",
}


def _traces(changes: Changes) -> Section | None:
    counts = {count.name: count for count in changes.traces if count.name in _COUNTS}
    rows = [
        (
            _COUNTS[name],
            _count(name, counts[name].before),
            _count(name, counts[name].after),
            _difference(name, counts[name].before, counts[name].after),
        )
        for name in _COUNTS
        if name in counts and (changes.before is None or counts[name].before != counts[name].after)
    ]
    new, vanished = changes.labels_new, changes.labels_vanished
    if not rows and not new and not vanished and changes.holdout in ("same", "unknown"):
        return None
    notes: list[Words] = []
    if new:
        notes.append((f"{number(len(new), 'new label')}: ", *listed(new)))
    if vanished:
        notes.append((f"{number(len(vanished), 'label')} vanished: ", *listed(vanished)))
    if changes.before is not None and _HOLDOUT[changes.holdout]:
        notes.append((_HOLDOUT[changes.holdout],))
    if changes.before is None:
        now = (Column(""), Column("now", right=True))
        return Section("Traces", now, tuple((row[0], row[2]) for row in rows), tuple(notes))
    columns = (Column(""), *(Column(name, right=True) for name in ("before", "after", "change")))
    return Section("Traces", columns if rows else (), tuple(rows), tuple(notes))


def _count(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return percent(value) if name.endswith("_share") else f"{value:,.0f}"


def _difference(name: str, before: float | None, after: float) -> str:
    if before is None:
        return "-"
    return verdict.points(after - before) if name.endswith("_share") else f"{after - before:+,.0f}"


def _labels(changes: Changes) -> Section | None:
    moved = [entry for entry in changes.labels if entry.agreement.beyond]
    moved.sort(key=lambda entry: (entry.agreement.p, entry.label))
    silent = [label for label in changes.labels_silent if label not in changes.labels_vanished]
    answered = [label for label in changes.labels_answered if label not in changes.labels_new]
    if not (silent or answered or any(entry.before != entry.after for entry in changes.labels)):
        return None
    rows = tuple(
        ((Name(entry.label),), _of(entry.agreement.before), _of(entry.agreement.after), _judged(entry))
        for entry in moved[:MOST_ROWS]
    )
    notes: list[Words] = []
    if len(moved) > MOST_ROWS:
        notes.append((f"and {number(len(moved) - MOST_ROWS, 'more label')}",))
    notes.append((_tally(changes),))
    if any(entry.agreement_judgement.startswith("perhaps") for entry in moved):
        chance = LEVEL * sum(can_differ(entry.agreement) for entry in changes.labels)
        notes.append(
            (
                f"perhaps: beyond noise taken alone, but not among all labels, of which chance alone moves up to "
                f"{chance:.1f} that far",
            )
        )
    if silent:
        notes.append((f"{number(len(silent), 'label')} no longer answered with: ", *listed(silent)))
    if answered:
        notes.append((f"{number(len(answered), 'label')} answered with now and not before: ", *listed(answered)))
    notes += _tested(changes)
    columns = (Column("label"), Column("before", right=True), Column("after", right=True), Column("change"))
    return Section("Labels: agreement of the answers with each", columns if rows else (), rows, tuple(notes))


def _judged(entry: LabelChange) -> str:
    return f"{verdict.points(entry.agreement.change or 0)}, {entry.agreement_judgement}"


def _of(counts: Counts) -> str:
    return f"{percent(counts.share)} ({counts.successes} of {counts.trials})"


_TALLY: tuple[Judgement, ...] = ("worse", "better", "perhaps worse", "perhaps better", "within noise")


def _tally(changes: Changes) -> str:
    found = [entry.agreement_judgement for entry in changes.labels]
    parts = [f"{found.count(judgement)} {judgement}" for judgement in _TALLY if judgement in found]
    few = found.count("too little evidence")
    if few:
        parts.append(f"{few} with too little evidence (fewer than {FEW_ROWS} answers)")
    if "not compared" in found:
        parts.append(f"{found.count('not compared')} without answers on one side")
    return f"of {number(len(found), 'label')} on both sides: {', '.join(parts)}"


def _tested(changes: Changes) -> list[Words]:
    sides = [facts for facts in (changes.before, changes.after) if facts is not None and not facts.refit.certified]
    if not sides:
        return []
    where = joined([_side(facts) for facts in sides], " and ")
    return [
        (
            "nothing is certified in ",
            *where,
            ": its figures per label are at the threshold that was tested first",
        )
    ]


def _label_coverage(changes: Changes) -> Section | None:
    moved = [entry for entry in changes.labels if entry.coverage_judgement in ("worse", "better")]
    if not moved:
        return None
    moved.sort(key=lambda entry: (entry.coverage.change or 0, entry.label))
    less = sum((entry.coverage.change or 0) < 0 for entry in moved)
    shown = moved[:MOST_ROWS]
    rows = tuple(
        (
            (Name(entry.label),),
            _of(entry.coverage.before),
            _of(entry.coverage.after),
            verdict.points(entry.coverage.change or 0),
        )
        for entry in shown
    )
    more = f"; the first {len(shown)} are shown" if len(shown) < len(moved) else ""
    note = (f"beyond noise: {less} handled less often, {len(moved) - less} more often{more}",)
    columns = (Column("label"), *(Column(name, right=True) for name in ("before", "after", "change")))
    return Section("Labels: share of their texts that is handled", columns, rows, (note, *_tested(changes)))


def _cost(changes: Changes) -> Section | None:
    def values(facts: Facts) -> dict[str, Cell]:
        entry = cost(facts)
        calls, still = entry["calls_per_day"], entry["calls_per_day_with_policy"]
        return {
            "calls a day": f"{calls:,.0f}",
            "calls a day to the teacher": f"{still:,.0f} ({percent(still / calls if calls else None)})",
            "saved a year": (f"{entry['saved_per_year']:,.0f} ", _unit(entry["currency"])),
        }

    note = ("projected with the certified coverage; a policy that the guard blocks saves nothing",)
    return _before_and_after(changes, "Cost", values, (note,))


def _unit(currency: str) -> str:
    return currency if re.fullmatch("[A-Za-z]{1,8}", currency) else Name(currency)


def cell_parts(cell: Cell) -> Sequence[str]:
    return (cell,) if isinstance(cell, str) else cell
