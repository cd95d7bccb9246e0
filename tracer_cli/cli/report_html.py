"""`tracer report-html`: open the audit report."""

from __future__ import annotations

from pathlib import Path

import click

from tracer_cli.cli._options import policy_folder


@click.command()
@policy_folder
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Copy the report to this file, and show that."
)
@click.option("--no-open", is_flag=True, help="Print the report's path; open no browser.")
def command(policy: Path, output: Path | None, no_open: bool) -> None:
    """Open the HTML audit report of a policy in the browser.

    POLICY is the policy's folder; default: .tracer. The page is self-contained: it can be mailed or archived.

    \b
    Examples:
      tracer report-html
      tracer report-html --output report.html --no-open
    """
    from tracer_cli.artifacts import read_bytes, write_bytes
    from tracer_cli.errors import PolicyError

    path = policy / "report.html"
    if not path.is_file():
        raise PolicyError(f"{path} does not exist: run `dvc repro` or `tracer fit`")
    if output is not None:
        write_bytes(output, read_bytes(path))
        path = output
    click.echo(str(path))
    if not no_open:
        click.launch(path.resolve().as_uri())
