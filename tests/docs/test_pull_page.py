"""docs/pull.md: its declarations and commands, run against a real PostgreSQL, SQLite and a store."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
import yaml

from postgres_server import Database, Server
from support import REPOSITORY, DvcProject, environment, example_traces, files_of
from tracer_cli.traces.pull.postgres_types import KEPT

PAGE = (REPOSITORY / "docs" / "pull.md").read_text(encoding="utf-8")
TRACES = example_traces(400)


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def block(heading: str, language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", section(heading), re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def database(postgres: Server) -> Database:
    """What the page calls support, on another host; user and password are those of the page."""
    database = postgres.database()
    database.run("drop role if exists reader; create role reader login password 'pa/ss w0rd'")
    database.run(
        "create table llm_calls (id serial, model text, question text, answer text, created_at timestamptz);"
        "grant select on llm_calls to reader; grant usage on schema public to reader"
    )
    add(database, 0, 300)
    return database


def add(database: Database, first: int, last: int) -> None:
    def row(number: int, trace: dict[str, str]) -> str:
        texts = (text.replace("'", "''") for text in ("gpt-4o", trace["input"], trace["teacher"]))
        return (
            f"({', '.join(f'{chr(39)}{text}{chr(39)}' for text in texts)}, now() - interval '{9999 - number} minutes')"
        )

    values = ", ".join(row(number, TRACES[number]) for number in range(first, last))
    database.run(f"insert into llm_calls (model, question, answer, created_at) values {values}")


def at(database: Database | None, text: str) -> str:
    return text if database is None else text.replace("db.example.com", f"127.0.0.1:{database.server.port}")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    shell = environment(tmp_path / "home")
    (tmp_path / "home" / ".secrets").mkdir()
    (tmp_path / "home" / ".secrets" / "support").write_text("pa/ss w0rd\n")
    (tmp_path / "project").mkdir()
    return shell


def run(script: str, root: Path, shell: dict[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-e", "-c", script], cwd=root, env=shell, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_postgresql(database: Database, home: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "tracer.yaml").write_text(at(database, block("PostgreSQL", "yaml")))
    script = block("PostgreSQL", "sh")
    assert script.endswith("tracer pull\ndvc repro\n")
    script = script.replace("dvc repro", "tracer compile && tracer run resolve && tracer run ingest")
    assert "300 new rows" in run(script, root, home)
    metrics = json.loads((root / "metrics" / "traces.json").read_text())
    assert (metrics["rows_read"], metrics["rows_rejected"]) == (300, 0)
    add(database, 300, 310)
    database.run("insert into llm_calls values (9999, 'gpt-4o', 'too young', 'a', now())")
    assert "10 new rows, 11 rows read" in run(script, root, home)


def test_sqlite(home: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "logs").mkdir()
    calls = sqlite3.connect(root / "logs" / "calls.db")
    with calls:
        calls.execute("create table calls (prompt, completion)")
        calls.executemany("insert into calls values (?, ?)", [(t["input"], t["teacher"]) for t in TRACES])
    calls.close()
    (root / "tracer.yaml").write_text(block("SQLite", "yaml"))
    assert "400 new rows" in run(block("SQLite", "sh"), root, home)
    assert "nothing new" in run(block("SQLite", "sh"), root, home)


def test_an_object_store(home: dict[str, str], tmp_path: Path) -> None:
    """The page's own, with a folder in place of the bucket."""
    for day in ("2026-01-01", "2026-01-02", "2025-12-31"):
        path = tmp_path / "observability" / "exports" / day / "a.jsonl.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress(json.dumps({"input": day, "teacher": "a"}).encode()))
    text = block("S3 and other object stores", "yaml")
    assert "s3://observability" in text
    (tmp_path / "project" / "tracer.yaml").write_text(text.replace("s3:/", f"file://{tmp_path}"))
    told = run(block("S3 and other object stores", "sh"), tmp_path / "project", home)
    assert "2 new objects" in told


def test_credentials(database: Database, home: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "tracer.yaml").write_text(block("Credentials", "yaml"))
    database.run("alter role reader password 'plain'")
    (tmp_path / "home" / ".secrets" / "support").write_text("plain\n")
    assert "300 new rows" in run(at(database, block("Credentials", "sh")), root, home)


@pytest.mark.dvc
def test_with_dvc_and_in_ci(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    project = DvcProject(folder, tmp_path / "home")
    settings = at(database, block("PostgreSQL", "yaml"))
    (folder / "tracer.yaml").write_text(f"{settings}embedder: {{kind: tfidf, dim: 8}}\n")
    project.tracer("compile")
    project.dvc("remote", "add", "-q", "-d", "storage", str(tmp_path / "storage"))
    project.environment |= {"PGUSER": "reader", "PGPASSWORD": "pa/ss w0rd"}
    project.tracer("pull")
    run(block("With DVC", "sh"), folder, project.environment)
    project.commit()
    files = files_of(folder / "data" / "traces" / "tickets")
    add(database, 300, 320)

    (job,) = yaml.safe_load(block("In CI", "yaml"))["jobs"].values()
    steps = [step["run"] for step in job["steps"] if "run" in step]
    assert steps.pop(0) == "pip install 'tracer-cli[databases]'"
    assert [step.get("env", {}).get("PGUSER") for step in job["steps"]].count("reader") == 1
    project.git("clone", "-q", str(folder), str(tmp_path / "runner"))
    for step in steps:
        # The other stages have nothing to do with it, and take their time.
        run(step.replace("dvc repro", "dvc repro ingest"), tmp_path / "runner", project.environment)
    after = files_of(tmp_path / "runner" / "data" / "traces" / "tickets")
    assert files.items() < after.items()
    assert json.loads((tmp_path / "runner" / "metrics" / "traces.json").read_text())["rows_read"] == 320
    shutil.rmtree(tmp_path / "runner" / "data" / "traces" / "tickets")
    shutil.rmtree(tmp_path / "runner" / ".dvc" / "cache")
    subprocess.run(
        ["dvc", "pull", "-q", "data/traces/tickets.dvc"], cwd=tmp_path / "runner", env=project.environment, check=True
    )
    assert files_of(tmp_path / "runner" / "data" / "traces" / "tickets") == after


def test_the_table_of_types_names_those_that_are_kept() -> None:
    names = {"int2": "smallint", "int8": "bigint", "float4": "real", "float8": "double precision", "bool": "boolean"}
    table = section("Types of PostgreSQL")
    for name in KEPT.keys() - {"int4", "bpchar", "name"}:
        assert names.get(name, name) in table


def test_every_block_of_the_page_is_run() -> None:
    headings = {part.split("\n")[0] for part in PAGE.split("\n## ")[1:] if "```" in part}
    here = Path(__file__).read_text(encoding="utf-8")
    assert headings == set(re.findall(r'block\("([^"]+)", "\w+"\)', here))
