"""Checks of what a project stands on: Python, git, DVC, the `tracer` that DVC calls, the remote, the disk."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from tracer_cli import __version__
from tracer_cli.doctor import catalogue as kinds
from tracer_cli.doctor.findings import Finding, fine, several
from tracer_cli.doctor.project import Project
from tracer_cli.errors import ProgramError
from tracer_cli.programs import dvc as dvc_program
from tracer_cli.programs.git import git as git_program
from tracer_cli.programs.run import call

LEAST_FREE = 100 * 2**20
MOST_FILES = 100_000  # of a folder whose size is added up: a large cache must not make the command slow


def python(project: Project) -> Iterator[Finding]:
    oldest, above = kinds.PYTHON
    version = ".".join(map(str, sys.version_info[:3]))
    if oldest <= sys.version_info[:2] < above:
        yield fine("python", f"Python {version} at {sys.executable}")
    else:
        newest = f"{above[0]}.{above[1] - 1}"
        yield kinds.PYTHON_UNSUPPORTED.found(
            f"Python {version} at {sys.executable}", oldest=".".join(map(str, oldest)), newest=newest
        )


def git(project: Project) -> Iterator[Finding]:
    found = project.git
    with_git = project.dvc_folder is not None and not project.no_scm
    if found.refusal:
        yield kinds.GIT_REFUSES.found(f"git says: {found.refusal}", folder=project.root.resolve())
    elif not found.repository:
        text = "it lies in no git repository" if found.program else "git is not on PATH"
        kind = kinds.NO_GIT
        if with_git:
            kind = kinds.NO_GIT_FOR_DVC if found.program else kinds.GIT_MISSING
        yield kind.found(text)
    elif project.no_scm:
        yield kinds.NO_SCM.found("core.no_scm is true in DVC's settings, in a git repository")
    if found.repository and not found.commit:
        yield kinds.NO_COMMIT.found("there is no commit yet")
    elif found.shallow:
        yield kinds.SHALLOW.found("the clone is shallow")
    elif found.repository and not project.no_scm:
        commit = git_program(project.root, "rev-parse", "--short", "HEAD").text.strip()
        yield fine("git", f"a repository with commits; the last is {commit}")


def dvc(project: Project) -> Iterator[Finding]:
    try:
        version = metadata.version("dvc")
    except metadata.PackageNotFoundError:
        yield kinds.DVC_MISSING.found(f"DVC is not installed beside {sys.executable}", python=sys.executable)
        return
    bad = not _supported(version)
    if bad:
        yield kinds.DVC_VERSION.found(f"DVC {version} beside {sys.executable}", python=sys.executable)
    on_path = shutil.which("dvc")
    if on_path is None:
        bad = True
        yield kinds.DVC_NOT_ON_PATH.found("`dvc` is not on PATH", folder=_programs())
    elif not _ours(on_path):
        other = _version_of(on_path)
        if not _supported(other):
            bad = True
            yield kinds.DVC_VERSION.found(f"`dvc` on PATH is {on_path}: {other}", python=sys.executable)
    if project.dvc_folder is None:
        yield kinds.NO_DVC.found("no DVC repository")
        return
    try:
        _ = project.dvc_settings
    except ProgramError as error:
        yield kinds.DVC_REFUSES.found(
            f"`dvc config --list` says: {error}", file=_relative(project.dvc_folder / "config", project)
        )
        return
    if not bad:
        yield fine("dvc", f"DVC {version}, repository at {project.dvc_folder.parent}")


def opens(project: Project) -> Iterator[Finding]:
    """The net under the other checks: whether DVC itself reads the project, its stages and its lock."""
    if project.dvc_folder is None:
        return
    done = dvc_program.dvc(project.root, "stage", "list", "--name-only")
    if done.code:
        yield kinds.DVC_REFUSES.found(f"`dvc stage list` says: {done.errors or done.text.strip()}")


def command(project: Project) -> Iterator[Finding]:
    found = shutil.which("tracer")
    if found is None:
        yield kinds.TRACER_NOT_ON_PATH.found("`tracer` is not on PATH", folder=_programs())
    elif _ours(found):
        yield fine("command", f"`tracer` on PATH is this one, {found}")
    else:
        version = _version_of(found)
        if version.split()[-1:] == [__version__]:
            yield fine("command", f"`tracer` on PATH is {found}, of this version, {__version__}")
        else:
            yield kinds.OTHER_TRACER.found(
                f"`tracer` on PATH is {found}: {version}; this is {__version__}", folder=_programs()
            )


def remote(project: Project) -> Iterator[Finding]:
    try:
        settings = project.dvc_settings if project.dvc_folder else None
    except ProgramError:
        settings = None
    if settings is None:  # told by the check of DVC
        return
    pattern = re.compile(r"remote\.(.+)\.url")
    urls = {match[1]: _public(value) for name, value in settings.items() if (match := pattern.fullmatch(name))}
    default = settings.get("core.remote")
    if default is not None and default not in urls:
        yield kinds.UNKNOWN_REMOTE.found(f"the default remote is {default}, and there is no such remote", name=default)
    elif not urls:
        yield kinds.NO_REMOTE.found("no DVC remote")
    elif default is None:
        yield kinds.NO_DEFAULT_REMOTE.found(
            f"no default remote among {several(sorted(urls))}", name=next(iter(sorted(urls)))
        )
    wrong = [name for name, url in sorted(urls.items()) if "://" not in url and not Path(url).is_dir()]
    for name in wrong:
        yield kinds.REMOTE_PATH.found(f"the remote {name} is {urls[name]}, and there is no such folder", name=name)
    if default in urls and default not in wrong:
        yield fine("remote", f"{default}: {urls[default]}; it was not asked")


def rwlock(project: Project) -> Iterator[Finding]:
    path = project.dvc_folder / "tmp" / "rwlock" if project.dvc_folder else None
    if path is None or not path.is_file():
        return
    name = _relative(path, project)
    try:
        holders = _holders(json.loads(path.read_bytes()))
    except (ValueError, TypeError, KeyError, AttributeError):
        yield kinds.RWLOCK_UNREADABLE.found("DVC's lock file is not valid JSON", file=name, path=path)
        return
    for pid, held in sorted(holders.items()):
        text = f"{held} is locked for process {pid}"
        words = _process(pid)
        if words is None:
            yield kinds.RWLOCK_DEAD.found(f"{text}, which is gone", file=name, path=path)
        elif any(Path(word).stem == "dvc" for word in words):
            yield kinds.DVC_RUNNING.found(f"{text}: {' '.join(words)}", file=name)
        else:
            yield kinds.RWLOCK_BLOCKS.found(f"{text}, which is not DVC: {' '.join(words)}", file=name, path=path)


def disk(project: Project) -> Iterator[Finding]:
    layout = project.layout
    try:
        cache_of = project.dvc_settings.get("cache.dir") if project.dvc_folder else None
    except ProgramError:
        cache_of = None
    cache = Path(cache_of) if cache_of else project.dvc_folder / "cache" if project.dvc_folder else None
    artifacts, _ = size(layout.work / "artifacts")
    policy, _ = size(layout.policy)
    need = 2 * (artifacts + policy)
    places = {"the project's disk": project.root}
    if cache is not None:
        places["the disk of DVC's cache"] = _existing(cache)
    free = {place: shutil.disk_usage(folder).free for place, folder in places.items()}
    place = min(free, key=lambda name: free[name])
    cached, whole = size(cache) if cache is not None else (0, True)
    text = (
        f"{_bytes(free[place])} free on {place}; the artifacts take {_bytes(artifacts + policy)}, "
        f"DVC's cache {'' if whole else 'more than '}{_bytes(cached)}"
    )
    if free[place] < LEAST_FREE:
        yield kinds.DISK_FULL.found(text)
    elif free[place] < need:
        yield kinds.DISK_LOW.found(text)
    else:
        yield fine("disk", text)


def size(folder: Path) -> tuple[int, bool]:
    """Bytes of the files below `folder`, and whether all were counted; links are not followed below it."""
    total = count = 0
    for here, _, names in os.walk(folder):
        for name in names:
            count += 1
            if count > MOST_FILES:
                return total, False
            try:
                total += os.lstat(os.path.join(here, name)).st_size  # noqa: PTH118 (many files)
            except OSError:  # gone since it was listed
                continue
    return total, True


def _supported(version: str) -> bool:
    """Whether DVC's `3.67.1` is in the range; a version that cannot be read is not."""
    least, below = kinds.DVC
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    return bool(found) and least <= found < below


