"""Reads docs/traces.md: the files that it shows, the tracer.yaml beside them, and what it says becomes of each row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(
    r"(?:^`(?P<path>data/[^`]+)`[^\n]*:\n\n)?^```(?P<kind>\w+)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL
)


@dataclass
class Example:
    """One tracer.yaml of the page. files: path -> contents; becomes: lines such as `"text" -> label`."""

    title: str
    config: str
    files: dict[str, str] = field(default_factory=dict)
    becomes: list[str] = field(default_factory=list)

    def write(self, root: Path) -> None:
        for path, contents in self.files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(contents, encoding="utf-8")
        (root / "tracer.yaml").write_text(self.config, encoding="utf-8")


def examples(page: str) -> Iterator[Example]:
    """Files, then one yaml block, then one text block make an example; files stay for the next one of a section."""
    for section in re.split(r"^(?=## )", page, flags=re.MULTILINE):
        title = section.splitlines()[0].removeprefix("## ") if section.startswith("## ") else ""
        files: dict[str, str] = {}
        config = ""
        for match in _BLOCK.finditer(section):
            if match["path"]:
                files[match["path"]] = _lines(match["body"]) if match["kind"] == "json" else match["body"]
            elif match["kind"] == "yaml":
                config = match["body"]
            elif match["kind"] == "text" and config:
                yield Example(title, config, dict(files), match["body"].splitlines())
                config = ""


def _lines(body: str) -> str:
    """JSON values, wrapped as the page shows them, one a line."""
    decoder = json.JSONDecoder()
    lines, at = [], 0
    while at < len(body):
        value, end = decoder.raw_decode(body, at)
        lines.append(json.dumps(value, ensure_ascii=True))
        at = end + len(body[end:]) - len(body[end:].lstrip())
    return "\n".join(lines) + "\n"
