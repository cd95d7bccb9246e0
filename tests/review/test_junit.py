"""The JUnit file is one that XML parsers and CI services take, whatever the labels are."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.judgements import EVIL, every_result, of_label
from tracer_cli.review.guard.junit import junit_xml
from tracer_cli.review.guard.outcome import RULES, Judgement

GOLDEN = Path(__file__).parent / "golden" / "guard.xml"

# What Jenkins's and GitLab's readers know: element -> its attributes and what may stand in it.
KNOWN = {
    "testsuites": ({"name", "tests", "failures", "errors", "skipped", "time"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors", "skipped", "time"}, {"properties", "testcase"}),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"classname", "name", "time"}, {"failure", "skipped", "system-out"}),
    "failure": ({"message", "type"}, set()),
    "skipped": ({"message"}, set()),
    "system-out": (set(), set()),
}


def checked(judgement: Judgement) -> ET.Element:
    """The parsed file, after what every reader relies on."""
    root = ET.fromstring(junit_xml(judgement).encode("utf-8"))
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, inside = KNOWN[element.tag]
        assert set(element.attrib) <= attributes and {child.tag for child in element} <= inside, element.tag
    (suite,) = root
    cases = suite.findall("testcase")
    counts = {"tests": len(cases)}
    for kind, tag in (("failures", "failure"), ("skipped", "skipped")):
        counts[kind] = sum(case.find(tag) is not None for case in cases)
    for element in (root, suite):
        assert {name: int(element.attrib[name]) for name in counts} == counts
    return root


def test_the_file_is_as_the_golden_one() -> None:
    text = junit_xml(every_result())
    if os.environ.get("TRACER_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_each_result_is_what_a_service_shows_for_it() -> None:
    root = checked(every_result())
    cases = {case.attrib["name"]: case for case in root.iter("testcase")}
    assert [case.tag for case in cases["certificate"]] == ["system-out"]
    failure = cases["labels-lost"].find("failure")
    assert failure is not None and failure.text is not None
    assert failure.attrib["message"].startswith("2 of 28 labels are lost: 'refund', ")
    assert "\n'refund': now no text to learn from has it\n" in failure.text
    accepted = cases["loosened"].find("skipped")
    assert accepted is not None and accepted.attrib["message"].startswith("accepted: weaker: ")
    skipped = cases["recomputed"].find("skipped")
    assert skipped is not None and skipped.attrib["message"] == "not asked: it needs --recompute"


@given(st.text(), st.booleans())
def test_any_label_gives_a_file_that_can_be_read(label: str, failing: bool) -> None:
    root = checked(of_label(label, failing))
    assert len(list(root.iter("testcase"))) == len(RULES)


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x0b", "\ud800", "\ufffe", "\uffff", "]]>", "&", '"', EVIL])
def test_what_xml_cannot_hold_is_replaced(character: str) -> None:
    root = checked(of_label(f"before{character}after"))
    (failure, *_) = root.iter("failure")
    assert "before" in failure.attrib["message"] and "after" in failure.attrib["message"]
