"""A judgement as Markdown, for the summary of a CI job or a comment on a pull request."""

from __future__ import annotations

from tracer_cli.review.guard.outcome import Judgement, Outcome
from tracer_cli.review.markdown import code, escape, table, text
from tracer_cli.review.sentences import Code, Words

_SIGNS = {"pass": "✅", "fail": "❌", "accepted": "⚠️", "not asked": "➖"}
# A comment may hold 65,536 characters, and a reader's patience fewer.
MOST_DETAILS = 40


def summary_markdown(judgement: Judgement) -> str:
    """Headline, a table of the rules that were asked, and what is behind each that failed."""
    compared: Words = (", compared with ", Code(judgement.baseline)) if judgement.baseline else ()
    asked = [outcome for outcome in judgement.outcomes if outcome.result != "not asked"]
    lines = [
        f"## {_SIGNS['pass' if judgement.passed else 'fail']} Guard {judgement.headline}",
        "",
        f"{code(judgement.project)}: target {judgement.target:g} at confidence {judgement.confidence:g}, scope "
        f"{escape(judgement.scope)}, evidence {escape(judgement.evidence)}{text(compared)}.",
        "",
        *table(["", "rule", "finding"], ["---", "---", "---"], [_row(outcome) for outcome in asked]),
    ]
    for outcome in asked:
        if outcome.result != "pass" and outcome.details:
            lines += _details(outcome)
    if failed := judgement.of("fail"):
        lines += [
            "",
            "Where a rule fails on purpose, somebody who may decide so accepts it by name: "
            f"`tracer guard --check --accept {failed[0].rule}`, or `TRACER_GUARD_ACCEPT={failed[0].rule}` in the job.",
        ]
    if skipped := judgement.of("not asked"):
        names = ", ".join(code(outcome.rule) for outcome in skipped)
        shown = [f"- {code(outcome.rule)}: {text(outcome.sentence)}" for outcome in skipped]
        lines += ["", *_folded(f"Not asked: {names}", shown)]
    return "\n".join(lines) + "\n"


def _row(outcome: Outcome) -> list[str]:
    return [f"{_SIGNS[outcome.result]} {outcome.result}", code(outcome.rule), text(outcome.sentence)]


def _details(outcome: Outcome) -> list[str]:
    shown = [f"- {text(line)}" for line in outcome.details[:MOST_DETAILS]]
    if more := outcome.details[MOST_DETAILS:]:
        shown.append(f"- and {len(more):,} more")
    return ["", *_folded(f"{outcome.rule} in detail", shown)]


def _folded(summary: str, lines: list[str]) -> list[str]:
    """Behind a click. Inside `<summary>` there is HTML, not Markdown."""
    return [f"<details><summary>{summary.replace('`', '')}</summary>", "", *lines, "", "</details>"]
