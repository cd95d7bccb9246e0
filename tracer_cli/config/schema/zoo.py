"""The candidate surrogates."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from tracer_cli.config.scalars import (
    AsValue,
    Auto,
    Count,
    NonNegative,
    Positive,
)
from tracer_cli.config.schema.base import Section

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
