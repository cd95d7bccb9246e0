"""`tracer init`: what it writes into an empty folder, and that it never overwrites."""

import os
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from tracer_cli import __version__
from tracer_cli.compile import ci, write
from tracer_cli.compile.scaffold import next_steps, scaffold
from tracer_cli.config.load import load_config
from tracer_cli.config.schema import JsonParse
from tracer_cli.errors import ConfigError, DataError
from tracer_cli.programs.git import git

GOLDEN = Path(__file__).parent / "golden"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
FILES = [
    ".gitignore",
    "README.md",
    "dvc.yaml",
    "metrics/previous.json",
    "params.yaml",
    "tracer.schema.json",
    "tracer.yaml",
]


@dataclass
class Found:
    text: str | None = None
    label: str | None = None
    id: str | None = None
    timestamp: str | None = None
    ground_truth: str | None = None
    preset: str = "fields"
    parse: dict[str, object] = field(default_factory=dict)


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}


def test_an_empty_folder_becomes_a_project_that_compiles_to_itself(tmp_path: Path) -> None:
    root = tmp_path / "new"
    done = scaffold(root)
    assert sorted(done.written) == FILES
    assert done.kept == []
    assert write(root, check=True).stale == ()
    assert load_config(root / "tracer.yaml").project == "new"
    assert (root / ".gitignore").read_text() == "/artifacts\n/.tracer\n/dvc_plots\n"
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
    assert (tmp_path / ".gitignore").read_bytes() == b"*.pyc\n/artifacts\n/.tracer\n/dvc_plots\n"
    assert ".gitignore (2 lines added)" in done.written


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
    assert load_config(root / "tracer.yaml").traces[0].path == "data/traces/*.jsonl"
    file.write_text("two\n")
    (root / "tracer.yaml").unlink()
    with pytest.raises(DataError, match="there is another file of this name"):
        scaffold(root, traces=file, found=Found())
    assert copy.read_text() == "one\n"


def test_a_copy_beside_other_traces_is_named_alone(tmp_path: Path) -> None:
    (tmp_path / "new" / "data" / "traces").mkdir(parents=True)
    (tmp_path / "new" / "data" / "traces" / "other.jsonl").write_text("{}")
    file = tmp_path / "calls.jsonl"
    file.write_text("one\n")
    scaffold(tmp_path / "new", traces=file, found=Found())
    assert load_config(tmp_path / "new" / "tracer.yaml").traces[0].path == "data/traces/calls.jsonl"


