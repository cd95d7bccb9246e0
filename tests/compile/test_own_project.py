"""The repository is a tracer project itself: what is committed must be what its tracer.yaml compiles to."""

from pathlib import Path

from tracer_cli.compile import write
from tracer_cli.compile.scaffold import scaffold
from tracer_cli.config.json_schema import json_schema_text

ROOT = Path(__file__).parents[2]


def test_the_compiled_files_are_fresh() -> None:
    outcome = write(ROOT, check=True)
    assert outcome.diff == ""
    assert outcome.stale == ()


def test_the_json_schema_is_fresh() -> None:
    assert (ROOT / "tracer.schema.json").read_text(encoding="utf-8") == json_schema_text()


def test_git_ignores_what_dvc_keeps() -> None:
    lines = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/artifacts", "/.tracer"} <= set(lines)


def test_a_new_project_has_the_same_settings_as_the_example(tmp_path: Path) -> None:
    from tracer_cli.config.load import load_config

    scaffold(tmp_path, "support-intents")
    new, example = load_config(tmp_path / "tracer.yaml"), load_config(ROOT / "tracer.yaml")
    assert new.model_copy(update={"traces": []}) == example.model_copy(update={"traces": []})
