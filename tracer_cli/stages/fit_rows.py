"""The fit rows as train and calibrate see them: vectors, label indices, folds, weights, and which are evidence.

A text that only ever came because the policy before deferred it is no sample of the traffic: it trains the surrogate,
and nothing is measured on it. The others, organic and audited, are the out-of-fold evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tracer_cli.artifacts import Layout, read_array, read_table
from tracer_cli.config.schema import Config
from tracer_cli.core.folds import assign_folds
from tracer_cli.core.surrogates import FitData, telling
from tracer_cli.errors import DataError
from tracer_cli.traces.calls import ORIGINS

*_, DEFERRED = ORIGINS


@dataclass(frozen=True)
class FitRows:
    """keys: of the rows; label_space: what the label indices of `data` stand for."""

    keys: list[str]
    label_space: list[str]
    data: FitData

    @property
    def evidence(self) -> NDArray[np.bool_]:
        """(n,) which rows are a sample of the traffic."""
        return np.ones(len(self.keys), bool) if self.data.evidence is None else self.data.evidence


def read(layout: Layout, config: Config) -> FitRows:
    """Read the fit rows; train and calibrate get the same label space and folds because both come from here."""
    table = read_table(layout.fit, ["key", "label", "weight", "origin"])
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
    evidence = is_evidence(table)
    _require_evidence(int(evidence.sum()), table.num_rows, folds)
    return FitRows(
        keys=table["key"].to_pylist(),
        label_space=[str(label) for label in space],
        data=FitData(
            vectors=np.ascontiguousarray(vectors),
            labels=labels.astype(np.int64),
            n_labels=len(space),
            folds=assign_folds(labels, folds, config.seed, evidence),
            weights=telling(table["weight"].to_numpy()),
            evidence=None if evidence.all() else evidence,
        ),
    )


def is_evidence(table: pa.Table) -> NDArray[np.bool_]:
    """(n,) of a table with the column origin."""
    return np.asarray(pc.not_equal(table["origin"], DEFERRED).to_numpy(), bool)


def _require_evidence(found: int, rows: int, folds: int) -> None:
    if found < folds:
        raise DataError(
            f"of {rows:,} texts to fit on, {found:,} are organic or audited, and {folds} folds need at least {folds}: "
            "the others were logged because a policy deferred them, so they are no sample of the traffic and nothing "
            "can be measured on them. Keep the traces from before the policy among the sources, or send a random "
            "share of all requests to the teacher, whatever the policy decides, and log these with origin: audit"
        )
