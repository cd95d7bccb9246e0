"""Equal texts become one: whose label, whose weight, which origin, and on which side."""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracer_cli.traces import store as module
from tracer_cli.traces.calls import ORIGINS
from tracer_cli.traces.rows import Row
from tracer_cli.traces.store import opened_store
from tracer_cli.traces.table import FIT, HOLDOUT, HOLDOUT_LABELS
from tracer_cli.traces.text import normalise, split_bound, split_position

COLUMNS = ("key", "row", "id", "text", "label", "count", "label_count", "timestamp", "ground_truth", "origin", "weight")
assert COLUMNS == FIT


def row(text: str, label: str = "a", origin: str = "organic", weight: float = 1.0, timestamp: int | None = None) -> Row:
    return Row(text, label, None, timestamp, None, origin, weight)


def stored(folder: Path, rows: Sequence[Row], share: float = 0.5, by: str = "text", seed: int = 0) -> dict[str, Any]:
    """numbers, and text -> its columns and its side."""
    with opened_store(folder, seed) as store:
        for number, one in enumerate(rows):
            store.add(number, one)
        numbers = store.merge()
        store.split_by_text(share) if by == "text" else store.split_by_time(share)
        texts: dict[str, Any] = {}
        for group in store.groups(FIT, holdout=False):
            texts |= {one["text"]: {**one, "side": "fit"} for one in (dict(zip(FIT, v, strict=True)) for v in group)}
        held = [dict(zip(HOLDOUT, v, strict=True)) for group in store.groups(HOLDOUT, holdout=True) for v in group]
        labels = [v for group in store.groups(HOLDOUT_LABELS, holdout=True) for v in group]
        for one, values in zip(held, labels, strict=True):
            texts[one["text"]] = {**one, **dict(zip(HOLDOUT_LABELS, values, strict=True)), "side": "holdout"}
    for name in ("rows.duckdb", "texts.arrow"):
        (folder / name).unlink(missing_ok=True)
    return {"numbers": numbers, "texts": texts}


def fit_of(folder: Path, rows: Sequence[Row]) -> dict[str, Any]:
    """The one text, which is on the fit side since nothing is held out."""
    (found,) = stored(folder, rows, share=0.0)["texts"].values()
    return {name: found[name] for name in ("label", "count", "label_count", "origin", "weight")}


# --- weight ---------------------------------------------------------------------------------------


def test_votes_are_weighted_and_exact(tmp_path: Path) -> None:
    """Three times 0.1 is not more than 0.3, as it is in binary: between equals the first label stays."""
    assert 0.1 + 0.1 + 0.1 > 0.3
    tenths, whole = [row("t", "b", weight=0.1)] * 3, [row("t", "a", weight=0.3)]
    assert fit_of(tmp_path, [*whole, *tenths]) == {
        "label": "a", "count": 4, "label_count": 1, "origin": "organic", "weight": 0.3
    }  # fmt: skip
    assert fit_of(tmp_path, [*tenths, *whole]) == {
        "label": "b", "count": 4, "label_count": 3, "origin": "organic", "weight": 0.1
    }  # fmt: skip
    assert fit_of(tmp_path, [*whole, *tenths, row("t", "b", weight=0.000001)])["label"] == "b"


def test_one_heavy_row_outvotes_many_light_ones_and_its_weight_is_the_mean_of_its_label(tmp_path: Path) -> None:
    rows = [row("t", "a", weight=0.5)] * 3 + [row("t", "b", weight=2), row("t", "b", weight=1)]
    assert fit_of(tmp_path, rows) == {"label": "b", "count": 5, "label_count": 2, "origin": "organic", "weight": 1.5}
    assert fit_of(tmp_path, [row("t")])["weight"] == 1.0
    assert fit_of(tmp_path, [row("t", weight=0.1)] * 7)["weight"] == 0.1


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from("xyz"),
            st.sampled_from("abc"),
            st.sampled_from(ORIGINS),
            st.sampled_from([0.1, 0.2, 0.3, 1.0, 7.5]),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_it_is_what_counting_with_decimals_gives(tmp_path: Path, drawn: list[tuple[str, str, str, float]]) -> None:
    found = stored(tmp_path, [row(*values) for values in drawn], share=0.5)
    for text in {text for text, *_ in drawn}:
        own = [values for values in drawn if values[0] == text]
        votes: dict[str, Decimal] = {}
        for _, label, _, weight in own:
            votes[label] = votes.get(label, Decimal(0)) + Decimal(str(weight))
        label = max(votes, key=lambda label: votes[label])  # the first of equals: dictionaries keep their order
        count = sum(values[1] == label for values in own)
        one = found["texts"][text]
        assert (one["label"], one["count"], one["label_count"]) == (label, len(own), count)
        assert one["origin"] == min((values[2] for values in own), key=ORIGINS.index)
        if one["side"] == "fit":
            assert one["weight"] == pytest.approx(float(votes[label] / count), abs=1e-6)
    assert found["numbers"]["rows_accepted"] == len(drawn) == sum(one["count"] for one in found["texts"].values())


