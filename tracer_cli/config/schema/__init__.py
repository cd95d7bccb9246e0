"""The model of tracer.yaml: every key, its type, its default, and a sentence on what it means.

The JSON Schema (`tracer schema`) and the configuration reference are made from these modules, so the
descriptions here are what an editor and a reader of the docs see.
"""

from tracer_cli.config.schema.base import Section
from tracer_cli.config.schema.config import SCHEMA_VERSION, Config
from tracer_cli.config.schema.embedder import (
    CallableEmbedder,
    Embedder,
    EndpointEmbedder,
    ModelEmbedder,
    PrecomputedEmbedder,
    SentenceTransformersEmbedder,
    TextFeatures,
    TfidfEmbedder,
)
from tracer_cli.config.schema.policy import Acceptor, Cost, Outputs, Rules, Split, Targets
from tracer_cli.config.schema.traces import (
    JsonParse,
    LabelParse,
    Parse,
    Pull,
    RegexParse,
    TextParse,
    ToolParse,
    TraceSource,
)
from tracer_cli.config.schema.zoo import (
    ExtraTreesModel,
    KernelRidgeModel,
    LightGBMModel,
    LogisticRegressionModel,
    MlpModel,
    Model,
    NearestNeighboursModel,
    RandomForestModel,
    SgdModel,
    default_zoo,
    slug,
)

__all__ = [
    "SCHEMA_VERSION",
    "Acceptor",
    "CallableEmbedder",
    "Config",
    "Cost",
    "Embedder",
    "EndpointEmbedder",
    "ExtraTreesModel",
    "JsonParse",
    "KernelRidgeModel",
    "LabelParse",
    "LightGBMModel",
    "LogisticRegressionModel",
    "MlpModel",
    "Model",
    "ModelEmbedder",
    "NearestNeighboursModel",
    "Outputs",
    "Parse",
    "PrecomputedEmbedder",
    "Pull",
    "RandomForestModel",
    "RegexParse",
    "Rules",
    "Section",
    "SentenceTransformersEmbedder",
    "SgdModel",
    "Split",
    "Targets",
    "TextFeatures",
    "TextParse",
    "TfidfEmbedder",
    "ToolParse",
    "TraceSource",
    "default_zoo",
    "slug",
]
