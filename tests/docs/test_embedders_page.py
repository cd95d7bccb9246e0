"""docs/embedders.md: every snippet is run, against real services on the loopback."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracer_cli as tracer
from embedding_service import Service, running
from support import REPOSITORY, example_traces, quick, write_jsonl
from support import tracer as command
from tracer_cli import embedders
from tracer_cli.artifacts import Layout
from tracer_cli.config import schema
from tracer_cli.config.load import load_config
from tracer_cli.stages import embed, ingest

PAGE = (REPOSITORY / "docs" / "embedders.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
OPENAI, JSON = "https://api.openai.com/v1/embeddings", "http://embeddings.internal:8080/embed"
MODEL = "all-MiniLM-L6-v2"
TRACES = example_traces(700)


def snippets(language: str) -> list[Any]:
    """Every fenced block of the language, by its section; those of a model are marked."""
    found = []
    for title, text in SECTIONS.items():
        for number, block in enumerate(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)):
            marks = [pytest.mark.model] if MODEL in block else []
            found.append(pytest.param(block, id=f"{title}-{number}", marks=marks))
    return found


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Service]]:
    """The page's addresses -> services that behave as the page says."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "first-key")
    monkeypatch.setenv("EMBEDDINGS_KEY", "second-key")

    def vectors(texts: list[str], rows: list[list[float]]) -> Any:
        return {"data": [{"vector": row} for row in rows]}

    with running(dim=256) as openai, running(input_key="inputs", shape=vectors) as json:
        yield {OPENAI: openai, JSON: json}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, services: dict[str, Service]) -> Iterator[Path]:
    """A folder with what the page speaks of: traces, their vectors, vectors.py, and a policy that was fitted with it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACER_CACHE_DIR", str(tmp_path / "cache"))
    write_jsonl(tmp_path / "data" / "traces" / "calls.jsonl", TRACES)
    code = re.search(r"`vectors\.py`:\n\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert code is not None
    (tmp_path / "vectors.py").write_text(code[1])
    own: dict[str, Any] = {}
    exec(code[1], own)
    np.save(tmp_path / "data" / "vectors.npy", np.array(own["embed"]([trace["input"] for trace in TRACES])))
    yield tmp_path
    sys.modules.pop("vectors", None)


def local(block: str, services: dict[str, Service]) -> str:
    for page, service in services.items():
        block = block.replace(page, service.url)
    return block


@pytest.mark.parametrize("block", snippets("yaml"))
def test_a_declaration_embeds_the_traces(
    block: str, project: Path, services: dict[str, Service], request: pytest.FixtureRequest
) -> None:
    block = local(block, services)
    if MODEL in block:
        block = block.replace(MODEL, str(request.getfixturevalue("minilm")))
        write_jsonl(project / "data" / "traces" / "calls.jsonl", TRACES[:100])
    (project / "tracer.yaml").write_text(f"traces:\n  - path: data/traces/*.jsonl\n{block}")
    config = load_config(project / "tracer.yaml")
    layout = Layout.of_project(project, ".tracer", "report.html")
    ingest.run(layout, config)
    embed.run(layout, config)
    vectors = np.load(layout.fit_vectors)
    assert len(vectors) > 30 and np.isfinite(vectors).all() and vectors.any()
    if config.embedder.kind not in ("callable", "precomputed"):
        loaded = embedders.load(layout.embedder, project)
        assert loaded.embed([TRACES[0]["input"]]).shape == (1, vectors.shape[1])


@pytest.mark.parametrize("block", snippets("python"))
def test_python_runs(block: str, project: Path, services: dict[str, Service], request: pytest.FixtureRequest) -> None:
    block = local(block, services)
    if MODEL in block:
        block = block.replace(MODEL, str(request.getfixturevalue("minilm")))
    if "load_router" in block:
        _fit_with_the_pages_function(project)
    names: dict[str, Any] = {}
    exec(compile(block, "the page", "exec"), names)
    if "vectors" in names:
        assert len(names["vectors"]) in (1, 2) and names["vectors"].dtype == np.float32
    if "answer" in names:
        assert names["answer"]["decision"] in ("handled", "deferred")
    if "config" in names:
        assert _is_valid(names["config"])
    if "result" in names:
        assert names["result"].manifest["dim"] == 256


@pytest.mark.parametrize("block", snippets("sh"))
def test_a_command_runs(block: str, project: Path) -> None:
    _fit_with_the_pages_function(project)
    for line in block.splitlines():
        program, *arguments = shlex.split(line)
        done = command(*arguments, cwd=project)
        assert program == "tracer" and done.returncode == 0, done.stderr
        assert '"decision"' in done.stdout


def _fit_with_the_pages_function(project: Path) -> None:
    section = {"kind": "callable", "function": "vectors:embed"}
    config = quick(embedder=section, target_teacher_agreement=0.7, frontier_targets=(0.7,))
    result = tracer.fit(project / "data" / "traces" / "calls.jsonl", project / ".tracer", config=config)
    assert result.deploy, result.verdict


def _is_valid(config: tracer.FitConfig) -> bool:
    from tracer_cli.api import project_config

    assert isinstance(config.embedder, dict)
    return project_config(config, "data/traces/calls.jsonl", config.embedder).embedder.kind == config.embedder["kind"]


def test_the_services_were_asked_as_the_page_says(project: Path, services: dict[str, Service]) -> None:
    for block in re.findall(r"```python\n(.*?)```", SECTIONS["endpoint"], re.DOTALL):
        exec(local(block, services), {})
    openai, other = (service.requests[-1] for service in services.values())
    assert openai.body["model"] == "text-embedding-3-small" and openai.body["dimensions"] == 256
    assert openai.headers["Authorization"] == "Bearer first-key"
    assert list(other.body) == ["inputs"]
    assert (other.headers["api-key"], other.headers["x-team"]) == ("second-key", "support")


def test_every_kind_has_a_section_and_a_line_in_both_tables() -> None:
    for kind in embedders._MODULES:
        assert kind in SECTIONS
        assert f"| [`{kind}`](#{kind}) |" in PAGE and f"\n| `{kind}` |" in SECTIONS["The fingerprint"]


@pytest.mark.parametrize("section", [schema.EndpointEmbedder, schema.CallableEmbedder])
def test_what_is_said_to_be_no_part_of_the_fingerprint_are_settings(section: Any) -> None:
    told = re.search(r"How vectors are fetched \((.*?), the key\)", PAGE)
    assert told is not None
    names = set(re.findall(r"`(\w+)`", told[1]))
    part = re.search(
        rf"\| `{section.model_fields['kind'].annotation.__args__[0]}` \| (.*?) \|", SECTIONS["The fingerprint"]
    )
    assert part is not None
    decides = set(re.findall(r"`(\w+)`", part[1]))
    keys = {"kind", "text_features", "key_env", "key_header", "input_key", "output_key"}
    assert set(section.model_fields) - keys == (names & set(section.model_fields)) | decides
