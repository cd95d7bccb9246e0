"""A plan for the terminal."""

from __future__ import annotations

import json

import click
from rich.table import Table
from rich.text import Text

from tracer_cli.cli._summary import console, printable
from tracer_cli.review.plan.plan import (
    FROZEN,
    MAY_RUN,
    NOT_REACHED,
    RESTORED,
    RUNS,
    STOPS,
    UNCHANGED,
    CompileFirst,
    Plan,
    Step,
)

REASONS = 4  # shown of each stage
PLACES = 3

_STYLES = {RUNS: "bold", MAY_RUN: "yellow", RESTORED: "green", STOPS: "bold red", FROZEN: "cyan", NOT_REACHED: "dim"}


def show(plan: Plan, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(plan.data(), indent=2, ensure_ascii=False))
        return
    out = console()
    if plan.compile_first is not None:
        out.print(Text(_compile(plan.compile_first)))
        out.print()
    changed = [step for step in plan.steps if step.outcome != UNCHANGED]
    if changed:
        out.print(_table(changed))
    unchanged = [step.stage for step in plan.those(UNCHANGED)]
    if changed and unchanged:
        out.print(Text(printable(f"unchanged: {', '.join(unchanged)}")))
    out.print(Text(("\n" if changed else "") + _total(plan)))


def _compile(first: CompileFirst) -> str:
    more = f" and {len(first.places) - PLACES} more" if len(first.places) > PLACES else ""
    places = printable(", ".join(first.places[:PLACES])) + more
    return (
        f"Run `tracer compile` first: {' and '.join(first.stale)} {'is' if len(first.stale) == 1 else 'are'} stale "
        f"({places}). Without it, {first.without}; with it, `dvc repro` would do this:"
    )


def _table(steps: list[Step]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("stage")
    table.add_column("dvc repro")
    table.add_column("because", overflow="fold")
    table.add_column("last took", justify="right")
    for step in steps:
        seconds = "" if step.seconds is None else f"{step.seconds:.1f} s"
        outcome = Text(step.outcome, style=_STYLES[step.outcome])
        table.add_row(Text(printable(step.stage)), outcome, Text("\n".join(_reasons(step))), seconds)
    return table


def _reasons(step: Step) -> list[str]:
    lines = ["\n".join(printable(line) for line in reason.text.splitlines()) for reason in step.reasons]
    if len(lines) > REASONS:
        lines[REASONS - 1 :] = [f"and {len(lines) - REASONS + 1} more"]
    above = printable(" or ".join(step.after))
    if step.outcome == RESTORED:
        lines.append("DVC's run cache has the result")
    elif step.outcome == FROZEN:
        lines += [f"what {above} may write"] if above else []
        lines = [f"passes over: {line}" for line in lines] or ["nothing changed"]
    elif step.outcome == MAY_RUN and lines:
        lines.append("unless DVC has the result" + (f": the outputs of {above} decide" if above else ""))
    elif step.outcome == MAY_RUN:
        lines.append(f"if the outputs of {above} change")
    return lines


def _total(plan: Plan) -> str:
    counts = [(len(plan.those(outcome)), outcome) for outcome in (*_STYLES, UNCHANGED)]
    counted = ", ".join(f"{count} {_plural(outcome, count)}" for count, outcome in counts if count)
    start = "" if plan.those(RUNS, MAY_RUN, RESTORED, STOPS) else "Nothing to run. "
    stages = f"{len(plan.steps)} stage{'s' if len(plan.steps) > 1 else ''}"
    return f"{start}{stages}: {counted}{_estimate(plan)}"


def _plural(outcome: str, count: int) -> str:
    return {RUNS: "run", STOPS: "stop"}.get(outcome, outcome) if count > 1 else outcome


def _estimate(plan: Plan) -> str:
    least, most = plan.seconds(RUNS), plan.seconds(RUNS, MAY_RUN)
    if not most:
        return ""
    text = f"; about {_seconds(least)}" if least else ""
    if most > least:
        text += f"{', ' if least else '; '}at most {_seconds(most)}"
    unknown = f", without {', '.join(plan.untimed)}" if plan.untimed else ""
    return f"{text} by the last runs on this machine{printable(unknown)}"


def _seconds(value: float) -> str:
    if value < 100:
        return f"{value:.0f} s" if value >= 1 else "1 s"
    return f"{value / 60:.0f} min" if value < 6000 else f"{value / 3600:.1f} h"
