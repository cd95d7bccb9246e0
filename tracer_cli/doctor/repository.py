"""Checks of what git ignores and holds: the outputs are DVC's, everything that a review needs is git's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tracer_cli.artifacts import Layout
from tracer_cli.compile.existing import embedder_path
from tracer_cli.config.load import FILE_NAME
from tracer_cli.config.paths import dependency, inside, normal
from tracer_cli.config.schema import PrecomputedEmbedder
from tracer_cli.doctor import catalogue as kinds
from tracer_cli.doctor.findings import Finding, fine, several
from tracer_cli.doctor.project import DVC_LOCK, Project
from tracer_cli.errors import DataError, ProgramError
from tracer_cli.programs import git as git_program
from tracer_cli.programs.git import git
from tracer_cli.traces.read.files import find_files

# What DVC itself reads through git's rules, committed or not.
_READ_BY_DVC = ("dvc.yaml", DVC_LOCK)
_RULE = re.compile(r"(?P<file>.*?):(?P<line>\d+):(?P<pattern>.*)")


class Rule(NamedTuple):
    """The line of a .gitignore file that decides about a path; file: relative to the project's folder."""

    file: str
    line: int
    pattern: str


def gitignore(project: Project) -> Iterator[Finding]:
    if not project.git.repository:
        return
    outputs, sources = _outputs(project), _sources(project)
    rules = _rules(project.root, [*outputs, *sources])
    held = _held(project.root, [*outputs, *sources])
    wrong = False
    by_rule: dict[Rule, list[str]] = {}
    for path in sources:
        if path in rules and (path in _READ_BY_DVC or path not in held):
            by_rule.setdefault(rules[path], []).append(path)
    for rule, paths in by_rule.items():
        wrong = True
        yield kinds.IGNORED_SOURCE.found(
            f"git ignores {several(paths)}, by the line {rule.pattern}",
            file=rule.file,
            line=rule.line,
            pattern=rule.pattern,
            place=rule.file,
        )
    tops = _tops(project.layout, project)
    bare = sorted({top for path, top in outputs.items() if not _ignored(rules.get(path), tops)})
    if bare:
        wrong = True
        yield kinds.NOT_IGNORED.found(
            f"git does not ignore {several(bare)}", lines=" ".join(f"/{top}" for top in bare), file=".gitignore"
        )
    slashed = {rules[path] for path in outputs if path in rules and rules[path].pattern.endswith("/")}
    for found in sorted(slashed):
        wrong = True
        yield kinds.TRAILING_SLASH.found(
            f"the line {found.pattern} ends with a slash",
            file=found.file,
            line=found.line,
            pattern=found.pattern.rstrip("/"),
        )
    tracked = sorted(path for path in _held(project.root, tops) if not path.endswith("/.gitignore"))
    if tracked:
        wrong = True
        folders = [top for top in tops if any(inside(path, top) for path in tracked)]
        yield kinds.TRACKED_OUTPUT.found(f"git holds {several(tracked)}", paths=" ".join(folders))
    if not wrong:
        yield fine("gitignore", f"git ignores {several(tops)} and nothing that belongs into it")


def committed(project: Project) -> Iterator[Finding]:
    if project.conflicts:
        file, line = next(iter(project.conflicts.items()))
        yield kinds.MERGE_CONFLICT.found(
            f"markers of an unfinished merge in {several(list(project.conflicts), most=9)}", file=file, line=line
        )
    if not project.git.repository or not project.git.commit:
        return
    names = [FILE_NAME, "dvc.yaml", "params.yaml", DVC_LOCK, ".gitignore", "metrics", "plots", ".dvc/config"]
    kept = [target for path in _inputs(project) if (target := project.kept_by_dvc(path))]
    changed = git_program.changed(project.root, *names, *dict.fromkeys(kept))
    if changed:
        yield kinds.UNCOMMITTED.found(
            f"not as in the last commit: {several(changed)}", paths=" ".join(dict.fromkeys(map(_whole, changed)))
        )
    loose = list(_untracked(project))
    for source, text in loose:
        yield kinds.UNTRACKED_TRACES.found(text, path=source)
    baseline = list(_baseline(project))
    yield from baseline
    if not changed and not loose and not baseline and not project.conflicts:
        yield fine("committed", "what a review needs is as in the last commit")


def _baseline(project: Project) -> Iterator[Finding]:
    revision = None if project.configuration_error else project.config.rules.baseline
    if revision is None:
        return
    try:
        git_program.commit_of(project.root, revision)
    except ProgramError as error:
        line = project.line_of("rules", "baseline")
        yield kinds.NO_BASELINE.found(f"rules.baseline: {error}", file=FILE_NAME, line=line)


