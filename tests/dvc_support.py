"""What the tests of tests/dvc share: a project that can be copied, and the commands of docs/dvc.md."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from pathlib import Path

from support import REPOSITORY, DvcProject

PAGE = REPOSITORY / "docs" / "dvc.md"

SETTINGS = """\
# what support asks for
schema: 1
project: support
traces:
  - path: data/traces/*.jsonl
embedder: {kind: tfidf, dim: 64}
zoo:
  logreg: {kind: logistic_regression, C: 10} # linear
  sgd: {kind: sgd}
targets:
  agreement: 0.85 # agreed with Ann
  frontier: [0.7]
"""


def code_of_page(heading: str, language: str = "sh") -> list[str]:
    """The blocks of code under a heading of docs/dvc.md."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


class Project(DvcProject):
    def at(self, root: Path) -> Project:
        """The same programs in another folder."""
        other = copy.copy(self)
        other.root = root
        return other

    def copy_to(self, folder: Path) -> Project:
        shutil.copytree(self.root, folder, symlinks=True)
        return self.at(folder)

    def shell(self, script: str, fails: bool = False, **environment: str) -> str:
        """What a block of the page prints."""
        done = subprocess.run(
            ["sh", "-e", "-c", script],
            cwd=self.root,
            env=self.environment | environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout
