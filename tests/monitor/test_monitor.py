"""What the monitor says, worked out again from the lines by other means; and what it finds in traffic that is known."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from monitor.stand_in import LABELS, START, audit, traffic, write_log, write_policy
from tracer_cli.api import FitResult
from tracer_cli.artifacts import read_json, write_json, write_table
from tracer_cli.core.sequential import Tally, bounds, upper_bound
from tracer_cli.errors import DataError, PolicyError
from tracer_cli.monitor.monitor import monitor
from tracer_cli.runtime.policy_folder import policy_id
from tracer_cli.traces.log_format import Entry


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("policy") / ".tracer"
    return folder, write_policy(folder)


def found(policy: tuple[Path, str], folder: Path, entries: list[Entry], **options: Any) -> dict[str, Any]:
    said = monitor([write_log(folder / "log.jsonl", entries)], policy[0], **options)
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    return said


requests = st.lists(
    st.tuples(st.sampled_from(LABELS), st.booleans(), st.booleans(), st.integers(0, 5)), min_size=1, max_size=80
)


@settings(max_examples=40)
@given(requests, st.sampled_from(["handled", "overall"]))
def test_the_numbers_are_those_of_the_lines(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, bool, bool, int]], scope: str
) -> None:
    folder = tmp_path_factory.mktemp("monitor")
    policy = (folder / "p", write_policy(folder / "p", scope=scope))
    entries = [
        audit(
            policy[1],
            number,
            label=label,
            teacher=label if agrees else "other",
            decision="handled" if handled else "deferred",
            input=f"text {text}",
            distance=0.0 if text == 5 else 0.1,
        )
        for number, (label, handled, agrees, text) in enumerate(drawn)
    ]
    said = found(policy, folder, entries)
    observed = [not handled or agrees for _, handled, agrees, _ in drawn if scope == "overall" or handled]
    parity = said["parity"]
    assert (parity["audited"], parity["counted"]) == (len(drawn), len(observed))
    assert parity["handled"] == sum(handled for _, handled, *_ in drawn)
    assert parity["agreed"] == sum(handled and agrees for _, handled, agrees, _ in drawn)
    assert parity["interval"] == list(bounds(Tally(len(observed), sum(observed)), 0.95))
    looks = [upper_bound(Tally(n, sum(observed[:n])), 0.025) < 0.95 for n in range(1, len(observed) + 1)]
    assert parity["below_target"] == any(looks)
    if any(looks):
        first = parity["first"]
        assert first["handled" if scope == "handled" else "audited"] == looks.index(True) + 1
        assert first["id"] == entries[first["audited"] - 1].id and first["interval"][1] <= 0.95 + 1e-9
    by_label: dict[str, list[bool]] = defaultdict(list)
    for label, handled, agrees, _ in drawn:
        if handled:
            by_label[label].append(agrees)
    assert {e["label"]: (e["answered"], e["agreed"]) for e in said["labels"]} == {
        label: (len(agrees), sum(agrees)) for label, agrees in by_label.items()
    }
    raw = sorted((float(binom.cdf(sum(a), len(a), 0.95)), label) for label, a in by_label.items())
    for entry in said["labels"]:
        exact = binomtest(entry["agreed"], entry["answered"]).proportion_ci(0.95)
        assert entry["interval"] == pytest.approx([exact.low, exact.high])
        if scope == "overall":
            assert entry["p"] is None
        else:
            place = next(i for i, (_, label) in enumerate(raw) if label == entry["label"])
            p = max(min(1.0, (len(raw) - i) * raw[i][0]) for i in range(place + 1))
            assert entry["p"] == pytest.approx(p) and entry["below_target"] == (p <= 0.05)
    texts = {text for *_, text in drawn}
    drift = said["drift"]
    assert (drift["distinct_texts"], drift["texts"]) == (len(texts), len(texts - {5}))
    assert drift["texts_of_the_fit"] == len(texts & {5})
    periods = said["volume"]["periods"]
    assert sum(p["audited"] for p in periods) == len(drawn)
    assert sum(p["requests"] for p in periods) == pytest.approx(100 * len(drawn))


def test_traffic_like_the_holdout_is_within_noise_and_undecided(policy: tuple[Path, str], tmp_path: Path) -> None:
    said = found(policy, tmp_path, traffic(policy[1], 600, 0.96))
    assert not said["parity"]["below_target"] and not said["parity"]["at_least_target"]
    drift = said["drift"]
    assert [drift[name]["beyond_noise"] for name in ("defer_rate", "scores", "distances", "labels")] == [False] * 4
    assert drift["defer_rate"]["reference_share"] == pytest.approx(0.4)
    assert drift["scores"]["tests"] == 4 and drift["labels"]["moved"] == []
    assert said["logs"]["deferred"] == 200 and said["volume"]["unit"] == "day"


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({"score": 0.97}, {"scores"}),
        ({"distance": 0.45}, {"distances"}),
        ({"decision": "deferred"}, {"defer_rate"}),
        ({"label": "refund", "teacher": "refund"}, {"labels"}),
    ],
)
def test_each_drift_is_found_and_no_other(
    policy: tuple[Path, str], tmp_path: Path, changes: dict[str, Any], moved: set[str]
) -> None:
    drift = found(policy, tmp_path, traffic(policy[1], 300, 0.97, **changes))["drift"]
    names = ("defer_rate", "scores", "distances", "labels")
    assert {name for name in names if drift[name]["beyond_noise"]} == moved


def test_parity_below_the_target_is_dated_and_stays(policy: tuple[Path, str], tmp_path: Path) -> None:
    bad = traffic(policy[1], 150, 0.6)
    good = [entry for entry in traffic(policy[1], 4000, 1.0, seed=2) if int(entry.id[1:]) >= 150]
    said = found(policy, tmp_path, [*bad, *good])
    parity = said["parity"]
    assert parity["below_target"] and parity["first"]["audited"] < 150
    at = int(parity["first"]["id"][1:])
    assert parity["first"]["time"] == (START + timedelta(minutes=20 * at)).isoformat(timespec="seconds")
    assert {entry["label"] for entry in said["labels"]} == set(LABELS)


def test_a_surrogate_that_keeps_parity_is_at_least_the_target(policy: tuple[Path, str], tmp_path: Path) -> None:
    assert found(policy, tmp_path, traffic(policy[1], 3000, 0.995))["parity"]["at_least_target"]


def test_another_target(policy: tuple[Path, str], tmp_path: Path) -> None:
    asked = {0.9: traffic(policy[1], 100, 0.97, target=0.9), 0.98: traffic(policy[1], 30, 0.97, id=None, target=0.98)}
    entries = [entry for target in asked for entry in asked[target] if entry.origin == "audit"]
    said = found(policy, tmp_path, entries, target=0.9)
    assert (said["target"], said["parity"]["audited"], said["logs"]["other_target"]) == (0.9, 100, 30)
    assert said["drift"]["defer_rate"]["reference_share"] == pytest.approx(0.2)
    none = found(policy, tmp_path, entries, target=0.98)["drift"]["defer_rate"]
    assert none == {"missing": "nothing is certified at 0.98"}
    with pytest.raises(DataError, match=r"0\.5 is no target of this policy; its targets are 0\.9, 0\.95, 0\.98"):
        found(policy, tmp_path, entries, target=0.5)


def test_no_audit_and_no_policy(policy: tuple[Path, str], tmp_path: Path) -> None:
    said = found(policy, tmp_path, [audit("f" * 16, 1)])
    assert said["logs"]["other_policies"] == {"f" * 16: 1} and said["volume"]["periods"] == []
    assert said["parity"]["interval"] == [0, 1] and not said["parity"]["below_target"]
    assert "missing" in said["drift"]["scores"] and said["labels"] == []
    with pytest.raises(PolicyError, match="is not a policy folder"):
        monitor([tmp_path], tmp_path / "nowhere")


def test_volume_by_hour_and_unknown_shares(policy: tuple[Path, str], tmp_path: Path) -> None:
    entries = [
        audit(policy[1], 0, probability=0.5),
        audit(policy[1], 1, probability=0.1),
        audit(policy[1], 3, probability=None),
        audit(policy[1], 4, origin="deferred", decision="deferred"),
    ]
    volume = found(policy, tmp_path, entries)["volume"]
    assert volume["unit"] == "hour"
    first, second = volume["periods"]
    assert (first["period"], first["audited"], first["requests"]) == ("2026-08-01 09", 2, 12)
    assert first["requests_error"] == pytest.approx(np.sqrt(0.5 / 0.25 + 0.9 / 0.01))
    assert (second["period"], second["audited"], second["deferred_logged"]) == ("2026-08-01 10", 1, 1)
    assert second["requests"] is None


# --- what is compared with --------------------------------------------------------------------------


def rows(scores: np.ndarray[Any, Any]) -> pa.Table:
    names = [LABELS[i % 2] for i in range(len(scores))]
    return pa.table({"label": names, "accept_score": scores, "distance": scores / 2})


def test_the_rows_of_the_holdout_are_used_where_they_are_of_this_fit(tmp_path: Path) -> None:
    folder = tmp_path / ".tracer"
    policy = (folder, write_policy(folder, targets=[{**_certified(), "handled": 750}]))
    entries = traffic(policy[1], 100, 0.97)
    scores = np.arange(1500) / 1500
    kept = found(policy, tmp_path, entries)["drift"]
    assert kept["reference"].endswith("qualitative_report.json")
    for place in (tmp_path / "artifacts/guard/rows.parquet", folder / "work/artifacts/guard/rows.parquet"):
        write_table(place, rows(scores))
        used = found(policy, tmp_path, entries)["drift"]
        assert used["reference"] == place.as_posix()
        assert used["labels"]["reference_rows"] == 1500 and len(used["labels"]["moved"]) > 0
        for other in (scores[:-1], scores * 0.9):  # of another fit: other rows, or other counts at the threshold
            write_table(place, rows(other))
            assert found(policy, tmp_path, entries)["drift"]["reference"] == kept["reference"]
        place.unlink()


def _certified() -> dict[str, Any]:
    return {"target": 0.95, "certified": True, "threshold": 0.5, "evidence_rows": 1500}


def test_without_anything_to_compare_with_it_is_said(policy: tuple[Path, str], tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(policy[0], bare)
    report = read_json(bare / "qualitative_report.json")
    entries = traffic(policy[1], 60, 0.97)
    write_json(bare / "qualitative_report.json", {"manifest": report["manifest"], "labels": report["labels"]})
    old = found((bare, policy[1]), tmp_path, entries)["drift"]
    assert "the policy folder does not tell them" in old["scores"]["missing"] and "p" in old["labels"]
    write_json(bare / "qualitative_report.json", report | {"manifest": "of another"})
    other = found((bare, policy[1]), tmp_path, entries)["drift"]
    assert other["reference"] is None and "missing" in other["labels"] and "p" in other["defer_rate"]
    (bare / "qualitative_report.json").unlink()
    assert found((bare, policy[1]), tmp_path, entries)["drift"] == other


def test_a_log_that_does_not_tell_scores_or_distances(policy: tuple[Path, str], tmp_path: Path) -> None:
    drift = found(policy, tmp_path, traffic(policy[1], 60, 0.97, score=None, distance=None))["drift"]
    assert drift["scores"] == {"missing": "no audited text comes with its score"}
    assert drift["distances"] == {"missing": "no audited text comes with its distance"}
    assert drift["texts_of_the_fit"] is None


# --- a real policy ----------------------------------------------------------------------------------


def test_a_real_policy_alone_and_beside_its_artifacts(fitted: FitResult, tmp_path: Path) -> None:
    """Its own holdout as traffic is no drift, told from its rows and from the quantiles that the folder keeps."""
    import pyarrow.parquet as pq

    place = fitted.path / "work/artifacts/guard/rows.parquet"
    table = pq.read_table(place, partitioning=None)
    policy = policy_id((fitted.path / "manifest.json").read_bytes())
    deployed = next(t for t in fitted.manifest["targets"] if t["target"] == fitted.manifest["target"])
    entries = [
        audit(
            policy,
            number,
            input=row["key"],
            teacher=row["label"],
            label=row["predicted"],
            decision="handled" if row["accept_score"] >= deployed["threshold"] else "deferred",
            score=row["accept_score"],
            distance=row["distance"],
            target=deployed["target"],
        )
        for number, row in enumerate(table.to_pylist())
    ]
    alone = tmp_path / ".tracer"
    alone.mkdir()
    for name in ("manifest.json", "qualitative_report.json"):
        shutil.copy(fitted.path / name, alone / name)
    log = write_log(tmp_path / "log.jsonl", entries)
    for folder, source in ((fitted.path, place), (alone, alone / "qualitative_report.json")):
        said = monitor([log], folder)
        assert said["drift"]["reference"] == source.as_posix()
        assert (said["parity"]["handled"], said["parity"]["agreed"]) == (deployed["handled"], deployed["agreed"])
        assert said["drift"]["scores"]["gap"] < 1e-6 and said["drift"]["distances"]["gap"] < 0.02
        assert said["drift"]["labels"]["distance"] == pytest.approx(0, abs=1e-9)
        assert not any(said["drift"][name]["beyond_noise"] for name in ("defer_rate", "scores", "distances", "labels"))
    counted = Counter(
        row["predicted"] for row, e in zip(table.to_pylist(), entries, strict=True) if e.decision == "handled"
    )
    assert {entry["label"]: entry["answered"] for entry in said["labels"]} == counted
