"""docs/doctor.md lists every finding, in the words of the code."""

from __future__ import annotations

import os
import re
from itertools import groupby
from pathlib import Path

from tracer_cli.doctor.catalogue import DVC, KINDS, OLD_TRACES_DAYS, PYTHON
from tracer_cli.doctor.examine import CHECKS
from tracer_cli.doctor.findings import Grade, Kind

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"

BEGIN = f"""\
# What `tracer doctor` finds

    tracer doctor [--dir D] [--json]

It looks at everything that a refit needs, in the order below, and says what is wrong, why that matters and what mends
it. It changes nothing and asks no network. A finding is **broken** (a command fails, or a result cannot be trusted:
exit 2), a **warning** (something will be missed later: exit 0) or fine. A check that cannot be made is a warning, and
the others go on. `--json` gives `count` (how many of each grade) and `findings`, each with `check`, `kind` (the names
below, null when all is well), `grade`, `found`, `why`, `fix`, `file` (relative to the project's folder) and `line`.

Python from {PYTHON[0][0]}.{PYTHON[0][1]} to {PYTHON[1][0]}.{PYTHON[1][1] - 1} and DVC from {DVC[0][0]}.{DVC[0][1]} on, \
below {DVC[1][0]}, are supported. Traces are old after {OLD_TRACES_DAYS} days.
Words in capitals in a fix stand for what is found.
"""


def entry(kind: Kind) -> str:
    grade = f"**{kind.grade.value}**" if kind.grade is Grade.BROKEN else kind.grade.value
    fix = re.sub(r"\{(\w+)\}", lambda match: match[1].upper(), kind.fix)
    return f"- `{kind.name}` ({grade}): {kind.why}\n  Fix: {fix}\n"


def page() -> str:
    sections = [BEGIN]
    for check, kinds in groupby(KINDS, key=lambda kind: kind.check):
        sections.append(f"## {check}\n\n{''.join(map(entry, kinds))}")
    return "\n".join(sections)


def test_the_page_is_that_of_the_code() -> None:
    if os.environ.get("TRACER_WRITE_GOLDEN"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page()


def test_the_page_is_in_the_order_of_the_checks_and_names_each() -> None:
    named = [check for check, _ in groupby(kind.check for kind in KINDS)]
    assert len(named) == len(set(named)), "the kinds of a check stand together"
    assert named == [check for check, _ in CHECKS] + ["doctor"]


def test_every_fix_can_be_filled_in_and_every_text_is_a_sentence() -> None:
    for kind in KINDS:
        assert kind.why.endswith("."), kind.name
        assert re.fullmatch(r"[a-z][a-z-]*", kind.name)
        assert len(re.findall(r"\{\w+\}", kind.fix)) == kind.fix.count("{") == kind.fix.count("}")
