from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_cli.core.folds import assign_folds


@given(st.lists(st.integers(0, 6), min_size=20, max_size=200), st.integers(2, 20), st.integers(0, 5))
def test_folds_are_even_overall_and_within_each_label(labels: list[int], folds: int, seed: int) -> None:
    array = np.array(labels)
    assigned = assign_folds(array, folds, seed)
    sizes = np.bincount(assigned, minlength=folds)
    assert len(sizes) == folds and sizes.max() - sizes.min() <= 1
    for label in set(labels):
        own = np.bincount(assigned[array == label], minlength=folds)
        assert own.max() - own.min() <= 1
    assert (assigned == assign_folds(array, folds, seed)).all()


def test_the_seed_matters_and_too_few_rows_are_refused() -> None:
    labels = np.arange(100) % 3
    assert (assign_folds(labels, 5, 0) != assign_folds(labels, 5, 1)).any()
    with pytest.raises(ValueError, match="5 folds need at least 5 rows"):
        assign_folds(labels[:4], 5, 0)
