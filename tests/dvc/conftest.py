"""One project with two committed refits, `v1` and `v2`, and its artifacts in a remote."""

from __future__ import annotations

import pytest

from dvc_support import SETTINGS, Project
from support import example_traces, write_jsonl


@pytest.fixture(scope="session")
def refits(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Shared: copy it before changing anything."""
    folder = tmp_path_factory.mktemp("refits")
    (folder / "project").mkdir()
    project = Project(folder / "project", folder / "home")
    write_jsonl(project.root / "data" / "traces" / "a.jsonl", example_traces(900))
    (project.root / "tracer.yaml").write_text(SETTINGS)
    project.tracer("init")
    project.dvc("remote", "add", "--default", "storage", str(folder / "remote"))
    for tag, target in (("v1", 0.85), ("v2", 0.75)):
        (project.root / "tracer.yaml").write_text(SETTINGS.replace("0.85", str(target)))
        project.dvc("repro")
        project.commit()
        project.git("tag", tag)
        project.dvc("push")
    return project
