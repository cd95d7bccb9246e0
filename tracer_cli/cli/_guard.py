"""What `tracer guard` judges and shows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracer_cli.errors import GuardFailedError

if TYPE_CHECKING:
    from tracer_cli.review.guard.outcome import Judgement

STYLES = {"pass": "green", "fail": "bold red", "accepted": "yellow", "not asked": "dim"}
DETAILS = 12


@dataclass(frozen=True)
class Asked:
    """The options of a check, named as they are on the command line."""

    recompute: bool
    committed: bool
    baseline: str | None
    accept: tuple[str, ...]
    junit: Path | None
    markdown: Path | None

    @property
    def of_project(self) -> list[str]:
        """Those given that need a project."""
        values = {"--recompute": self.recompute, "--committed": self.committed, "--baseline": self.baseline}
        return [name for name, value in values.items() if value]


def guard(policy: Path | None, folder: Path, check: bool, as_json: bool, asked: Asked) -> None:
    """Show the verdict on a policy or, with `check`, judge it; raise GuardFailedError when a rule fails."""
    is_project = (folder / "tracer.yaml").is_file() and (policy is None or bool(asked.of_project))
    _require_sense(check, is_project, policy, folder, asked)
    if check and is_project:
        from tracer_cli.review.guard.rules import judge

        judgement = judge(folder, asked.baseline, asked.recompute, asked.committed).accepting(asked.accept)
        _show(judgement, as_json)
        _conclude(judgement, asked)
        return
    from tracer_cli.cli._outcome import show

    place = policy or (_policy_of(folder) if is_project else folder / ".tracer")
    show(place, as_json, check=False)
    if check:
        from tracer_cli.review.guard.rules import judge_policy

        _conclude(judge_policy(place).accepting(asked.accept), asked)


def _require_sense(check: bool, is_project: bool, policy: Path | None, folder: Path, asked: Asked) -> None:
    files = {"--junit": asked.junit, "--markdown": asked.markdown}
    given = [*asked.of_project, *(name for name, value in files.items() if value)]
    if given and not check:
        raise click.UsageError(f"{given[0]} goes with --check")
    if not asked.of_project:
        return
    source = folder / "tracer.yaml"
    if not is_project:
        raise click.UsageError(f"{given[0]} judges a project, and {source} does not exist: name its folder with --dir")
    if policy is not None and policy.resolve() != _policy_of(folder).resolve():
        raise click.UsageError(
            f"{given[0]} judges a project, and {policy} is not the policy of {source}: leave POLICY out"
        )


def _policy_of(folder: Path) -> Path:
    from tracer_cli.config.load import load_config
    from tracer_cli.stages import layout_of

    return layout_of(load_config(folder / "tracer.yaml"), folder).policy


def _conclude(judgement: Judgement, asked: Asked) -> None:
    """Write the files that were asked for, then raise what failed."""
    if asked.junit:
        from tracer_cli.review.guard.junit import junit_xml

        _write(asked.junit, junit_xml(judgement))
    if asked.markdown:
        from tracer_cli.review.guard.summary_markdown import summary_markdown

        _write(asked.markdown, summary_markdown(judgement))
    if not judgement.passed:
        raise GuardFailedError(_failure(judgement))


def _failure(judgement: Judgement) -> str:
    from tracer_cli.review.sentences import plain

    lines = [
        plain(outcome.sentence if outcome.rule == "certificate" else (f"{outcome.rule}: ", *outcome.sentence))
        for outcome in judgement.of("fail")
    ]
    return "the parity guard did not pass: " + "\n  ".join(lines)


def _write(path: Path, text: str) -> None:
    from tracer_cli.artifacts import storage_errors, write_text

    if path.is_symlink() or (path.exists() and not path.is_file()):  # such as /dev/stdout: no file to put another over
        with storage_errors(path):
            path.write_text(text, encoding="utf-8")
    else:
        write_text(path, text)


def _show(judgement: Judgement, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(judgement.as_json(), indent=2, ensure_ascii=False))
        return
    from rich.table import Table
    from rich.text import Text

    from tracer_cli.cli._summary import console
    from tracer_cli.review.sentences import Code, Words, plain, visible

    out = console()
    compared: Words = (", compared with ", Code(judgement.baseline)) if judgement.baseline else ()
    settings = (
        f"target {judgement.target:g} at confidence {judgement.confidence:g}, scope {judgement.scope}, "
        f"evidence {judgement.evidence}"
    )
    out.print(Text(f"{visible(judgement.project)}: {settings}{plain(compared)}\n"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for outcome in judgement.outcomes:
        sentence = Text(plain(outcome.sentence), style="dim" if outcome.result == "not asked" else "")
        table.add_row(Text(outcome.result, style=STYLES[outcome.result]), outcome.rule, sentence)
    out.print(table)
    for outcome in (*judgement.of("fail"), *judgement.of("accepted")):
        if outcome.details:
            out.print(Text(f"\n{outcome.rule}", style="bold"))
            for line in outcome.details[:DETAILS]:
                out.print(Text(f"  {plain(line)}"))
            if more := outcome.details[DETAILS:]:
                out.print(Text(f"  and {len(more):,} more: --json and --markdown show them"))
    out.print(Text(f"\nGUARD {judgement.headline}", style="bold green" if judgement.passed else "bold red"))
