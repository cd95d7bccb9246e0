"""`tracer guard`: the verdict of the parity guard; with --check, every rule that a refit must keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tracer_cli.cli._options import as_json, project_folder
from tracer_cli.review.guard.outcome import RULES

file = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("policy", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.option("--check", is_flag=True, help="Judge the rules; exit 3 when one fails: for CI jobs.")
@click.option("--recompute", is_flag=True, help="Compute the verdict again from the artifacts, and compare.")
@click.option("--committed", is_flag=True, help="Ask that git holds what `dvc repro` just made.")
@click.option("--baseline", metavar="REV", help="Git revision to compare with; default: rules.baseline.")
@click.option(
    "--accept",
    type=click.Choice(list(RULES)),
    metavar="RULE",
    multiple=True,
    envvar="TRACER_GUARD_ACCEPT",
    help="Let this rule fail; several times, or by name in TRACER_GUARD_ACCEPT.",
)
@click.option("--junit", type=file, metavar="FILE", help="Write the outcomes as JUnit XML.")
@click.option("--markdown", type=file, metavar="FILE", help="Write them as Markdown, for a summary or a comment.")
@project_folder
@as_json
def command(policy: Path | None, folder: Path, check: bool, as_json: bool, **asked: Any) -> None:
    """Show the verdict that the guard stage reached, or judge whether a refit may go live.

    POLICY is a policy's folder; default: the one of the project in the current folder. With --check a project is
    judged by its rules (`rules` in tracer.yaml), and a POLICY by its certificate alone. The rules are certificate,
    coverage, coverage-drop, labels-lost, holdout, noise, loosened, compiled, committed and recomputed.

    Exit code 0: every rule holds, or is accepted. 3: one fails. 2: they cannot be judged.

    \b
    Examples:
      tracer guard
      tracer guard --check --baseline origin/main
      tracer guard --check --recompute --committed --junit guard.xml --markdown guard.md
      tracer guard --check --baseline origin/main --accept loosened
    """
    from tracer_cli.cli._guard import Asked, guard

    guard(policy, folder, check, as_json, Asked(**asked))
