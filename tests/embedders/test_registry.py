"""The registry of kinds: every kind of tracer.yaml can be made, and a folder says what it holds."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest

from tracer_cli import embedders
from tracer_cli.artifacts import write_json
from tracer_cli.config import schema
from tracer_cli.errors import EmbedderError, StorageError


def test_every_kind_of_the_configuration_is_registered() -> None:
    union, _ = typing.get_args(schema.Embedder)
    kinds = {typing.get_args(section.model_fields["kind"].annotation)[0] for section in typing.get_args(union)}
    assert kinds == set(embedders._MODULES)
    for kind in kinds:
        module = embedders._module(kind)
        assert callable(module.fit) and callable(module.load)


def test_an_unknown_kind_is_named_with_the_known_ones(tmp_path: Path) -> None:
    write_json(tmp_path / "spec.json", {"kind": "word2vec", "settings": {}, "dim": 3})
    with pytest.raises(EmbedderError, match="unknown embedder kind 'word2vec'; this version of tracer knows tfidf, "):
        embedders.load(tmp_path)


@pytest.mark.parametrize("contents", [{}, [], {"kind": "precomputed"}, {"kind": "sentence-transformers"}])
def test_an_incomplete_spec_is_a_damaged_folder(tmp_path: Path, contents: object) -> None:
    write_json(tmp_path / "spec.json", contents)
    with pytest.raises(EmbedderError, match="is damaged"):
        embedders.load(tmp_path)


def test_a_folder_without_a_spec_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*spec\.json: no such file"):
        embedders.load(tmp_path)
