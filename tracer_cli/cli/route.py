"""`tracer route`: answer texts from the command line, or a stream of JSON lines."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--policy",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".tracer"),
    show_default=True,
    help="Folder of the policy.",
)
@click.option("--target", type=float, help="A certified target other than the deployed one.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Lines answered at once; 1 to answer each line as it comes.",
)
@click.option(
    "--callable",
    "function",
    metavar="PACKAGE.MODULE:FUNCTION",
    help="Function of a policy whose embedder is a callable, found from the current folder: only what you name runs.",
)
def command(texts: tuple[str, ...], policy: Path, target: float | None, batch_size: int, function: str | None) -> None:
    """Route texts with a certified policy.

    Without TEXT, reads JSON lines from stdin: a string, or an object with the text in `text` (or `input`, `query`,
    `prompt`, `question`) or the vector in `embedding`. Writes one JSON line for each: the object's `id` if it has
    one, and `label`, `decision`, `accept_score`, `target`, `stage`, `distance`. A line that cannot be routed gives
    `error` instead, and exit 2 at the end.

    \b
    Examples:
      tracer route "Where is my order?"
      tracer route < requests.jsonl > answers.jsonl
      tracer route --callable vectors:embed "Where is my order?"
    """
    import json
    import sys

    from tracer_cli.embedders import load_callable
    from tracer_cli.errors import DataError
    from tracer_cli.runtime.lines import route_lines
    from tracer_cli.runtime.router import load_router

    embedder = None if function is None else load_callable(policy / "embedder", function)
    router = load_router(policy, embedder, target)
    if texts:
        for text in texts:
            click.echo(json.dumps(router.predict(text), ensure_ascii=False))
        return
    failed = 0
    for answer in route_lines(router, sys.stdin.buffer, batch_size):
        click.echo(json.dumps(answer, ensure_ascii=False))
        failed += "error" in answer
    if failed:
        raise DataError(f"{failed} lines could not be routed: see their `error` fields")
