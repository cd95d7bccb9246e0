"""Showing a policy's manifest and, with --check, turning its verdict into the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tracer_cli.errors import GuardFailedError


def show(policy: Path, as_json: bool, check: bool, notes: Sequence[str] = (), labels: bool = False) -> None:
    """Print the summary (or the manifest as JSON), with `labels` the table of labels too; raise GuardFailedError if
    `check` and the guard did not pass."""
    from tracer_cli.runtime.policy_folder import read_manifest

    manifest = read_manifest(policy)
    if as_json:
        import json

        click.echo(json.dumps(manifest, indent=2, ensure_ascii=False))
    else:
        _print(manifest, policy, labels)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    if check and not manifest["verdict"]["deploy"]:
        raise GuardFailedError(f"the parity guard did not pass: {manifest['verdict']['reason']}")


def _print(manifest: dict[str, Any], policy: Path, labels: bool) -> None:
    from tracer_cli.cli._summary import console, labels_table, summary

    qualitative = _qualitative(policy)
    summary(manifest, console(), qualitative)
    if labels and qualitative is not None:
        click.echo()
        console().print(labels_table(qualitative, most=1000))


def _qualitative(policy: Path) -> dict[str, Any] | None:
    """The qualitative report, if it is of this manifest: the report stage writes it after the guard."""
    from tracer_cli.artifacts import read_json, sha256_file

    path = policy / "qualitative_report.json"
    if not path.is_file():
        return None
    report: dict[str, Any] = read_json(path)
    if report.get("manifest") != sha256_file(policy / "manifest.json"):
        click.echo(f"note: {path} is of another fit and is not shown: run `dvc repro`", err=True)
        return None
    return report
