"""What the shell offers for an argument that only the project knows. A project that cannot be read offers nothing."""

from __future__ import annotations

from pathlib import Path

import click


def keys(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The keys of tracer.yaml that begin as typed."""
    from tracer_cli.cli._explain import explainer
    from tracer_cli.errors import TracerError

    try:
        return [name for name in explainer(_folder(context)).names() if name.startswith(incomplete)]
    except TracerError:
        return []


def models(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The short names of the zoo."""
    from tracer_cli.config.load import FILE_NAME, load_config
    from tracer_cli.errors import TracerError

    try:
        return [slug for slug in load_config(_folder(context) / FILE_NAME).slugs() if slug.startswith(incomplete)]
    except TracerError:
        return []


def _folder(context: click.Context) -> Path:
    return Path(context.params.get("folder") or ".")
