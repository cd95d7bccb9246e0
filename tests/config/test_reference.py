"""docs/configuration.md is what the model says; run with TRACER_WRITE_GOLDEN=1 to write it anew."""

import os
import re
from collections.abc import Iterator

from support import REPOSITORY
from tracer_cli.config.json_schema import Node, model_schema
from tracer_cli.config.reference import page

PAGE = REPOSITORY / "docs" / "configuration.md"


def test_the_page_is_fresh() -> None:
    if os.environ.get("TRACER_WRITE_GOLDEN"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_key_of_every_section_has_a_row_with_its_meaning() -> None:
    def rows(node: Node) -> Iterator[str]:
        for name, value in node.get("properties", {}).items():
            yield f"| `{name}` | "
            if name != "kind" and "description" in value:
                yield f" | {value['description'].replace('|', '&#124;')} |"

    text = page()
    schema = model_schema()
    for node in [schema, *schema["$defs"].values()]:
        for row in rows(node):
            assert row in text, row


def test_links_lead_to_headings() -> None:
    text = page()
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    links = set(re.findall(r"\]\(#([^)]*)\)", text))
    assert len(links) > 15
    assert links <= headings
