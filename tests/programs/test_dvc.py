"""DVC as a program."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tracer_cli.programs import dvc


@pytest.mark.dvc
@pytest.mark.skipif(sys.version_info < (3, 11), reason="an older Python cannot leave the current folder out")
def test_a_file_of_the_project_does_not_stand_in_for_dvc(tmp_path: Path) -> None:
    (tmp_path / "dvc.py").write_text("print('everything is fine')")
    assert dvc.version(tmp_path).startswith("3.")
