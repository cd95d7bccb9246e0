"""sentence-transformers: the messages when it cannot be had, and real all-MiniLM-L6-v2 weights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import REPOSITORY
from tracer_cli import embedders
from tracer_cli.config.schema import SentenceTransformersEmbedder as Spec
from tracer_cli.embedders import Embedder
from tracer_cli.errors import EmbedderError


def _settings(model: str | Path, **changes: Any) -> dict[str, Any]:
    return Spec(kind="sentence-transformers", model=str(model), **changes).model_dump()


def _fit(model: str | Path, root: Path = REPOSITORY, **changes: Any) -> Embedder:
    return embedders.fit(_settings(model, **changes), [], 0, root)


# --- when it cannot be had ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["./models/none", "../none", "models/deep/none", "~/no/such/model", "models\\none"])
def test_a_folder_that_does_not_exist_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(EmbedderError, match=r"embedder\.model: no such folder: .*(none|no/such/model);"):
        _fit(name, tmp_path)


def test_an_absolute_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match=r"no such folder: .*missing.*relative to tracer\.yaml"):
        _fit(tmp_path / "missing")


def test_a_file_is_not_a_model_folder(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("weights")
    with pytest.raises(EmbedderError, match=r"no such folder: .*model"):
        _fit("model", tmp_path)


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(EmbedderError, match=r"pip install 'tracer-cli\[embeddings\]'"):
        _fit("all-MiniLM-L6-v2")


@pytest.mark.model
def test_a_model_that_cannot_be_fetched_is_named(minilm: Path, tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from tracer_cli import embedders\n"
        "from tracer_cli.config.schema import SentenceTransformersEmbedder as Spec\n"
        "from tracer_cli.errors import EmbedderError\n"
        "try: embedders.fit(Spec(kind='sentence-transformers', model='no-such-model').model_dump(), [], 0, Path())\n"
        "except EmbedderError as error: print(error)"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert "no model named 'no-such-model' could be had from the model hub or its local cache" in done.stdout
    assert "give the folder of a saved model" in done.stdout


@pytest.mark.model
def test_a_folder_without_a_model_is_named(minilm: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(EmbedderError, match=r"the folder .*model does not hold a sentence-transformers model"):
        _fit("model", tmp_path)


# --- real weights ---------------------------------------------------------------------------------

TEXTS = ["where is my order", "Where's my parcel?", "delete my account", "", "😡😡", "أين طلبي؟", "?!", "word " * 4000]


@pytest.fixture(scope="module")
def fitted(minilm: Path) -> Embedder:
    return _fit(minilm)


@pytest.mark.model
def test_vectors_are_unit_float32_and_close_for_close_texts(fitted: Embedder) -> None:
    vectors = fitted.embed(TEXTS)
    assert (fitted.dim, vectors.shape, vectors.dtype) == (384, (len(TEXTS), 384), np.dtype("float32"))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.6 > 0.4 > vectors[0] @ vectors[2]
    assert fitted.embed([]).shape == (0, 384)


@pytest.mark.model
def test_a_text_has_the_same_vector_alone_and_in_a_batch(fitted: Embedder) -> None:
    batch = fitted.embed(TEXTS)
    alone = np.concatenate([fitted.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(batch, alone, atol=1e-5)


@pytest.mark.model
def test_the_fingerprint_is_of_the_weights_not_of_the_folder(fitted: Embedder, minilm: Path, tmp_path: Path) -> None:
    shutil.copytree(minilm, tmp_path / "models" / "copy")
    relative = _fit("models/copy", tmp_path, batch_size=7)
    assert relative.fingerprint == fitted.fingerprint
    assert _fit(minilm, normalize=False).fingerprint != fitted.fingerprint
    relative._model[0].auto_model.pooler.dense.bias.data[0] += 1e-3  # type: ignore[attr-defined]
    from tracer_cli.embedders.sentence_transformers import _fingerprint

    assert _fingerprint(relative._model, True) != fitted.fingerprint  # type: ignore[attr-defined]


@pytest.mark.model
def test_a_saved_embedder_finds_its_relative_folder_from_the_root(
    fitted: Embedder, minilm: Path, tmp_path: Path
) -> None:
    (tmp_path / "model").symlink_to(minilm)
    saved = tmp_path / "saved"
    saved.mkdir()
    _fit("model", tmp_path).save(saved)
    assert [path.name for path in saved.iterdir()] == ["spec.json"]
    loaded = embedders.load(saved, tmp_path)
    assert loaded.fingerprint == fitted.fingerprint
    np.testing.assert_array_equal(loaded.embed(TEXTS), fitted.embed(TEXTS))


@pytest.mark.model
def test_loading_and_embedding_write_nothing_to_the_terminal(minilm: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tracer_cli import embedders\n"
        "from tracer_cli.config.schema import SentenceTransformersEmbedder as Spec\n"
        "spec = Spec(kind='sentence-transformers', model=sys.argv[1])\n"
        "embedders.fit(spec.model_dump(), [], 0, Path()).embed(['a text'])"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(minilm)], env=environment, capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")
