"""What `tracer guard --check` finds: one outcome for each rule, and what they come to."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from tracer_cli.review.sentences import Code, Words, plain

# The rules in the order in which they are shown: name -> what it asks for.
RULES = {
    "certificate": "the deployed target is certified",
    "coverage": "the policy handles enough to be worth deploying",
    "coverage-drop": "it does not handle much less than the baseline's",
    "labels-lost": "it still answers with the labels of the baseline's",
    "holdout": "the evidence is large enough",
    "noise": "the teacher agrees with itself often enough",
    "loosened": "nothing that protects the guarantee is weaker than at the baseline",
    "compiled": "dvc.yaml and params.yaml are what tracer.yaml compiles to",
    "committed": "git holds what `dvc repro` makes",
    "recomputed": "the artifacts give the verdict that the files state",
}
Result = Literal["pass", "fail", "accepted", "not asked"]


@dataclass(frozen=True)
class Outcome:
    """One rule. sentence: what was found; details: more lines, for those who look closer."""

    rule: str
    result: Result
    sentence: Words
    details: tuple[Words, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """Every rule's outcome. baseline: the revision that the policy was compared with, for people; None: none was."""

    project: str
    target: float
    confidence: float
    scope: str
    evidence: str
    baseline: str | None
    outcomes: tuple[Outcome, ...]

    def of(self, result: Result) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.result == result]

    @property
    def passed(self) -> bool:
        return not self.of("fail")

    def accepting(self, rules: Collection[str]) -> Judgement:
        """The same with these rules allowed to fail."""
        accepted = [replace(outcome, result="accepted") for outcome in self.of("fail") if outcome.rule in rules]
        by_rule = {outcome.rule: outcome for outcome in (*self.outcomes, *accepted)}
        return replace(self, outcomes=tuple(by_rule.values()))

    @property
    def headline(self) -> str:
        """The verdict, in words."""
        failed, accepted = self.of("fail"), self.of("accepted")
        rules = ", ".join(outcome.rule for outcome in (failed or accepted))
        if failed:
            return f"did not pass: {rules}"
        return f"passed, with {rules} accepted" if accepted else "passed"

    def as_json(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "project": self.project,
            "target": self.target,
            "confidence": self.confidence,
            "scope": self.scope,
            "evidence": self.evidence,
            "baseline": self.baseline,
            "rules": [
                {
                    "rule": outcome.rule,
                    "asks": RULES[outcome.rule],
                    "outcome": outcome.result,
                    "sentence": plain(outcome.sentence),
                    "details": [plain(line) for line in outcome.details],
                }
                for outcome in self.outcomes
            ],
        }


def tame(text: str) -> str:
    """Text of a file as part of a sentence: quoted where it holds more than letters, digits and plain signs."""
    return text if re.fullmatch(r"[\w%+.,:;/()=^\[\]' -]+", text) else Code(text)


def judged(rule: str, holds: bool, sentence: Words, details: Iterable[Words] = ()) -> Outcome:
    return Outcome(rule, "pass" if holds else "fail", sentence, tuple(details))


def not_asked(rule: str, *why: str) -> Outcome:
    return Outcome(rule, "not asked", why)
