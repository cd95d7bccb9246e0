"""`flywheel`: what a refit from a policy's own traffic covers, by which rows count as evidence."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import click

from benchmarks import flywheel, isolated
from benchmarks.commands import options
from benchmarks.flywheel import Turned
from benchmarks.vectors import Prepared

# Organic traces and requests of each.
SIZES = {"banking77": (2000, 4000), "banking77-gpt": (2000, 1000)}
OTHER_SIZES = (1000, 1000)


@click.command("flywheel")
@options.add(options.data_folder)
@click.option(
    "--set",
    "names",
    type=click.Choice(list(SIZES)),
    multiple=True,
    default=tuple(SIZES),
    show_default=True,
    help="Public set; repeatable.",
)
@options.add(*options.trace_options[:2])
@click.option("--organic", type=click.IntRange(1), help="Traces before any policy. [default: 2000; 1000 of --traces]")
@click.option(
    "--requests",
    type=click.IntRange(1),
    help="Requests through the first policy. [default: 4000; 1000 of banking77-gpt and --traces]",
)
@click.option(
    "--audit",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="Share of all requests that the teacher answers whatever the policy decides.",
)
@click.option(
    "--target", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.95, show_default=True,
    help="Parity target.",
)  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=10, show_default=True, help="Random draws of each set.")
@options.add(*options.study_options[:4], options.cache_folder)
def command(
    data: Path | None,
    names: tuple[str, ...],
    traces: Path | None,
    vector_file: Path | None,
    organic: int | None,
    requests: int | None,
    audit: float,
    target: float,
    rounds: int,
    first_seed: int,
    delta: float,
    zoo: str | None,
    jobs: int,
    cache: Path,
) -> None:
    """Coverage on untouched traffic after one turn: organic traces, a policy, its traffic, a refit.

    Four refits: on the organic traces alone; on all that was logged, as if it were a sample of the traffic; by the rule
    (organic and audited rows are evidence, deferred rows only train); and with every request labelled, which no
    flywheel has.

    \b
    Examples:
      python -m benchmarks flywheel --data DIR
      python -m benchmarks flywheel --data DIR --set banking77 --rounds 3
      python -m benchmarks flywheel --traces traces.jsonl --organic 1000 --requests 2000
    """
    chosen: list[tuple[Prepared, int, int]] = []
    if options.wants_public(traces):
        found = options.prepared(list(names), data, cache)
        chosen += [(found[name], organic or SIZES[name][0], requests or SIZES[name][1]) for name in found]
    if traces is not None:
        sizes = (organic or OTHER_SIZES[0], requests or OTHER_SIZES[1])
        chosen.append((options.prepared_traces(traces, vector_file, sizes[:1], cache), *sizes))
    for item, first, then in chosen:
        if first + then >= item.rows:
            raise click.UsageError(
                f"{item.name} has {item.rows:,} texts: {first:,} traces and {then:,} requests leave no future"
            )
    shared = {"audit": audit, "target": target, "delta": delta, "zoo": options.zoo_of(zoo)}
    seeds = range(first_seed, first_seed + rounds)
    done = [(item.name, a, b, target, _turns(item, a, b, seeds, shared, jobs)) for item, a, b in chosen]
    click.echo(flywheel.table(done))


def _turns(
    item: Prepared, organic: int, requests: int, seeds: range, shared: dict[str, Any], jobs: int
) -> list[Turned]:
    """Every round in a process of its own."""
    free: SimpleQueue[list[int]] = SimpleQueue()
    for cpus in isolated.cpu_sets(jobs):
        free.put(cpus)

    def work(seed: int) -> list[Turned]:
        arguments = {"data": str(item.path), "organic": organic, "requests": requests, "seed": seed, **shared}
        cpus = free.get()
        try:
            found = isolated.call("benchmarks.flywheel:turn", arguments, cpus=cpus)
        finally:
            free.put(cpus)
        click.echo(f"{item.name} seed={seed}: " + ", ".join(_told(Turned(**entry)) for entry in found), err=True)
        return [Turned(**entry) for entry in found]

    with ThreadPoolExecutor(jobs) as pool:
        return [turned for turns in pool.map(work, seeds) for turned in turns]


def _told(item: Turned) -> str:
    return f"{item.policy} {item.handled / item.future:.3f}"
