"""What turns a text into a vector."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tracer_cli.config.scalars import (
    AsValue,
    Count,
    Flag,
    Positive,
    Text,
)
from tracer_cli.config.schema.base import Section


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
