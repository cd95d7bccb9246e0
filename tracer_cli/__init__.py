"""Learn a cheap surrogate from an LLM's own traces, with a certified parity guarantee.

The names below are loaded when they are first used, so that `import tracer_cli` is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracer_cli.api import FitConfig, FitResult, embed, fit
    from tracer_cli.embedders import Embedder
    from tracer_cli.refit import update
    from tracer_cli.runtime.reload import LiveRouter
    from tracer_cli.runtime.router import Router, load_router
    from tracer_cli.runtime.trace_log import TraceLog
    from tracer_cli.runtime.watch import capture, watch

__version__ = "0.1.0"

__all__ = [
    "Embedder",
    "FitConfig",
    "FitResult",
    "LiveRouter",
    "Router",
    "TraceLog",
    "__version__",
    "capture",
    "embed",
    "fit",
    "load_router",
    "update",
    "watch",
]

_HOMES = {
    "Embedder": "tracer_cli.embedders",
    "FitConfig": "tracer_cli.api",
    "FitResult": "tracer_cli.api",
    "embed": "tracer_cli.api",
    "fit": "tracer_cli.api",
    "LiveRouter": "tracer_cli.runtime.reload",
    "Router": "tracer_cli.runtime.router",
    "load_router": "tracer_cli.runtime.router",
    "TraceLog": "tracer_cli.runtime.trace_log",
    "capture": "tracer_cli.runtime.watch",
    "update": "tracer_cli.refit",
    "watch": "tracer_cli.runtime.watch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tracer_cli' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
