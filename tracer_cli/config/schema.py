"""The model of tracer.yaml: every key, its type, its default, and a sentence on what it means.

The JSON Schema (`tracer schema`) and the configuration reference are made from this module, so the
descriptions here are what an editor and a reader of the docs see.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tracer_cli.config.scalars import (
    AsText,
    AsValue,
    Auto,
    Count,
    Flag,
    ModelName,
    NonNegative,
    OpenShare,
    Positive,
    Share,
    Text,
)

SCHEMA_VERSION = 1


class Section(BaseModel):
    """A mapping of tracer.yaml: unknown keys are errors, nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# --- traces ---------------------------------------------------------------------------------------


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


class Split(Section):
    """How the distinct texts are divided into rows to fit on and rows that only the guard sees."""

    holdout: Auto | OpenShare = Field(
        default="auto",
        description="Share of the distinct texts that only the guard sees; auto: with targets.evidence holdout about "
        "1,500 texts, 15 % to 40 %; with crossfit 15 %.",
    )
    by: Annotated[Literal["text", "time"], AsText] = Field(
        default="text", description="text: by a salted hash, so that a text keeps its side; time: the newest texts."
    )
    folds: Annotated[int, Field(ge=2, le=20), AsValue] = Field(
        default=5, description="Folds of the out-of-fold predictions."
    )


# --- embedder -------------------------------------------------------------------------------------


class TfidfEmbedder(Section):
    """Word and character n-grams, reduced by a truncated SVD; fitted on the fit rows, no download."""

    kind: Literal["tfidf"] = "tfidf"
    dim: Count = Field(default=384, description="Dimension of the vectors; fewer when the texts do not have that many.")
    word_ngrams: Annotated[int, Field(ge=1, le=3), AsValue] = Field(default=2, description="Longest word n-gram.")
    char_ngrams: Annotated[int, Field(ge=0, le=8), AsValue] = Field(
        default=5, description="Longest character n-gram; 0: none."
    )
    min_count: Count = Field(default=2, description="Texts that an n-gram must occur in.")
    max_terms: Count = Field(default=50000, description="Most n-grams of each kind that are kept.")


class TextFeatures(Section):
    """Tf-idf features beside the sentence embedding; fitted on the fit rows."""

    dim: Count = Field(default=256, description="Dimension that they add; fewer when the texts do not have that many.")
    weight: Positive = Field(default=0.5, description="Length of the tf-idf vector beside the sentence embedding's 1.")
    word_ngrams: Annotated[int, Field(ge=1, le=3), AsValue] = Field(default=2, description="Longest word n-gram.")
    char_ngrams: Annotated[int, Field(ge=0, le=8), AsValue] = Field(
        default=5, description="Longest character n-gram; 0: none."
    )
    min_count: Count = Field(default=2, description="Texts that an n-gram must occur in.")
    max_terms: Count = Field(default=50000, description="Most n-grams of each kind that are kept.")


class SentenceTransformersEmbedder(Section):
    """A sentence-transformers model (the extra `embeddings`)."""

    kind: Literal["sentence-transformers"]
    model: Text = Field(default="all-MiniLM-L6-v2", description="Model name, or the folder of a saved model.")
    batch_size: Count = Field(default=64, description="Texts encoded at once.")
    normalize: Flag = Field(default=True, description="Scale each vector to length 1.")
    text_features: TextFeatures | None = Field(
        default=None,
        description="Tf-idf features beside the sentence embedding, for what it blurs; they need normalize: true; "
        "null: none.",
    )


class PrecomputedEmbedder(Section):
    """Vectors that exist already: row i of the file belongs to row i of the traces as they are read."""

    kind: Literal["precomputed"]
    path: Text = Field(description="A .npy matrix, or a .parquet file with a column of vectors.")
    column: Text = Field(default="embedding", description="Column with the vectors, for Parquet.")


Embedder = Annotated[TfidfEmbedder | SentenceTransformersEmbedder | PrecomputedEmbedder, Field(discriminator="kind")]


# --- zoo ------------------------------------------------------------------------------------------


_AUTO = "auto: the value of a small grid that would certify the most coverage out of fold."


class KernelRidgeModel(Section):
    """Kernel ridge regression on the labels, with a Gaussian kernel on unit vectors."""

    kind: Literal["kernel_ridge"]
    gamma: Auto | Positive = Field(
        default="auto",
        description=f"Width of the kernel exp(gamma * (cosine similarity - 1)): greater is narrower; {_AUTO}",
    )
    penalty: Auto | Positive = Field(default="auto", description=f"Strength of the L2 penalty; {_AUTO}")