# --- origin ---------------------------------------------------------------------------------------


def test_the_origin_of_a_text_is_the_best_that_it_had_in_any_order(tmp_path: Path) -> None:
    for seen, best in (
        (["deferred", "audit", "organic"], "organic"),
        (["deferred", "deferred", "audit"], "audit"),
        (["deferred", "deferred"], "deferred"),
        (["audit", "organic"], "organic"),
    ):
        for order in (seen, seen[::-1]):
            assert fit_of(tmp_path, [row("t", origin=origin) for origin in order])["origin"] == best
    numbers = stored(
        tmp_path, [row("o"), row("d", origin="deferred"), row("a", origin="audit"), row("a", origin="deferred")]
    )
    assert (numbers["numbers"]["audit_texts"], numbers["numbers"]["deferred_texts"]) == (1, 1)


@pytest.mark.parametrize("by", ["text", "time"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_what_only_came_as_deferred_is_never_held_out(tmp_path: Path, by: str, share: float) -> None:
    """Also where the deferred texts are the newest, or the majority."""
    rng = random.Random(7)
    rows = [row(f"o{i}", timestamp=i) for i in range(100)]
    rows += [row(f"d{i}", origin="deferred", timestamp=1000 + i) for i in range(300)]
    rows += [row(f"d{i}", origin="deferred", timestamp=0) for i in range(50)]
    rows += [row(f"a{i}", origin="audit", timestamp=500 + i) for i in range(20)]
    rng.shuffle(rows)
    texts = stored(tmp_path, rows, share, by)["texts"]
    assert len(texts) == 420
    held = {text for text, one in texts.items() if one["side"] == "holdout"}
    assert held and all(text[0] in "oa" for text in held)
    evidence = [text for text in texts if text[0] in "oa"]
    if by == "time":  # the share is of the evidence
        newest = sorted(evidence, key=lambda text: texts[text]["timestamp"])[-int(share * 120) :]
        assert held == set(newest)
    else:
        assert held == {text for text in evidence if split_position(text, 0) < split_bound(share)}


def test_a_deferred_text_that_is_audited_later_goes_where_its_hash_says(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(60)]
    deferred = [row(text, origin="deferred") for text in texts]
    before = stored(tmp_path, deferred)["texts"]
    assert {one["side"] for one in before.values()} == {"fit"}
    audited = set(texts[:30])
    after = stored(tmp_path, [*deferred, *(row(text, origin="audit") for text in audited)])["texts"]
    for text, one in after.items():
        by_hash = "holdout" if split_position(normalise(text), 0) < split_bound(0.5) else "fit"
        assert one["side"] == (by_hash if text in audited else "fit")
    assert {after[text]["side"] for text in audited} == {"fit", "holdout"}


def test_the_side_of_evidence_does_not_depend_on_what_is_deferred(tmp_path: Path) -> None:
    organic = [row(f"o{i}") for i in range(100)]
    alone = stored(tmp_path, organic)["texts"]
    more = [row(f"d{i}", origin="deferred") for i in range(200)] + [row(f"o{i}", origin="deferred") for i in range(50)]
    beside = stored(tmp_path, [*more, *organic])["texts"]
    assert {text: beside[text]["side"] for text in alone} == {text: one["side"] for text, one in alone.items()}


def test_weights_and_origins_do_not_depend_on_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    rows = [
        row(f"t{rng.randrange(40)}", rng.choice("abc"), rng.choice(ORIGINS), rng.choice([0.1, 0.3, 0.7, 1.1]), i)
        for i in range(500)
    ]
    whole = stored(tmp_path, rows)
    monkeypatch.setattr(module, "BATCH_ROWS", 13)
    monkeypatch.setattr(module, "GROUP_ROWS", 3)
    monkeypatch.setattr(module, "THREADS", 1)
    assert stored(tmp_path, rows) == whole
