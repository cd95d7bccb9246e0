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
    from tracer_cli.artifacts import read_json
    from tracer_cli.cli._outcome import show
    from tracer_cli.cli._summary import console, labels_table
    from tracer_cli.runtime.policy_folder import read_manifest

    show(read_manifest(policy), as_json, check=False)
    qualitative = policy / "qualitative_report.json"
    if not as_json and qualitative.is_file():
        click.echo()
        console().print(labels_table(read_json(qualitative)["labels"], most=1000))
