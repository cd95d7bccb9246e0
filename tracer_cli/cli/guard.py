"""`tracer guard`: the verdict of the parity guard, as text or as an exit code."""

from __future__ import annotations

from pathlib import Path

import click

from tracer_cli.cli._options import as_json, policy_folder


@click.command()
@policy_folder
@click.option("--check", is_flag=True, help="Exit 3 when the guard did not pass: for CI jobs.")
@as_json
def command(policy: Path, check: bool, as_json: bool) -> None:
    """Show the verdict that the guard stage reached on a policy.

    POLICY is the policy's folder; default: .tracer.

    \b
    Examples:
      tracer guard
      tracer guard --check         # in CI: exit 3 when the policy must not be deployed
    """
    from tracer_cli.cli._outcome import show

    show(policy, as_json, check)
