"""`speed`: how long fitting and routing take."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

from benchmarks import data, generate, isolated, shapes, tables, vectors
from benchmarks.commands import options
from benchmarks.commands.peer_env import peer_option, peer_skip_option, version_of
from benchmarks.data import DataSet

TARGETS = (0.85, 0.90, 0.95, 0.98)
VECTOR_PARTS = {
    "Router.predict": "router_ms",
    "await Router.apredict": "async_ms",
    "bare onnxruntime session": "session_ms",
}
TEXT_PARTS = {
    "embedding alone": "embed_ms",
    "Router.predict of its vector": "policy_ms",
    "Router.predict": "whole_ms",
    "await Router.apredict": "async_ms",
}
threads_option = click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads, and CPUs that may be used."
)
zoo_option = click.option(
    "--zoo", metavar="JSON", help="tracer's `zoo` section as JSON. [default: the package's default zoo]"
)


@click.group()
def speed() -> None:
    """How long fitting and routing take, and what they hold in memory."""


@speed.command()
@options.data_folder
@click.option("--generated", is_flag=True, help="Generated rows instead of Banking77.")
@click.option("--rows", type=click.IntRange(1), default=8000, show_default=True, help="Traces.")
@click.option("--rounds", type=click.IntRange(1), default=2, show_default=True, help="Fits of each, in turn.")
@threads_option
@zoo_option
@peer_option
@peer_skip_option()
@options.cache_folder
def fit(
    data: Path | None,
    generated: bool,
    rows: int,
    rounds: int,
    threads: int,
    zoo: str | None,
    peer: Path | None,
    peer_skip: tuple[str, ...],
    cache: Path,
) -> None:
    """From vectors to policy: tracer and the peer in turn, and the seconds of each of tracer's stages.

    Four targets (0.85, 0.90, 0.95, 0.98) and both default zoos; 384 dimensions, 77 labels. tracer: the whole of
    `fit`, files and report included. The peer: `fit_frontier` alone. Start of the interpreter and imports do not count.
    """
    prepared = vectors.prepare(_generated(rows) if generated else _public(data), cache)
    arguments: dict[str, Any] = {
        "data": str(prepared.path),
        "n": rows,
        "seed": 0,
        "targets": TARGETS,
        "delta": 0.1,
        "settings": {"zoo": options.zoo_of(zoo)},
    }
    systems = {"tracer": "benchmarks.speed.fit:run_tracer"}
    if peer is not None:
        arguments["settings"] |= {"peer": str(peer.absolute()), "peer_skip": [name for name in peer_skip if name]}
        systems[f"tracer-llm {version_of(peer)}"] = "benchmarks.speed.fit:run_peer"
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in systems}
    cpus = isolated.cpu_sets(1, threads)[0]
    for _, (name, function) in itertools.product(range(rounds), systems.items()):
        found[name].append(isolated.call(function, arguments, threads, cpus))
        click.echo(f"{name}: {found[name][-1]['seconds']:.1f} s", err=True)
    click.echo(_fit_table(found, prepared.name, rows, threads))
    click.echo()
    click.echo(_stage_table(found["tracer"]))


@speed.command()
@click.option(
    "--rows",
    type=click.IntRange(1),
    default=11_765,
    show_default=True,
    help="Generated traces; with the default, about 10,000 are fitted on and become reference rows.",
)
@click.option("--queries", type=click.IntRange(1), default=4000, show_default=True, help="Vectors routed one by one.")
@click.option("--batch", type=click.IntRange(1), default=10_000, show_default=True, help="Rows of the batch.")
@click.option("--rounds", type=click.IntRange(1), default=4, show_default=True, help="Rounds, all things in turn.")
@click.option("--texts/--no-texts", default=True, help="Also texts with tf-idf, on as many generated traces.")
@zoo_option
def route(rows: int, queries: int, batch: int, rounds: int, texts: bool, zoo: str | None) -> None:
    """One vector, a batch and one text through the router, on one thread, beside the bare session and products."""
    arguments = {"rows": rows, "queries": queries, "batch": batch, "rounds": rounds, "texts": texts}
    arguments["zoo"] = options.zoo_of(zoo)
    found = isolated.call("benchmarks.speed.route:run", arguments, cpus=isolated.cpu_sets(1)[0])
    click.echo(_route_table("one vector", found, VECTOR_PARTS))
    click.echo()
    many = [
        (name, f"{found[key]:.3f}", f"{found[key] / found['products_seconds']:.2f}")
        for name, key in (("Router.predict_batch", "batch_seconds"), ("bare float32 products", "products_seconds"))
    ]
    click.echo(tables.markdown((f"batch of {batch:,} rows", "s (median)", "times the products"), many))
    if texts:
        what = (
            f"one text of {found['texts']['characters']:.0f} characters, tf-idf of {found['texts']['dim']} dimensions"
        )
        click.echo()
        click.echo(_route_table(what, found["texts"], TEXT_PARTS))


@speed.command()
@click.option(
    "--rows",
    "sizes",
    type=click.IntRange(1),
    multiple=True,
    default=(20_000, 200_000),
    show_default=True,
    help="Generated traces; repeatable.",
)
@threads_option
@zoo_option
def scale(sizes: tuple[int, ...], threads: int, zoo: str | None) -> None:
    """Seconds and peak memory of a fit as the traces grow, each size in a process of its own."""
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="tracer-bench-") as name:
            traces, matrix = generate.write(Path(name), size)
            arguments = {"traces": str(traces), "vectors": str(matrix), "zoo": options.zoo_of(zoo)}
            cpus = isolated.cpu_sets(1, threads)[0]
            found = isolated.call("benchmarks.speed.scale:run", arguments, threads, cpus)
        click.echo(f"{size:,} rows: {found['seconds']:.1f} s", err=True)
        per_thousand = 1000 * found["seconds"] / size
        rows.append((f"{size:,}", f"{found['seconds']:.1f}", f"{per_thousand:.2f}", f"{found['peak_mb']:.0f}"))
    click.echo(tables.markdown(("rows", "fit s", "s per 1,000 rows", "peak MB"), rows))


@speed.command()
@click.option(
    "--rows",
    "sizes",
    type=click.IntRange(10),
    multiple=True,
    default=(100_000, 1_000_000),
    show_default=True,
    help="Generated traces of about 1 KB each; repeatable.",
)
@click.option(
    "--preset",
    "presets",
    type=click.Choice(list(shapes.SHAPES)),
    multiple=True,
    default=("fields",),
    show_default=True,
    help="Shape of the traces; repeatable.",
)
@click.option("--where", metavar="SQL", help="Condition over the rows, such as 'cost > 0.5' with --preset fields.")
@click.option("--embed/--no-embed", "embedding", default=True, help="Also embed, with the default tf-idf.")
@threads_option
def ingest(sizes: tuple[int, ...], presets: tuple[str, ...], where: str | None, embedding: bool, threads: int) -> None:
    """Seconds and peak memory of the stages ingest and embed as the traces grow, each in a process of its own."""
    rows = []
    cpus = isolated.cpu_sets(1, threads)[0]
    for preset, size in itertools.product(presets, sizes):
        with tempfile.TemporaryDirectory(prefix="tracer-bench-") as project:
            source = shapes.write(Path(project), size, preset)
            arguments = {"project": project, "source": source | ({"where": where} if where else {})}
            for stage in ("ingest", "embed") if embedding else ("ingest",):
                found = isolated.call(f"benchmarks.speed.ingest:run_{stage}", arguments, threads, cpus)
                click.echo(f"{preset}, {size:,} rows: {stage} {found['seconds']:.1f} s", err=True)
                cells = (f"{found['mb']:,.0f}", f"{found['seconds']:.1f}", f"{size / found['seconds']:,.0f}")
                rows.append((stage, preset, f"{size:,}", *cells, f"{found['peak_mb']:,.0f}"))
    header = ("stage", "preset", "rows", "MB read or written", "s", "rows/s", "peak MB")
    click.echo(tables.markdown(header, rows))


@speed.command()
@click.option("--rows", type=click.IntRange(1), default=5000, show_default=True, help="Generated traces.")
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True, help="Calls of each, in turn.")
def plan(rows: int, rounds: int) -> None:
    """`tracer plan` beside `dvc status`, which it calls, with nothing edited and with edits."""
    found = isolated.call("benchmarks.speed.plan:run", {"rows": rows, "rounds": rounds})
    cells = [
        (
            edited,
            f"{(status := times['dvc status']):.2f}",
            f"{(ours := times['tracer plan']):.2f}",
            f"{ours - status:+.2f}",
        )
        for edited, times in found.items()
    ]
    click.echo(tables.markdown(("edited", "dvc status s (median)", "tracer plan s (median)", "difference s"), cells))


def _public(folder: Path | None) -> DataSet:
    return data.public("banking77", folder)


def _generated(rows: int) -> DataSet:
    """`rows` traces, and some more for a future."""
    parts = list(generate.blocks(rows + 100))
    return DataSet(
        "generated",
        [text for part in parts for text in part.texts],
        [label for part in parts for label in part.teacher],
        np.concatenate([part.vectors for part in parts]),
    )


def _route_table(what: str, found: dict[str, Any], parts: dict[str, str]) -> str:
    rows = [(name, f"{found[key]['p50']:.3f}", f"{found[key]['p99']:.3f}") for name, key in parts.items()]
    head = f"{found['reference_rows']:,} reference rows, surrogate {found['surrogate']}, one thread"
    return f"{head}\n\n{tables.markdown((what, 'p50 ms', 'p99 ms'), rows)}"


def _fit_table(found: dict[str, list[dict[str, Any]]], name: str, rows: int, threads: int) -> str:
    ours = median(fit["seconds"] for fit in found["tracer"])
    return tables.markdown(
        ("data", "rows", "threads", "system", "fits", "fit s (median)", "times tracer's", "peak MB"),
        [
            (
                name,
                f"{rows:,}",
                str(threads),
                system,
                str(len(fits)),
                f"{(seconds := median(fit['seconds'] for fit in fits)):.1f}",
                f"{seconds / ours:.1f}",
                f"{max(fit['peak_mb'] for fit in fits):.0f}",
            )
            for system, fits in found.items()
        ],
    )


def _stage_table(fits: list[dict[str, Any]]) -> str:
    names = fits[0]["stages"]
    return tables.markdown(
        ("part of tracer's fit", "s (median)"),
        [(name, f"{median(fit['stages'][name] for fit in fits):.2f}") for name in names],
    )
