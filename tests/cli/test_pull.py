"""`tracer pull` as a program: what it prints, its exit codes, and that it gives nothing away."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from postgres_server import OWNER, PASSWORD, Server
from support import REPOSITORY, files_of, tracer

SOURCE = """\
  - path: data/{name}/*.parquet
    pull:
      source: {url}
      query: {query}
"""


def settings(root: Path, *sources: str) -> None:
    (root / "tracer.yaml").write_text("traces:\n" + "".join(sources), encoding="utf-8")


def calls(root: Path, rows: int = 3) -> str:
    database = sqlite3.connect(root / "calls.db")
    with database:
        database.execute("create table if not exists calls (id integer primary key, input, teacher)")
        database.executemany("insert into calls (input, teacher) values (?, ?)", [("text", "a")] * rows)
    database.close()
    return "sqlite:///calls.db"


def source(name: str, url: str, query: str = "select * from calls") -> str:
    return SOURCE.format(name=name, url=url, query=query)


def test_what_is_new_and_then_nothing(tmp_path: Path) -> None:
    settings(tmp_path, source("a", calls(tmp_path)), "  - path: data/own/*.jsonl\n")
    done = tracer("pull", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (name,) = (path.name for path in (tmp_path / "data" / "a").iterdir())
    size = (tmp_path / "data" / "a" / name).stat().st_size
    assert done.stdout == (
        "traces[0] data/a/*.parquet from sqlite:///calls.db: 3 new rows, 3 rows read\n"
        f"  data/a/{name}: 3 rows, {size:,} bytes\n"
        "next: dvc repro\n"
    )
    done = tracer("pull", cwd=tmp_path)
    assert done.stdout == "traces[0] data/a/*.parquet from sqlite:///calls.db: nothing new, 3 rows read\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_json(tmp_path: Path) -> None:
    settings(tmp_path, source("a", calls(tmp_path)))
    (tmp_path / "elsewhere").mkdir()
    done = tracer("pull", "--json", "--dir", tmp_path, cwd=tmp_path / "elsewhere")
    (told,) = json.loads(done.stdout)["sources"]
    (part,) = told.pop("parts")
    assert told == {
        "index": 0,
        "path": "data/a/*.parquet",
        "source": "sqlite:///calls.db",
        "unit": "rows",
        "read": 3,
        "new_rows": 3,
        "gone": [],
        "empty": [],
        "tracked": None,
    }
    assert part == {"path": part["path"], "rows": 3, "bytes": (tmp_path / part["path"]).stat().st_size}
    (again,) = json.loads(tracer("pull", "--json", cwd=tmp_path).stdout)["sources"]
    assert (again["parts"], again["new_rows"], again["read"]) == ([], 0, 3)


@pytest.mark.parametrize("wanted", ["1", "data/b/*.parquet"])
def test_one_source_by_index_or_path(tmp_path: Path, wanted: str) -> None:
    url = calls(tmp_path)
    settings(tmp_path, source("a", url), source("b", url))
    assert tracer("pull", wanted, cwd=tmp_path).stdout.startswith("traces[1] data/b/*.parquet")
    assert not (tmp_path / "data" / "a").exists()


def test_what_came_before_an_error_stays_and_was_told(tmp_path: Path) -> None:
    url = calls(tmp_path)
    settings(tmp_path, source("a", url), source("b", url, "select * from nope"), source("c", url))
    done = tracer("pull", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout.startswith("traces[0] data/a/*.parquet from sqlite:///calls.db: 3 new rows")
    assert "error: traces[1].pull: sqlite:///calls.db: the query fails" in done.stderr and "nope" in done.stderr
    assert len(list((tmp_path / "data" / "a").iterdir())) == 1 and not (tmp_path / "data" / "c").exists()


@pytest.mark.parametrize(
    ("sources", "arguments", "message"),
    [
        (["  - path: data/a.jsonl\n"], (), "no source has `pull`: there is nothing to pull"),
        (
            [source("a", "sqlite:///x.db")],
            ("1",),
            "no source '1' with `pull`; expected the index or the path of one: 0 (data/a/",
        ),
        (
            [source("a", "sqlite:///x.db")] * 2,
            (),
            "traces[1].pull: traces[0].pull fills data/a already; give each a folder",
        ),
        ([source("a", "sqlite:///x.db")], (), "no such file: x.db"),
    ],
)
def test_what_cannot_be_pulled_is_exit_2_and_a_sentence(
    tmp_path: Path, sources: list[str], arguments: tuple[str, ...], message: str
) -> None:
    settings(tmp_path, *sources)
    done = tracer("pull", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert done.stdout == ""


def test_objects_that_are_gone_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.jsonl").write_text('{"input": "a"}\n')
    (tmp_path / "store" / "b.jsonl").write_text("")
    text = f"  - path: data/a/*.jsonl\n    pull: {{source: 'file://{tmp_path}/store/*.jsonl'}}\n"
    settings(tmp_path, text)
    done = tracer("pull", cwd=tmp_path)
    assert "1 new object, 2 objects read" in done.stdout and "without content, left out:" in done.stdout
    (tmp_path / "store" / "a.jsonl").write_text('{"input": "a"}\n{"input": "b"}\n')
    done = tracer("pull", cwd=tmp_path)
    assert done.returncode == 0
    assert re.search(r"warning: data/a/part-\w+\.jsonl: no object of the source \(any more\); kept", done.stderr)


# --- credentials ----------------------------------------------------------------------------------


def test_a_bug_does_not_write_credentials_to_its_log(tmp_path: Path) -> None:
    """The log of an unexpected error holds every message of the traceback."""
    (tmp_path / "adbc_driver_postgresql").mkdir()
    (tmp_path / "adbc_driver_postgresql" / "__init__.py").write_text("")
    (tmp_path / "adbc_driver_postgresql" / "dbapi.py").write_text(
        "def connect(url):\n    try:\n        raise KeyError(url)\n    except KeyError as error:\n"
        "        raise RuntimeError('what is this? ' + url) from error\n"
    )
    settings(tmp_path, "  - path: data/a/*.parquet\n    pull: {source_env: TICKETS, query: select 1}\n")
    done = subprocess.run(
        [sys.executable, "-m", "tracer_cli", "pull"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}",
            "TICKETS": "postgresql://ann:hunter22@h/db",
        },
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 1
    log = Path(re.search(r"traceback is in (\S+);", done.stderr)[1])  # type: ignore[index]
    text = log.read_text() + done.stderr + done.stdout
    log.unlink()
    assert "what is this?" in text and "hunter22" not in text and "ann" not in text.replace("cannot", "")


def test_nothing_shows_the_password_while_it_runs_or_afterwards(postgres: Server, tmp_path: Path) -> None:
    database = postgres.database()
    query = "select x as id, pg_sleep(0.3)::text as input from generate_series(1, 3) x"
    settings(tmp_path, f"  - path: data/a/*.parquet\n    pull: {{source_env: TICKETS, query: '{query}'}}\n")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TICKETS": database.url()}
    command = [sys.executable, "-m", "tracer_cli", "pull"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    seen = ""
    while process.poll() is None:
        if postgres.sessions():
            seen = "".join(_command_lines())
        time.sleep(0.1)
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "tracer_cli" in seen and OWNER in seen, "the test looks at the client and at the server's session"
    for text in (seen, out, errors, *map(repr, files_of(tmp_path).values())):
        assert PASSWORD not in text and "w0rd" not in text


def _command_lines() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # the process has ended
            continue
    return found
