"""`compare`: tracer, its peers and a plain threshold on the same splits, one table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from benchmarks import study, summary, tables
from benchmarks.commands import options
from benchmarks.commands.peer_env import peer_option, peer_skip_option, version_of
from benchmarks.study import Row, Study
from benchmarks.systems import SYSTEMS
from benchmarks.vectors import Prepared

DEFAULT_SYSTEMS = ("tracer", "tracer-crossfit", "tracer-overall", "peer", "mapie", "mapie-ordered", "threshold")
# Each with its targets and splits.
DEFAULT_ROWS = {
    ("banking77", 2000): ((0.90, 0.95, 0.98), 20),
    ("banking77", 8000): ((0.95, 0.98), 5),
    ("banking77-gpt", 3000): ((0.85, 0.90, 0.95), 20),
}
OTHER_ROWS = ((0.85, 0.90, 0.95), 20)


@click.command("compare")
@options.add(options.data_folder, *options.trace_options)
@click.option(
    "--row",
    "rows",
    metavar="DATA:N",
    multiple=True,
    help="A public set and a size, as in banking77:2000; repeatable. [default: "
    + ", ".join(f"{name}:{n}" for name, n in DEFAULT_ROWS)
    + "]",
)
@click.option(
    "--target",
    "targets",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    multiple=True,
    help="Parity target; repeatable. [default: those of the row; 0.85, 0.90, 0.95 for others]",
)
@click.option("--splits", type=click.IntRange(1), help="Random splits for each row. [default: 20; 5 for n = 8000]")
@click.option(
    "--system",
    "systems",
    type=click.Choice(list(SYSTEMS)),
    multiple=True,
    help=f"What to run; repeatable. [default: {', '.join(DEFAULT_SYSTEMS)}]",
)
@peer_option
@peer_skip_option("gbt")
@options.add(*options.study_options, options.cache_folder)
def command(
    data: Path | None,
    traces: Path | None,
    vector_file: Path | None,
    sizes: tuple[int, ...],
    rows: tuple[str, ...],
    targets: tuple[float, ...],
    splits: int | None,
    systems: tuple[str, ...],
    peer: Path | None,
    peer_skip: tuple[str, ...],
    first_seed: int,
    delta: float,
    zoo: str | None,
    jobs: int,
    results: Path,
    cache: Path,
) -> None:
    """Coverage, parity, violations, seconds and memory of each system, on the same random splits.

    Of each data set n random texts are the traces that a system is given; all others are the future, which only
    scores it. README.md beside this package says what exactly is compared.

    \b
    Examples:
      python -m benchmarks peer-env ~/peer
      python -m benchmarks compare --data DIR --peer ~/peer/bin/python --results compare.jsonl
      python -m benchmarks compare --traces traces.jsonl --n 2000 --target 0.95 --results mine.jsonl
    """
    settings: dict[str, Any] = {
        "zoo": options.zoo_of(zoo),
        "deploy": "each",
        "peer_skip": [name for name in peer_skip if name],
    }
    wanted = list(dict.fromkeys(systems or DEFAULT_SYSTEMS))
    if peer is not None:
        settings |= {"peer": str(peer.absolute()), "peer_version": version_of(peer)}
    elif "peer" in wanted:
        if systems:
            raise click.UsageError("--system peer needs --peer")
        wanted.remove("peer")
        click.echo("tracer-llm is left out: --peer names no interpreter that has it", err=True)
    chosen = _public_rows(rows, data, cache, targets, splits) if rows or options.wants_public(traces) else []
    if traces is not None:
        found = options.prepared_traces(traces, vector_file, sizes, cache)
        chosen += [_row(found, n, targets, splits, OTHER_ROWS) for n in dict.fromkeys(sizes)]
    done, failed = study.run(Study(chosen, wanted, delta, first_seed, settings), results, jobs)
    click.echo(tables.compare_table(summary.summarise(done)))
    if failed:
        raise click.ClickException(f"{failed} of the processes failed; the table is of the others")


def _public_rows(
    rows: tuple[str, ...], data: Path | None, cache: Path, targets: tuple[float, ...], splits: int | None
) -> list[Row]:
    pairs = [options.row_of(text) for text in rows] or list(DEFAULT_ROWS)
    sets = options.prepared([name for name, _ in pairs], data, cache)
    return [_row(sets[name], n, targets, splits, DEFAULT_ROWS.get((name, n), OTHER_ROWS)) for name, n in pairs]


def _row(
    data: Prepared,
    n: int,
    targets: tuple[float, ...],
    splits: int | None,
    default: tuple[tuple[float, ...], int],
) -> Row:
    return Row(data, n, tuple(sorted(set(targets or default[0]))), splits or default[1])
