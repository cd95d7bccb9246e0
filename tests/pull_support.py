"""What the tests of `tracer pull` share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracer_cli.config.schema import Pull
from tracer_cli.traces.pull.pull import Pulled, pull
from tracer_cli.traces.pull.source import PullSource

PATH = "data/traces/*.parquet"
VARIABLE = "TICKETS_URL"


def source(root: Path, path: str = PATH, **keys: Any) -> PullSource:
    """The first source of a project, with these keys of `pull`."""
    return PullSource(0, path, root, Pull(**keys))


def pulled(root: Path, url: str, query: str, cursor: str | None = None, **environment: str) -> Pulled:
    """One pull with the URL in the environment."""
    return pull(source(root, source_env=VARIABLE, query=query, cursor=cursor), {VARIABLE: url, **environment})


def table(root: Path, done: Pulled) -> pa.Table:
    """What the one new part holds."""
    (part,) = done.new
    return pq.read_table(root / part.path)


def rows(root: Path, done: Pulled) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table(root, done).to_pylist()
    return found


def parts(root: Path) -> dict[str, bytes]:
    folder = root / "data" / "traces"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.is_dir() else {}


def told(error: BaseException | str, secrets: Mapping[str, str] | list[str]) -> str:
    """The message, when no secret stands in it."""
    text = str(error)
    for secret in secrets:
        assert secret not in text
    return text
