"""Each rule by itself: when it holds, when not, when it does not apply, and what it says."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.refits import LABELS, TARGETS, facts_of
from tracer_cli.compile import Outcome as Compiled
from tracer_cli.compile import write
from tracer_cli.config.document import Document, parse
from tracer_cli.config.resolve import params_of
from tracer_cli.config.schema import Config, Rules, Targets
from tracer_cli.core.certificate import level_of, log_p_value
from tracer_cli.errors import DataError, PolicyIntegrityError
from tracer_cli.review.facts import Facts
from tracer_cli.review.guard import rules
from tracer_cli.review.guard.outcome import RULES, Outcome
from tracer_cli.review.guard.recompute import Recomputed
from tracer_cli.review.guard.rules import Baseline, Policy
from tracer_cli.review.sentences import Code, plain

BASE = Code("main (abc1234)")
POLICY = Policy(
    project="support",
    target=0.95,
    confidence=0.95,
    scope="handled",
    evidence="holdout",
    per_label_min=None,
    certified=True,
    deploy=True,
    reason="parity among handled inputs is at least 0.95",
    evidence_rows=900,
    coverage={0.9: 0.9, 0.95: 0.62, 0.98: 0.0},
    labels=frozenset(LABELS),
    deferred=frozenset(),
)


def said(outcome: Outcome) -> tuple[str, str]:
    return outcome.result, plain(outcome.sentence)


@pytest.fixture
def base(tmp_path: Path) -> Any:
    def of(**changes: Any) -> Baseline:
        found = facts_of(tmp_path, **changes)
        return Baseline(BASE, found, found.params)

    return of


@pytest.fixture
def now(tmp_path: Path) -> Any:
    def of(**changes: Any) -> Facts:
        return facts_of(tmp_path, **changes)

    return of


# --- without a baseline ---------------------------------------------------------------------------


def test_the_certificate_passes_with_the_guards_own_words() -> None:
    assert said(rules.certificate(POLICY, Targets())) == ("pass", POLICY.reason)


def test_a_policy_that_is_not_certified_fails_with_the_guards_own_words() -> None:
    blocked = replace(POLICY, certified=False, deploy=False, reason="nothing can be certified at 0.95: too few")
    assert said(rules.certificate(blocked, Targets())) == ("fail", "nothing can be certified at 0.95: too few")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"agreement": 0.97}, "`targets.agreement` 0.95, and tracer.yaml asks for 0.97"),
        ({"agreement": 0.5}, "`targets.agreement` 0.95, and tracer.yaml asks for 0.5"),
        ({"confidence": 0.99}, "`targets.confidence` 0.95, and tracer.yaml asks for 0.99"),
        ({"scope": "overall"}, "`targets.scope` handled, and tracer.yaml asks for overall"),
        ({"evidence": "crossfit"}, "`targets.evidence` holdout, and tracer.yaml asks for crossfit"),
        ({"per_label_min": 0.9}, "`targets.per_label_min` null, and tracer.yaml asks for 0.9"),
    ],
)
def test_a_policy_of_other_targets_is_no_certificate(asked: dict[str, Any], told: str) -> None:
    outcome = rules.certificate(POLICY, Targets(**asked))
    assert said(outcome) == ("fail", f"the policy was made for {told}: run `dvc repro`")


def test_a_policy_of_other_settings_is_no_certificate() -> None:
    outcome = rules.certificate(
        POLICY, Targets(agreement=0.97), ["rules.min_holdout", "targets.agreement", "zoo.knn.k"]
    )
    assert plain(outcome.sentence).startswith("the policy was made for `targets.agreement` 0.95")
    assert [plain(line) for line in outcome.details] == [
        "the policy was made with another `zoo.knn.k`: run `dvc repro`"
    ]
    assert rules.certificate(POLICY, Targets(), ["rules.min_holdout", "cost.per_call"]).result == "pass"


def test_a_file_that_was_altered_is_no_certificate() -> None:
    outcome = rules.certificate(POLICY, Targets(), (), (Code(".tracer/policy.onnx"), " was altered"))
    assert said(outcome) == ("fail", "`.tracer/policy.onnx` was altered")


@pytest.mark.parametrize(("found", "result"), [(0.05, "pass"), (0.0501, "pass"), (0.0499, "fail"), (0.0, "fail")])
def test_coverage_is_that_of_the_deployed_target(found: float, result: str) -> None:
    outcome = rules.coverage(replace(POLICY, coverage={0.9: 1.0, 0.95: found}), Targets(min_coverage=0.05))
    assert outcome.result == result and "`targets.min_coverage`" in plain(outcome.sentence)


def test_nothing_certified_handles_nothing_unless_nothing_is_required() -> None:
    blocked = replace(POLICY, coverage={0.95: 0.0})
    assert rules.coverage(blocked, Targets(min_coverage=0.01)).result == "fail"
    assert rules.coverage(blocked, Targets(min_coverage=0.0)).result == "pass"


@given(
    st.floats(0.5, 0.999), st.floats(0.5, 0.999), st.sampled_from(["holdout", "crossfit"]),
    st.sampled_from(["handled", "overall"]),
)  # fmt: skip
def test_auto_asks_for_as_many_texts_as_certify_without_a_difference_and_not_one_more(
    target: float, confidence: float, evidence: Any, scope: Any
) -> None:
    targets = Targets(agreement=target, confidence=confidence, evidence=evidence, scope=scope)
    level = level_of(confidence, evidence)
    least = math.ceil(math.log(level) / math.log(target) - 1e-6)

    def outcome(rows: int) -> str:
        return rules.holdout(replace(POLICY, evidence_rows=rows), targets, Rules()).result

    assert (outcome(least - 2), outcome(least + 1)) == ("fail", "pass")
    # What passes could be certified: the certificate's own test rejects.
    passing = next(rows for rows in (least - 1, least, least + 1) if outcome(rows) == "pass")
    counts = np.array([passing])
    assert log_p_value(counts, counts, passing, target, scope)[0] <= math.log(level) + 1e-9


def test_the_holdouts_size_may_be_a_number_or_not_asked() -> None:
    outcome = rules.holdout(POLICY, Targets(), Rules(min_holdout=901))
    assert said(outcome) == ("fail", "900 texts in the evidence, at least 901 required (`rules.min_holdout`)")
    assert rules.holdout(POLICY, Targets(), Rules(min_holdout=900)).result == "pass"
    assert rules.holdout(POLICY, Targets(), Rules(min_holdout=None)).result == "not asked"
    outcome = rules.holdout(replace(POLICY, evidence_rows=58), Targets(), Rules())
    assert said(outcome) == (
        "fail",
        "58 texts in the evidence, at least 59 required (`rules.min_holdout` auto: as many as could certify 0.95 if no "
        "label differed)",
    )


@pytest.mark.parametrize(
    ("twice", "conflicting", "result", "told"),
    [
        (
            120,
            30,
            "pass",
            "30 of 120 texts that came more than once have labels that conflict (25.0 %), at most 25.0 %",
        ),
        (
            120,
            31,
            "fail",
            "31 of 120 texts that came more than once have labels that conflict (25.8 %), at most 25.0 %",
        ),
        (19, 19, "pass", "19 of 19 texts that came more than once have labels that conflict: too few texts to judge"),
        (20, 19, "fail", "19 of 20 texts"),
        (0, 0, "pass", "no text came more than once"),
    ],
)
def test_noise_counts_the_texts_that_came_more_than_once(twice: int, conflicting: int, result: str, told: str) -> None:
    traces = {"texts_seen_twice": float(twice), "conflicting_texts": float(conflicting)}
    outcome = rules.noise(traces, Rules())
    assert outcome.result == result and plain(outcome.sentence).startswith(told)
    assert rules.noise(traces, Rules(max_conflict_share=None)).result == "not asked"


def test_metrics_without_the_counts_cannot_be_judged() -> None:
    with pytest.raises(DataError, match=r"metrics/traces\.json has no texts_seen_twice"):
        rules.noise({}, Rules())


# --- against the baseline -------------------------------------------------------------------------


def test_the_rules_that_compare_are_not_asked_without_a_baseline(now: Any) -> None:
    for outcome in (
        rules.coverage_drop(POLICY, Rules(), Baseline()),
        rules.labels_lost(POLICY, now().labels, Rules(), Baseline()),
        rules.loosened(Baseline(), now().params, {}, Document("tracer.yaml", "")),
    ):
        assert said(outcome) == (
            "not asked",
            "no baseline: --baseline, or `rules.baseline` in tracer.yaml, names a git revision",
        )


@pytest.mark.parametrize(
    ("found", "result", "change"),
    [(0.62, "pass", "4.7 points less"), (0.6167, "pass", "5.0 points less"), (0.61, "fail", "5.7 points less"),
     (0.6667, "pass", "not less"), (0.9, "pass", "not less"), (0.0, "fail", "66.7 points less")],
)  # fmt: skip
def test_coverage_may_drop_by_so_much(base: Any, found: float, result: str, change: str) -> None:
    policy = replace(POLICY, coverage={0.95: found})
    outcome = rules.coverage_drop(policy, Rules(), base())
    assert outcome.result == result
    assert f"66.7 % at `main (abc1234)`: {change}, at most 5.0 may be lost" in plain(outcome.sentence)
    assert rules.coverage_drop(policy, Rules(max_coverage_drop=None), base()).result == "not asked"


def test_a_raised_target_is_compared_at_the_old_one(base: Any) -> None:
    """0.98 handles nothing; at 0.95, where the baseline is deployed, the drop is 4.7 points."""
    outcome = rules.coverage_drop(replace(POLICY, target=0.98), Rules(), base())
    assert outcome.result == "pass"
    assert (
        "compared at 0.95 because the target is 0.98 here and 0.95 there: 4.7 points less"
        in plain(outcome.sentence)
    )  # fmt: skip
    worse = replace(POLICY, target=0.98, coverage=POLICY.coverage | {0.95: 0.5})
    assert rules.coverage_drop(worse, Rules(), base()).result == "fail"


def test_the_baselines_table_may_have_our_target(base: Any) -> None:
    policy = replace(POLICY, target=0.9, coverage={0.9: 0.9})
    outcome = rules.coverage_drop(policy, Rules(), base())
    assert outcome.result == "pass" and "compared at 0.9 because" in plain(outcome.sentence)


def test_targets_that_are_nowhere_together_are_not_compared(base: Any) -> None:
    policy = replace(POLICY, target=0.7, coverage={0.7: 0.1})
    outcome = rules.coverage_drop(policy, Rules(), base())
    assert said(outcome) == (
        "not asked",
        "not comparable with `main (abc1234)`: the target is 0.7 here and 0.95 there; with 0.95 in `targets.frontier` "
        "it would be",
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"confidence": 0.9}, "confidence is 0.9 here and 0.95 there"),
        ({"scope": "overall"}, "scope is overall here and handled there"),
        ({"scope": "overall", "evidence": "crossfit"}, "scope is overall here and handled there and evidence is"),
    ],
)
def test_coverage_of_another_guarantee_is_not_compared(base: Any, changes: dict[str, Any], told: str) -> None:
    outcome = rules.coverage_drop(replace(POLICY, **changes, coverage={0.95: 0.0}), Rules(), base())
    assert outcome.result == "not asked" and told in plain(outcome.sentence)


def labels(**changes: tuple[int, int, int, int, int]) -> dict[str, Any]:
    return {"labels": LABELS | changes}


def test_no_label_is_lost_when_each_is_still_answered(base: Any, now: Any) -> None:
    outcome = rules.labels_lost(POLICY, now().labels, Rules(), base())
    assert said(outcome) == ("pass", "none of the 4 labels that `main (abc1234)` answers with is lost")


def test_a_label_is_lost_in_four_ways(base: Any, now: Any) -> None:
    before = base(**labels(rare=(10, 4, 2, 2, 2), gone=(10, 9, 9, 9, 9)))
    after = now(**labels(rare=(12, 5, 0, 0, 0), login=(250, 200, 0, 0, 0))).labels
    policy = replace(POLICY, labels=frozenset({*LABELS, "rare"}), deferred=frozenset({"other"}))
    outcome = rules.labels_lost(policy, after, Rules(), before)
    assert said(outcome) == (
        "fail",
        "4 of the 6 labels that `main (abc1234)` answers with are lost, at most 0 may be (`rules.max_labels_lost`): "
        "'login', 'other', 'gone', 'rare'",
    )
    assert [plain(line) for line in outcome.details] == [
        "'login': 120 holdout texts were answered with it; now none is, and 200 holdout texts have it",
        "'other': 80 holdout texts were answered with it; now it is deferred, because out of fold it agrees less than "
        "targets.per_label_min",
        "'gone': 9 holdout texts were answered with it; now no text to learn from has it",
        "'rare': 2 holdout texts were answered with it; now none is, and 5 holdout texts have it, which may be chance",
    ]
    assert rules.labels_lost(policy, after, Rules(max_labels_lost=4), before).result == "pass"
    assert rules.labels_lost(policy, after, Rules(max_labels_lost=None), before).result == "not asked"


def test_without_a_certificate_every_label_is_lost(base: Any, now: Any) -> None:
    """The table of labels then shows what would be answered."""
    outcome = rules.labels_lost(replace(POLICY, certified=False), now().labels, Rules(max_labels_lost=3), base())
    assert outcome.result == "fail" and "now nothing is certified" in plain(outcome.details[0])


def test_a_baseline_without_a_certificate_has_no_label_to_lose(base: Any, now: Any) -> None:
    before = base(targets=TARGETS | {0.95: (0, 0)})
    outcome = rules.labels_lost(POLICY, {}, Rules(), before)
    assert said(outcome) == ("pass", "`main (abc1234)` answers with no label")


# --- what protects the guarantee ------------------------------------------------------------------


PLAIN = """\
seed: 0
traces:
- path: data/a.jsonl
  max_rejected: 0.05
  label: teacher
  timestamp: at
