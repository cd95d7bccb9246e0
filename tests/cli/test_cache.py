"""`tracer cache`: what is kept, and that clearing takes that and nothing else."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from support import tracer
from tracer_cli.artifacts import write_json
from tracer_cli.cli.cache import command
from tracer_cli.embedders import vector_store
from tracer_cli.embedders.cache_contents import contents, selected
from tracer_cli.embedders.vector_store import Identity
from tracer_cli.errors import StorageError

DAY = 86400.0


def stored(root: Path, kind: str, texts: int, days: float = 0, **about: str) -> Path:
    identity = Identity(f"{kind}:{about}", kind, 8, about, None, lambda witness: True)
    path = root / "embeddings" / identity.file_name
    keys = [bytes([number // 256, number % 256]) * 16 for number in range(texts)]
    vector_store.write(path, identity, keys, np.ones((texts, 8), np.float32))
    os.utime(path, (time.time() - days * DAY,) * 2)
    return path


def exported(root: Path, backend: str, model: str, days: float = 0) -> Path:
    folder = root / "exports" / f"{backend}-{'0' * 32}"
    write_json(folder / "export.json", {"model": model, "fingerprint": "sentence-transformers:ab", "files": {}})
    (folder / "model").write_bytes(bytes(2_500_000))
    os.utime(folder / "export.json", (time.time() - days * DAY,) * 2)
    return folder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with three embedders and an exported model."""
    root = tmp_path / "cache"
    monkeypatch.setenv("TRACER_CACHE_DIR", str(root))
    stored(root, "sentence-transformers", 1200, model="all-MiniLM-L6-v2")
    stored(root, "endpoint", 40, days=10, url="https://api.example.com/v1/embeddings", model="small")
    stored(root, "callable", 1, days=100, function="pack.module:embed")
    exported(root, "onnx", "all-MiniLM-L6-v2", days=50)
    return root


def run(*arguments: str) -> str:
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def kinds(root: Path) -> list[str]:
    return [entry.kind or entry.what for entry in contents(root)]


def test_info_shows_each_embedder_and_the_total(root: Path) -> None:
    lines = run("info").splitlines()
    assert lines[0] == str(root)
    assert [" ".join(line.split()[:3]) for line in lines[2:6]] == [
        "sentence-transformers all-MiniLM-L6-v2 8",
        "endpoint small, https://api.example.com/v1/embeddings",
        "callable pack.module:embed 8",
        "exported to onnx:",
    ]
    assert "1,200" in lines[2] and "2.5 MB" in lines[5] and lines[6].startswith("1,241 texts, ")


def test_info_as_json(root: Path) -> None:
    said = json.loads(run("info", "--json"))
    files = [path for path in root.rglob("*") if path.is_file()]
    assert (said["folder"], said["texts"], said["bytes"]) == (str(root), 1241, sum(p.stat().st_size for p in files))
    first, second, third, export = said["entries"]
    assert (first["what"], first["kind"], first["dim"], first["texts"]) == (
        "embeddings",
        "sentence-transformers",
        8,
        1200,
    )
    assert (second["url"], second["model"]) == ("https://api.example.com/v1/embeddings", "small")
    assert (third["function"], third["model"], third["problem"]) == ("pack.module:embed", None, None)
    assert (export["what"], export["kind"], export["model"]) == ("export", "onnx", "all-MiniLM-L6-v2")
    assert second["last_used"].startswith(time.strftime("%Y-%m-%d", time.gmtime(time.time() - 10 * DAY)))


def test_an_empty_cache_and_none_are_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACER_CACHE_DIR", str(tmp_path / "none"))
    assert run("info") == f"{tmp_path / 'none'}\nempty\n"
    assert json.loads(run("info", "--json"))["entries"] == []
    assert run("clear") == f"nothing to delete in {tmp_path / 'none'}\n"
    assert not (tmp_path / "none").exists()


def test_the_folder_is_the_users_cache_folder_unless_one_is_named(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "xdg"), "TRACER_CACHE_DIR": ""}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        folder = tracer("cache", "info", cwd=tmp_path).stdout.splitlines()[0]
        patch.setenv("TRACER_CACHE_DIR", "~/mine")
        assert tracer("cache", "info", cwd=tmp_path).stdout == f"{tmp_path}/mine\nempty\n"
    assert folder.startswith(str(tmp_path)) and "tracer" in folder