def _outputs(project: Project) -> dict[str, str]:
    """Each output that DVC keeps -> the folder or file that .gitignore should name for it."""
    layout = project.layout
    paths = [layout.fit, layout.holdout_labels, layout.fit_vectors, layout.embedder, layout.candidate]
    paths += [layout.model("x"), layout.guard_rows, layout.manifest, layout.policy_embedder, layout.report]
    tops = _tops(layout, project)
    found: dict[str, str] = {}
    for path in paths:
        name = project.name(path)
        top = next(top for top in tops if inside(name, top))
        # git does not look behind a link
        found[top if (project.root / top).is_symlink() else name] = top
    return found


def _tops(layout: Layout, project: Project) -> list[str]:
    policy, report = project.name(layout.policy), project.name(layout.report)
    return ["artifacts", policy, *([] if inside(report, policy) else [report])]


def _sources(project: Project) -> list[str]:
    layout = project.layout
    results = [layout.traces_metrics, layout.guard_metrics]
    results += [layout.targets_table, layout.labels_table, layout.frontier_plot]
    return [FILE_NAME, "dvc.yaml", "params.yaml", DVC_LOCK, *map(project.name, results)]


def _rules(root: Path, paths: list[str]) -> dict[str, Rule]:
    """The rule that ignores each path, whether git holds the path or not; a path that nothing ignores is left out."""
    done = git(root, "-c", "core.quotePath=false", "check-ignore", "--no-index", "--verbose", "--", *paths)
    if done.code not in (0, 1):
        raise ProgramError(f"git check-ignore: {done.errors}")
    top = git(root, "rev-parse", "--show-toplevel").text.strip()
    found = {}
    for line in done.text.splitlines():
        rule, _, path = line.rpartition("\t")
        match = _RULE.fullmatch(rule)
        if match and not match["pattern"].startswith("!"):
            file = os.path.relpath(Path(top, match["file"]), root.resolve())
            found[path] = Rule(Path(file).as_posix(), int(match["line"]), match["pattern"])
    return found


def _ignored(rule: Rule | None, tops: list[str]) -> bool:
    """A .gitignore inside an output is one that DVC wrote: it goes when a stage fails."""
    return rule is not None and not any(f"/{top}/" in f"/{rule.file}" for top in tops)


def _held(root: Path, paths: list[str] | dict[str, str]) -> set[str]:
    done = git(root, "--literal-pathspecs", "ls-files", "-z", "--", *paths)
    if done.code:
        raise ProgramError(f"git ls-files: {done.errors}")
    return set(filter(None, done.text.split("\0")))


def _whole(path: str) -> str:
    """What to `git add` for a changed file: results go together."""
    top = path.split("/", 1)[0]
    return top if top in ("metrics", "plots") else path


def _inputs(project: Project) -> list[str]:
    """What the stages read from outside, as DVC watches it; nothing where tracer.yaml cannot be used."""
    if project.configuration_error:
        return []
    config = project.config
    paths = [dependency(source.path) for source in config.traces]
    if isinstance(config.embedder, PrecomputedEmbedder):
        paths.append(normal(config.embedder.path))
    folder = embedder_path(project.root, config)
    return list(dict.fromkeys([*paths, folder] if folder else paths))


def _untracked(project: Project) -> Iterator[tuple[str, str]]:
    """Inputs that neither git nor DVC keeps, and what to say of each."""
    made = list(project.outs_of_lock())
    patterns = {dependency(s.path): s.path for s in project.config.traces} if not project.configuration_error else {}
    for path in _inputs(project):
        if path.startswith(("/", "../")) or path == "..":
            yield path, f"{path} lies outside the project"
            continue
        if project.kept_by_dvc(path) or any(inside(path, out) for out in made):
            continue
        files = _files(project, patterns.get(path, path))
        held = _held(project.root, [path])
        loose = [file for file in files if file not in held and not project.kept_by_dvc(file)]
        if loose:
            yield path, f"neither git nor DVC keeps {several(loose)}"


def _files(project: Project, pattern: str) -> list[str]:
    folder = project.root / pattern
    if folder.is_dir():
        return sorted(project.name(file) for file in folder.rglob("*") if file.is_file())
    try:
        return [file.name for file in find_files(project.root, pattern)]
    except DataError:  # told by the check of the traces, or of the vectors
        return []
