"""The results file: one JSON line for each system, data set, n and seed. What it holds is not run again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Record = dict[str, Any]

# What was run; everything else in a record is what came of it.
KEY = ("system", "data", "digest", "n", "seed", "targets", "delta", "settings")


def key(record: Record) -> str:
    return json.dumps([record[name] for name in KEY], sort_keys=True)


def read(path: Path) -> list[Record]:
    """All records. A line that a stop cut off is no record."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def latest(path: Path) -> list[Record]:
    """One record for each key, the last of them."""
    return list({key(record): record for record in read(path)}.values())


def append(path: Path, records: Iterable[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # what a stop cut off ends here
                file.write(b"\n")
        for record in records:
            file.write(json.dumps(record).encode("ascii") + b"\n")
