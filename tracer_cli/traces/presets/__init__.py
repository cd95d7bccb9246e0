"""Presets: one file for each shape in which traces come; this registry is the only place that lists them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from tracer_cli.config.schema import TraceSource
from tracer_cli.traces.presets.base import Found, Preset

__all__ = ["Found", "Preset", "preset_of"]

_CLASSES = {
    "fields": ("tracer_cli.traces.presets.fields", "FieldsPreset"),
    "openai-chat": ("tracer_cli.traces.presets.openai_chat", "OpenAIChatPreset"),
    "openai-batch": ("tracer_cli.traces.presets.openai_batch", "OpenAIBatchPreset"),
    "langfuse": ("tracer_cli.traces.presets.langfuse", "LangfusePreset"),
    "otel": ("tracer_cli.traces.presets.otel", "OTelPreset"),
    "litellm": ("tracer_cli.traces.presets.litellm", "LiteLLMPreset"),
    "tracer": ("tracer_cli.traces.presets.trace_log", "TraceLogPreset"),
}


def preset_of(source: TraceSource, root: Path, scratch: Path) -> Preset:
    """The preset that the source names, ready to read its files."""
    module, name = _CLASSES[source.preset]
    made: Any = getattr(import_module(module), name)
    preset: Preset = made(source, root, scratch)
    return preset
