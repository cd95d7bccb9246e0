"""The rules of `tracer guard --check`: each asks one thing of a refit and answers in a sentence.

What is judged is the policy's manifest; the small files in git give the rest, and the same of a baseline revision.
Whether these files are true is a rule of its own (`recomputed`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tracer_cli.artifacts import Layout, sha256_file
from tracer_cli.compile import Outcome as Compiled
from tracer_cli.compile import write
from tracer_cli.config.document import Document, KeyPath, key_path
from tracer_cli.config.load import FILE_NAME, load_document
from tracer_cli.config.resolve import FILE_NAME as PARAMS_YAML
from tracer_cli.config.resolve import params_of
from tracer_cli.config.schema import Rules, Targets
from tracer_cli.core import power
from tracer_cli.errors import DataError, PolicyIntegrityError, StorageError
from tracer_cli.programs import git
from tracer_cli.report import words
from tracer_cli.report.words import percent
from tracer_cli.review import facts
from tracer_cli.review.facts import Facts, LabelFacts
from tracer_cli.review.guard.outcome import Judgement, Outcome, judged, not_asked, tame
from tracer_cli.review.guard.recompute import Recomputed, recompute
from tracer_cli.review.parameters import ABSENT, value_at, value_text
from tracer_cli.review.sentences import Code, Name, Words, joined, listed, number
from tracer_cli.review.weaker import Weaker, weaker
from tracer_cli.runtime.policy_folder import read_manifest
from tracer_cli.stages import layout_of

# Fewer texts that came more than once say too little about the teacher's noise.
FEW_REPEATED = 20
# Fewer answers with a label may turn into none by chance.
FEW_ANSWERS = 5
NAMES = 8
COMMITTED = ("dvc.lock", "dvc.yaml", PARAMS_YAML, "metrics", "plots")
REPRO = Code("dvc repro")
# Sections of tracer.yaml that the policy does not depend on.
NOT_OF_THE_POLICY = ("rules", "cost", "outputs")


@dataclass(frozen=True)
class Policy:
    """What the manifest says.

    coverage: target -> certified coverage; deferred: labels that it never answers with, because of per_label_min.
    """

    project: str
    target: float
    confidence: float
    scope: str
    evidence: str
    per_label_min: float | None
    certified: bool
    deploy: bool
    reason: str
    evidence_rows: int
    coverage: dict[float, float]
    labels: frozenset[str]
    deferred: frozenset[str]


@dataclass(frozen=True)
class Baseline:
    """What a refit is compared with. where: its name for people.

    facts: None where it holds no refit, for the reason `why`; params: its params.yaml, which may be there all the same.
    """

    where: Code | None = None
    facts: Facts | None = None
    params: dict[str, Any] | None = None
    why: Words = ("no baseline: --baseline, or ", Code("rules.baseline"), f" in {FILE_NAME}, names a git revision")

    @property
    def name(self) -> Code:
        return self.where or Code("")


def judge(root: Path, revision: str | None = None, recomputed: bool = False, committed: bool = False) -> Judgement:
    """Every rule's outcome for the project in `root`, as it lies there.

    revision: the baseline; None for `rules.baseline`. Raises a TracerError where nothing can be judged: tracer.yaml is
    wrong, the policy or an artifact is missing, the baseline is no revision.
    """
    document, config = load_document(root / FILE_NAME)
    layout = layout_of(config, root)
    manifest = read_manifest(layout.policy)
    policy = policy_of(manifest, layout.manifest)
    now = facts.of_working_tree(root)
    base = _baseline(root, revision or config.rules.baseline)
    outcomes = (
        certificate(policy, config.targets, now.stale, _altered(layout, manifest)),
        coverage(policy, config.targets),
        coverage_drop(policy, config.rules, base),
        labels_lost(policy, now.labels, config.rules, base),
        holdout(policy, config.targets, config.rules),
        noise(now.traces, config.rules),
        loosened(base, params_of(config), now.traces, document),
        compiled(write(root, check=True)),
        in_git(git.changed(root, *COMMITTED)) if committed else not_asked("committed", "it needs --committed"),
        recomputation(recompute(layout, config)) if recomputed else not_asked("recomputed", "it needs --recompute"),
    )
    return _judgement(policy, outcomes, base.where)


def judge_policy(folder: Path) -> Judgement:
    """The certificate alone, of a policy that lies in `folder`, whatever lies around it."""
    policy = policy_of(read_manifest(folder), folder / "manifest.json")
    return _judgement(policy, (judged("certificate", policy.deploy, (policy.reason,)),), None)


def _judgement(policy: Policy, outcomes: tuple[Outcome, ...], baseline: str | None) -> Judgement:
    return Judgement(
        policy.project, policy.target, policy.confidence, policy.scope, policy.evidence, baseline, outcomes
    )


def policy_of(manifest: dict[str, Any], path: Path) -> Policy:
    """Raises PolicyIntegrityError when the manifest is not as the guard stage writes it."""
    try:
        deployed = words.deployed(manifest)
        return Policy(
            project=str(manifest["project"]),
            target=float(manifest["target"]),
            confidence=float(manifest["confidence"]),
            scope=str(manifest["scope"]),
            evidence=str(manifest["evidence"]),
            per_label_min=manifest["per_label_min"],
            certified=deployed["certified"] is True,
            deploy=manifest["verdict"]["deploy"] is True,
            reason=tame(str(manifest["verdict"]["reason"])),
            evidence_rows=int(deployed["evidence_rows"]),
            coverage={float(t["target"]): float(t["coverage"]) for t in manifest["targets"]},
            labels=frozenset(manifest["labels"]),
            deferred=frozenset(words.labels_with(manifest, "deferred")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise PolicyIntegrityError(
            f"{path} is not as the guard stage writes it ({type(error).__name__}: {error}); run `dvc repro`"
        ) from error


def _baseline(root: Path, revision: str | None) -> Baseline:
    if revision is None:
        return Baseline()
    commit = git.commit_of(root, revision)
    where = Code(facts.name_of(revision, commit))
    if missing := facts.missing_at(root, commit):
        why = (where, f" holds no refit to compare with: it has no {missing[0]}")
        return Baseline(where, None, _params_at(root, commit, where), why)
    found = facts.of_revision(root, revision)
    return Baseline(where, found, found.params)


def _params_at(root: Path, commit: str, where: str) -> dict[str, Any] | None:
    try:
        params = yaml.safe_load(git.file_at(root, commit, PARAMS_YAML) or b"")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{PARAMS_YAML} of {where} is not as tracer writes it: {error}") from error
    return params if isinstance(params, dict) else None


# --- the certificate ------------------------------------------------------------------------------


def _altered(layout: Layout, manifest: dict[str, Any]) -> Words:
    """What is wrong with the policy's files; nothing when they are those that the manifest names.

    Raises StorageError when one is missing.
    """
    for name, digest in sorted(manifest.get("files", {}).items()):
        path = layout.policy / name
        if not path.is_file():
            raise StorageError(f"{path} is missing; fetch it with `dvc pull`, or make it with `dvc repro`")
        if sha256_file(path) != digest:
            return (Code(path), " is not the file that the manifest names: it was altered, or comes from another fit")
    return ()


def certificate(policy: Policy, targets: Targets, stale: Collection[str] = (), problem: Words = ()) -> Outcome:
    """Certified, and for what tracer.yaml asks now.

    stale: keys of tracer.yaml that had other values in the last run; problem: what is wrong with the policy's files.
    """
    asked: dict[str, tuple[Any, Any]] = {
        "agreement": (policy.target, targets.agreement),
        "confidence": (policy.confidence, targets.confidence),
        "scope": (policy.scope, targets.scope),
        "evidence": (policy.evidence, targets.evidence),
        "per_label_min": (policy.per_label_min, targets.per_label_min),
    }
    other = {f"targets.{name}": values for name, values in asked.items() if values[0] != values[1]}
    problems: list[Words] = [
        (
            "the policy was made for ",
            Code(key),
            f" {value_text(made)}, and {FILE_NAME} asks for {value_text(now)}: run ",
            REPRO,
        )
        for key, (made, now) in other.items()
    ]
    for key in stale:
        if key not in other and not key.startswith(NOT_OF_THE_POLICY):
            problems.append(("the policy was made with another ", Code(key), ": run ", REPRO))
    problems += [problem] if problem else []
    if not policy.certified:
        return judged("certificate", False, (policy.reason,), problems)
    return judged("certificate", not problems, problems[0] if problems else (policy.reason,), problems[1:])


def coverage(policy: Policy, targets: Targets) -> Outcome:
    found = policy.coverage[policy.target]
    least = percent(targets.min_coverage)
    return judged(
        "coverage",
        found >= targets.min_coverage,
        (
            f"{percent(found)} of the evidence is handled, at least {least} is required (",
            Code("targets.min_coverage"),
            ")",
        ),
    )


def holdout(policy: Policy, targets: Targets, rules: Rules) -> Outcome:
    least, why = rules.min_holdout, ")"
    if least is None:
        return not_asked("holdout", Code("rules.min_holdout"), " is null")
    if least == "auto":
        asked = (targets.agreement, targets.confidence, targets.evidence, targets.scope)
        least = power.fewest_rows(*asked) or power.MOST_ROWS
        why = f" auto: as many as could certify {targets.agreement:g} if no label differed)"
    found = f"{number(policy.evidence_rows, 'text')} in the evidence, at least {least:,} required ("
    return judged("holdout", policy.evidence_rows >= least, (found, Code("rules.min_holdout"), why))


def noise(traces: dict[str, float], rules: Rules) -> Outcome:
    most = rules.max_conflict_share
    if most is None:
        return not_asked("noise", Code("rules.max_conflict_share"), " is null")
    try:
        twice, conflicting = int(traces["texts_seen_twice"]), int(traces["conflicting_texts"])
    except KeyError as error:
        raise DataError(f"metrics/traces.json has no {error.args[0]}: run `dvc repro`") from error
    if not twice:
        return judged("noise", True, ("no text came more than once: the teacher's noise is not known",))
    found = f"{conflicting:,} of {number(twice, 'text')} that came more than once have labels that conflict"
    if twice < FEW_REPEATED:
        return judged("noise", True, (f"{found}: too few texts to judge by",))
    share = conflicting / twice
    allowed = f"{found} ({percent(share)}), at most {percent(most)} may ("
    return judged("noise", share <= most, (allowed, Code("rules.max_conflict_share"), ")"))


# --- against the baseline -------------------------------------------------------------------------


def coverage_drop(policy: Policy, rules: Rules, base: Baseline) -> Outcome:
    most = rules.max_coverage_drop
    if most is None:
        return not_asked("coverage-drop", Code("rules.max_coverage_drop"), " is null")
    if base.facts is None:
        return not_asked("coverage-drop", *base.why)
    then = value_at(base.facts.params, ("calibrate", "targets"), {})
    kinds = {"confidence": policy.confidence, "scope": policy.scope, "evidence": policy.evidence}
    other = [
        f"{name} is {value_text(value)} here and {value_text(then.get(name))} there"
        for name, value in kinds.items()
        if then.get(name) != value
    ]
    if other:
        return not_asked("coverage-drop", "not comparable with ", base.name, f": {' and '.join(other)}")
    coverages = {row.target: row.coverage for row in base.facts.targets}
    asked = base.facts.refit.target
    # At the same target; else at one that is certified on both sides, the baseline's first.
    shared = [target for target in (asked, policy.target) if target in coverages and target in policy.coverage]
    targets = f"the target is {policy.target:g} here and {asked:g} there"
    if not shared:
        advice = f"; with {asked:g} in "
        ending = (advice, Code("targets.frontier"), " it would be")
        return not_asked("coverage-drop", "not comparable with ", base.name, f": {targets}", *ending)
    before, after = coverages[shared[0]], policy.coverage[shared[0]]
    at = "" if policy.target == asked else f", compared at {shared[0]:g} because {targets}"
    change = f"{100 * (before - after):.1f} points less" if after < before else "not less"
    found = f"{at}: {change}, at most {100 * most:.1f} may be lost ("
    return judged(
        "coverage-drop",
        before - after <= most + 1e-9,
        (
            f"{percent(after)} of the evidence is handled, and {percent(before)} at ",
            base.name,
            found,
            Code("rules.max_coverage_drop"),
            ")",
        ),
    )


def labels_lost(policy: Policy, now: dict[str, LabelFacts], rules: Rules, base: Baseline) -> Outcome:
    most = rules.max_labels_lost
    if most is None:
        return not_asked("labels-lost", Code("rules.max_labels_lost"), " is null")
    if base.facts is None:
        return not_asked("labels-lost", *base.why)
    # Of a policy that is not certified the table says what it would answer.
    before = base.facts.labels if base.facts.refit.certified else {}
    answered = [label for label in before.values() if label.answered]
    lost = [label for label in answered if not _answers(policy, now.get(label.label))]
    lost.sort(key=lambda label: (-label.answered, label.label))
    if not answered:
        return judged("labels-lost", True, (base.name, " answers with no label"))
    whole: Words = (f"of the {number(len(answered), 'label')} that ", base.name, " answers with")
    if not lost:
        return judged("labels-lost", True, ("none ", *whole, " is lost"))
    names = listed([label.label for label in lost])
    allowed = (f", at most {most:,} may be (", Code("rules.max_labels_lost"), "): ")
    are = "is" if len(lost) == 1 else "are"
    return judged(
        "labels-lost",
        len(lost) <= most,
        (f"{len(lost):,} ", *whole, f" {are} lost", *allowed, *names),
        [(Name(label.label), f": {_how_lost(policy, label, now.get(label.label))}") for label in lost],
    )


def _answers(policy: Policy, label: LabelFacts | None) -> bool:
    return policy.certified and label is not None and label.label not in policy.deferred and label.answered > 0


def _how_lost(policy: Policy, before: LabelFacts, now: LabelFacts | None) -> str:
    count = f"{number(before.answered, 'holdout text')} {'was' if before.answered == 1 else 'were'} answered with it"
    if not policy.certified:
        return f"{count}; now nothing is certified"
    if now is None or before.label not in policy.labels:
        return f"{count}; now no text to learn from has it"
    if before.label in policy.deferred:
        return f"{count}; now it is deferred, because out of fold it agrees less than targets.per_label_min"
    rare = ", which may be chance" if before.answered < FEW_ANSWERS else ""
    return f"{count}; now none is, and {number(now.holdout_rows, 'holdout text')} have it{rare}"


# --- what protects the guarantee ------------------------------------------------------------------

# Another value draws other texts for the holdout: among several draws one can choose.
_DRAWS: tuple[tuple[KeyPath, str], ...] = (
    (("seed",), "another seed draws another holdout"),
    (("ingest", "split", "by"), "another split draws another holdout"),
)


def loosened(base: Baseline, params: dict[str, Any], traces: dict[str, float], document: Document) -> Outcome:
    """params, traces: of the refit; document: tracer.yaml, to name the places."""
    if base.params is None:
        return not_asked("loosened", *base.why)
    found = [*weaker(base.params, params), *_other(base.params, params), *_smaller_holdout(base, params, traces)]
    if not found:
        return judged("loosened", True, ("nothing that protects the guarantee is weaker than at ", base.name))
    findings = [_told(entry, document) for entry in found]
    more = (f"; and {len(findings) - 2} more",) if findings[2:] else ()
    sentence = ("weaker than at ", base.name, ": ", *joined(findings[:2]), *more)
    return judged("loosened", False, sentence, findings if more else ())


def _told(entry: Weaker, document: Document) -> Words:
    line = document.place(entry.key, key=True).line
    default = "" if document.has(entry.key) else ", not written there: the default"
    why = f": {entry.why}" if entry.why else ""
    before, after = tame(value_text(entry.before)), tame(value_text(entry.after))
    return (Code(key_path(entry.key)), " ", before, " -> ", after, f" ({FILE_NAME}:{line}{default}){why}")


def _other(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Weaker]:
    for path, why in _DRAWS:
        before, after = value_at(old, path, ABSENT), value_at(new, path, ABSENT)
        if ABSENT not in (before, after) and before != after:
            yield Weaker(path[-2:], before, after, why)
    before, after = (value_at(params, ("rules", "baseline")) for params in (old, new))
    if before is not None and after is not None and before != after:
        yield Weaker(("rules", "baseline"), before, after, "the next refit is compared with something else")


def _smaller_holdout(base: Baseline, params: dict[str, Any], traces: dict[str, float]) -> Iterator[Weaker]:
    """A smaller share by another setting; that `auto` takes a smaller share of more texts is as it should be."""
    path = ("ingest", "split", "holdout")
    before, after = value_at(base.params, path, ABSENT), value_at(params, path, ABSENT)
    if before in (ABSENT, after):
        return
    then = _share(before, base.facts.traces if base.facts else {})
    now = _share(after, traces)
    if then is not None and now is not None and now < then:
        why = f"{percent(now)} of the texts are held out, {percent(then)} were"
        yield Weaker(path[1:], before, after, why)


def _share(setting: Any, traces: dict[str, float]) -> float | None:
    return float(setting) if isinstance(setting, int | float) else traces.get("holdout_share")


# --- the files ------------------------------------------------------------------------------------


def compiled(outcome: Compiled) -> Outcome:
    if not outcome.stale:
        return judged("compiled", True, (f"dvc.yaml and {PARAMS_YAML} are what {FILE_NAME} compiles to",))
    are = "is" if len(outcome.stale) == 1 else "are"
    sentence: Words = (f"{' and '.join(outcome.stale)} {are} not what {FILE_NAME} compiles to: run ",)
    sentence = (*sentence, Code("tracer compile"), " and commit what it writes")
    # A note has a line for each value that was written by hand, indented below its heading.
    edited = [line.strip() for note in outcome.notes for line in note.splitlines() if line.startswith("  ")]
    if not edited:
        return judged("compiled", False, sentence)
    more = f"; and {len(edited) - 1} more" if edited[1:] else ""
    sentence = (f"{PARAMS_YAML} was edited by hand: ", tame(edited[0]), more)
    return judged("compiled", False, sentence, [(tame(line),) for line in edited] if more else ())


def in_git(changed: Collection[str]) -> Outcome:
    """changed: those files of a refit that are not as they were committed."""
    if not changed:
        return judged(
            "committed",
            True,
            (
                "what git holds is what ",
                REPRO,
                " makes of this commit",
            ),
        )
    are = "is" if len(changed) == 1 else "are"
    names = joined([(tame(name),) for name in changed][:NAMES], ", ")
    more = f" and {len(changed) - NAMES:,} more" if len(changed) > NAMES else ""
    sentence = (
        *names,
        f"{more} {are} not what ",
        REPRO,
        " makes of this commit: run ",
        REPRO,
        " and commit what it writes",
    )
    return judged("committed", False, sentence, [(tame(name),) for name in changed] if more else ())


def recomputation(result: Recomputed) -> Outcome:
    note: Words = ("; ", result.note) if result.note else ()
    if not result.findings:
        return judged("recomputed", True, ("the artifacts that dvc.lock names give what the files state", *note))
    more = (f"; and {len(result.findings) - 1:,} more",) if result.findings[1:] else ()
    return judged("recomputed", False, (*result.findings[0], *more, *note), result.findings if more else ())
