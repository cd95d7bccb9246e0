"""The whole file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from tracer_cli.config.scalars import (
    AsValue,
    ModelName,
    Text,
)
from tracer_cli.config.schema.base import Section, wrong
from tracer_cli.config.schema.embedder import Embedder, ModelEmbedder, TfidfEmbedder
from tracer_cli.config.schema.policy import Acceptor, Cost, Outputs, Rules, Split, Targets
from tracer_cli.config.schema.traces import TraceSource
from tracer_cli.config.schema.zoo import Model, default_zoo, slug

SCHEMA_VERSION = 1


class Config(Section):
    """A tracer project."""

    schema_version: Annotated[int, AsValue] = Field(
        default=SCHEMA_VERSION, alias="schema", description="Version of this file's format."
    )
    project: Text = Field(default="tracer", description="Name of the project, shown in the report.")
    seed: Annotated[int, Field(ge=0, le=2**31 - 1), AsValue] = Field(
        default=0, description="Seed of the split, the folds and the models."
    )
    traces: list[TraceSource] = Field(min_length=1, description="Where the traces are: one or more sources.")
    split: Split = Field(default=Split(), description="How rows are divided.")
    embedder: Embedder = Field(default=TfidfEmbedder(), description="What turns a text into a vector.")
    zoo: dict[ModelName, Model] = Field(
        default_factory=default_zoo, min_length=1, description="Candidate surrogates: a name and a kind each."
    )
    blend: Annotated[int, Field(ge=1, le=20), AsValue] = Field(
        default=6, description="Most picks of the greedy ensemble of zoo members; 1: one model."
    )
    acceptor: Acceptor = Field(default=Acceptor(), description="What decides between the surrogate and the teacher.")
    targets: Targets = Field(default=Targets(), description="Parity targets and the certificate.")
    rules: Rules = Field(default=Rules(), description="What `tracer guard --check` asks for beside the certificate.")
    cost: Cost = Field(default=Cost(), description="Prices for the projection.")
    outputs: Outputs = Field(default=Outputs(), description="Where the results go.")

    @field_validator("schema_version")
    @classmethod
    def _known_schema(cls, value: int) -> int:
        if value != SCHEMA_VERSION:  # the loader refuses a later one before it looks at the other keys
            raise wrong(f"this tracer reads schema {SCHEMA_VERSION}, and there is no schema {value}")
        return value

    @field_validator("zoo")
    @classmethod
    def _distinct_slugs(cls, zoo: dict[str, Model]) -> dict[str, Model]:
        seen: dict[str, str] = {}
        for name in zoo:
            other = seen.setdefault(slug(name), name)
            if other != name:
                raise wrong(
                    f"the models {other!r} and {name!r} have the same short name {slug(name)!r}; rename one", name
                )
        return zoo

    @model_validator(mode="after")
    def _times_for_split_by_time(self) -> Config:
        if self.split.by == "time":
            for index, source in enumerate(self.traces):
                if source.timestamp is None:
                    raise wrong(
                        "split.by is time, but this source has no timestamp; expected the name of the field that "
                        "holds the time of each trace",
                        "traces",
                        index,
                    )
        return self

    @model_validator(mode="after")
    def _no_fitted_embedder_under_crossfit(self) -> Config:
        fitted = _fitted_on_the_traces(self.embedder)
        if self.targets.evidence == "crossfit" and fitted:
            raise wrong(
                "crossfit needs an embedder that is not fitted on the traces (sentence-transformers without "
                f"text_features, or precomputed): {fitted} seen the texts of every fold; expected evidence: holdout, "
                "or another embedder",
                "targets",
                "evidence",
            )
        return self

    def slugs(self) -> dict[str, str]:
        """DVC item name -> the model's name in tracer.yaml, in the file's order."""
        return {slug(name): name for name in self.zoo}


def _fitted_on_the_traces(embedder: Embedder) -> str | None:
    """Subject and verb for what is fitted; None when nothing is."""
    if isinstance(embedder, TfidfEmbedder):
        return "tfidf has"
    if isinstance(embedder, ModelEmbedder) and embedder.text_features is not None:
        return "text_features have"
    return None
