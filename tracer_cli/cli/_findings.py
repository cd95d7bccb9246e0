"""The findings of `tracer doctor`, as text or JSON, and as an exit code."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict

import click

from tracer_cli.doctor.findings import Finding, Grade, counted
from tracer_cli.errors import TracerError

_COLOURS = {Grade.BROKEN: "red", Grade.WARNING: "yellow", Grade.FINE: "green"}
_INDENT = " " * 9


def show(findings: Sequence[Finding], as_json: bool) -> None:
    """Print them; raise TracerError when one is broken."""
    count = {grade: sum(finding.grade is grade for finding in findings) for grade in Grade}
    if as_json:
        import json

        found = [asdict(finding) | {"grade": finding.grade.value} for finding in findings]
        numbers = {grade.value: number for grade, number in count.items()}
        click.echo(json.dumps({"count": numbers, "findings": found}, indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            _print(finding)
        warnings = counted(count[Grade.WARNING], "warning")
        click.echo(f"{count[Grade.BROKEN]} broken, {warnings}, {count[Grade.FINE]} fine")
    if count[Grade.BROKEN]:
        names = dict.fromkeys(str(finding.kind) for finding in findings if finding.grade is Grade.BROKEN)
        raise TracerError(f"broken: {', '.join(names)}; each is told above with its fix")


def _print(finding: Finding) -> None:
    place = f"{finding.file}:{finding.line}: " if finding.line else f"{finding.file}: " if finding.file else ""
    # What an error of the configuration says begins with its own place.
    text = finding.found if finding.file and f"{finding.file}:" in finding.found else place + finding.found
    grade = click.style(f"{finding.grade.value:8}", fg=_COLOURS[finding.grade])
    name = finding.check if finding.kind is None else f"{finding.check} ({finding.kind})"
    first, *rest = f"{name}: {text}".splitlines()
    click.echo(f"{grade} {first}")
    for line in rest:
        click.echo(f"{_INDENT}{line}")
    for word, said in (("why", finding.why), ("fix", finding.fix)):
        if said:
            lines = textwrap.wrap(said, 106, break_long_words=False, break_on_hyphens=False)
            click.echo(f"{_INDENT}{word}: " + f"\n{_INDENT}     ".join(lines))
