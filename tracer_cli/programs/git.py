"""git, asked about the repository that holds a project; paths are relative to the project's folder."""

from __future__ import annotations

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
    if not is_repository(root):
        raise ProgramError(f"{root.resolve()} is not in a git repository: there is no revision to compare with")
    shallow = git(root, "rev-parse", "--is-shallow-repository").text.strip() == "true"
    advice = (
        "this clone is shallow: fetch the whole history (git fetch --unshallow; in CI fetch-depth: 0)"
        if shallow
        else "fetch it, or name another commit, branch or tag"
    )
    raise ProgramError(f"git has no revision {revision!r}: {advice}")


def file_at(root: Path, revision: str, path: str) -> bytes | None:
    """The file's content in that revision; None when it had no such file."""
    done = git(root, "show", f"{commit_of(root, revision)}:./{path}")
    return done.output if done.code == 0 else None


def changed(root: Path, *paths: str) -> list[str]:
    """Those of the paths, and files below them, that differ from the last commit or are not in it."""
    done = git(root, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--", *paths)
    if done.code:
        raise ProgramError(f"git status: {done.errors}")
    # Porcelain paths start at the repository's root, whatever the folder.
    prefix = git(root, "rev-parse", "--show-prefix").text.strip()
    return sorted(entry[3:].removeprefix(prefix) for entry in done.text.split("\0") if entry)
