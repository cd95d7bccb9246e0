"""Filling the report's template. Every value is escaped: texts and labels come from strangers."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tracer_cli.report import words
from tracer_cli.resources import template_folder


def _percent(value: float | None, digits: int = 1) -> str:
    return words.percent(value, digits, none="–")


def _number(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}"


def _upper_first(text: str) -> str:
    """A sentence's first letter; `capitalize` would take the capitals out of the names in it."""
    return text[:1].upper() + text[1:]


def render(context: dict[str, Any]) -> str:
    """The report as one self-contained HTML page: no script, nothing fetched."""
    return _environment().get_template("report.html.j2").render(context)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(template_folder() / "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "interval": words.interval,
        "number": _number,
        "threshold": words.threshold,
        "upper_first": _upper_first,
    }
    environment.globals["words"] = words
    return environment
