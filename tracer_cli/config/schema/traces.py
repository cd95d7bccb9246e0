"""Where the traces are, what in them is text and label, and which of them count."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tracer_cli.config.scalars import AsText, AsValue, Count, Share, Text
from tracer_cli.config.schema.base import Section, wrong

# --- the label in the teacher's answer ------------------------------------------------------------


class LabelParse(Section):
    """What is done to every label, in this order: strip, case, aliases, allowed."""

    strip: Text | None = Field(
        default=None, description="Characters taken off both ends of the label, beside white space, such as .\"'`"
    )
    case: Annotated[Literal["keep", "lower", "upper"], AsText] = Field(
        default="keep", description="keep: as the teacher wrote it; lower, upper: all letters."
    )
    aliases: dict[Text, Text] = Field(
        default={}, description="Other spellings -> the label; the spelling as it is after strip and case."
    )
    allowed: list[Text] | None = Field(
        default=None, description="The labels there are; a row with another one is rejected. null: any."
    )


class TextParse(LabelParse):
    """The whole answer is the label."""

    kind: Literal["text"] = "text"


class JsonParse(LabelParse):
    """The label is a value in a JSON object, also inside a code fence."""

    kind: Literal["json"]
    key: Text = Field(default="label", description="Field of the object, or an expression such as result.intent.")


class RegexParse(LabelParse):
    """The label is what a regular expression finds in the answer."""

    kind: Literal["regex"]
    pattern: Text = Field(
        description="Regular expression (Python); the label is its group `label`, else its first group, else the match."
    )


class ToolParse(LabelParse):
    """The label is an argument of a tool call."""

    kind: Literal["tool"]
    tool: Text | None = Field(default=None, description="Name of the tool; null: the one that is called.")
    argument: Text = Field(default="label", description="Argument with the label, or an expression in the arguments.")


Parse = Annotated[TextParse | JsonParse | RegexParse | ToolParse, Field(discriminator="kind")]


# --- snapshots of what is no file -----------------------------------------------------------------


class Pull(Section):
    """A database or an object store that `tracer pull` copies into the files of `path`.

    Each pull adds an immutable part, named by its content; ingest reads only the parts.
    """

    source: Text | None = Field(
        default=None,
        description="postgresql://host/database, sqlite:///file, or files in an object store that fsspec knows, "
        "such as s3://bucket/traces/*.jsonl. Without user and password: libpq's variables (PGUSER, PGPASSWORD) and "
        "those of the store apply.",
    )
    source_env: Text | None = Field(
        default=None, description="Environment variable that holds the whole URL instead, credentials too."
    )
    query: Text | None = Field(default=None, description="SQL query whose rows are the traces; for databases.")
    cursor: Text | None = Field(
        default=None,
        description="Column of the query that only grows, such as a time: a later pull asks for the rows beyond the "
        "greatest value that is here; null: every pull asks for all rows.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Pull:
        if (self.source is None) == (self.source_env is None):
            found = "neither" if self.source is None else "both"
            raise wrong(f"found {found} of source and source_env; expected exactly one of them")
        return self


# --- a source -------------------------------------------------------------------------------------


class TraceSource(Section):
    """One source of traces: files of one shape, what in them is text and label, and which rows count.

    A field may be an expression for what lies inside nested JSON: `body.messages[0].content`, `tags[-1]`,
    `meta."a.b"`; text that is JSON itself is looked into as well.
    """

    path: Text = Field(description="File or glob, relative to tracer.yaml: .jsonl, .csv, .parquet, also .gz and .zst.")
    preset: Annotated[
        Literal["fields", "openai-chat", "openai-batch", "langfuse", "otel", "litellm", "tracer"], AsText
    ] = Field(
        default="fields",
        description="Shape of the records. fields: as `text` and `label` say; openai-chat: fine-tuning files with "
        "`messages`; openai-batch: batch input files, with `results`; langfuse: observations export; otel: OTLP JSON "
        "lines with GenAI spans; litellm: spend logs; tracer: this project's own trace log. With a preset, `text`, "
        "`label`, `id`, `timestamp`, `ground_truth` and `origin` are needed only to read something else than it does.",
    )
    results: Text | None = Field(
        default=None, description="Batch output file or glob, joined on custom_id; goes with preset: openai-batch."
    )
    text: Text | None = Field(
        default=None,
        description="Field with the input text. Default: the first of input, query, text, prompt, question.",
    )
    label: Text | None = Field(
        default=None,
        description="Field with the teacher's answer. Default: the first of teacher, teacher_output, label, "
        "intent, output, answer.",
    )
    id: Text | None = Field(default=None, description="Field with an identifier that is carried along.")
    timestamp: Text | None = Field(
        default=None,
        description="Field with the time of the trace; needed for split.by: time, `since` and `until`.",
    )
    ground_truth: Text | None = Field(default=None, description="Field with a human label; reported, never trained on.")
    origin: Text | None = Field(
        default=None,
        description="Field that says how the trace came about: organic (before any policy), audit or deferred. "
        "Deferred rows are trained on and are no evidence. Default: a field `origin` that holds one of these words, "
        "else organic.",
    )
    turns: Annotated[Literal["single", "last", "all"], AsText] = Field(
        default="single",
        description="What of a conversation is the text. single: the one message of the user, and a row with more is "
        "rejected; last: the user's last message; all: every turn. For the presets with messages.",
    )
    text_pattern: Text | None = Field(
        default=None,
        description="Regular expression (Python) that finds the text in a prompt made from a template: its group "
        "`text`, else its first group, else the match; a row without a match is rejected. null: the whole prompt.",
    )
    parse: Parse = Field(default=TextParse(), description="How the label is found in the teacher's answer.")
    where: Text | None = Field(
        default=None,
        description="Condition (DuckDB SQL) over the fields of a record; the other rows are left out. null: all.",
    )
    since: Text | None = Field(
        default=None, description="Earliest time of a trace that counts (ISO 8601; without a zone: UTC); null: any."
    )
    until: Text | None = Field(
        default=None,
        description="Time from which on traces no longer count (ISO 8601; without a zone: UTC); null: any.",
    )
    sample: Annotated[float, Field(gt=0, le=1), AsValue] = Field(
        default=1.0, description="Share of the texts that is used, drawn by a salted hash: a text stays in or out."
    )
    weight: Annotated[float, Field(ge=1e-6, le=1e6), AsValue] = Field(
        default=1.0,
        description="What a row of this source counts when the surrogate is trained and when labels of one text "
        "differ, beside the 1 of others; the certificate counts every text once.",
    )
    pull: Pull | None = Field(
        default=None, description="Where `tracer pull` gets the files of `path` from; null: they are there."
    )
    max_rejected: Share = Field(
        default=0.05, description="Largest share of unusable rows before ingest stops with an error."
    )
    max_text_length: Count = Field(default=20000, description="Longest text in characters; a longer one is rejected.")
    max_label_length: Count = Field(default=200, description="Longest label in characters; a longer one is rejected.")
