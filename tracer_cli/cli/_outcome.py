"""Showing a manifest and, with --check, turning its verdict into the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from tracer_cli.errors import GuardFailedError


def show(manifest: dict[str, Any], as_json: bool, check: bool, notes: Sequence[str] = ()) -> None:
    """Print the summary (or the manifest as JSON); raise GuardFailedError if `check` and the guard did not pass."""
    if as_json:
        import json

        click.echo(json.dumps(manifest, indent=2, ensure_ascii=False))
    else:
        from tracer_cli.cli._summary import console, summary

        summary(manifest, console())
    for note in notes:
        click.echo(f"note: {note}", err=True)
    if check and not manifest["verdict"]["deploy"]:
        raise GuardFailedError(f"the parity guard did not pass: {manifest['verdict']['reason']}")
