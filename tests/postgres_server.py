"""A real PostgreSQL server on the loopback, in a temporary folder: started by the tests that need it.

The programs are those of the package `postgresql`. The server refuses to run as root: then it is the package's own
user, postgres, that runs it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

# What a URL must write in another way, and what stands for something else in SQL, in a shell and in a pattern.
OWNER, PASSWORD = "ann.owner", "p@ss/w0rd ?'$&*(é"


def programs() -> Path | None:
    """The folder with initdb and pg_ctl, of the newest version."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@dataclass
class Database:
    """One database of the server, and its owner."""

    server: Server
    name: str

    def url(self, user: str = OWNER, password: str = PASSWORD, **parameters: str) -> str:
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
        asked = "&".join(f"{key}={quote(value, safe='')}" for key, value in parameters.items())
        return f"postgresql://{login}@127.0.0.1:{self.server.port}/{self.name}{'?' if asked else ''}{asked}"

    @property
    def place(self) -> str:
        """The URL as tracer.yaml may have it."""
        return f"postgresql://127.0.0.1:{self.server.port}/{self.name}"

    def run(self, sql: str) -> str:
        """Statements as the owner; what they print, without decoration."""
        return self.server.psql(sql, self.name)


@dataclass
class Server:
    bin: Path
    port: int

    def psql(self, sql: str, database: str) -> str:
        done = subprocess.run(
            [
                str(self.bin / "psql"),
                *f"-h 127.0.0.1 -p {self.port} -qAtX -v ON_ERROR_STOP=1 -f -".split(),
                database,
                OWNER,
            ],
            input=sql,
            env={**os.environ, "PGPASSWORD": PASSWORD},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def database(self) -> Database:
        """The one that tests use: emptied, because a new one takes a quarter of a second and 8 MB."""
        database = Database(self, "support")
        if not self.psql("select 1 from pg_database where datname = 'support'", "postgres"):
            self.psql("create database support", "postgres")
        self.psql("alter database support reset all", "postgres")
        database.run("set client_min_messages to error; drop schema public cascade; create schema public")
        return database

    def sessions(self) -> list[int]:
        """The processes that serve a `tracer pull`."""
        found = self.psql("select pid from pg_stat_activity where application_name = 'tracer'", "postgres")
        return [int(line) for line in found.split()]


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Server]:
    """A server whose programs are in `folder`; stopped and gone afterwards."""
    # Not pytest's own folder: another user cannot look into that.
    home = Path(tempfile.mkdtemp(prefix="tracer-postgres-"))
    try:
        (home / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
        if os.geteuid() == 0:
            for path in (home, home / "password"):
                shutil.chown(path, "postgres")
        _call(folder / "initdb", "-D", home / "data", "-U", OWNER, f"--pwfile={home / 'password'}")
        port = _start(folder, home)
        try:
            yield Server(folder, port)
        finally:
            _call(folder / "pg_ctl", "-D", home / "data", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _start(folder: Path, home: Path) -> int:
    for _ in range(5):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        options = f"-p {port} -h 127.0.0.1 -k {home} -c fsync=off"
        arguments = ("-D", home / "data", "-l", home / "log", "-w", "-o", options, "start")
        if _call(folder / "pg_ctl", *arguments, fails=True):
            return port
        time.sleep(0.2)  # the port was taken meanwhile
    raise AssertionError((home / "log").read_text(encoding="utf-8"))


def _call(program: Path, *arguments: str | Path, fails: bool = False) -> bool:
    command = [str(program), *map(str, arguments)]
    if program.name == "initdb":
        command += ["--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C"]
    if os.geteuid() == 0:
        command = ["runuser", "-u", "postgres", "--", *command]
    # Into files: the server keeps what it is given open, and a pipe would never end.
    done = subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    assert fails or done.returncode == 0, command
    return done.returncode == 0
