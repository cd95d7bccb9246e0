"""What turns a text into a vector."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tracer_cli.config.scalars import AsText, AsValue, Count, Flag, Positive, Text
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
    """Tf-idf features beside the embedding; fitted on the fit rows."""

    dim: Count = Field(default=256, description="Dimension that they add; fewer when the texts do not have that many.")
    weight: Positive = Field(default=0.5, description="Length of the tf-idf vector beside the embedding's 1.")
    word_ngrams: Annotated[int, Field(ge=1, le=3), AsValue] = Field(default=2, description="Longest word n-gram.")
    char_ngrams: Annotated[int, Field(ge=0, le=8), AsValue] = Field(
        default=5, description="Longest character n-gram; 0: none."
    )
    min_count: Count = Field(default=2, description="Texts that an n-gram must occur in.")
    max_terms: Count = Field(default=50000, description="Most n-grams of each kind that are kept.")


class ModelEmbedder(Section):
    """What the embedders have in common whose model is not fitted here; vectors of theirs are cached by text."""

    prefix: Text | None = Field(
        default=None, description="Put before each text, as some models want, such as 'query: '; null: nothing."
    )
    normalize: Flag = Field(default=True, description="Scale each vector to length 1.")
    text_features: TextFeatures | None = Field(
        default=None,
        description="Tf-idf features beside the embedding, for what it blurs; they need normalize: true; null: none.",
    )


class SentenceTransformersEmbedder(ModelEmbedder):
    """A sentence-transformers model (the extra `embeddings`)."""

    kind: Literal["sentence-transformers"]
    model: Text = Field(default="all-MiniLM-L6-v2", description="Model name, or the folder of a saved model.")
    revision: Text | None = Field(
        default=None, description="Commit, tag or branch of the model on the hub; null: the newest."
    )
    backend: Annotated[Literal["torch", "onnx", "openvino"], AsText] = Field(
        default="torch",
        description="What computes: torch, onnx (the extra `onnx`) or openvino (the extra `openvino`); the last two "
        "are faster on a CPU.",
    )
    device: Text = Field(default="cpu", description="Device of the computation: cpu, cuda, cuda:1, mps.")
    batch_size: Count = Field(default=64, description="Texts encoded at once.")

    @property
    def extra(self) -> str:
        """The extra of tracer-cli that it needs."""
        return "embeddings" if self.backend == "torch" else self.backend


class EndpointEmbedder(ModelEmbedder):
    """A service that turns texts into vectors over HTTP."""

    kind: Literal["endpoint"]
    url: Text = Field(description="Address of the service, such as https://api.openai.com/v1/embeddings.")
    shape: Annotated[Literal["openai", "json"], AsText] = Field(
        default="openai",
        description="openai: requests and answers of /v1/embeddings; json: a JSON object whose `input_key` holds the "
        "texts, and an answer whose `output_key` holds the vectors.",
    )
    model: Text | None = Field(default=None, description="Name of the model, sent as `model`; null: not sent.")
    dimensions: Count | None = Field(
        default=None, description="Dimension to ask for, sent as `dimensions`; null: not sent."
    )
    input_key: Text = Field(default="texts", description="Key of the request with the texts; for shape: json.")
    output_key: Text = Field(
        default="embeddings",
        description="Field of the answer with the vectors, or an expression such as data[*].vector; for shape: json.",
    )
    headers: dict[Text, Text] = Field(default={}, description="More headers of each request; no secrets.")
    key_env: Text | None = Field(
        default=None, description="Environment variable with the key, such as OPENAI_API_KEY; null: no key is sent."
    )
    key_header: Text = Field(
        default="Authorization", description="Header that takes the key; in Authorization it follows `Bearer`."
    )
    batch_size: Count = Field(default=128, description="Texts in one request.")
    concurrency: Count = Field(default=4, description="Requests under way at once.")
    timeout: Positive = Field(default=30.0, description="Seconds to wait for an answer.")
    retries: Annotated[int, Field(ge=0, le=20), AsValue] = Field(
        default=6, description="Times that a request is sent again after 429, 5xx or a broken connection."
    )


class CallableEmbedder(ModelEmbedder):
    """A Python function of your own: a list of texts in, a matrix of vectors out."""

    kind: Literal["callable"]
    function: Text = Field(
        description="package.module:function, found from the folder of tracer.yaml or among the installed packages."
    )
    revision: Text = Field(
        default="1", description="Changed by you when the function's vectors change though its file does not."
    )
    batch_size: Count = Field(default=256, description="Texts given to it at once.")
    normalize: Flag = Field(default=False, description="Scale each vector to length 1.")


class PrecomputedEmbedder(Section):
    """Vectors that exist already: row i of the file belongs to row i of the traces as they are read."""

    kind: Literal["precomputed"]
    path: Text = Field(description="A .npy matrix, or a .parquet file with a column of vectors.")
    column: Text = Field(default="embedding", description="Column with the vectors, for Parquet.")


Embedder = Annotated[
    TfidfEmbedder | SentenceTransformersEmbedder | EndpointEmbedder | CallableEmbedder | PrecomputedEmbedder,
    Field(discriminator="kind"),
]