targets:
  agreement: 0.95
  confidence: 0.95
  per_label_min: 0.9
  min_coverage: 0.05
  scope: handled
split:
  holdout: 0.3
  by: text
acceptor:
  distance_quantile: 0.99
rules:
  baseline: main
  max_coverage_drop: 0.05
  max_labels_lost: 1
  min_holdout: 60
  max_conflict_share: 0.25
"""


# What draws another holdout, or is another comparison, is named whatever it was before.
BOTH_WAYS = {"seed: 7", "by: time", "label: surrogate", "baseline: HEAD"}


def loosen(after: str, before: str = PLAIN, **shares: float) -> Outcome:
    documents = [parse(text, "tracer.yaml") for text in (before, after)]
    old, new = (params_of(Config.model_validate(document.data)) for document in documents)
    facts = replace(FACTS, traces={"holdout_share": shares.get("then", 0.3)})
    return rules.loosened(Baseline(BASE, facts, old), new, {"holdout_share": shares.get("now", 0.3)}, documents[1])


FACTS = Facts("main", {}, {}, {}, (), {})


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("agreement: 0.95", "agreement: 0.9", "`targets.agreement` 0.95 -> 0.9 (tracer.yaml:8)"),
        ("confidence: 0.95", "confidence: 0.9", "`targets.confidence` 0.95 -> 0.9 (tracer.yaml:9)"),
        ("per_label_min: 0.9", "per_label_min: 0.8", "`targets.per_label_min` 0.9 -> 0.8 (tracer.yaml:10)"),
        ("per_label_min: 0.9", "per_label_min: null", "`targets.per_label_min` 0.9 -> null (tracer.yaml:10)"),
        ("min_coverage: 0.05", "min_coverage: 0", "`targets.min_coverage` 0.05 -> 0 (tracer.yaml:11)"),
        ("scope: handled", "scope: overall", "`targets.scope` handled -> overall (tracer.yaml:12)"),
        (
            "holdout: 0.3",
            "holdout: 0.1",
            "`split.holdout` 0.3 -> 0.1 (tracer.yaml:14): 10.0 % of the texts are held out",
        ),
        ("by: text", "by: time", "`split.by` text -> time (tracer.yaml:15): another split draws another"),
        ("distance_quantile: 0.99", "distance_quantile: 0.999", "`acceptor.distance_quantile` 0.99 -> 0.999"),
        ("distance_quantile: 0.99", "distance_quantile: null", "`acceptor.distance_quantile` 0.99 -> null"),
        ("seed: 0", "seed: 7", "`seed` 0 -> 7 (tracer.yaml:1): another seed draws another holdout"),
        ("max_rejected: 0.05", "max_rejected: 0.5", "`traces[0].max_rejected` 0.05 -> 0.5 (tracer.yaml:4)"),
        (
            "label: teacher",
            "label: surrogate",
            "`traces[0].label` teacher -> surrogate (tracer.yaml:5): parity is then",
        ),
        ("baseline: main", "baseline: HEAD", "`rules.baseline` main -> HEAD (tracer.yaml:19)"),
        ("baseline: main", "baseline: null", "`rules.baseline` main -> null (tracer.yaml:19)"),
        ("max_coverage_drop: 0.05", "max_coverage_drop: 0.5", "`rules.max_coverage_drop` 0.05 -> 0.5"),
        ("max_coverage_drop: 0.05", "max_coverage_drop: null", "`rules.max_coverage_drop` 0.05 -> null"),
        ("max_labels_lost: 1", "max_labels_lost: 2", "`rules.max_labels_lost` 1 -> 2"),
        ("min_holdout: 60", "min_holdout: 59", "`rules.min_holdout` 60 -> 59"),
        ("min_holdout: 60", "min_holdout: auto", "`rules.min_holdout` 60 -> auto"),
        ("min_holdout: 60", "min_holdout: null", "`rules.min_holdout` 60 -> null"),
        ("max_conflict_share: 0.25", "max_conflict_share: 0.26", "`rules.max_conflict_share` 0.25 -> 0.26"),
    ],
)
def test_each_thing_that_can_be_loosened_is_named_with_its_place(old: str, new: str, told: str) -> None:
    outcome = loosen(PLAIN.replace(old, new))
    assert old in PLAIN and outcome.result == "fail"
    assert plain(outcome.sentence).startswith(f"weaker than at `main (abc1234)`: {told}")
    assert loosen(PLAIN, PLAIN.replace(old, new)).result == ("fail" if new in BOTH_WAYS else "pass")


def test_nothing_loosened_passes() -> None:
    outcome = loosen(PLAIN)
    assert said(outcome) == ("pass", "nothing that protects the guarantee is weaker than at `main (abc1234)`")


def test_a_key_that_was_taken_out_is_told_as_the_default() -> None:
    outcome = loosen(PLAIN.replace("  max_labels_lost: 1\n", ""), PLAIN.replace("lost: 1", "lost: 0"))
    assert outcome.result == "pass"
    outcome = loosen(PLAIN.replace("  min_coverage: 0.05\n", ""), PLAIN.replace("coverage: 0.05", "coverage: 0.2"))
    assert outcome.result == "fail"
    assert "`targets.min_coverage` 0.2 -> 0.05 (tracer.yaml:7, not written there: the default)" in plain(
        outcome.sentence
    )


def test_auto_may_take_a_smaller_share_of_more_texts_but_not_by_a_change_of_the_setting() -> None:
    auto = PLAIN.replace("holdout: 0.3\n", "holdout: auto\n")
    assert loosen(auto, auto, then=0.3, now=0.15).result == "pass"
    assert loosen(auto, PLAIN, then=0.3, now=0.3).result == "pass"
    assert loosen(auto, PLAIN, then=0.3, now=0.15).result == "fail"
    assert loosen(PLAIN, auto, then=0.4, now=0.3).result == "fail"


def test_several_findings_are_counted_and_listed() -> None:
    worse = (
        PLAIN.replace("agreement: 0.95", "agreement: 0.9").replace("seed: 0", "seed: 1").replace("lost: 1", "lost: 9")
    )
    outcome = loosen(worse)
    assert plain(outcome.sentence).endswith("; and 1 more") and len(outcome.details) == 3


def test_a_baseline_of_an_older_version_lacks_keys() -> None:
    """No rules, no acceptor: nothing of them was promised there."""
    new = params_of(Config.model_validate(parse(PLAIN, "tracer.yaml").data))
    old = {key: value for key, value in new.items() if key not in ("rules", "guard")}
    old["calibrate"] = {"targets": {"agreement": 0.99}}
    outcome = rules.loosened(Baseline(BASE, None, old), new, {}, parse(PLAIN, "tracer.yaml"))
    assert plain(outcome.sentence).startswith("weaker than at `main (abc1234)`: `targets.agreement` 0.99 -> 0.95")


# --- the files ------------------------------------------------------------------------------------


def test_fresh_files_pass() -> None:
    assert rules.compiled(Compiled((), "")).result == "pass"


def test_stale_files_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "tracer.yaml").write_text("traces: [{path: data/a.jsonl}]\n")
    outcome = rules.compiled(write(tmp_path, check=True))
    assert said(outcome) == (
        "fail",
        "dvc.yaml and params.yaml and metrics/previous.json are not what tracer.yaml compiles to: run `tracer compile` "
        "and commit what it writes",
    )


def test_what_was_written_into_params_by_hand_is_named(tmp_path: Path) -> None:
    (tmp_path / "tracer.yaml").write_text("traces: [{path: data/a.jsonl}]\ntargets:\n  agreement: 0.95\n")
    write(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text(path.read_text().replace("agreement: 0.95", "agreement: 0.9").replace("seed: 0", "seed: 3"))
    outcome = rules.compiled(write(tmp_path, check=True))
    assert outcome.result == "fail" and len(outcome.details) >= 2
    assert plain(outcome.sentence).startswith("params.yaml was edited by hand: seed is 3 here and 0 by tracer.yaml")
    assert any("calibrate.targets.agreement is 0.9 here" in plain(line) for line in outcome.details)


def test_what_git_does_not_hold_is_named() -> None:
    assert rules.in_git([]).result == "pass"
    assert said(rules.in_git(["dvc.lock"])) == (
        "fail",
        "dvc.lock is not what `dvc repro` makes of this commit: run `dvc repro` and commit what it writes",
    )
    outcome = rules.in_git([f"plots/{i}.csv" for i in range(10)])
    assert "plots/7.csv and 2 more are not what" in plain(outcome.sentence) and len(outcome.details) == 10


def test_a_recomputation_says_the_first_finding_and_how_many_more() -> None:
    assert rules.recomputation(Recomputed(())).result == "pass"
    assert said(rules.recomputation(Recomputed((("a",),), "with numpy 9"))) == ("fail", "a; with numpy 9")
    outcome = rules.recomputation(Recomputed((("a",), ("b",), ("c",))))
    assert said(outcome) == ("fail", "a; and 2 more") and len(outcome.details) == 3


# --- together -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "manifest",
    [{}, {"target": 0.9, "targets": []}, {"target": 0.9, "targets": [{"target": 0.9}]}, {"target": [], "targets": 3}],
)
def test_a_manifest_that_is_none_is_a_sentence(manifest: dict[str, Any]) -> None:
    with pytest.raises(PolicyIntegrityError, match=r"is not as the guard stage writes it .*; run `dvc repro`"):
        rules.policy_of(manifest, Path("manifest.json"))


def test_accepting_changes_failing_rules_alone() -> None:
    outcomes = (rules.coverage(POLICY, Targets()), rules.coverage(POLICY, Targets(min_coverage=0.9)))
    judgement = rules._judgement(POLICY, (replace(outcomes[0], rule="noise"), outcomes[1]), None)
    assert not judgement.passed and judgement.headline == "did not pass: coverage"
    accepted = judgement.accepting(["noise", "coverage", "holdout"])
    assert [outcome.result for outcome in accepted.outcomes] == ["pass", "accepted"]
    assert accepted.passed and accepted.headline == "passed, with coverage accepted"
    assert set(RULES) >= {outcome.rule for outcome in accepted.outcomes}
