"""The parts of the compared systems that are this project's own."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.systems import SYSTEMS, mapie
from benchmarks.systems.base import Routed
from benchmarks.systems.threshold import lowest
from benchmarks.systems.tracer import Scored
from benchmarks.work import score


def test_a_plain_threshold_takes_the_largest_coverage_at_the_target() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    agrees = np.array([True, False, True, True, False])
    assert lowest(confidence, agrees, 0.75) == 0.6
    assert lowest(confidence, agrees, 1.0) == 0.9
    assert lowest(confidence, ~agrees, 0.9) is None


def test_a_plain_threshold_does_not_part_equal_scores() -> None:
    assert lowest(np.array([0.9, 0.9, 0.9]), np.array([True, True, False]), 0.9) is None


def test_the_future_is_scored_by_handled_rows_alone() -> None:
    truth = np.array(["a", "b", "a", "b"], object)
    routed = Routed(np.array([True, True, False, False]), np.array(["a", "a", "a", None], object))
    assert score(0.9, routed, truth) == {"target": 0.9, "certified": True, "handled": 2, "agreed": 1}
    assert score(0.9, None, truth) == {"target": 0.9, "certified": False, "handled": 0, "agreed": 0}


def test_systems_of_one_process_heed_the_same_settings() -> None:
    """Else one of them could be resumed with another fit than its record says."""
    by_process: dict[str, set[tuple[str, ...]]] = {}
    for system in SYSTEMS.values():
        by_process.setdefault(system.process, set()).add(system.settings)
    assert all(len(settings) == 1 for settings in by_process.values())


class TestMapie:
    """On scores with a known answer: 300 rows that agree, then 300 that do not."""

    scores = np.linspace(0.99, 0.01, 600)
    agrees = np.arange(600) < 300

    @pytest.mark.parametrize("method", ["bonferroni_holm", "split_fixed_sequence"])
    def test_it_finds_a_threshold_where_there_is_one(self, method: mapie.FwerMethod) -> None:
        rows = Scored(self.scores, self.agrees)
        found = mapie.threshold(rows, rows, 0.9, 0.1, method)
        assert found is not None and 0.4 < found < 0.6
        useless = Scored(self.scores, np.arange(600) % 2 == 0)
        assert mapie.threshold(useless, useless, 0.9, 0.1, method) is None

    def test_candidates_are_steps_of_coverage(self) -> None:
        found = mapie.candidates(self.scores)
        assert len(found) == 100
        assert [(self.scores >= t).sum() for t in found] == list(range(600, 0, -6))
        assert mapie.candidates(np.full(50, 0.5)).tolist() == [0.5]
