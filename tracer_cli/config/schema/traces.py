"""Where the traces are, and what in them is text and label."""

from __future__ import annotations

from pydantic import Field

from tracer_cli.config.scalars import (
    Count,
    Share,
    Text,
)
from tracer_cli.config.schema.base import Section


class TraceSource(Section):
    """One source of traces: files of one shape, and which fields hold what."""

    path: Text = Field(description="File or glob, relative to tracer.yaml: .jsonl, .csv, .parquet, also .gz and .zst.")
    text: Text | None = Field(
        default=None,
        description="Field with the input text. Default: the first of input, query, text, prompt, question.",
    )
    label: Text | None = Field(
        default=None,
        description="Field with the teacher's label. Default: the first of teacher, teacher_output, label, "
        "intent, output, answer.",
    )
    id: Text | None = Field(default=None, description="Field with an identifier that is carried along.")
    timestamp: Text | None = Field(
        default=None, description="Field with the time of the trace; needed for split.by: time."
    )
    ground_truth: Text | None = Field(default=None, description="Field with a human label; reported, never trained on.")
    max_rejected: Share = Field(
        default=0.05, description="Largest share of unusable rows before ingest stops with an error."
    )
    max_text_length: Count = Field(default=20000, description="Longest text in characters; a longer one is rejected.")
    max_label_length: Count = Field(default=200, description="Longest label in characters; a longer one is rejected.")