def _ours(program: str) -> bool:
    """Whether a program lies where this environment's programs lie."""
    folders = {Path(sys.executable).parent.resolve(), Path(sysconfig.get_path("scripts")).resolve()}
    return Path(program).parent.resolve() in folders


def _programs() -> str:
    return sysconfig.get_path("scripts")


def _version_of(program: str) -> str:
    try:
        done = call([program, "--version"], Path())
    except (ProgramError, OSError) as error:
        return f"it cannot be called ({error})"
    text = " ".join((done.text or done.errors).split())
    return text if done.code == 0 else f"it fails ({text[-200:]})"


def _relative(path: Path, project: Project) -> str:
    return Path(os.path.relpath(path, project.root.resolve())).as_posix()


def _holders(lock: Any) -> dict[int, str]:
    """Process -> the first path that it holds, from DVC's rwlock: {write: {path: info}, read: {path: [info]}}."""
    held = [(path, info) for path, info in (lock.get("write") or {}).items() if info]
    held += [(path, info) for path, infos in (lock.get("read") or {}).items() for info in infos]
    found: dict[int, str] = {}
    for path, info in held:
        found.setdefault(int(info["pid"]), path)
    return found


def _process(pid: int) -> list[str] | None:
    """The command of a running process; None when there is no such process. Where nothing tells, it is DVC's."""
    if os.name == "nt":  # os.kill would end the process there
        return ["dvc"]
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ["dvc"]
    return command.decode(errors="replace").rstrip("\0").split("\0")


def _public(url: str) -> str:
    """The URL without a user's name and password: what is printed may end in the log of a CI job."""
    return re.sub(r"(?<=://)[^/@]*@", "", url)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _bytes(number: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit in ("bytes", "kB") else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
