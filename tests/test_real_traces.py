"""Real traces with labels that an LLM gave, and a real sentence-transformers model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tracer_cli as tracer
from support import tracer as run

pytestmark = [pytest.mark.shared, pytest.mark.model, pytest.mark.slow]


@pytest.fixture(scope="module")
def traces(real_data: Path) -> Path:
    return real_data / "banking77-gpt" / "traces.jsonl"


def test_090_is_certified_and_deploys(traces: Path, minilm: Path, tmp_path: Path) -> None:
    done = run("fit", traces, "--target", "0.90", "--embedder", minilm, "--check", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CERTIFIED" in done.stdout
    router = tracer.load_router(tmp_path / ".tracer")
    assert router.manifest["targets"][1]["coverage"] > 0.5
    answers = router.predict_batch([json.loads(line)["input"] for line in traces.read_text().splitlines()[:50]])
    assert answers["handled"].any()
    for policy_file in ("manifest.json", "policy.onnx", "embedder/spec.json", "report.html", "frontier.json"):
        assert (tmp_path / ".tracer" / policy_file).is_file()


def test_0995_deploys_nothing_and_says_why(traces: Path, minilm: Path, tmp_path: Path) -> None:
    done = run("fit", traces, "--target", "0.995", "--embedder", minilm, "--check", cwd=tmp_path)
    assert done.returncode == 3
    assert "BLOCKED" in done.stdout
    assert "nothing can be certified at 0.995" in done.stderr
    assert run("guard", "--check", cwd=tmp_path).returncode == 3
    assert run("route", "where is my card", cwd=tmp_path).returncode == 3
