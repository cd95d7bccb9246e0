"""`tracer diff`: what a refit changed, on one page."""

from __future__ import annotations

from pathlib import Path

import click

from tracer_cli.cli._options import as_json, project_folder


@click.command()
@click.argument("revision", default="HEAD", metavar="[REV]")
@click.argument("other", required=False, metavar="[OTHER]")
@project_folder
@click.option("--md", "as_markdown", is_flag=True, help="Print Markdown, for a pull request or a job summary.")
@as_json
def command(revision: str, other: str | None, folder: Path, as_markdown: bool, as_json: bool) -> None:
    """Show on one page what a refit changed against a git revision.

    REV is a commit, branch or tag, by default HEAD; it is compared with the refit in the working tree, or with the one
    that the revision OTHER holds. Read from what git keeps of a refit (params.yaml, metrics/, plots/, dvc.lock), so no
    artifact is fetched. The page leads with the certificate and what deserves attention, and lists what changed; a
    change of a share is said to be within or beyond noise.

    \b
    Examples:
      tracer diff                  # the last commit -> the working tree
      tracer diff origin/main --md # for a pull request's comment
      tracer diff v1 v2 --json     # two revisions
    """
    from tracer_cli.cli._diff import compare, show

    if as_markdown and as_json:
        raise click.UsageError("--md and --json exclude each other")
    show(compare(folder, revision, other), as_markdown, as_json)
