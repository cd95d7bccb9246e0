"""What a reviewer must know of `Changes` first: one headline, and what deserves attention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracer_cli.config.document import key_path
from tracer_cli.core.noise import Comparison
from tracer_cli.report.words import percent
from tracer_cli.review.diff.changes import Changes, TargetChange, scope_of
from tracer_cli.review.facts import WORKING_TREE, Facts, TargetFacts
from tracer_cli.review.parameters import value_at, value_text
from tracer_cli.review.sentences import Code, Name, Words, joined, listed, number
from tracer_cli.review.weaker import Weaker


@dataclass(frozen=True)
class Warn:
    """kind: a name for programs; text: a sentence."""

    kind: str
    text: Words


# --- the headline ---------------------------------------------------------------------------------


def headline(changes: Changes) -> Words:
    """The verdict, its coverage and how that changed, the target, the labels: one sentence."""
    if changes.nothing:
        return ("Nothing changed: ", *_state(changes.after, changes.after.refit))
    if changes.before is None:
        return ("First refit: ", *_state(changes.after, changes.after.refit))
    return joined([_verdict(changes), *_target(changes), *_labels(changes)])


def _state(facts: Facts, row: TargetFacts) -> Words:
    if row.deployed:
        return (f"certified at {row.target:g}, coverage {percent(row.coverage)}",)
    if row.certified:
        return ("BLOCKED, ", *_too_little(facts, row))
    return (f"BLOCKED, nothing is certified at {row.target:g}",)


def _too_little(facts: Facts, row: TargetFacts) -> Words:
    least = value_at(facts.params, ("guard", "min_coverage"))
    return (f"the certified coverage {percent(row.coverage)} is below ", Code("targets.min_coverage"), f" {least:g}")


def _verdict(changes: Changes) -> Words:
    assert changes.before is not None
    old, new = changes.before.refit, changes.after.refit
    if not new.deployed:
        was = f" (before: certified at {old.target:g}, coverage {percent(old.coverage)})" if old.deployed else ""
        still = "" if old.deployed else ", as before"
        return (*_state(changes.after, new), was or still)
    state = f"Certified at {new.target:g}: coverage "
    if not old.deployed:
        return (f"{state}{percent(new.coverage)} (before: BLOCKED at {old.target:g})",)
    moved = f"{state}{percent(old.coverage)} -> {percent(new.coverage)}"
    same = changes.deployed
    if old.target == new.target and same.coverage is not None:
        return (f"{moved} ({change_text(same.coverage)})",)
    return (f"{moved} ({points(new.coverage - old.coverage)}, at another target)",)


def _target(changes: Changes) -> Iterator[Words]:
    assert changes.before is not None
    old, new = changes.before.refit.target, changes.after.refit.target
    if old == new:
        yield ("target unchanged",)
        return
    yield (f"target {'lowered' if new < old else 'raised'} from {old:g} to {new:g}",)
    same = changes.target(old)
    if same.coverage is not None:
        yield (f"at {old:g} itself: {_coverage(same)}",)


def _coverage(target: TargetChange) -> str:
    assert target.before is not None and target.after is not None and target.coverage is not None
    shares = f"{percent(target.before.coverage)} -> {percent(target.after.coverage)}"
    return f"coverage {shares} ({change_text(target.coverage)})"


def _labels(changes: Changes) -> Iterator[Words]:
    worse = [label for label in changes.labels if label.agreement_judgement == "worse"]
    better = [label for label in changes.labels if label.agreement_judgement == "better"]
    counts = [
        (len(changes.labels_new), "new"),
        (len(changes.labels_vanished), "vanished"),
        (len({*changes.labels_silent} - {*changes.labels_vanished}), "no longer answered with"),
        (len(worse), "worse beyond noise"),
        (len(better), "better beyond noise"),
    ]
    found = [f"{count} {what}" for count, what in counts if count]
    if found:
        first, *rest = found
        count, what = first.split(" ", 1)
        yield (", ".join([f"{count} {'label' if count == '1' else 'labels'} {what}", *rest]),)
    else:
        yield ("no label worse or better beyond noise",)


def points(change: float) -> str:
    """A difference of two shares in percentage points."""
    return f"{100 * change:+.1f} points"


def change_text(comparison: Comparison) -> str:
    if comparison.change is None:
        return "not compared"
    if comparison.before == comparison.after:
        return "unchanged"
    return f"{points(comparison.change)}, {'beyond noise' if comparison.beyond else 'within noise'}"


# --- what deserves attention ----------------------------------------------------------------------


def warnings(changes: Changes) -> list[Warn]:
    """The gravest first."""
    found = list(_untrue(changes.after))
    if changes.before is not None:
        found += [*_untrue(changes.before), *_lost(changes), *map(_weaker, changes.weaker)]
        found += [*_redrawn(changes), *_traces(changes), *_worse(changes), *_code(changes)]
    return found


def _untrue(facts: Facts) -> Iterator[Warn]:
    """The figures are not of the parameters beside them, or not as they were written."""
    if facts.edited:
        yield Warn(
            "edited",
            (
                *_where(facts),
                ": ",
                *joined([(Code(path),) for path in facts.edited], ", "),
                f" {'is' if len(facts.edited) == 1 else 'are'} not what the last ",
                Code("dvc repro"),
                " wrote, by ",
                Code("dvc.lock"),
                ": edited by hand, or committed without it",
            ),
        )
    if facts.stale:
        yield Warn(
            "stale",
            (
                *_where(facts),
                ": the figures are of an earlier refit; ",
                *joined([(Code(key),) for key in facts.stale[:8]], ", "),
                f"{f' and {len(facts.stale) - 8} more' if len(facts.stale) > 8 else ''} changed since: run ",
                Code("dvc repro"),
            ),
        )


def _where(facts: Facts) -> Words:
    return (facts.where,) if facts.where == WORKING_TREE else (Code(facts.where),)


def _lost(changes: Changes) -> Iterator[Warn]:
    assert changes.before is not None
    old, new = changes.before.refit, changes.after.refit
    if old.deployed and not new.deployed:
        yield Warn("certificate-lost", ("the certificate is lost: ", *_state(changes.after, new)))
    lost = [f"{target.target:g}" for target in changes.targets if target.lost and target.target != new.target]
    if lost:
        yield Warn("target-lost", (f"no longer certified at {', '.join(lost)}",))
    for what, comparison in (("coverage", changes.deployed.coverage), ("agreement", changes.deployed.parity)):
        if comparison is not None and comparison.beyond and (comparison.change or 0) < 0:
            shares = f"{percent(comparison.before.share)} -> {percent(comparison.after.share)}"
            yield Warn(f"{what}-fell", (f"{what} fell at {new.target:g}: {shares} ({change_text(comparison)})",))


def _weaker(entry: Weaker) -> Warn:
    values = (" loosened from ", Name(value_text(entry.before)), " to ", Name(value_text(entry.after)))
    return Warn("loosened", (Code(key_path(entry.key)), *values, f": {entry.why}" if entry.why else ""))


def _redrawn(changes: Changes) -> Iterator[Warn]:
    before, after = changes.before, changes.after
    assert before is not None
    if changes.changed("seed"):
        yield Warn(
            "seed-changed",
            (
                "the seed changed: it draws another holdout and fits other models; a seed that was chosen for its "
                "result voids the certificate",
            ),
        )
    for key in ("split.by", "split.holdout"):
        if changes.changed(key):
            yield Warn("split-changed", (Code(key), " changed: the holdout is another one"))
    rows = [int(facts.traces.get("holdout_rows", 0)) for facts in (before, after)]
    if rows[1] < rows[0]:
        yield Warn("holdout-shrank", (f"the holdout shrank: {rows[0]:,} -> {rows[1]:,} texts",))
    if changes.holdout == "relabelled":
        yield Warn("relabelled", ("the holdout has the same texts with other labels of the teacher's",))


def _traces(changes: Changes) -> Iterator[Warn]:
    rejected, conflicts = changes.rejected, changes.conflicts
    if rejected is not None and rejected.beyond and (rejected.change or 0) > 0:
        now, before = rejected.after, rejected.before
        yield Warn(
            "rejected",
            (
                f"more rows could not be used: {before.successes:,} of {before.trials:,} -> {now.successes:,} of "
                f"{now.trials:,} ({change_text(rejected)}); ",
                Code("artifacts/traces/rejected.jsonl"),
                " says why",
            ),
        )
    if conflicts is not None and conflicts.beyond and (conflicts.change or 0) > 0:
        shares = f"{percent(conflicts.before.share)} -> {percent(conflicts.after.share)}"
        yield Warn("conflicts", (f"the teacher contradicts itself more often: {shares} of the texts seen twice",))
    if changes.labels_vanished:
        yield Warn(
            "labels-vanished",
            (
                f"{number(len(changes.labels_vanished), 'label')} vanished from the traces: ",
                *listed(changes.labels_vanished),
            ),
        )


def _worse(changes: Changes) -> Iterator[Warn]:
    silent = [label for label in changes.labels_silent if label not in changes.labels_vanished]
    if silent:
        yield Warn(
            "labels-silent",
            (f"{number(len(silent), 'label')} no longer answered with on the holdout: ", *listed(silent)),
        )
    worse = [label.label for label in changes.labels if label.agreement_judgement == "worse"]
    if worse:
        yield Warn("labels-worse", (f"{number(len(worse), 'label')} worse beyond noise: ", *listed(worse)))


def _code(changes: Changes) -> Iterator[Warn]:
    stages = [entry.key.removeprefix("stage_version.") for entry in changes.parameters if entry.place == "tracer's own"]
    if stages:
        yield Warn(
            "code-changed",
            (
                f"another version of tracer ran, which computes something else from the same inputs in "
                f"{', '.join(stages)}",
            ),
        )


def parity_name(facts: Facts) -> str:
    return "agreement" if scope_of(facts) == "handled" else "parity over all"
