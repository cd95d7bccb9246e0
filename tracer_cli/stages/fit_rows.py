"""The fit rows as train and calibrate see them: vectors, label indices, folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracer_cli.artifacts import Layout, read_array, read_table
from tracer_cli.config.schema import Config
from tracer_cli.core.folds import assign_folds
from tracer_cli.core.surrogates import FitData
from tracer_cli.errors import DataError


@dataclass(frozen=True)
class FitRows:
    """keys: of the rows; label_space: what the label indices of `data` stand for."""

    keys: list[str]
    label_space: list[str]
    data: FitData


def read(layout: Layout, config: Config) -> FitRows:
    """Read the fit rows; train and calibrate get the same label space and folds because both come from here."""
    table = read_table(layout.fit, ["key", "label"])
    vectors = read_array(layout.fit_vectors)
    if len(vectors) != table.num_rows:
        raise DataError(
            f"{layout.fit_vectors} has {len(vectors)} rows and {layout.fit} has {table.num_rows}: "
            "they come from different runs; run the embed stage again"
        )
    space, labels = np.unique(np.array(table["label"].to_pylist(), dtype=object), return_inverse=True)
    folds = config.split.folds
    if table.num_rows < folds:
        raise DataError(
            f"{table.num_rows} fit rows are too few for {folds} folds: bring more traces, or lower split.folds"
        )
    return FitRows(
        keys=table["key"].to_pylist(),
        label_space=[str(label) for label in space],
        data=FitData(
            vectors=np.ascontiguousarray(vectors),
            labels=labels.astype(np.int64),
            n_labels=len(space),
            folds=assign_folds(labels, folds, config.seed),
        ),
    )
