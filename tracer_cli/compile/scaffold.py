"""What `tracer init` writes: a commented tracer.yaml, the compiled files and what stands around them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tracer_cli.artifacts import read_bytes, replacing, storage_errors, write_text
from tracer_cli.compile import ci, pre_commit
from tracer_cli.compile.emit import scalar
from tracer_cli.compile.existing import DVC_YAML, NO_PREVIOUS, PARAMS_YAML, PREVIOUS, wanted_dvc
from tracer_cli.compile.text import dvc_text, params_yaml
from tracer_cli.config.document import parse
from tracer_cli.config.json_schema import json_schema_text
from tracer_cli.config.load import FILE_NAME, config_from, load_config
from tracer_cli.config.paths import WILDCARDS, normal
from tracer_cli.config.schema import Config
from tracer_cli.errors import DataError
from tracer_cli.programs.git import git
from tracer_cli.resources import template_folder

TRACES_FOLDER = Path("data") / "traces"

# The fields of a source, and the name that stands in the comment where none was found.
_FIELDS = {
    "text": "input",
    "label": "teacher",
    "id": "id",
    "timestamp": "created_at",
    "ground_truth": "ground_truth",
}


class FieldNames(Protocol):
    """Which fields of a traces file hold what, as `traces.inspect` finds them."""

    @property
    def text(self) -> str | None: ...
    @property
    def label(self) -> str | None: ...
    @property
    def id(self) -> str | None: ...
    @property
    def timestamp(self) -> str | None: ...
    @property
    def ground_truth(self) -> str | None: ...
    @property
    def preset(self) -> str: ...
    @property
    def parse(self) -> dict[str, Any]: ...


@dataclass
class Scaffold:
    """Names of the files that were written, and of those that were there and were left as they were, from `root`.

    ran: commands that were run; advice: what a person has to add to a file of their own.
    """

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)


def scaffold(
    root: Path,
    name: str | None = None,
    traces: Path | None = None,
    found: FieldNames | None = None,
    service: ci.Service | None = None,
    hook: bool = False,
) -> Scaffold:
    """Write what is missing in `root`; `found` tells the fields of the file `traces`.

    service: also make a git and a DVC repository where there is none, and write the CI job; hook: also write the
    pre-commit hook.

    Raises DataError when the traces file cannot be used, ConfigError when an existing tracer.yaml is wrong, and
    ProgramError when git or DVC fails.
    """
    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    done = Scaffold()
    if (root / FILE_NAME).exists():
        done.kept.append(FILE_NAME)
        config = load_config(root / FILE_NAME)
    else:
        config = _first_config(root, name, traces, found, done)
    _write_missing(root / DVC_YAML, dvc_text(wanted_dvc(root, config, None)), done)
    _write_missing(root / PARAMS_YAML, params_yaml(config), done)
    _write_missing(root / PREVIOUS, NO_PREVIOUS, done, root)
    _write_missing(root / "tracer.schema.json", json_schema_text(), done)
    _write_missing(root / "README.md", _render("README.md.j2", project=config.project, **_outputs(config)), done)
    _ignore(root / ".gitignore", ["/artifacts", f"/{normal(config.outputs.policy)}", "/dvc_plots"], done)
    if service:
        done.ran += ci.repositories(root)
        _add_job(root, service, config, done)
    if hook:
        _add_hook(root, done)
    return done


def _add_job(root: Path, service: ci.Service, config: Config, done: Scaffold) -> None:
    for path, text in ci.job_files(service, root, config).items():
        _write_missing(path, text, done, root)
        if path.name == ci.GITLAB_CI and (advice := ci.include_advice(root)):
            done.advice.append(advice)


def _add_hook(root: Path, done: Scaffold) -> None:
    """A configuration that is there keeps every line of its own."""
    place = ci.place_of(root)
    path = place.top / pre_commit.FILE
    old = read_bytes(path).decode("utf-8", errors="surrogateescape") if path.exists() else ""
    new = pre_commit.with_hook(old, place.folder)
    name = _from(root, path)
    if new is None:
        done.kept.append(name)
        entry = pre_commit.text_of(place.folder)
        done.advice.append(f"{path} could not be added to safely; add this to its `repos:`\n\n{entry}")
    elif new == old:
        done.kept.append(name)
    else:
        with replacing(path) as temporary:
            temporary.write_bytes(new.encode("utf-8", errors="surrogateescape"))
        done.written.append(f"{name} (hook added)" if old else name)


def next_steps(root: Path, service: bool = False, hook: bool = False) -> list[str]:
    """The commands that lead from a scaffold to a first report, and with a CI service to its first job."""
    here = root.resolve()
    repository = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), None)
    dvc = next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), None)
    steps = [] if here == Path.cwd() else [f"cd {root}"]
    empty = root / TRACES_FOLDER
    if empty.is_dir() and not any(empty.iterdir()):
        steps.append(f"# put your traces into {TRACES_FOLDER.as_posix()}/ and check `traces` in {FILE_NAME}")
    if repository is None:
        steps.append("git init")
    if dvc is None:
        steps.append("dvc init" if repository in (None, here) else "dvc init --subdir")
    if hook:
        steps.append("pre-commit install")
    steps += ["dvc repro", "git add .", 'git commit -m "First policy"']
    if service:
        if not git(root, "remote").text.strip():
            steps.append("git remote add origin URL  # where an empty repository waits")
        steps.append("git push -u origin HEAD")
    return steps


def _first_config(
    root: Path, name: str | None, traces: Path | None, found: FieldNames | None, done: Scaffold
) -> Config:
    place = _place_of_traces(root, traces)
    preset = found.preset if found else "fields"
    text = _render(
        f"{FILE_NAME}.j2",
        project=name or root.resolve().name or "tracer",
        path=_pattern(root, place) if traces else (TRACES_FOLDER / "*.jsonl").as_posix(),
        guessed=found is not None,
        preset=preset,
        parse=found.parse if found else {},
        fields=[
            (key, getattr(found, key, None), alternative)
            for key, alternative in _FIELDS.items()
            if preset == "fields" or key == "ground_truth"
        ],
    )
    config = config_from(parse(text, str(root / FILE_NAME)), root)
    if traces is None:
        with storage_errors(root / TRACES_FOLDER):
            (root / TRACES_FOLDER).mkdir(parents=True, exist_ok=True)
    elif not (root / place).exists():
        with replacing(root / place) as temporary:
            shutil.copyfile(traces, temporary)
        done.written.append(place.as_posix())
    _write_missing(root / FILE_NAME, text, done)
    return config


def _place_of_traces(root: Path, traces: Path | None) -> Path:
    """Where the traces file lies, or will lie, relative to `root`."""
    if traces is None:
        return TRACES_FOLDER
    if any(character in traces.name for character in WILDCARDS):
        raise DataError(f"{traces}: the file's name holds a wildcard (one of {WILDCARDS}); rename it")
    absolute = traces.resolve()
    if absolute.is_relative_to(root.resolve()):
        return absolute.relative_to(root.resolve())
    copy = TRACES_FOLDER / traces.name
    if (root / copy).exists() and read_bytes(root / copy) != read_bytes(traces):
        raise DataError(f"{root / copy}: there is another file of this name; remove it, or rename {traces}")
    return copy


def _pattern(root: Path, place: Path) -> str:
    """`place` as a path of tracer.yaml: all files of its kind when it is alone in a folder of its own, so that
    `tracer update` can put others beside it."""
    kind = "".join(place.suffixes[-2:] if place.suffix in (".gz", ".zst") else place.suffixes[-1:])
    beside = {path.name for path in (root / place.parent).glob(f"*{kind}")} - {place.name}
    return (place.parent / f"*{kind}").as_posix() if place.parent == TRACES_FOLDER and not beside else place.as_posix()


def _render(template: str, **values: object) -> str:
    environment = Environment(
        loader=FileSystemLoader(template_folder() / "init"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # YAML and Markdown; the filter `yaml` quotes
    )
    environment.filters["yaml"] = scalar
    return environment.get_template(template).render(**values)


def _outputs(config: Config) -> dict[str, str]:
    return {"policy": normal(config.outputs.policy), "report": normal(config.outputs.report)}


def _write_missing(path: Path, text: str, done: Scaffold, root: Path | None = None) -> None:
    name = _from(root or path.parent, path)
    if path.exists():
        done.kept.append(name)
    else:
        write_text(path, text)
        done.written.append(name)


def _from(root: Path, path: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _ignore(path: Path, wanted: list[str], done: Scaffold) -> None:
    """Add the missing lines. No trailing slash: DVC would not take such a line for its folder."""
    old = read_bytes(path).decode("utf-8", errors="surrogateescape") if path.exists() else ""
    missing = [line for line in wanted if line not in old.splitlines()]
    if not missing:
        done.kept.append(path.name)
        return
    start = old if not old or old.endswith("\n") else f"{old}\n"
    added = "".join(f"{line}\n" for line in missing)
    with replacing(path) as temporary:
        temporary.write_bytes(f"{start}{added}".encode("utf-8", errors="surrogateescape"))
    done.written.append(f"{path.name} ({len(missing)} lines added)" if old else path.name)
