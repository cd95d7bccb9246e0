"""`python -m benchmarks`."""

from __future__ import annotations

import click

from benchmarks.commands import compare, flywheel, peer_env, table, validity
from benchmarks.commands.speed import speed


@click.group(context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]})
def main() -> None:
    """Compare tracer with its peers, check its guarantee, and time it."""


for command in (peer_env.command, compare.command, validity.command, flywheel.command, table.command, speed):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
