"""What DVC 3 keeps of earlier runs: dvc.lock, the run cache and the cache of outputs.

`dvc status` says what differs from dvc.lock, but not whether DVC would take the result of an earlier run instead of
running a stage again. DVC has no command for that, so its files are read here.
"""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tracer_cli.artifacts import read_bytes
from tracer_cli.config.document import core_value
from tracer_cli.config.resolve import FILE_NAME as PARAMS_YAML
from tracer_cli.errors import ConfigError, ProgramError
from tracer_cli.programs import dvc

if TYPE_CHECKING:
    _Base = yaml.SafeLoader
else:
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

LOCK = "dvc.lock"

_FOLDER = ".dir"  # how the md5 of a folder ends


@dataclass(frozen=True)
class Content:
    """A file or folder as DVC knows it; two are equal when their md5 is.

    size, files: bytes, and files in a folder, for a quick look; None where DVC did not write them.
    """

    md5: str
    size: int | None = field(default=None, compare=False)
    files: int | None = field(default=None, compare=False)

    @property
    def is_folder(self) -> bool:
        return self.md5.endswith(_FOLDER)


@dataclass(frozen=True)
class Entry:
    """One run of one stage: its command, what it read, the values of params.yaml, what it wrote."""

    cmd: Any
    deps: dict[str, Content]
    params: dict[str, Any]
    outs: dict[str, Content]


def dvc_folder(root: Path) -> Path | None:
    """The folder `.dvc` of the project or of the repository around it."""
    here = root.resolve()
    return next((folder / ".dvc" for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), None)


def read_lock(root: Path) -> dict[str, Entry]:
    """The last run of each stage; also of stages that dvc.yaml has no more, which DVC never takes out."""
    path = root / LOCK
    if not path.is_file():
        return {}
    try:
        data = yaml.load(read_bytes(path), _Loader)
        return {name: _entry(stage) for name, stage in data["stages"].items()}
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: it is not as DVC writes it ({' '.join(str(error).split())}); restore it (git checkout {LOCK}), "
            "or delete it: `dvc repro` writes it anew"
        ) from error


class Cache:
    """DVC's cache of outputs and of runs. Nothing is read before it is asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._place: Path | None = None
        self._runs: list[tuple[float, str]] | None = None

    @property
    def place(self) -> Path:
        if self._place is None:
            self._place = _cache_place(self.root)
        return self._place

    def holds(self, content: Content) -> bool:
        path = self._object(content.md5)
        if not path.is_file():
            return False
        if not content.is_folder:
            return True
        try:
            return all(self._object(file["md5"]).is_file() for file in json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def runs(self, cmd: str, words: list[str]) -> Iterator[Entry]:
        """Earlier runs of a command whose entries hold all of the words, newest first."""
        if self._runs is None:
            self._runs = sorted(_texts(self.place / "runs"), key=lambda run: run[0], reverse=True)
        start = " ".join(cmd.split()[:3])  # a long command is folded
        for _, text in self._runs:
            if start in text and all(word in text for word in words):
                try:
                    entry = _entry(yaml.load(text, _Loader))
                except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError):
                    continue  # DVC deletes an entry that it cannot read
                if entry.cmd == cmd:
                    yield entry

    def _object(self, md5: str) -> Path:
        return self.place / "files" / "md5" / md5[:2] / md5[2:]


def _texts(folder: Path) -> Iterator[tuple[float, str]]:
    for path in folder.glob("??/*/*"):
        try:
            yield path.stat().st_mtime, path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue


def _entry(stage: Mapping[str, Any]) -> Entry:
    return Entry(
        stage.get("cmd"),
        _contents(stage.get("deps", [])),
        stage.get("params", {}).get(PARAMS_YAML) or {},
        _contents(stage.get("outs", [])),
    )


def _contents(items: list[dict[str, Any]]) -> dict[str, Content]:
    return {item["path"]: Content(item["md5"], item.get("size"), item.get("nfiles")) for item in items if "md5" in item}


def _cache_place(root: Path) -> Path:
    """What `dvc cache dir` prints, which is asked only when the repository's own settings do not say it."""
    folder = dvc_folder(root)
    if folder is not None:
        for name in ("config.local", "config"):
            settings = configparser.RawConfigParser(strict=False, allow_no_value=True)
            try:
                settings.read(folder / name, encoding="utf-8")
            except (configparser.Error, UnicodeDecodeError):
                continue  # ConfigObj's syntax, which DVC reads, is a little wider
            if settings.has_option("cache", "dir"):
                return folder / settings.get("cache", "dir").strip("'\"")
        if (folder / "cache").is_dir():
            return folder / "cache"
    done = dvc.dvc(root, "cache", "dir")
    if done.code:
        raise ProgramError(f"dvc cache dir failed: {done.errors}")
    return root / done.text.strip()


class _Loader(_Base):
    """YAML 1.2, as DVC writes it: 1e-05 is a number there, and 2001-01-01 is text."""


_Loader.yaml_implicit_resolvers = {None: [("tag:tracer,core", re.compile(""))]}
_Loader.add_constructor("tag:tracer,core", lambda _, node: core_value(node.value))
