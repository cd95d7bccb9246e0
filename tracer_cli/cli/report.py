"""`tracer report`: the summary of a policy."""

from __future__ import annotations

from pathlib import Path

import click

from tracer_cli.cli._options import as_json, policy_folder


@click.command()
@policy_folder
@as_json
def command(policy: Path, as_json: bool) -> None:
    """Print the summary of a policy: verdict, every target, and the labels.

    POLICY is the policy's folder; default: .tracer.

    \b
    Examples:
      tracer report
      tracer report --json         # the manifest
    """
    from tracer_cli.cli._outcome import show

    show(policy, as_json, check=False, labels=True)
