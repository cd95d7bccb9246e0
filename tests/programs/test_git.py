"""What is asked of the real git: other revisions, other folders, clones that lack something."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tracer_cli.errors import ProgramError
from tracer_cli.programs import git

AUTHOR = {f"GIT_{who}_{what}": "x@y.z" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def run(root: Path, *arguments: str) -> str:
    """git with no configuration of the machine's."""
    environment = {**os.environ, **AUTHOR, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(["git", *arguments], cwd=root, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(root: Path, **files: str) -> str:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    run(root, "add", "-A")
    run(root, "commit", "-q", "-m", "x")
    return run(root, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits on main; a project in the folder `sub dir` and files at the top with the same names."""
    root = tmp_path_factory.mktemp("git")
    run(root, "init", "-q", "-b", "main")
    commit(root, a="top 1", b="b")
    (root / "sub dir").mkdir()
    commit(root, a="top 2", **{"sub dir__a": "sub\r\n", "sub dir__plots__ü": "u"})
    run(root, "tag", "v1", "HEAD~1")
    return root


def test_a_revision_is_any_name_of_a_commit(repository: Path) -> None:
    head = run(repository, "rev-parse", "HEAD")
    assert {git.commit_of(repository, name) for name in ("HEAD", "main", head, head[:8])} == {head}
    assert git.commit_of(repository / "sub dir", "v1") == run(repository, "rev-parse", "HEAD~1")


def test_paths_start_at_the_projects_folder(repository: Path) -> None:
    assert git.file_at(repository, "HEAD", "a") == b"top 2"
    assert git.file_at(repository, "v1", "a") == b"top 1"
    assert git.file_at(repository / "sub dir", "HEAD", "a") == b"sub\r\n"
    assert git.file_at(repository / "sub dir", "HEAD", "b") is None
    assert git.file_at(repository / "sub dir", "v1", "a") is None
    found = git.files_at(repository / "sub dir", "HEAD", ["a", "plots", "plots/ü", "nope"])
    assert found == {"a": b"sub\r\n", "plots/ü": b"u"}


def test_the_working_tree_and_head_do_not_matter(repository: Path, tmp_path: Path) -> None:
    run(tmp_path, "clone", "-q", str(repository), "clone")
    clone = tmp_path / "clone"
    run(clone, "checkout", "-q", "--detach", "v1")
    (clone / "a").write_text("edited")
    assert git.file_at(clone, "HEAD", "a") == b"top 1"
    assert git.file_at(clone, "origin/main", "a") == b"top 2"
    assert git.changed(clone, "a", "b") == ["a"]


@pytest.mark.parametrize(
    ("revision", "advice"),
    [
        ("nope", "fetch it, or name another commit, branch or tag"),
        ("HEAD..main", "it is a range; name two revisions with a space between them"),
        ("HEAD:a", "fetch it"),
        ("--all", "fetch it"),
        ("", "fetch it"),
    ],
)
def test_what_is_no_revision_is_a_sentence(repository: Path, revision: str, advice: str) -> None:
    with pytest.raises(ProgramError) as caught:
        git.commit_of(repository, revision)
    assert str(caught.value).startswith(f"git has no revision {revision!r}: {advice}")


def test_a_shallow_clone_says_what_to_fetch(repository: Path, tmp_path: Path) -> None:
    run(tmp_path, "clone", "-q", "--depth", "1", repository.as_uri(), "clone")
    with pytest.raises(ProgramError, match=r"this clone is shallow: .*in CI fetch-depth: 0"):
        git.commit_of(tmp_path / "clone", "HEAD~1")
    assert git.file_at(tmp_path / "clone", "HEAD", "a") == b"top 2"


def test_a_partial_clone_does_not_take_a_missing_file_for_no_file(repository: Path, tmp_path: Path) -> None:
    run(repository, "config", "uploadpack.allowFilter", "true")
    run(tmp_path, "clone", "-q", "--filter=blob:none", "--no-checkout", repository.as_uri(), "clone")
    clone = tmp_path / "clone"
    run(clone, "remote", "set-url", "origin", (tmp_path / "gone").as_uri())
    with pytest.raises(ProgramError, match="git cannot read a of HEAD: "):
        git.file_at(clone, "HEAD", "a")
    assert git.file_at(clone, "HEAD", "nope") is None


def test_no_repository_and_no_commit(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"is not in a git repository.*run `git init` and commit"):
        git.commit_of(tmp_path, "HEAD")
    assert not git.is_repository(tmp_path) and not git.is_repository(tmp_path / "nope")
    run(tmp_path, "init", "-q")
    assert git.is_repository(tmp_path)
    with pytest.raises(ProgramError, match="the repository has no commit yet; commit a refit first"):
        git.commit_of(tmp_path, "HEAD")


def test_a_folder_of_another_users(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that mounts the checkout: git calls that dubious, and so is `is not in a repository`."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    with pytest.raises(ProgramError, match=r"belongs to another user.*safe\.directory"):
        git.commit_of(repository, "HEAD")


def test_changed_files_are_named_from_the_projects_folder(repository: Path, tmp_path: Path) -> None:
    run(tmp_path, "clone", "-q", str(repository), "clone")
    project = tmp_path / "clone" / "sub dir"
    assert git.changed(project, "a", "plots", "new") == []
    (project / "a").write_text("edited")
    (project / "plots" / "ü").unlink()
    (project / "new").mkdir()
    (project / "new" / "x y").write_text("")
    (project.parent / "a").write_text("outside")
    assert git.changed(project, "a", "plots", "new") == ["a", "new/x y", "plots/ü"]
    run(project, "add", "-A")
    assert git.changed(project, "a", "plots", "new") == ["a", "new/x y", "plots/ü"]
