"""`tracer init`: what it writes into an empty folder, and that it never overwrites."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tracer_cli.compile import write
from tracer_cli.compile.scaffold import next_steps, scaffold
from tracer_cli.config.load import load_config
from tracer_cli.errors import ConfigError, DataError

FILES = [".gitignore", "README.md", "dvc.yaml", "params.yaml", "tracer.schema.json", "tracer.yaml"]


@dataclass
class Found:
    text: str | None = None
    label: str | None = None
    id: str | None = None
    timestamp: str | None = None
    ground_truth: str | None = None


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}


def test_an_empty_folder_becomes_a_project_that_compiles_to_itself(tmp_path: Path) -> None:
    root = tmp_path / "new"
    done = scaffold(root)
    assert sorted(done.written) == FILES
    assert done.kept == []
    assert write(root, check=True).stale == ()
    assert load_config(root / "tracer.yaml").project == "new"
    assert (root / ".gitignore").read_text() == "/artifacts\n/.tracer\n"
    assert (root / "data" / "traces").is_dir()


def test_a_second_time_keeps_everything(tmp_path: Path) -> None:
    scaffold(tmp_path)
    before = contents(tmp_path)
    done = scaffold(tmp_path, "another")
    assert done.written == []
    assert sorted(done.kept) == FILES
    assert contents(tmp_path) == before


def test_files_of_a_person_stay_and_gitignore_only_grows(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / ".gitignore").write_bytes(b"*.pyc\n/artifacts")
    done = scaffold(tmp_path)
    assert sorted(done.kept) == ["README.md", "dvc.yaml"]
    assert (tmp_path / "README.md").read_text() == "mine"
    assert (tmp_path / "dvc.yaml").read_text() == "stages: {}\n"
    assert (tmp_path / ".gitignore").read_bytes() == b"*.pyc\n/artifacts\n/.tracer\n"
    assert ".gitignore (1 lines added)" in done.written


def test_an_existing_tracer_yaml_is_compiled_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "tracer.yaml").write_text("project: mine\ntraces: [{path: data/a.jsonl}]\noutputs: {policy: p}\n")
    scaffold(tmp_path, "other")
    assert "project: mine" in (tmp_path / "params.yaml").read_text()
    assert "/p\n" in (tmp_path / ".gitignore").read_text()
    (tmp_path / "tracer.yaml").write_text("projct: mine\n")
    with pytest.raises(ConfigError, match="did you mean 'project'"):
        scaffold(tmp_path)


def test_a_file_of_the_project_is_used_where_it_lies(tmp_path: Path) -> None:
    file = tmp_path / "in" / "calls.csv"
    file.parent.mkdir()
    file.write_text("x")
    scaffold(tmp_path, traces=file, found=Found(text="yes", label="0123", timestamp="a: b"))
    source = load_config(tmp_path / "tracer.yaml").traces[0]
    assert (source.path, source.text, source.label, source.timestamp) == ("in/calls.csv", "yes", "0123", "a: b")
    assert (source.id, source.ground_truth) == (None, None)
    assert not (tmp_path / "data").exists()


def test_another_file_is_copied_once_and_never_over_a_different_one(tmp_path: Path) -> None:
    file = tmp_path / "calls 1.jsonl"
    file.write_text("one\n")
    root = tmp_path / "new"
    done = scaffold(root, traces=file, found=Found())
    copy = root / "data" / "traces" / "calls 1.jsonl"
    assert copy.read_text() == "one\n"
    assert "data/traces/calls 1.jsonl" in done.written
    assert load_config(root / "tracer.yaml").traces[0].path == "data/traces/calls 1.jsonl"
    file.write_text("two\n")
    (root / "tracer.yaml").unlink()
    with pytest.raises(DataError, match="there is another file of this name"):
        scaffold(root, traces=file, found=Found())
    assert copy.read_text() == "one\n"


def test_a_file_where_tracer_writes_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    file = tmp_path / "artifacts" / "x.jsonl"
    file.parent.mkdir()
    file.write_text("{}")
    with pytest.raises(ConfigError, match="lies in artifacts, which tracer writes"):
        scaffold(tmp_path, traces=file, found=Found())
    assert not (tmp_path / "tracer.yaml").exists()


def test_a_wildcard_in_the_name_of_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a[1].jsonl"
    file.write_text("{}")
    with pytest.raises(DataError, match="rename it"):
        scaffold(tmp_path, traces=file, found=Found())


@pytest.mark.parametrize("name", ["yes", "a: b", "😀", "#", '"', "1e-3"])
def test_any_project_name_arrives_as_written(tmp_path: Path, name: str) -> None:
    scaffold(tmp_path, name)
    assert load_config(tmp_path / "tracer.yaml").project == name


def test_the_next_steps_depend_on_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = Path()
    assert next_steps(root)[:2] == ["git init", "dvc init"]
    (root / ".git").mkdir()
    assert next_steps(root)[0] == "dvc init"
    (root / ".dvc").mkdir()
    assert next_steps(root)[0] == "dvc repro"
    (root / ".dvc").rmdir()
    sub = root / "sub"
    scaffold(sub)
    assert next_steps(sub)[0] == "cd sub"
    assert next_steps(sub)[1].startswith("# put your traces into data/traces/")
    assert next_steps(sub)[2] == "dvc init --subdir"
