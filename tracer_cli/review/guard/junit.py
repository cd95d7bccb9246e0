"""A judgement as JUnit XML, the one format that every CI service shows: a suite, and a case for each rule."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from tracer_cli.review.guard.outcome import Judgement, Outcome
from tracer_cli.review.sentences import plain

SUITE = "tracer guard"
# What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(judgement: Judgement) -> str:
    """An accepted rule is a skipped case, so that the file agrees with the exit code; the message tells."""
    counts = {
        "tests": str(len(judgement.outcomes)),
        "failures": str(len(judgement.of("fail"))),
        "errors": "0",
        "skipped": str(len(judgement.of("accepted")) + len(judgement.of("not asked"))),
        "time": "0",
    }
    suites = ET.Element("testsuites", {"name": SUITE, **counts})
    suite = ET.SubElement(suites, "testsuite", {"name": SUITE, **counts})
    properties = ET.SubElement(suite, "properties")
    for name in ("project", "target", "confidence", "scope", "evidence", "baseline"):
        value = getattr(judgement, name)
        if value is not None:
            text = f"{value:g}" if isinstance(value, float) else _text(value)
            ET.SubElement(properties, "property", {"name": name, "value": text})
    for outcome in judgement.outcomes:
        _case(suite, outcome)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _case(suite: ET.Element, outcome: Outcome) -> None:
    case = ET.SubElement(suite, "testcase", {"classname": SUITE, "name": outcome.rule, "time": "0"})
    sentence, *details = (_text(plain(line)) for line in (outcome.sentence, *outcome.details))
    lines = "\n".join([sentence, *details])
    if outcome.result == "fail":
        ET.SubElement(case, "failure", {"message": sentence, "type": outcome.rule}).text = lines
        return
    if outcome.result != "pass":
        ET.SubElement(case, "skipped", {"message": f"{outcome.result}: {sentence}"})
    if outcome.result != "not asked":
        ET.SubElement(case, "system-out").text = lines


def _text(value: str) -> str:
    return _FORBIDDEN.sub("\ufffd", value)