class NearestNeighboursModel(Section):
    """Vote of the nearest fit rows, weighted by exp(sharpness * cosine similarity)."""

    kind: Literal["nearest_neighbours"]
    k: Annotated[int, Field(ge=1, le=30), AsValue] = Field(default=30, description="Neighbours that vote.")
    sharpness: Auto | Positive = Field(
        default="auto", description=f"How much more a nearer neighbour counts than a farther one; {_AUTO}"
    )


class LogisticRegressionModel(Section):
    """Multinomial logistic regression (L-BFGS)."""

    kind: Literal["logistic_regression"]
    C: Auto | Positive = Field(default="auto", description=f"Inverse strength of the L2 penalty; {_AUTO}")
    max_iter: Count = Field(default=300, description="Most iterations.")


class SgdModel(Section):
    """Linear classifier with log loss, fitted by stochastic gradient descent."""

    kind: Literal["sgd"]
    alpha: Positive = Field(default=1e-5, description="Strength of the L2 penalty.")
    max_iter: Count = Field(default=50, description="Most passes over the rows.")


class MlpModel(Section):
    """Feed-forward network with ReLU units (Adam, early stopping off)."""

    kind: Literal["mlp"]
    hidden: list[Count] = Field(default=[256], min_length=1, max_length=4, description="Units of each hidden layer.")
    alpha: NonNegative = Field(default=1e-3, description="Strength of the L2 penalty.")
    learning_rate: Positive = Field(default=2e-3, description="Initial step size of Adam.")
    max_iter: Count = Field(default=40, description="Passes over the rows.")


class RandomForestModel(Section):
    """Random forest."""

    kind: Literal["random_forest"]
    n_estimators: Count = Field(default=200, description="Number of trees.")
    max_depth: Count | None = Field(default=None, description="Largest depth; null: no limit.")
    min_samples_leaf: Count = Field(default=1, description="Rows that a leaf must hold.")


class ExtraTreesModel(Section):
    """Extremely randomised trees."""

    kind: Literal["extra_trees"]
    n_estimators: Count = Field(default=200, description="Number of trees.")
    max_depth: Count | None = Field(default=None, description="Largest depth; null: no limit.")
    min_samples_leaf: Count = Field(default=1, description="Rows that a leaf must hold.")


class LightGBMModel(Section):
    """Gradient-boosted trees (LightGBM) on the leading principal components of the vectors.

    Left out of the default zoo: with many labels it costs minutes.
    """

    kind: Literal["lightgbm"]
    n_estimators: Count = Field(default=200, description="Boosting rounds, at most.")
    learning_rate: Positive = Field(default=0.1, description="Shrinkage of each round.")
    num_leaves: Annotated[int, Field(ge=2), AsValue] = Field(default=7, description="Leaves of a tree.")
    components: Count = Field(
        default=48, description="Principal components that the trees see; the cost grows with them."
    )


Model = Annotated[
    KernelRidgeModel
    | LogisticRegressionModel
    | NearestNeighboursModel
    | SgdModel
    | MlpModel
    | RandomForestModel
    | ExtraTreesModel
    | LightGBMModel,
    Field(discriminator="kind"),
]


def default_zoo() -> dict[str, Model]:
    return {
        "kernel": KernelRidgeModel(kind="kernel_ridge"),
        "logreg": LogisticRegressionModel(kind="logistic_regression"),
        "knn": NearestNeighboursModel(kind="nearest_neighbours"),
    }


def slug(name: str) -> str:
    """The DVC item name of a model: `[a-z][a-z0-9_-]*` (a dot breaks a params path, `@` and `[` fail)."""
    cleaned = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")
    if not cleaned:
        return "model-" + "-".join(f"{ord(c):x}" for c in name)
    return cleaned if cleaned[0].isalpha() else f"m-{cleaned}"


# --- acceptor, targets, rules, cost, outputs -------------------------------------------------------------


class Acceptor(Section):
    """What gives an answer of the surrogate its accept score, and which inputs are deferred whatever their score."""

    kind: Annotated[Literal["logistic_regression", "lightgbm"], AsText] = Field(
        default="logistic_regression", description="Model of whether surrogate and teacher agree."
    )
    distance_quantile: OpenShare | None = Field(
        default=0.999,
        description="An input farther from its nearest fit text than this quantile of the fit texts is deferred "
        "whatever its score; null: no check.",
    )


