"""git, asked about the repository that holds a project; paths are relative to the project's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tracer_cli.errors import ProgramError
from tracer_cli.programs.run import Done, call


def git(root: Path, *arguments: str) -> Done:
    # No optional locks: reading must not disturb a commit that is under way.
    return call(["git", *arguments], root, GIT_OPTIONAL_LOCKS="0", LC_ALL="C")


def is_repository(root: Path) -> bool:
    """Whether the folder lies in the work tree of a git repository."""
    try:
        return git(root, "rev-parse", "--is-inside-work-tree").text.strip() == "true"
    except ProgramError:
        return False


def commit_of(root: Path, revision: str) -> str:
    """The commit's full name. Raises ProgramError when there is no such revision or no repository."""
    done = git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if done.code == 0:
        return done.text.strip()
    _require_repository(root)
    raise ProgramError(f"git has no revision {revision!r}: {_advice(root, revision)}")


def _require_repository(root: Path) -> None:
    done = git(root, "rev-parse", "--is-inside-work-tree")
    if done.code == 0 and done.text.strip() == "true":
        return
    if "dubious ownership" in done.errors:  # a mounted folder in a container, most often
        raise ProgramError(
            f"git does not read {root.resolve()}, because the folder belongs to another user; where you trust it, run "
            f"`git config --global --add safe.directory {root.resolve()}` (the repository's top folder)"
        )
    raise ProgramError(
        f"{root.resolve()} is not in a git repository: there is no revision to compare with; run `git init` and commit "
        "a refit, or name the project's folder with --dir"
    )


def _advice(root: Path, revision: str) -> str:
    if git(root, "rev-parse", "--verify", "--quiet", "HEAD").code:
        return "the repository has no commit yet; commit a refit first"
    if ".." in revision:
        return "it is a range; name two revisions with a space between them"
    if git(root, "rev-parse", "--is-shallow-repository").text.strip() == "true":
        return "this clone is shallow: fetch the whole history (git fetch --unshallow; in CI fetch-depth: 0)"
    return "fetch it, or name another commit, branch or tag"


def file_at(root: Path, revision: str, path: str) -> bytes | None:
    """The file's content in that revision; None when it had no such file."""
    return files_at(root, revision, [path]).get(path)


def files_at(root: Path, revision: str, paths: Sequence[str]) -> dict[str, bytes]:
    """The contents of those of the paths that are files in that revision, as they were committed.

    Raises ProgramError when git has the file's name but not its content, as in a partial clone without a network.
    """
    commit = commit_of(root, revision)
    listed = git(root, "ls-tree", "-z", commit, "--", *paths)
    if listed.code:
        raise ProgramError(f"git ls-tree: {listed.errors}")
    found = {}
    for entry in filter(None, listed.text.split("\0")):
        about, path = entry.split("\t", 1)
        _, kind, name = about.split()
        if kind != "blob":
            continue
        done = git(root, "cat-file", "blob", name)
        if done.code:
            raise ProgramError(f"git cannot read {path} of {revision}: {done.errors}")
        found[path] = done.output
    return found


def changed(root: Path, *paths: str) -> list[str]:
    """Those of the paths, and files below them, that differ from the last commit or are not in it."""
    done = git(root, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--", *paths)
    if done.code:
        raise ProgramError(f"git status: {done.errors}")
    # Porcelain paths start at the repository's root, whatever the folder.
    prefix = git(root, "rev-parse", "--show-prefix").text.rstrip("\n")
    return sorted(entry[3:].removeprefix(prefix) for entry in done.text.split("\0") if entry)


def holds(root: Path, path: str) -> bool:
    """Whether git keeps this file, or a file of this folder; False where there is no repository."""
    try:
        return bool(git(root, "--literal-pathspecs", "ls-files", "-z", "--", path).output)
    except ProgramError:
        return False
