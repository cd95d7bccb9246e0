"""Judgements to show: every result, and labels that would like to be markup."""

from __future__ import annotations

from tracer_cli.review.guard.outcome import RULES, Judgement, Outcome, judged, not_asked
from tracer_cli.review.sentences import Code, Name

EVIL = "a|b\n<script>alert(1)</script> @everyone #1 [x](http://evil.example) `\x1b[31m\x00\ufffe"


def example(*outcomes: Outcome, project: str = "support") -> Judgement:
    return Judgement(project, 0.95, 0.95, "handled", "holdout", "main (abc1234)", outcomes)


def every_result() -> Judgement:
    lost = [Name("refund"), Name(EVIL)]
    return example(
        judged("certificate", True, ("parity among handled inputs is at least 0.95",)),
        judged("coverage", False, ("3.0 % of the evidence is handled, at least 5.0 % is required",)),
        judged(
            "labels-lost",
            False,
            ("2 of 28 labels are lost: ", lost[0], ", ", lost[1]),
            [(name, ": now no text to learn from has it") for name in lost],
        ),
        judged("loosened", False, ("weaker: ", Code("targets.agreement"), " 0.95 -> 0.9 (tracer.yaml:8)")),
        not_asked("recomputed", "it needs --recompute"),
    ).accepting(["loosened"])


def of_label(label: str, failing: bool = True) -> Judgement:
    sentence = ("lost: ", Name(label))
    return example(
        *(judged(rule, not failing, sentence, [(Name(label), " it is"), (Code(label),)]) for rule in RULES),
        project=label,
    )