def test_a_preset_and_its_parse_are_declared(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_text("{}")
    parse = {"kind": "json", "key": 'a "b": c'}
    scaffold(tmp_path / "new", traces=file, found=Found(preset="openai-chat", parse=parse))
    source = load_config(tmp_path / "new" / "tracer.yaml").traces[0]
    assert source.preset == "openai-chat"
    assert isinstance(source.parse, JsonParse)
    assert source.parse.key == 'a "b": c'


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


def test_the_next_steps_to_a_first_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text("{}")
    scaffold(Path(), traces=Path("a.jsonl"), found=Found(), service="github", hook=True)
    steps = next_steps(Path(), service=True, hook=True)
    assert steps[:4] == ["pre-commit install", "dvc repro", "git add .", 'git commit -m "First policy"']
    assert steps[4].startswith("git remote add origin")
    assert steps[5:] == ["git push -u origin HEAD"]
    git(tmp_path, "remote", "add", "origin", "x")
    assert next_steps(Path(), service=True)[3:] == ["git push -u origin HEAD"]


# --- the CI job and the hook ----------------------------------------------------------------------


def test_a_job_is_written_once_and_makes_the_repositories_that_it_needs(tmp_path: Path) -> None:
    done = scaffold(tmp_path, service="github", hook=True)
    assert done.ran == ["git init", "dvc init"]
    assert {".github/workflows/tracer.yml", "constraints.txt", ".pre-commit-config.yaml"} <= set(done.written)
    assert (tmp_path / ".dvc" / "config").is_file()
    job = tmp_path / ".github" / "workflows" / "tracer.yml"
    job.write_text("mine")
    again = scaffold(tmp_path, service="github", hook=True)
    assert (again.written, again.ran, again.advice) == ([], [], [])
    assert job.read_text() == "mine"


def test_a_project_below_its_repository_has_its_job_at_the_top(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    root = tmp_path / "teams" / "Support & Co"
    done = scaffold(root, service="github", hook=True)
    assert done.ran == ["dvc init --subdir"]
    assert "../../.github/workflows/tracer-teams-support-co.yml" in done.written
    text = (tmp_path / ".github" / "workflows" / "tracer-teams-support-co.yml").read_text()
    job = yaml.safe_load(text)["jobs"]["guard"]
    assert job["defaults"]["run"]["working-directory"] == "teams/Support & Co"
    paths = [step["with"] for step in job["steps"] if "with" in step]
    assert {
        "cache-dependency-path": "teams/Support & Co/constraints.txt",
        "python-version": PYTHON,
        "cache": "pip",
    } in paths
    assert any(step.get("path") == "teams/Support & Co/tracer-review" for step in paths)
    hook = yaml.safe_load((tmp_path / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"][0]
    assert hook["entry"] == "tracer compile --check --dir 'teams/Support & Co'"


def test_a_gitlab_job_is_a_file_of_its_own_that_a_pipeline_includes(tmp_path: Path) -> None:
    done = scaffold(tmp_path, service="gitlab")
    include = yaml.safe_load((tmp_path / ".gitlab-ci.yml").read_text())
    assert include == {"include": [{"local": "/.gitlab/tracer.yml"}]}
    assert done.advice == scaffold(tmp_path, service="gitlab").advice == []
    (tmp_path / ".gitlab-ci.yml").write_text("stages: [test]\n")
    done = scaffold(tmp_path, service="gitlab")
    assert (tmp_path / ".gitlab-ci.yml").read_text() == "stages: [test]\n"
    assert done.advice == [
        f"{tmp_path / '.gitlab-ci.yml'} is yours and was left as it is; add the job to it:\n\n"
        "include:\n- local: /.gitlab/tracer.yml\n"
    ]


def test_a_pre_commit_configuration_that_cannot_be_added_to_is_left_and_told(tmp_path: Path) -> None:
    path = tmp_path / ".pre-commit-config.yaml"
    path.write_text("repos: []\n")
    done = scaffold(tmp_path, hook=True)
    assert path.read_text() == "repos: []\n"
    (advice,) = done.advice
    assert advice.startswith(f"{path} could not be added to safely; add this to its `repos:`\n\n- repo: local\n")


MINIMAL = "traces: [{path: data/a.jsonl}]\n"


def installed(root: Path, text: str, remote: str = "") -> str:
    """The command that the job installs with."""
    (root / "tracer.yaml").write_text(text)
    if remote:
        (root / ".dvc").mkdir()
        (root / ".dvc" / "config").write_text(f"[core]\n    remote = s\n['remote \"s\"']\n    url = {remote}\n")
    config = load_config(root / "tracer.yaml")
    job = yaml.safe_load(ci.job_text("github", ci.Place(root, ""), config))["jobs"]["guard"]
    (step,) = [step for step in job["steps"] if step.get("name") == "Install"]
    return step["run"].strip()


def test_the_job_installs_this_version(tmp_path: Path) -> None:
    assert installed(tmp_path, MINIMAL) == f"pip install -c constraints.txt tracer-cli=={__version__}"


def test_sentence_embeddings_need_their_extra_and_no_cuda(tmp_path: Path) -> None:
    text = MINIMAL + "embedder: {kind: sentence-transformers, model: all-MiniLM-L6-v2}\n"
    assert installed(tmp_path, text) == (
        "pip install -c constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu "
        f'"tracer-cli[embeddings]=={__version__}"'
    )


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_backend_needs_its_own_extra(tmp_path: Path, backend: str) -> None:
    text = MINIMAL + f"embedder: {{kind: sentence-transformers, backend: {backend}}}\n"
    assert f'"tracer-cli[{backend}]=={__version__}"' in installed(tmp_path, text)


@pytest.mark.parametrize("service", ["github", "gitlab"])
def test_the_key_of_an_endpoint_is_a_secret_of_the_job(tmp_path: Path, service: ci.Service) -> None:
    embedder = "embedder: {kind: endpoint, url: 'https://example.com/v1/embeddings', key_env: EXAMPLE_KEY}\n"
    (tmp_path / "tracer.yaml").write_text(MINIMAL + embedder)
    text = ci.job_text(service, ci.Place(tmp_path, ""), load_config(tmp_path / "tracer.yaml"), plugins=[])
    assert "needs the" in text.splitlines()[1]
    assert "EXAMPLE_KEY" in text.splitlines()[1]
    assert "Nothing here needs a secret" not in text
    if service == "github":
        assert yaml.safe_load(text)["env"]["EXAMPLE_KEY"] == "${{ secrets.EXAMPLE_KEY }}"


@pytest.mark.parametrize(
    ("remote", "plugin"), [("s3://bucket/x", " dvc-s3"), ("gs://b", " dvc-gs"), ("/srv/dvc", ""), ("https://x/y", "")]
)
def test_what_reads_the_remote_is_installed_too(tmp_path: Path, remote: str, plugin: str) -> None:
    assert installed(tmp_path, MINIMAL, remote).endswith(f"=={__version__}{plugin}")


def test_the_constraints_are_the_versions_that_run_here(tmp_path: Path) -> None:
    scaffold(tmp_path, service="github")
    lines = (tmp_path / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    for name in ("numpy", "scikit-learn", "onnxruntime", "dvc", "pyarrow"):
        assert pins[name] == metadata.version(name)
    assert "torch" not in pins and "pytest" not in pins


@pytest.mark.parametrize("service", ["github", "gitlab"])
def test_golden_job(tmp_path: Path, service: ci.Service) -> None:
    """The whole job, for this version's number and one Python."""
    (tmp_path / "tracer.yaml").write_text(MINIMAL)
    config = load_config(tmp_path / "tracer.yaml")
    text = ci.job_text(service, ci.Place(tmp_path, ""), config, python="3.12").replace(__version__, "VERSION")
    golden = GOLDEN / f"{service}.yml"
    if os.environ.get("TRACER_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == text
