"""A service that embeds, for the tests of those who ask it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from embedding_service import Service, running
from tracer_cli.embedders import request


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Without a proxy between, and with waits of milliseconds before another try."""
    monkeypatch.setattr(request, "FIRST_WAIT", 0.005)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with running() as service:
        yield service
