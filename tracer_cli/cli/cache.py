"""`tracer cache`: the vectors and exported models that this machine keeps for later fits."""

from __future__ import annotations

import click

from tracer_cli.cli._options import as_json


@click.group()
def command() -> None:
    """Show or clear the embedding cache.

    Vectors of models that are not fitted here are kept outside the project, so that a refit embeds new texts only; so
    are models that were exported to ONNX or OpenVINO. The folder is that of TRACER_CACHE_DIR, or the user's cache
    folder. Losing it costs time and nothing else.

    \b
    Examples:
      tracer cache info
      tracer cache clear --unused-for 90
    """


@command.command()
@as_json
def info(as_json: bool) -> None:
    """Show what the cache holds.

    For each embedder: its model, address or function, the dimension, how many texts, how large, and when it was last
    used.

    \b
    Examples:
      tracer cache info
      tracer cache info --json
    """
    from tracer_cli.cli._cache import show
    from tracer_cli.embedders.cache import cache_folder
    from tracer_cli.embedders.cache_contents import contents

    folder = cache_folder()
    show(folder, contents(folder), as_json)


@command.command()
@click.option(
    "--embedder",
    "prefix",
    metavar="PREFIX",
    help="Only what belongs to embedders whose kind, model, address, function or fingerprint begins so.",
)
@click.option(
    "--unused-for", "days", type=click.FloatRange(min=0), metavar="DAYS", help="Only what was not used for so long."
)
@as_json
def clear(prefix: str | None, days: float | None, as_json: bool) -> None:
    """Delete what the cache holds.

    Without options all of it. Another process may be using the cache: it embeds again what it does not find.

    \b
    Examples:
      tracer cache clear
      tracer cache clear --unused-for 90
      tracer cache clear --embedder sentence-transformers
      tracer cache clear --embedder https://api.example.com/
    """
    from tracer_cli.cli._cache import show_cleared
    from tracer_cli.embedders.cache import cache_folder
    from tracer_cli.embedders.cache_contents import contents, remove, selected

    folder = cache_folder()
    show_cleared(folder, *remove(selected(contents(folder), prefix, days)), as_json)
