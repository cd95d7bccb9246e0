"""The hook that `tracer init --pre-commit` adds to a configuration of a person's own."""

import textwrap
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from support import REPOSITORY
from tracer_cli.compile import pre_commit
from tracer_cli.compile.emit import emit

OWN = """\
# ours
default_language_version: {python: python3}  # for all

repos:
  # lint
  - repo: https://github.com/astral-sh/ruff-pre-commit
    rev: v0.9.0   # keep in step with pyproject
    hooks:
      - id: ruff
        args: ["--fix"]

# run on demand only
ci: {skip: [ruff]}
"""


def added(text: str, folder: str = "") -> str:
    new = pre_commit.with_hook(text, folder)
    assert new is not None
    return new


def test_every_line_of_a_person_stays_in_place() -> None:
    before, after = OWN.split("\n# run on demand")
    hook = textwrap.indent(pre_commit.text_of(""), "  ")
    assert added(OWN) == f"{before}{hook}\n# run on demand{after}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing yet\n",
        "fail_fast: true",
        "repos:",
        "repos:\n",
        "repos:  # none\n\nfail_fast: true\n",
        "repos:\n- repo: local\n  hooks: [{id: x, name: x, entry: x, language: system}]",
        "repos:\n-   repo: meta\n    hooks:\n    -   id: identity\n    # the end\n",
        "---\nrepos:\n- {repo: meta, hooks: [{id: identity}]}\n",
        "repos:\n- repo: local\n  hooks:\n  - id: x\n    entry: |\n      # not a comment\n      true\nfail_fast: true\n",
        "repos:\n- repo: local\n  hooks:\n  - id: x\n    entry: |\n      true\n      # of the text\n",
        "repos:\n- repo: a\n...\n",
    ],
)
def test_any_common_form_gets_the_hook_and_nothing_else(text: str) -> None:
    old = yaml.safe_load(text) or {}
    assert yaml.safe_load(added(text)) == {**old, "repos": [*(old.get("repos") or []), pre_commit.entry("")]}
    rest = iter(added(text).splitlines())
    assert all(line in rest for line in text.splitlines())  # in their order


def test_a_second_time_changes_nothing_and_another_project_gets_its_own() -> None:
    once = added(OWN)
    assert added(once) == once
    both = added(once, "sub project")
    assert "tracer compile --check --dir 'sub project'" in both
    assert added(both) == added(both, "sub project") == both


def test_the_published_hook_counts_as_ours() -> None:
    text = "repos:\n- repo: https://example.com/tracer\n  rev: v1\n  hooks:\n  - id: tracer-compile-check\n"
    assert added(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "repos: []\n",  # on one line: what stands behind it is for a person to move
        "repos: [{repo: meta, hooks: []}]\n",
        "repos: {a: 1}\n",
        "- a\n",
        "a: [\n",
    ],
)
def test_where_it_is_not_safe_nothing_is_written(text: str) -> None:
    assert pre_commit.with_hook(text, "") is None


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=8)
hooks = st.fixed_dictionaries({"id": words}, optional={"entry": words, "files": words, "args": st.lists(words)})
repositories = st.fixed_dictionaries({"repo": words, "hooks": st.lists(hooks, max_size=2)})


@given(st.lists(repositories, max_size=3), st.dictionaries(words, words, max_size=2), st.booleans())
def test_any_configuration_that_can_be_read(repos: list[Any], rest: dict[str, str], first: bool) -> None:
    values = {"repos": repos, **rest} if first else {**rest, "repos": repos}
    values["repos"] = repos
    new = pre_commit.with_hook(emit(values), "")
    if new is None:
        assert repos == []  # emitted on one line
    else:
        assert yaml.safe_load(new) == {**values, "repos": [*repos, pre_commit.entry("")]}


def test_the_hook_that_the_project_offers_is_the_same() -> None:
    (offered,) = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    (ours,) = pre_commit.entry("")["hooks"]
    for key in ("id", "name", "entry", "language", "pass_filenames"):
        assert offered[key] == ours[key], key


@pytest.mark.parametrize("folder", ["", "sub", "a.b"])
def test_the_hook_runs_for_the_files_of_its_project(folder: str) -> None:
    import re

    (hook,) = pre_commit.entry(folder)["hooks"]
    prefix = f"{folder}/" if folder else ""
    for name in ("tracer.yaml", "dvc.yaml", "params.yaml"):
        assert re.search(hook["files"], f"{prefix}{name}")
    for other in ("params_yaml", "x/params.yaml", f"x{prefix}params.yaml", f"{prefix}dvc.lock", "axb/dvc.yaml"):
        assert not re.search(hook["files"], other), other
