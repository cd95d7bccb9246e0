"""The example traces: the shipped file is the generator's output, and the set is as hard as it claims."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from support import REPOSITORY
from tracer_cli.config.schema import TfidfEmbedder
from tracer_cli.embedders import tfidf
from tracer_cli.traces import example

SHIPPED = REPOSITORY / "data" / "traces" / "support.jsonl"


def _key(text: str) -> str:
    return " ".join(text.casefold().split())


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    return list(example.generate())


def test_the_shipped_file_is_what_the_module_writes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tracer_cli.traces.example"], cwd=REPOSITORY, capture_output=True, check=True
    )
    assert SHIPPED.read_bytes() == done.stdout, "python -m tracer_cli.traces.example > data/traces/support.jsonl"


def test_rows_have_every_field_unique_ids_and_rising_times(rows: list[dict[str, str]]) -> None:
    assert len(rows) == 3000
    assert all(set(row) == {"id", "input", "teacher", "ground_truth", "created_at"} for row in rows)
    assert all(isinstance(value, str) and value.strip() for row in rows for value in row.values())
    assert len({row["id"] for row in rows}) == 3000
    times = [row["created_at"] for row in rows]
    assert times == sorted(times) and len(set(times)) == 3000


def test_a_shorter_set_is_the_beginning_of_a_longer_one_and_seeds_differ() -> None:
    assert list(example.generate(50)) == list(example.generate(200))[:50]
    assert list(example.generate(50, seed=1)) != list(example.generate(50, seed=2))


def test_no_part_of_the_grammar_is_left_in_a_text(rows: list[dict[str, str]]) -> None:
    left = [row["input"] for row in rows if set("[]{}|") & set(row["input"])]
    assert left == []


def test_the_teacher_gives_known_labels_to_a_realistic_mix_of_intents(rows: list[dict[str, str]]) -> None:
    assert 24 <= len(example.INTENTS) <= 28
    assert min(len(intent.cores) for intent in example.INTENTS.values()) >= 12
    shares = {intent: n / len(rows) for intent, n in Counter(row["ground_truth"] for row in rows).items()}
    assert {row["teacher"] for row in rows} <= set(example.INTENTS) == set(shares)
    assert 0.07 < max(shares.values()) < 0.10
    assert 0.005 < min(shares.values()) < 0.02


def test_the_teacher_is_sometimes_wrong_and_sometimes_inconsistent(rows: list[dict[str, str]]) -> None:
    assert 0.05 <= np.mean([row["teacher"] != row["ground_truth"] for row in rows]) <= 0.08
    answers = defaultdict(list)
    for row in rows:
        answers[_key(row["input"])].append(row["teacher"])
    repeated = [given for given in answers.values() if len(given) > 1]
    assert len(answers) >= 2800
    assert 0.03 * len(rows) <= len(rows) - len(answers) <= 0.07 * len(rows)
    assert 5 <= sum(len(set(given)) > 1 for given in repeated) < len(repeated) / 2


def test_right_to_left_text_emoji_and_one_word_messages_are_among_them(rows: list[dict[str, str]]) -> None:
    texts = [row["input"] for row in rows]
    assert any("\u0590" <= c <= "\u06ff" for text in texts for c in text), "right-to-left"
    assert any(c >= "\U0001f300" for text in texts for c in text), "emoji"
    assert min(map(len, texts)) <= 5 and max(map(len, texts)) >= 120


@pytest.mark.slow
def test_a_linear_model_agrees_with_the_teacher_on_82_to_88_percent_of_new_texts(rows: list[dict[str, str]]) -> None:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    first = {_key(row["input"]): row for row in reversed(rows)}
    texts = np.array([row["input"] for row in first.values()], dtype=object)
    labels = np.array([row["teacher"] for row in first.values()])
    agreements = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(texts))
        fit, new = order[:1800], order[1800:]
        embedder = tfidf.fit(TfidfEmbedder().model_dump(), list(texts[fit]), 0, Path())
        with threadpool_limits(1):
            model = LogisticRegression(C=10, max_iter=300).fit(embedder.embed(texts[fit]), labels[fit])
            agreements.append(model.score(embedder.embed(texts[new]), labels[new]))
    assert 0.82 <= np.mean(agreements) <= 0.88


def test_every_line_of_the_shipped_file_is_an_object_of_its_own() -> None:
    lines = SHIPPED.read_bytes().decode("utf-8").split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == list(example.generate())
