"""The facts that several checks ask for, each found out once; nothing here judges."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tracer_cli.artifacts import Layout, read_bytes
from tracer_cli.config.document import Document
from tracer_cli.config.load import FILE_NAME, load_document
from tracer_cli.config.schema import Config, Outputs
from tracer_cli.doctor.findings import NotNowError
from tracer_cli.errors import ConfigError, ProgramError
from tracer_cli.programs import dvc as dvc_program
from tracer_cli.programs.git import git
from tracer_cli.stages import layout_of

DVC_LOCK = "dvc.lock"

_CONFLICT = re.compile(rb"^<<<<<<< ", re.MULTILINE)


@dataclass(frozen=True)
class Git:
    """program: git can be called; refusal: what it says instead of an answer; commit: there is a first one."""

    program: bool = True
    repository: bool = False
    refusal: str = ""
    commit: bool = False
    shallow: bool = False


class Project:
    """A project's folder as it lies there, however broken."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # --- git and DVC ---

    @cached_property
    def git(self) -> Git:
        try:
            done = git(self.root, "rev-parse", "--is-inside-work-tree", "--is-shallow-repository")
        except ProgramError:
            return Git(program=False)
        if done.code:
            return Git(refusal="" if "not a git repository" in done.errors else done.errors)
        inside, shallow = (line == "true" for line in done.text.split())
        commit = git(self.root, "rev-parse", "--verify", "--quiet", "HEAD").code == 0
        return Git(repository=inside, commit=commit, shallow=shallow)

    @cached_property
    def dvc_folder(self) -> Path | None:
        """The nearest .dvc, here or above: the one that DVC uses."""
        here = self.root.resolve()
        return next((folder / ".dvc" for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), None)

    @cached_property
    def _settings(self) -> dict[str, str] | ProgramError:
        try:
            done = dvc_program.dvc(self.root, "config", "--list")
        except ProgramError as error:
            return error
        if done.code:
            return ProgramError(done.errors or done.text.strip())
        return dict(line.split("=", 1) for line in done.text.splitlines() if "=" in line)

    @property
    def dvc_settings(self) -> dict[str, str]:
        """DVC's settings of all levels, paths made absolute; raises ProgramError with DVC's words."""
        if isinstance(self._settings, ProgramError):
            raise self._settings
        return self._settings

    @property
    def no_scm(self) -> bool:
        """Whether DVC was told to work without git."""
        settings = self._settings if self.dvc_folder else {}
        return isinstance(settings, dict) and settings.get("core.no_scm", "").lower() == "true"

    # --- configuration ---

    @cached_property
    def _document(self) -> tuple[Document, Config] | ConfigError:
        try:
            return load_document(self.root / FILE_NAME)
        except ConfigError as error:
            return error

    @property
    def configuration_error(self) -> ConfigError | None:
        return self._document if isinstance(self._document, ConfigError) else None

    @property
    def document(self) -> tuple[Document, Config]:
        """tracer.yaml as read and as checked; raises NotNowError when it cannot be used."""
        if isinstance(self._document, ConfigError):
            raise NotNowError(f"{FILE_NAME} cannot be used")
        return self._document

    @property
    def config(self) -> Config:
        return self.document[1]

    @cached_property
    def layout(self) -> Layout:
        """Where the artifacts lie; the default outputs where tracer.yaml cannot be used."""
        if isinstance(self._document, ConfigError):
            return Layout.of_project(self.root, Outputs().policy, Outputs().report)
        return layout_of(self.config, self.root)

    def name(self, path: Path) -> str:
        """The path as people write it: relative to the project's folder."""
        try:
            return path.relative_to(self.root).as_posix()
        except ValueError:
            return path.as_posix()

    def line_of(self, *key: str | int) -> int | None:
        """The line of tracer.yaml with this key; None when it is not written there."""
        document, _ = self.document
        return document.place(key, key=True).line if document.has(key) else None

    # --- what DVC ran ---

    @cached_property
    def lock(self) -> dict[str, Any] | str:
        """dvc.lock: the stages that were run; what is wrong with the file when it cannot be read."""
        path = self.root / DVC_LOCK
        if not path.is_file():
            return {}
        try:
            data = yaml.load(read_bytes(path), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError as error:
            return " ".join(str(error).split())
        stages = data.get("stages") if isinstance(data, dict) else None
        if not isinstance(stages, dict) or not all(isinstance(stage, dict) for stage in stages.values()):
            return "it holds no stages"
        return stages

    def outs_of_lock(self) -> dict[str, str]:
        """Each output that dvc.lock records, relative to the project's folder, and its digest; without those of
        models that were taken out of the zoo, whose entries DVC keeps."""
        stages = self.lock if isinstance(self.lock, dict) else {}
        if not self.configuration_error:
            models = {f"train@{slug}" for slug in self.config.slugs()}
            stages = {name: stage for name, stage in stages.items() if name in models or not name.startswith("train@")}
        return {
            out["path"]: str(out.get("md5", ""))
            for stage in stages.values()
            for out in stage.get("outs") or []
            if isinstance(out, dict) and isinstance(out.get("path"), str)
        }

    @cached_property
    def conflicts(self) -> dict[str, int]:
        """Files of the project with the markers of an unfinished merge, and the line of the first."""
        layout = self.layout
        files = [self.root / name for name in (FILE_NAME, "dvc.yaml", "params.yaml", DVC_LOCK)]
        files += [layout.traces_metrics, layout.guard_metrics]
        files += [layout.targets_table, layout.labels_table, layout.frontier_plot]
        found = {}
        for file in files:
            data = read_bytes(file) if file.is_file() else b""
            marker = _CONFLICT.search(data)
            if marker:
                found[self.name(file)] = data.count(b"\n", 0, marker.start()) + 1
        return found

    def kept_by_dvc(self, path: str) -> str | None:
        """The .dvc file that keeps this path or a folder around it; both relative to the project's folder."""
        parts = path.split("/")
        targets = ("/".join(parts[:end]) + ".dvc" for end in range(len(parts), 0, -1))
        return next((target for target in targets if (self.root / target).is_file()), None)
