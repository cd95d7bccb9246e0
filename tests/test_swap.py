"""A policy folder is replaced as a whole, or entry by entry where it is not a policy's alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support import files_of
from tracer_cli import swap
from tracer_cli.errors import DataError, StorageError
from tracer_cli.swap import ENTRIES, recover, replacing_policy


def fill(folder: Path, text: str) -> None:
    for name in ENTRIES:
        path = folder / name if "." in name else folder / name / "inside"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def replace(folder: Path, text: str) -> None:
    with replacing_policy(folder) as new:
        assert list(new.iterdir()) == []
        fill(new, text)


def only(folder: Path, *names: str) -> bool:
    return {path.name for path in folder.iterdir()} == set(names)


@pytest.fixture(params=["at once", "two renames"])
def policy(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "two renames":
        monkeypatch.setattr(swap, "_exchanged", lambda one, other: False)
    fill(tmp_path / "p", "old")
    return tmp_path / "p"


def test_everything_is_new_and_nothing_is_left(policy: Path) -> None:
    (policy / "work" / "more").write_text("old")
    policy.chmod(0o750)
    replace(policy, "new")
    assert set(files_of(policy).values()) == {b"new"}
    assert only(policy.parent, "p") and policy.stat().st_mode & 0o777 == 0o750


def test_a_first_one_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    replace(tmp_path / "a" / "b", "new")
    assert only(tmp_path / "a", "b") and len(files_of(tmp_path)) == len(ENTRIES)
    expected = tmp_path / "other"
    expected.mkdir()
    assert (tmp_path / "a" / "b").stat().st_mode == expected.stat().st_mode


def test_an_error_leaves_the_old_one_and_names_the_folder(policy: Path) -> None:
    before = files_of(policy)
    with pytest.raises(DataError, match=r"^bad: p/work/x$"), pytest.MonkeyPatch.context() as patch:
        patch.chdir(policy.parent)
        with replacing_policy(Path("p")) as new:
            fill(new, "new")
            raise DataError(f"bad: {new / 'work' / 'x'}")
    assert files_of(policy) == before and only(policy.parent, "p")


def test_what_is_not_a_policys_stays_where_it_is(policy: Path) -> None:
    (policy / "notes.txt").write_text("mine")
    where = policy.stat().st_ino
    replace(policy, "new")
    assert policy.stat().st_ino == where
    assert files_of(policy).pop("notes.txt") == b"mine"
    assert {data for name, data in files_of(policy).items() if name != "notes.txt"} == {b"new"}
    assert only(policy, "notes.txt", *ENTRIES) and only(policy.parent, "p")


def test_the_current_folder_stays_the_current_folder(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(policy)
    replace(Path(), "new")
    assert set(files_of(Path(os.getcwd())).values()) == {b"new"} and Path("manifest.json").read_text() == "new"  # noqa: PTH109


def test_a_link_to_a_folder_stays_a_link(policy: Path) -> None:
    (policy.parent / "link").symlink_to(policy)
    replace(policy.parent / "link", "new")
    assert (policy.parent / "link").is_symlink() and set(files_of(policy).values()) == {b"new"}


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("x")
    with pytest.raises(StorageError, match="a part of the path is a file, not a folder"):
        replace(tmp_path / "p", "new")
    assert (tmp_path / "p").read_text() == "x" and only(tmp_path, "p")


def test_what_a_killed_run_took_away_is_put_back(tmp_path: Path) -> None:
    """Between the renames: the whole folder, or one entry of it; and only what has the very name that a run gives."""
    fill(tmp_path / "aside" / "old", "old")
    (tmp_path / "aside").rename(tmp_path / ".p.abcd_123.tmp")
    (tmp_path / ".p.notes.tmp").mkdir()
    (tmp_path / ".q.abcd_123.tmp").mkdir()
    recover(tmp_path / "p")
    assert set(files_of(tmp_path / "p").values()) == {b"old"}
    assert only(tmp_path, "p", ".p.notes.tmp", ".q.abcd_123.tmp")
    (tmp_path / "p" / ".p.abcd_123.tmp" / "oldwork").mkdir(parents=True)
    (tmp_path / "p" / "work").rename(tmp_path / "p" / ".p.abcd_123.tmp" / "oldwork" / "work")
    (tmp_path / "p" / ".p.abcd_123.tmp" / "oldembedder").mkdir()  # its place is taken: the new one is there
    recover(tmp_path / "p")
    assert only(tmp_path / "p", *ENTRIES) and (tmp_path / "p" / "work").is_dir()