def test_clear_deletes_all_and_says_what(root: Path) -> None:
    said = run("clear").splitlines()
    assert len(said) == 5
    assert said[0].startswith("deleted sentence-transformers all-MiniLM-L6-v2: 1,200 texts, ")
    assert said[2].startswith("deleted callable pack.module:embed: 1 text, ")
    assert said[3] == "deleted exported to onnx: all-MiniLM-L6-v2: 2.5 MB"
    assert said[4].startswith(f"deleted from {root}: 1,241 texts, 2.") and said[4].endswith(" MB")
    assert [path for path in root.rglob("*") if path.is_file()] == []
    assert run("info") == f"{root}\nempty\n"


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--embedder", "sentence-transformers"], ["endpoint", "callable"]),
        (["--embedder", "all-MiniLM"], ["endpoint", "callable"]),
        (["--embedder", "https://api.example.com/"], ["sentence-transformers", "callable", "onnx"]),
        (["--embedder", "pack.module:embed"], ["sentence-transformers", "endpoint", "onnx"]),
        (["--embedder", "module"], ["sentence-transformers", "endpoint", "callable", "onnx"]),
        (["--unused-for", "49.5"], ["sentence-transformers", "endpoint"]),
        (["--unused-for", "0"], []),
        (["--unused-for", "20", "--embedder", "onnx"], ["sentence-transformers", "endpoint", "callable"]),
        (["--unused-for", "20", "--embedder", "endpoint"], ["sentence-transformers", "endpoint", "callable", "onnx"]),
    ],
)
def test_clear_deletes_what_is_asked_for(root: Path, arguments: list[str], left: list[str]) -> None:
    said = json.loads(run("clear", *arguments, "--json"))
    assert kinds(root) == left
    assert len(said["deleted"]) == 4 - len(left) and said["left"] == []
    assert said["texts"] == sum(entry["texts"] for entry in said["deleted"])


def test_what_a_killed_run_or_a_damaged_file_left_is_shown_and_cleared(root: Path) -> None:
    vectors, exports = root / "embeddings", root / "exports"
    (vectors / f"{'1' * 32}.aside").write_bytes(b"damaged")
    (vectors / f"{'1' * 32}.sqlite-journal").write_bytes(b"of no file")
    (vectors / f"{'2' * 32}.sqlite").write_bytes(b"no database at all")
    old = exports / f".openvino-{'0' * 32}.abc.tmp"
    (old / "half").mkdir(parents=True)
    os.utime(old, (1, 1))
    new = exports / f".openvino-{'0' * 32}.def.tmp"
    new.mkdir()
    said = run("info")
    assert "not readable: 22222222222222222222222222222222.sqlite" in " ".join(said.split())
    assert said.count("left over: ") == 3
    run("clear", "--embedder", "sentence-transformers")
    assert kinds(root).count("leftover") == 3, "it is not known whose they are"
    run("clear")
    assert [path for path in root.rglob("*") if path.is_file()] == [] and not old.exists()
    assert new.exists(), "an export may be under way"


def test_files_that_are_not_the_caches_are_left_alone(root: Path) -> None:
    own = [root / "notes.txt", root / "embeddings" / "notes.txt", root / "exports" / "onnx-model" / "model.onnx"]
    for path in own:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("mine")
    (root / "exports" / f"onnx-{'9' * 32}").symlink_to(elsewhere)
    run("clear")
    assert [path.read_text() for path in [*own, elsewhere / "file"]] == ["mine"] * 4


def test_a_file_in_use_is_waited_for_and_then_left_with_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_store, "_BUSY", 0.05)
    [entry] = selected(contents(root), "endpoint", None)
    with sqlite3.connect(entry.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        done = CliRunner().invoke(command, ["clear"])
    other.close()
    assert isinstance(done.exception, StorageError)
    assert f"could not delete {entry.path} (database is locked)" in str(done.exception)
    assert kinds(root) == ["endpoint"]


def test_a_cache_folder_that_is_a_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRACER_CACHE_DIR", str(tmp_path / "file"))
    for arguments in (["info"], ["clear"]):
        done = tracer("cache", *arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"error: cannot read {tmp_path / 'file' / 'embeddings'}: a part of the path is a file" in done.stderr


def test_control_characters_do_not_reach_the_terminal(root: Path) -> None:
    stored(root, "callable", 1, function="a\x1b[31m:b")
    assert "\x1b" not in run("info") and "\x1b" not in run("clear")


@pytest.mark.parametrize(("arguments", "told"), [(["claer"], "claer"), (["clear", "--unused-for", "-1"], "-1")])
def test_wrong_usage_exits_2(tmp_path: Path, arguments: list[str], told: str) -> None:
    done = tracer("cache", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and told in done.stderr and done.stdout == ""


def test_each_command_has_help_and_examples() -> None:
    assert isinstance(command, click.Group)
    parts: dict[str, Any] = command.commands
    for name, part in parts.items():
        assert f"\b\n    Examples:\n      tracer cache {name}" in (part.help or "").replace("\n    \n", "\n"), name
        assert all(parameter.help for parameter in part.params)
