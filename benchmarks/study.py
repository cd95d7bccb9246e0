"""Many splits, some at a time, each in a process of its own; results are kept as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import click

from benchmarks import isolated, records
from benchmarks.records import Record
from benchmarks.systems import SYSTEMS, settings_of
from benchmarks.vectors import Prepared


@dataclass(frozen=True)
class Row:
    """One size of one data set: `splits` random splits with n traces each."""

    data: Prepared
    n: int
    targets: tuple[float, ...]
    splits: int


@dataclass(frozen=True)
class Study:
    """systems: names; settings: what the command line says for them; delta: 1 - confidence of the certificates.

    batch: so many splits share a process, and with it the seconds of its imports; peak memory is then that of all.
    """

    rows: Sequence[Row]
    systems: Sequence[str]
    delta: float = 0.1
    first_seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    batch: int = 1

    def wanted(self) -> Iterator[tuple[Row, Record]]:
        """Every result that the study needs, without what comes of it; of each row split by split."""
        for row in self.rows:
            for seed in range(self.first_seed, self.first_seed + row.splits):
                for system in self.systems:
                    yield (
                        row,
                        {
                            "system": system,
                            "data": row.data.name,
                            "digest": row.data.digest,
                            "n": row.n,
                            "seed": seed,
                            "targets": list(row.targets),
                            "delta": self.delta,
                            "settings": settings_of(system, self.settings),
                        },
                    )


@dataclass(frozen=True)
class Job:
    """Systems that share a fit, on one split. settings: of the study."""

    row: Row
    settings: dict[str, Any]
    keys: list[Record] = field(default_factory=list)

    def arguments(self) -> dict[str, Any]:
        first = self.keys[0]
        return {
            **{name: first[name] for name in ("n", "seed", "targets", "delta")},
            "data": str(self.row.data.path),
            "systems": list(self.systems),
            "settings": self.settings,
        }

    @property
    def systems(self) -> tuple[str, ...]:
        return tuple(key["system"] for key in self.keys)

    def __str__(self) -> str:
        first = self.keys[0]
        return f"{first['data']} n={first['n']} seed={first['seed']} {', '.join(self.systems)}"


def jobs(study: Study, done: set[str]) -> list[Job]:
    """What is still to run."""
    grouped: dict[tuple[Any, ...], Job] = {}
    for row, key in study.wanted():
        if records.key(key) not in done:
            process = (row.data.digest, row.n, row.targets, key["seed"], SYSTEMS[key["system"]].process)
            grouped.setdefault(process, Job(row, study.settings)).keys.append(key)
    return list(grouped.values())


@dataclass(frozen=True)
class Batch:
    """Jobs that share a process, one after the other."""

    jobs: list[Job]

    def run(self, cpus: Sequence[int]) -> list[Record]:
        arguments = {"splits": [job.arguments() for job in self.jobs]}
        results = isolated.call("benchmarks.work:run", arguments, cpus=cpus)
        return [key | found[key["system"]] for job, found in zip(self.jobs, results, strict=True) for key in job.keys]

    def __str__(self) -> str:
        more = f" and {len(self.jobs) - 1} more splits" if len(self.jobs) > 1 else ""
        return f"{self.jobs[0]}{more}"


def batches(study: Study, todo: list[Job]) -> list[Batch]:
    """The jobs in their order, `study.batch` to a process; the systems of a process are the same in each split."""
    together: dict[tuple[Any, ...], list[Job]] = {}
    for job in todo:
        together.setdefault((job.row.data.digest, job.row.n, job.row.targets, job.systems), []).append(job)
    cut = [jobs[i : i + study.batch] for jobs in together.values() for i in range(0, len(jobs), study.batch)]
    return [Batch(jobs) for jobs in sorted(cut, key=lambda jobs: todo.index(jobs[0]))]


def run(study: Study, results: Path, workers: int) -> tuple[list[Record], int]:
    """Run what `results` does not hold yet. Returns the study's records, and how many processes failed."""
    for row in study.rows:
        if row.n >= row.data.rows:
            raise click.UsageError(f"{row.data.name} has {row.data.rows:,} texts: {row.n:,} traces leave no future")
    todo = batches(study, jobs(study, {records.key(record) for record in records.read(results)}))
    free: SimpleQueue[list[int]] = SimpleQueue()
    for cpus in isolated.cpu_sets(workers):
        free.put(cpus)

    def work(batch: Batch) -> list[Record]:
        cpus = free.get()
        try:
            return batch.run(cpus)
        finally:
            free.put(cpus)

    failed = 0
    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(work, batch): batch for batch in todo}
        try:
            for number, future in enumerate(as_completed(running), 1):
                try:
                    found = future.result()
                except isolated.ChildError as error:
                    failed += 1
                    click.echo(f"{number}/{len(todo)} {running[future]} FAILED\n{error}", err=True)
                    continue
                records.append(results, found)
                seconds = sum(record["seconds"] for record in found) / len(found)
                click.echo(f"{number}/{len(todo)} {running[future]} {seconds:.1f} s", err=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    kept = {records.key(key) for _, key in study.wanted()}
    return [record for record in records.latest(results) if records.key(record) in kept], failed
