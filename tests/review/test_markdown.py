"""The page as Markdown: read back by a Markdown parser, no name breaks it, pings anybody or hides."""

from __future__ import annotations

import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from review.refits import LABELS, facts_of
from tracer_cli.review.diff.changes import between
from tracer_cli.review.diff.page import page
from tracer_cli.review.markdown import code, markdown
from tracer_cli.review.sentences import Code, Name, listed, plain, visible

HOSTILE = [
    "a|b",
    "`code`",
    "``",
    "`",
    "a\\",
    "a\\|b",
    "@octocat ping",
    "#1 and GH-2",
    "<img src=x onerror=alert(1)>",
    "</code></td><script>",
    "<!--",
    "![x](http://evil.example/x.png)",
    "[x](javascript:alert(1))",
    "line\nbreak\r\n\n# Heading",
    "| --- |",
    "**bold** _it_ ~~s~~",
    "&amp; &#64;octocat",
    "\x1b[31mred\x07",
    "\u202eevil\u2066",
    "\ud800",
    " spaces ",
    "$`x`$",
    ":smile: https://example.com www.example.com a@b.example",
    "",
]


class Page(HTMLParser):
    """The texts within <code>, and every tag."""

    def __init__(self) -> None:
        super().__init__()
        self.code: list[str] = []
        self.tags: list[str] = []
        self.outside = ""
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag == "code":
            self.depth += 1
            self.code.append("")

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag == "code"

    def handle_comment(self, data: str) -> None:
        self.tags.append("comment")

    def handle_data(self, data: str) -> None:
        if self.depth:
            self.code[-1] += data
        else:
            self.outside += data


def read(text: str) -> Page:
    found = Page()
    found.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))
    found.close()
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_code_and_nothing_else(name: str) -> None:
    """In a table, where a bare `|` or a line break would end the cell."""
    found = read(f"| a | b |\n| --- | --- |\n| x {code(name)} y | z |\n")
    assert found.tags.count("td") == 2 and found.tags.count("tr") == 2
    assert set(found.tags) == {"table", "thead", "tbody", "tr", "th", "td", "code"}
    assert found.code == [visible(name)]
    assert found.outside.split() == ["a", "b", "x", "y", "z"]


@example("a b  c")
@given(st.text())
def test_any_name_at_all(name: str) -> None:
    found = read(f"- {code(name)}\n")
    assert found.code == [visible(name)] and set(found.tags) == {"ul", "li", "code"}


@example("\x1b\n\r\x9b\u202e\u2066\u2028\u200b\ufeff\ud800")
@given(st.text())
def test_what_is_visible_obeys_no_terminal_and_stays_itself(name: str) -> None:
    shown = visible(name)
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert not set("\u202e\u2066\u200b\ufeff") & set(shown)
    if name.isascii() and name.isprintable():
        assert shown == name


def test_a_page_of_hostile_labels_is_still_a_page(tmp_path: Path) -> None:
    names = [name for name in HOSTILE if "\r" not in name and "\ud800" not in name and name]
    before = LABELS | dict.fromkeys(names[:12], (40, 50, 40, 40, 40))
    after = LABELS | dict.fromkeys(names[:8], (40, 50, 40, 40, 2)) | dict.fromkeys(names[12:], (40, 50, 40, 40, 40))
    zoo = {"a|`b`@c": {"kind": "sgd"}}
    changes = between(
        facts_of(tmp_path / "a", labels=before),
        facts_of(tmp_path / "b", labels=after, settings={"zoo": zoo}, surrogate="100 % a|`b`@c"),
    )
    text = markdown(page(changes))
    assert "@octocat" not in text and "\x1b" not in text and "<img" not in text
    found = read(text)
    assert set(found.tags) <= {
        "h2", "h3", "p", "strong", "ul", "li", "code", "sub", "table", "thead", "tbody", "tr", "th", "td", "s",
    }  # fmt: skip
    assert "s" not in found.tags
    widths = [len(section.columns) * (len(section.rows) + 1) for section in page(changes).sections if section.columns]
    assert found.tags.count("td") + found.tags.count("th") == sum(widths)
    assert {visible(name) for name in names[:8]} <= set(found.code)
    assert "octocat" not in found.outside


def test_sentences_quote_names_and_say_how_many_more() -> None:
    words = ("labels: ", *listed(["a", "b\n", "c", "d"], most=2), "; run ", Code("x"))
    assert plain(words) == "labels: 'a', 'b\\n' and 2 more; run `x`"
    assert listed([]) == () and isinstance(listed(["a"])[0], Name)
