"""The neighbours' vote is the weighted count that it says it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.synthetic import clusters
from tracer_cli.core import surrogates
from tracer_cli.core.neighbours import Neighbours
from tracer_cli.core.surrogates import nearest_neighbours
from tracer_cli.core.surrogates.nearest_neighbours import PRIOR, Vote


@given(st.integers(1, 12), st.floats(0.5, 60), st.integers(2, 6), st.integers(0, 999))
@settings(max_examples=40)
def test_the_vote_is_a_weighted_count(k: int, sharpness: float, n_labels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    similarities = -np.sort(-rng.uniform(-1, 1, (5, 12)).astype(np.float32), axis=1)
    labels = rng.integers(0, n_labels, (5, 12))
    found = Vote(k, sharpness, n_labels).count(Neighbours(similarities, labels))
    for row in range(5):
        votes = np.full(n_labels, PRIOR)
        for place in range(k):
            votes[labels[row, place]] += np.exp(sharpness * (float(similarities[row, place]) - similarities[row, 0]))
        assert found[row] == pytest.approx(votes / votes.sum(), abs=1e-5)


@pytest.mark.parametrize("k", [1, 4, 30])
def test_the_export_counts_the_same(k: int) -> None:
    rows = clusters(120, 5, noise=1.0)
    model = Vote(k, 7.0, 5)
    exported = surrogates.export(model, rows)
    assert surrogates.export_difference(exported, model, rows, clusters(90, 5, seed=2).vectors) <= 1e-6


def test_no_more_neighbours_than_there_are() -> None:
    rows = clusters(8, 2)
    result = nearest_neighbours.cross_fit({"k": 30, "sharpness": 20.0}, rows)
    assert result.settings["k"] == rows.k == 6
    one = nearest_neighbours.cross_fit({"k": 1, "sharpness": 20.0}, rows)
    assert (one.out_of_fold.argmax(axis=1) == rows.out_of_fold_neighbours.labels[:, 0]).all()


def test_every_label_may_be_right() -> None:
    """A vote of one label only is not certainty."""
    rows = clusters(100, 2, noise=0.05)
    assert nearest_neighbours.cross_fit({"k": 5, "sharpness": 20.0}, rows).out_of_fold.min() > 0
