"""docs/dvc.md: every command on it is run by a test of this folder."""

import re
from pathlib import Path

from dvc_support import PAGE

FOLDER = Path(__file__).parent


def test_the_code_under_each_heading_is_run_by_a_test() -> None:
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    with_code = {section.split("\n")[0] for section in sections if "```" in section}
    tests = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("test_*.py"))
    assert with_code
    assert with_code == set(re.findall(r'code_of_page\("([^"]+)"', tests))
