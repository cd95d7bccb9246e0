"""`validity`: how often the certificate is wrong, over many splits of real data."""

from __future__ import annotations

import itertools
from pathlib import Path

import click

from benchmarks import study, summary, tables
from benchmarks.commands import options
from benchmarks.study import Row, Study

DEFAULT_ROWS = ("banking77:500", "banking77:1000", "banking77:2000", "banking77-gpt:800", "banking77-gpt:1500")
BATCH = 10  # splits in a process: a stop costs at most so many for each worker
SYSTEMS = {
    ("holdout", "handled"): "tracer",
    ("crossfit", "handled"): "tracer-crossfit",
    ("holdout", "overall"): "tracer-overall",
    ("crossfit", "overall"): "tracer-crossfit-overall",
}


@click.command("validity")
@options.add(options.data_folder, *options.trace_options)
@click.option(
    "--row",
    "rows",
    metavar="DATA:N",
    multiple=True,
    help=f"A public set and a size; repeatable. [default: {', '.join(DEFAULT_ROWS)}]",
)
@click.option(
    "--target",
    "targets",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    multiple=True,
    default=(0.85, 0.90, 0.95),
    show_default=True,
    help="Parity target; repeatable.",
)
@click.option("--splits", type=click.IntRange(1), default=200, show_default=True, help="Random splits for each row.")
@click.option(
    "--evidence",
    type=click.Choice(["holdout", "crossfit"]),
    multiple=True,
    default=("holdout", "crossfit"),
    show_default=True,
    help="Kind of evidence; repeatable.",
)
@click.option(
    "--scope",
    type=click.Choice(["handled", "overall"]),
    multiple=True,
    default=("handled", "overall"),
    show_default=True,
    help="Scope of the targets; repeatable.",
)
@options.add(*options.study_options, options.cache_folder)
def command(
    data: Path | None,
    traces: Path | None,
    vector_file: Path | None,
    sizes: tuple[int, ...],
    rows: tuple[str, ...],
    targets: tuple[float, ...],
    splits: int,
    evidence: tuple[str, ...],
    scope: tuple[str, ...],
    first_seed: int,
    delta: float,
    zoo: str | None,
    jobs: int,
    results: Path,
    cache: Path,
) -> None:
    """The share of random splits in which the certified policy's parity on the future is below the target.

    Exits 1 when a row exceeds delta + 2 sqrt(delta (1 - delta) / splits). The parity on the future is an estimate
    too: the column "beyond 2 s.e." counts the splits whose shortfall is more than two of its standard errors.
    """
    chosen: list[Row] = []
    drawn = tuple(sorted(set(targets)))
    if rows or options.wants_public(traces):
        pairs = [options.row_of(text) for text in rows or DEFAULT_ROWS]
        sets = options.prepared([name for name, _ in pairs], data, cache)
        chosen += [Row(sets[name], n, drawn, splits) for name, n in pairs]
    if traces is not None:
        found = options.prepared_traces(traces, vector_file, sizes, cache)
        chosen += [Row(found, n, drawn, splits) for n in dict.fromkeys(sizes)]
    systems = [SYSTEMS[pair] for pair in itertools.product(dict.fromkeys(evidence), dict.fromkeys(scope))]
    done, failed = study.run(
        Study(chosen, systems, delta, first_seed, {"zoo": options.zoo_of(zoo), "deploy": "middle"}, batch=BATCH),
        results,
        jobs,
    )
    summaries = summary.summarise(done)
    click.echo(tables.validity_table(summaries))
    if failed:
        raise click.ClickException(f"{failed} of the processes failed; the table is of the others")
    wrong = sum(not s.valid for s in summaries)
    if wrong:
        raise click.ClickException(f"{wrong} of {len(summaries)} rows exceed the limit")
