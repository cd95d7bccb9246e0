"""What `tracer init --ci` writes: a job that reruns and judges a refit, and the versions that it installs."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tracer_cli import __version__
from tracer_cli.compile.emit import scalar
from tracer_cli.config.paths import normal
from tracer_cli.config.schema import Config, EndpointEmbedder, SentenceTransformersEmbedder
from tracer_cli.errors import ProgramError
from tracer_cli.programs.dvc import dvc
from tracer_cli.programs.git import git, is_repository
from tracer_cli.resources import template_folder

Service = Literal["github", "gitlab"]

CONSTRAINTS = "constraints.txt"
GITLAB_CI = ".gitlab-ci.yml"

# The schemes of DVC remotes, and the package that reads each.
_PLUGINS = {
    "s3": "dvc-s3",
    "gs": "dvc-gs",
    "azure": "dvc-azure",
    "ssh": "dvc-ssh",
    "gdrive": "dvc-gdrive",
    "hdfs": "dvc-hdfs",
    "webhdfs": "dvc-webhdfs",
    "webdav": "dvc-webdav",
    "webdavs": "dvc-webdav",
    "oss": "dvc-oss",
}


@dataclass(frozen=True)
class Place:
    """A project in its git repository. top: the repository's folder; folder: the project below it, '' for itself."""

    top: Path
    folder: str

    @property
    def prefix(self) -> str:
        return f"{self.folder}/" if self.folder else ""

    @property
    def job(self) -> str:
        """A name of its own for each project of a repository."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.folder.lower()).strip("-")
        return f"tracer-{slug}" if slug else "tracer"


def place_of(root: Path) -> Place:
    """Where git has the project; a folder outside git is taken for a repository of its own."""
    if not is_repository(root):
        return Place(root, "")
    folder = git(root, "rev-parse", "--show-prefix").text.rstrip("\n").rstrip("/")
    return Place(Path(os.path.normpath(root.joinpath(*[".."] * len(Path(folder).parts)))), folder)


def repositories(root: Path) -> list[str]:
    """Make the folder a git and a DVC repository where it is none; return the commands that were run."""
    ran = []
    if not is_repository(root):
        done = git(root, "init", "--quiet")
        if done.code:
            raise ProgramError(f"git init failed in {root}: {done.errors}")
        ran.append("git init")
    here = root.resolve()
    if not any((folder / ".dvc").is_dir() for folder in (here, *here.parents)):
        subdir = ["--subdir"] if place_of(root).folder else []
        done = dvc(root, "init", "--quiet", *subdir)
        if done.code:
            raise ProgramError(f"dvc init failed in {root}: {done.errors or done.text.strip()}")
        ran.append(" ".join(["dvc init", *subdir]))
    return ran


def job_files(service: Service, root: Path, config: Config) -> dict[Path, str]:
    """Path -> content of the job and what it needs."""
    place = place_of(root)
    files = {root / CONSTRAINTS: constraints_text(config)}
    if service == "github":
        return {place.top / ".github" / "workflows" / f"{place.job}.yml": job_text(service, place, config), **files}
    job = place.top / ".gitlab" / f"{place.job}.yml"
    return {job: job_text(service, place, config), place.top / GITLAB_CI: _include(place), **files}


def include_advice(root: Path) -> str | None:
    """What a person has to add to their own .gitlab-ci.yml; None when it names the job already."""
    place = place_of(root)
    path = place.top / GITLAB_CI
    if f".gitlab/{place.job}.yml" in path.read_text(encoding="utf-8", errors="replace"):
        return None
    return f"{path} is yours and was left as it is; add the job to it:\n\n{_include(place)}"


def job_text(service: Service, place: Place, config: Config, python: str = "", plugins: list[str] | None = None) -> str:
    """The job, for this Python unless another is named."""
    environment = Environment(
        loader=FileSystemLoader(template_folder() / "init"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,
        # Not Jinja's own: the files are full of ${{ }}.
        variable_start_string="[=",
        variable_end_string="=]",
        block_start_string="[%",
        block_end_string="%]",
        comment_start_string="[#",
        comment_end_string="#]",
    )
    environment.filters.update(yaml=scalar, shell=shlex.quote)
    found = _plugins(place) if plugins is None else plugins
    policy = normal(config.outputs.policy)
    return environment.get_template(f"{service}.yml.j2").render(
        name=place.job,
        folder=place.folder,
        prefix=place.prefix,
        constraints=CONSTRAINTS,
        python=python or f"{sys.version_info.major}.{sys.version_info.minor}",
        install=_install(config, found),
        hint="the last one reads the DVC remote" if found else "add what reads your DVC remote: dvc-s3, dvc-gs, ...",
        policy="" if policy == ".tracer" else f" {shlex.quote(policy)}",
        report=normal(config.outputs.report),
        key=config.embedder.key_env if isinstance(config.embedder, EndpointEmbedder) else None,
    )


def constraints_text(config: Config) -> str:
    """The versions in this environment of what tracer-cli stands on: they decide the bytes that a stage writes."""
    names = [name for name, extra in _requirements() if extra is None]
    wanted = _extra(config)
    if wanted is not None:
        names += [*(name for name, extra in _requirements() if extra == wanted), "torch", "transformers"]
        names += [f"optimum-{'intel' if wanted == 'openvino' else 'onnx'}", wanted] if wanted != "embeddings" else []
    lines = []
    for name in sorted(set(names)):
        try:
            lines.append(f"{name}=={metadata.version(name).split('+')[0]}\n")
        except metadata.PackageNotFoundError:
            continue
    return (
        "# What the CI job installs: the versions that `tracer init --ci` found; other ones can give other results.\n"
        "# After an upgrade, delete this file and run that command again.\n" + "".join(lines)
    )


def _requirements() -> list[tuple[str, str | None]]:
    """The packages that tracer-cli requires, each with the extra that asks for it."""
    try:
        required = metadata.requires("tracer-cli") or []
    except metadata.PackageNotFoundError:
        return []
    found = []
    for line in required:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if name:
            found.append((name[0].lower(), extra[1] if extra else None))
    return found


def _install(config: Config, plugins: list[str]) -> str:
    extra = _extra(config)
    package = f'"tracer-cli[{extra}]=={__version__}"' if extra else f"tracer-cli=={__version__}"
    # PyTorch without CUDA: the local version +cpu goes before the one of the same number.
    index = " --extra-index-url https://download.pytorch.org/whl/cpu" if extra else ""
    return f"pip install -c {CONSTRAINTS}{index} {' '.join([package, *plugins])}"


def _extra(config: Config) -> str | None:
    """The extra of tracer-cli that the embedder needs."""
    return config.embedder.extra if isinstance(config.embedder, SentenceTransformersEmbedder) else None


def _plugins(place: Place) -> list[str]:
    """The packages that read the remotes of .dvc/config."""
    config = configparser.ConfigParser(interpolation=None, strict=False)
    for folder in (place.top / place.folder, place.top):
        path = folder / ".dvc" / "config"
        if not path.is_file():
            continue
        try:
            config.read_string(path.read_text(encoding="utf-8"))
        except (configparser.Error, UnicodeDecodeError):
            return []  # DVC itself will say what is wrong with it
        break
    schemes = {urlsplit(config[section].get("url", "")).scheme for section in config.sections()}
    return sorted({_PLUGINS[scheme] for scheme in schemes if scheme in _PLUGINS})


def _include(place: Place) -> str:
    return f"include:\n- local: /.gitlab/{place.job}.yml\n"
