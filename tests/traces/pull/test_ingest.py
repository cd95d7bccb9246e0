"""What is pulled is what ingest reads: plain columns, JSON in a column, and the shapes of presets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from postgres_server import Database, Server
from pull_support import PATH, pulled
from support import example_traces, write_jsonl
from tracer_cli.artifacts import Layout
from tracer_cli.config.schema import Config
from tracer_cli.stages import ingest

TRACES = example_traces(300)


def kept(root: Path, **keys: Any) -> set[tuple[str, str]]:
    """What ingest makes of a source: each fit text with its label."""
    layout = Layout.of_folder(root, root / "out")
    ingest.run(layout, Config.model_validate({"traces": [{"path": PATH, **keys}]}))
    assert json.loads(layout.traces_metrics.read_text())["rows_read"] == len(TRACES)
    return {(row["text"], row["label"]) for row in pq.read_table(layout.fit).to_pylist()}


@pytest.fixture
def expected(tmp_path: Path) -> set[tuple[str, str]]:
    write_jsonl(tmp_path / "plain" / "data" / "traces" / "a.jsonl", TRACES)
    return kept(tmp_path / "plain", path="data/traces/*.jsonl")


@pytest.fixture
def database(postgres: Server) -> Database:
    """One column of JSON, from which a query makes what it likes."""
    database = postgres.database()
    values = ", ".join("('" + json.dumps(trace).replace("'", "''") + "')" for trace in TRACES)
    database.run(f"create table logs (id serial, body jsonb); insert into logs (body) values {values}")
    return database


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("select body->>'input' as input, body->>'teacher' as teacher from logs", {}),
        ("select body from logs", {"text": "body.input", "label": "body.teacher"}),
        ("select body::json as body from logs", {"text": "body.input", "label": "body.teacher"}),
        (
            "select array[body->>'teacher', body->>'input'] as both from logs",
            {"text": "both[-1]", "label": "both[0]"},
        ),
        (
            "select jsonb_build_array(jsonb_build_object('role', 'user', 'content', body->'input'), "
            "jsonb_build_object('role', 'assistant', 'content', body->'teacher')) as messages from logs",
            {"preset": "openai-chat"},
        ),
        (
            "select body->>'input' as input, json_build_object('label', body->'teacher')::text as teacher, id, "
            "timestamptz '2026-01-01' + id * interval '1 second' as created_at, id::numeric(9, 1) as score from logs",
            {
                "parse": {"kind": "json"},
                "timestamp": "created_at",
                "id": "id",
                "where": "score > 0 and created_at > '2025-12-31'",
            },
        ),
    ],
    ids=["columns", "jsonb", "json", "array", "openai-chat", "json answer"],
)
def test_columns_are_read_like_files(
    database: Database, tmp_path: Path, expected: set[tuple[str, str]], query: str, keys: dict[str, Any]
) -> None:
    pulled(tmp_path, database.url(), query)
    assert kept(tmp_path, **keys) == expected
