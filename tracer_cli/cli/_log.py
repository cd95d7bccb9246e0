"""What the layers below say through the logger `tracer`, on stderr; results alone go to stdout."""

from __future__ import annotations

import logging

import click


class _Echo(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        click.echo(f"{prefix}{record.getMessage()}", err=True)


def show_log() -> None:
    """Show progress lines and warnings; calling it twice changes nothing."""
    logger = logging.getLogger("tracer")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [_Echo()]