class Targets(Section):
    """What the policy must reach, and how sure the certificate is."""

    agreement: OpenShare = Field(default=0.95, description="Parity with the teacher at which the policy is deployed.")
    confidence: OpenShare = Field(
        default=0.95, description="Confidence of the certificate: it fails with at most 1 - confidence."
    )
    scope: Annotated[Literal["handled", "overall"], AsText] = Field(
        default="handled",
        description="handled: parity among the inputs that are handled; overall: over all traffic, where deferred "
        "inputs agree by definition.",
    )
    method: Annotated[Literal["auto", "global", "l2d", "rsb"], AsText] = Field(
        default="auto",
        description="global: accept all; l2d: surrogate and acceptor; rsb: a second surrogate and acceptor for what "
        "the first defers; auto: chosen on out-of-fold evidence before the guard.",
    )
    frontier: list[OpenShare] = Field(
        default=[0.85, 0.90, 0.95, 0.98],
        description="Targets that are certified too, for the report and per-request use.",
    )
    min_coverage: Share = Field(default=0.05, description="Smallest certified coverage that is worth deploying.")
    per_label_min: OpenShare | None = Field(
        default=None,
        description="A label whose out-of-fold agreement among handled inputs is below this is deferred, decided "
        "before the guard; null: none is.",
    )
    evidence: Annotated[Literal["holdout", "crossfit"], AsText] = Field(
        default="holdout",
        description="holdout: rows that nothing was fitted on; exact in finite samples, for any model. crossfit: "
        "out-of-fold and holdout rows together; valid for large n under stability of the learner, and the average "
        "of the fold models runs.",
    )

    @property
    def all(self) -> list[float]:
        """The deployed target and the frontier's, ascending, each once."""
        return sorted({self.agreement, *self.frontier})


class Rules(Section):
    """What `tracer guard --check` asks for beside the certificate at the target, so that a refit may go live."""

    baseline: Text | None = Field(
        default=None,
        description="Git revision that a refit is compared with, such as origin/main; --baseline goes first; null: "
        "none, and the rules that compare do not apply.",
    )
    max_coverage_drop: Share | None = Field(
        default=0.05, description="Largest fall of the certified coverage against the baseline; null: any."
    )
    max_labels_lost: Annotated[int, Field(ge=0), AsValue] | None = Field(
        default=0,
        description="Most labels that the baseline's policy answers with and this one does not; null: any number.",
    )
    min_holdout: Auto | Count | None = Field(
        default="auto",
        description="Fewest texts in the evidence; auto: as many as could certify the target if no label differed; "
        "null: any number.",
    )
    max_conflict_share: Share | None = Field(
        default=0.25,
        description="Largest share, among the texts that came more than once, of those whose own labels conflict: the "
        "teacher's noise, which no surrogate can agree with; null: any.",
    )


class Cost(Section):
    """What a call to the teacher costs, for the projection in the report."""

    per_call: NonNegative = Field(default=0.002, description="Price of one call to the teacher.")
    calls_per_day: NonNegative = Field(default=10000.0, description="Calls a day.")
    currency: Text = Field(default="USD", description="Currency of per_call.")


class Outputs(Section):
    """Where the results go."""

    policy: Text = Field(default=".tracer", description="Folder of the routing policy.")
    report: Text = Field(default=".tracer/report.html", description="The audit report.")


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
            raise _wrong(f"this tracer reads schema {SCHEMA_VERSION}, and there is no schema {value}")
        return value

    @field_validator("zoo")
    @classmethod
    def _distinct_slugs(cls, zoo: dict[str, Model]) -> dict[str, Model]:
        seen: dict[str, str] = {}
        for name in zoo:
            other = seen.setdefault(slug(name), name)
            if other != name:
                raise _wrong(
                    f"the models {other!r} and {name!r} have the same short name {slug(name)!r}; rename one", name
                )
        return zoo

    @model_validator(mode="after")
    def _times_for_split_by_time(self) -> Config:
        if self.split.by == "time":
            for index, source in enumerate(self.traces):
                if source.timestamp is None:
                    raise _wrong(
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
            raise _wrong(
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
    if isinstance(embedder, SentenceTransformersEmbedder) and embedder.text_features is not None:
        return "text_features have"
    return None


def _wrong(message: str, *at: str | int) -> PydanticCustomError:
    """An error whose place, below the validated field, the loader finds in `at`."""
    return PydanticCustomError("wrong", "{message}", {"message": message, "at": at})
