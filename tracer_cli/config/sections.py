"""What the keys of one source of traces, or of the embedder, must satisfy together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from tracer_cli.config.literal import Wrong, not_literal
from tracer_cli.config.paths import WILDCARDS
from tracer_cli.config.schema import (
    CallableEmbedder,
    EndpointEmbedder,
    ModelEmbedder,
    Pull,
    RegexParse,
    SentenceTransformersEmbedder,
    TraceSource,
)

DATABASES = ("postgresql", "postgres", "sqlite")
_SECRET = re.compile(r"authorization|cookie|api-?_?key|token|secret|password|passwd|credential", re.IGNORECASE)
_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)  # Python 3.11 takes more than 3.10
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


# --- traces ---------------------------------------------------------------------------------------


def source_problems(source: TraceSource) -> Iterator[Wrong]:
    """The path of the key below the source, and what to say about it."""
    if source.preset == "openai-batch" and source.results is None:
        yield Wrong(
            ("preset",), "found openai-batch without `results`; expected the batch output file there, or a glob"
        )
    if source.preset != "openai-batch" and source.results is not None:
        yield Wrong(("results",), f"goes with preset: openai-batch, and the preset is {source.preset}; take it out")
    if source.preset == "fields" and source.turns != "single":
        yield Wrong(
            ("turns",), "goes with the presets whose records hold messages, and the preset is fields; take it out"
        )
    if source.text_pattern is not None:
        yield from _pattern(("text_pattern",), source.text_pattern)
    if isinstance(source.parse, RegexParse):
        yield from _pattern(("parse", "pattern"), source.parse.pattern)
    yield from _window(source)
    if source.pull is not None:
        for wrong in _pull(source.pull, source.path):
            yield wrong._replace(at=("pull", *wrong.at))


def _pattern(at: tuple[str, ...], pattern: str) -> Iterator[Wrong]:
    try:
        re.compile(pattern)
    except re.error as error:
        yield Wrong(at, f"{pattern!r} is no regular expression: {error}")


def _window(source: TraceSource) -> Iterator[Wrong]:
    times: dict[str, datetime] = {}
    for name in ("since", "until"):
        value = getattr(source, name)
        if value is None:
            continue
        try:
            if not _DATE.match(value):
                raise ValueError
            time = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", value))
        except ValueError:
            yield Wrong(
                (name,),
                f"found {value!r}; expected a date or a time such as 2026-01-31 or 2026-01-31T12:00:00Z: a refit must "
                "not depend on the day on which it runs",
            )
            continue
        times[name] = time if time.tzinfo else datetime.fromisoformat(f"{time.isoformat()}+00:00")
        if source.timestamp is None and source.preset == "fields":
            yield Wrong((name,), "needs `timestamp`, the name of the field that holds the time of each trace")
    if len(times) == 2 and times["since"] >= times["until"]:
        yield Wrong(
            ("until",), f"found {source.until!r}, which is not after since: {source.since}; no trace could count"
        )


def _pull(pull: Pull, path: str) -> Iterator[Wrong]:
    folder, _, pattern = path.rpartition("/")
    is_folder = bool(folder) and not any(mark in folder for mark in WILDCARDS) and "*" in pattern
    if not is_folder:
        yield Wrong(
            (),
            f"each pull adds a file, so `path` must name all files of a folder of their own; expected a path such as "
            f"data/traces/tickets/*.parquet, found {path!r}",
        )
    if pull.source_env is not None:
        if not _VARIABLE_NAME.fullmatch(pull.source_env):
            yield Wrong(
                ("source_env",),
                "is no name of an environment variable; expected the name, such as TICKETS_URL, not the URL itself",
                secret=True,
            )
        return
    assert pull.source is not None
    problem = not_literal(pull.source, "name the variable with `source_env` instead")
    if problem:
        yield Wrong(("source",), problem)
        return
    url = _url(pull.source)
    if url is None or not url.scheme:
        yield Wrong(
            ("source",),
            f"{pull.source!r} is no URL; expected one such as postgresql://host/database or s3://bucket/*.jsonl",
        )
        return
    if _credentials(url):
        yield Wrong(
            ("source",),
            "holds credentials, and tracer.yaml is read by everybody who reads the repository; take them out and set "
            "PGUSER and PGPASSWORD, or put the whole URL into an environment variable and name it with `source_env`",
            secret=True,
        )
    database = url.scheme in DATABASES
    if database and pull.query is None:
        yield Wrong(("source",), "is a database; expected a `query` beside it, whose rows are the traces")
    if not database:
        for key in ("query", "cursor"):
            if getattr(pull, key) is not None:
                yield Wrong((key,), f"goes with a database, and the source is {url.scheme}://; take it out")
    if database and is_folder and PurePosixPath(pattern).suffix != ".parquet":
        yield Wrong(
            (), f"rows of a database are kept as Parquet; expected a path such as {folder}/*.parquet, found {path!r}"
        )


# --- embedder -------------------------------------------------------------------------------------


def embedder_problems(embedder: Any) -> Iterator[Wrong]:
    """The path of the key below the embedder, and what to say about it."""
    if isinstance(embedder, SentenceTransformersEmbedder):
        problem = not_literal(embedder.model)
        if problem:
            yield Wrong(("model",), problem)
    if isinstance(embedder, EndpointEmbedder):
        yield from _endpoint(embedder)
    if isinstance(embedder, CallableEmbedder) and not _FUNCTION.fullmatch(embedder.function):
        yield Wrong(("function",), f"found {embedder.function!r}; expected package.module:function")
    if isinstance(embedder, ModelEmbedder) and embedder.text_features is not None and not embedder.normalize:
        yield Wrong(
            ("normalize",),
            "found false, but text_features are measured against vectors of length 1; expected true, or no "
            "text_features",
        )


def _endpoint(embedder: EndpointEmbedder) -> Iterator[Wrong]:
    problem = not_literal(embedder.url)
    url = _url(embedder.url)
    if problem:
        yield Wrong(("url",), problem)
    elif url is None or url.scheme not in ("http", "https") or not url.hostname:
        yield Wrong(
            ("url",), f"found {embedder.url!r}; expected an address such as https://api.openai.com/v1/embeddings"
        )
    elif _credentials(url):
        yield Wrong(
            ("url",),
            "holds credentials, and tracer.yaml is read by everybody who reads the repository; put the key into an "
            "environment variable and name it with `key_env`",
            secret=True,
        )
    for name, value in embedder.headers.items():
        if _SECRET.search(name):
            yield Wrong(
                ("headers", name),
                "looks like a secret; put it into an environment variable, name that with `key_env` and the header "
                "with `key_header`",
                secret=True,
            )
        elif problem := not_literal(value, "only the key comes from the environment: `key_env`"):
            yield Wrong(("headers", name), problem)
    if embedder.key_env is not None and not _VARIABLE_NAME.fullmatch(embedder.key_env):
        yield Wrong(
            ("key_env",),
            "is no name of an environment variable; expected the name, such as OPENAI_API_KEY, not the key itself",
            secret=True,
        )


# --- URLs -----------------------------------------------------------------------------------------


def _url(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
        if url.scheme in ("http", "https"):
            _ = url.port  # one that is no number is found only when it is asked for; libpq takes several hosts
    except ValueError:
        return None
    return url


def _credentials(url: SplitResult) -> bool:
    """Whether the URL holds a password, or a key among its parameters; a user alone is none."""
    return url.password is not None or any(_SECRET.search(name) for name, _ in parse_qsl(url.query))
