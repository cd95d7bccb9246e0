"""The test of a change: known values, and simulations in which nothing changed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tracer_cli.core.noise import LEVEL, Comparison, Counts, compare, corrected


def of(before: tuple[int, int], after: tuple[int, int]) -> Comparison:
    return compare(Counts(*before), Counts(*after))


@pytest.mark.parametrize(
    ("before", "after", "p"),
    [
        ((3, 4), (1, 4), 0.485714),  # Fisher's lady tasting tea, two-sided
        ((10, 10), (0, 10), 1.0825e-05),  # 2 / C(20, 10)
        ((5, 5), (5, 5), 1.0),
        ((0, 7), (0, 3), 1.0),
        ((4, 5), (0, 0), 1.0),
        ((0, 0), (0, 0), 1.0),
    ],
)
def test_fishers_exact_test(before: tuple[int, int], after: tuple[int, int], p: float) -> None:
    assert of(before, after).p == pytest.approx(p, rel=1e-4)
    assert of(after, before).p == of(before, after).p


def test_the_change_has_a_sign_and_needs_both_sides() -> None:
    assert of((50, 100), (60, 100)).change == pytest.approx(0.1)
    assert of((50, 100), (0, 0)).change is None
    assert of((50, 51), (30, 51)).beyond and not of((50, 51), (49, 51)).beyond


def test_holms_correction() -> None:
    """Worked by hand from p-values of 2 / C(2n, n) for tables n of n against 0 of n."""
    entries = [of((n, n), (0, n)) for n in (4, 5, 6)]
    p4, p5, p6 = (entry.p for entry in entries)
    assert (p4, p5, p6) == pytest.approx((2 / 70, 2 / 252, 2 / 924))
    # 4 against 0 of 4 cannot be below LEVEL / 3, and with two tests it is not below LEVEL / 2 either: it is left out.
    assert corrected(entries) == [None, pytest.approx(p5), pytest.approx(2 * p6)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracer_cli.core.noise.LEVEL", 0.3)
        assert corrected(entries) == pytest.approx([p4, 2 * p5, 3 * p6])


def test_labels_that_could_show_nothing_cost_no_power() -> None:
    drop = of((49, 50), (38, 50))
    sure = [of((20, 20), (20, 20))] * 100  # all agree on both sides: no outcome with these margins says anything
    small = [of((2, 3), (3, 3))] * 100
    assert corrected([*sure, *small, drop])[-1] == drop.p
    assert corrected(sure) == [None] * 100
    busy = [of((40, 50), (41, 50))] * 100
    assert corrected([*busy, drop])[-1] == pytest.approx(101 * drop.p)
    assert corrected([]) == []


def trials(low: int) -> st.SearchStrategy[Counts]:
    counts = st.tuples(st.integers(low, 40), st.integers(0, 40))
    return counts.map(lambda pair: Counts(min(pair), pair[0]) if pair[1] <= pair[0] else Counts(pair[0], pair[0]))


@given(st.lists(st.tuples(trials(0), trials(0)), max_size=12), st.randoms(use_true_random=False))
def test_the_correction_only_raises_p_and_knows_no_order(pairs: list[tuple[Counts, Counts]], random: object) -> None:
    entries = [compare(*pair) for pair in pairs]
    adjusted = corrected(entries)
    assert all(0 <= entry.p <= 1 for entry in entries)
    assert all(p is None or entry.p <= p <= 1 for entry, p in zip(entries, adjusted, strict=True))
    order = list(range(len(entries)))
    random.shuffle(order)  # type: ignore[attr-defined]
    again = corrected([entries[i] for i in order])
    assert [again[order.index(i)] for i in range(len(entries))] == adjusted
    assume(entries)
    # With one comparison there is nothing to correct.
    assert corrected(entries[:1]) in ([entries[0].p], [None])


@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_where_nothing_changed_false_alarms_are_rare(shared: float) -> None:
    """30 labels of 8 to 60 answers, of which a share are the same texts with the same outcome on both sides: in at
    most LEVEL of the runs is any label called better or worse."""
    rng = np.random.default_rng(0)
    sizes = rng.choice([8, 20, 60], 30)
    alarms = 0
    for _ in range(runs := 400):
        entries = []
        for n in sizes:
            before = rng.random(n) < 0.93
            after = np.where(rng.random(n) < shared, before, rng.random(n) < 0.93)
            entries.append(of((int(before.sum()), int(n)), (int(after.sum()), int(n))))
        alarms += any(p is not None and p <= LEVEL for p in corrected(entries))
    assert alarms / runs <= LEVEL + 2 * (LEVEL / runs) ** 0.5
