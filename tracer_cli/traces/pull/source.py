"""Where a source of traces is pulled from and to, as tracer.yaml and the environment say."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tracer_cli.config.paths import dependency, normal
from tracer_cli.config.schema import Config, Pull
from tracer_cli.config.sections import DATABASES
from tracer_cli.errors import ConfigError
from tracer_cli.traces.pull.secrets import Secrets, without_credentials


@dataclass(frozen=True)
class PullSource:
    """index: of the source in `traces`; path: its `path`; root: the folder of tracer.yaml; pull: as configured."""

    index: int
    path: str
    root: Path
    pull: Pull

    @property
    def key(self) -> str:
        """The key that an error names."""
        return f"traces[{self.index}].pull"

    @property
    def folder_name(self) -> str:
        """The folder of the parts, relative to tracer.yaml."""
        return dependency(self.path)

    @property
    def folder(self) -> Path:
        return self.root / self.folder_name

    @property
    def pattern(self) -> str:
        """What the names of the files match."""
        return normal(self.path).rpartition("/")[2]

    @property
    def shown(self) -> str:
        """Where it is pulled from, for people: without credentials, or the variable's name."""
        return f"${self.pull.source_env}" if self.pull.source is None else without_credentials(self.pull.source)

    def name(self, file: Path) -> str:
        """A file of the folder, as people know it."""
        return f"{self.folder_name}/{file.name}"

    def url(self, environment: Mapping[str, str]) -> str:
        """The URL with all that it holds. Raises ConfigError when the environment lacks it, or it is no URL."""
        if self.pull.source is not None:
            return self.pull.source
        variable = str(self.pull.source_env)
        url = environment.get(variable, "").strip()
        if not url:
            state = "empty" if variable in environment else "not set"
            raise ConfigError(
                f"{self.key}.source_env: the environment variable {variable} is {state}; set it to the whole URL, "
                "such as postgresql://user:password@host/database"
            )
        if "://" not in url or not url.partition("://")[0].replace("+", "").isalnum():
            raise ConfigError(
                f"{self.key}.source_env: the value of {variable} is no URL; expected one such as "
                "postgresql://user:password@host/database or s3://bucket/*.jsonl"
            )
        return url

    def secrets(self, environment: Mapping[str, str]) -> Secrets:
        url = self.pull.source if self.pull.source is not None else environment.get(str(self.pull.source_env), "")
        return Secrets(url.strip(), environment)

    def require_kind(self, url: str) -> str:
        """The scheme of the URL, when the keys beside it go with it: of `source_env` nothing has checked that yet."""
        scheme = url.partition("://")[0].lower()
        if scheme in DATABASES and self.pull.query is None:
            raise ConfigError(f"{self.key}: a database needs a `query`, whose rows are the traces")
        if scheme not in DATABASES and self.pull.query is not None:
            raise ConfigError(f"{self.key}.query: goes with a database, and the source is {scheme}://; take it out")
        if scheme not in DATABASES and self.pull.cursor is not None:
            raise ConfigError(f"{self.key}.cursor: goes with a database, and the source is {scheme}://; take it out")
        return scheme

    def require_reads(self, suffix: str) -> None:
        """Raises ConfigError when `path` would not find a part with this ending."""
        below = normal(self.path).removeprefix(f"{self.folder_name}/")
        if "/" in below.removeprefix("**/") or not fnmatch.fnmatchcase(f"part-{'0' * 16}{suffix}", self.pattern):
            raise ConfigError(
                f"traces[{self.index}].path: {self.path!r} would not read the parts that are pulled, such as "
                f"{self.folder_name}/part-{'0' * 16}{suffix}; expected {self.folder_name}/*{suffix}"
            )


def pull_sources(root: Path, config: Config, wanted: str | None) -> list[PullSource]:
    """The sources with `pull`; or the one that `wanted` names by its index or its `path`.

    Raises ConfigError when there is none, when `wanted` is none of them, and when two would fill one folder.
    """
    every = [
        PullSource(index, source.path, root, source.pull)
        for index, source in enumerate(config.traces)
        if source.pull is not None
    ]
    known = ", ".join(f"{source.index} ({source.path})" for source in every)
    if not every:
        raise ConfigError("tracer.yaml: no source has `pull`: there is nothing to pull; see docs/pull.md")
    _require_own_folders(every)
    if wanted is None:
        return every
    found = [source for source in every if wanted in (str(source.index), source.path)]
    if not found:
        raise ConfigError(f"no source {wanted!r} with `pull`; expected the index or the path of one: {known}")
    return found


def _require_own_folders(sources: list[PullSource]) -> None:
    """A pull tells by the parts of a folder what is there already: they must all be of one source."""
    first: dict[str, PullSource] = {}
    for source in sources:
        other = first.setdefault(source.folder_name, source)
        if other is not source:
            raise ConfigError(
                f"{source.key}: {other.key} fills {source.folder_name} already; give each a folder of its own"
            )
