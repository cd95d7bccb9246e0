"""The summary of a CI job, as a Markdown renderer sees it."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from review.judgements import EVIL, every_result, example, of_label
from tracer_cli.review.guard.outcome import RULES, judged, not_asked
from tracer_cli.review.guard.summary_markdown import MOST_DETAILS, summary_markdown

GOLDEN = Path(__file__).parent / "golden" / "guard.md"
OURS = {"<code>", "</code>", "<details>", "</details>", "<summary>", "</summary>"}


def tokens(text: str) -> list[Token]:
    found = []
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        found += [token, *(token.children or ())]
    return found


def test_the_summary_is_as_the_golden_one() -> None:
    text = summary_markdown(every_result())
    if os.environ.get("TRACER_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_a_reviewer_finds_verdict_rules_and_the_way_on() -> None:
    text = summary_markdown(every_result())
    assert text.startswith("## ❌ Guard did not pass: coverage, labels-lost\n")
    assert "| ⚠️ accepted | `loosened` |" in text
    assert "`TRACER_GUARD_ACCEPT=coverage`" in text
    assert "- `recomputed`: it needs --recompute" in text
    assert summary_markdown(example(judged("noise", True, ("fine",)))).startswith("## ✅ Guard passed\n")
    accepted = example(judged("noise", False, ("noisy",))).accepting(["noise"])
    assert summary_markdown(accepted).startswith("## ✅ Guard passed, with noise accepted\n")


def test_many_details_are_cut() -> None:
    lines = [(f"line {i}",) for i in range(MOST_DETAILS + 5)]
    text = summary_markdown(example(judged("labels-lost", False, ("many",), lines)))
    assert f"- line {MOST_DETAILS - 1}\n- and 5 more\n" in text


@given(st.one_of(st.text(), st.sampled_from([EVIL, "|", "<b>", "`", "``` ", "@all", "</details>", "![x](y)", "&lt;"])))
def test_a_label_is_never_markup(label: str) -> None:
    found = tokens(summary_markdown(of_label(label)))
    kinds = [token.type for token in found]
    assert not {"link_open", "image", "em_open", "strong_open", "fence", "code_block"} & set(kinds)
    assert {token.content.strip() for token in found if token.type == "html_inline"} <= OURS
    # A header and a row for each rule, of three cells.
    assert kinds.count("tr_open") == len(RULES) + 1
    assert kinds.count("td_open") == 3 * len(RULES)
    assert kinds.count("list_item_open") == 2 * len(RULES)
    # A service sees names and numbers of issues in all text that is not code.
    depth = 0
    for token in found:
        depth += {"<code>": 1, "</code>": -1}.get(token.content, 0) if token.type == "html_inline" else 0
        assert token.type != "text" or depth or "@" not in token.content


def test_rules_that_were_not_asked_are_folded_away() -> None:
    text = summary_markdown(example(judged("noise", True, ("fine",)), not_asked("coverage-drop", "no baseline")))
    assert "<details><summary>Not asked: coverage-drop</summary>" in text
    assert text.count("coverage-drop") == 2 and "| ➖" not in text
