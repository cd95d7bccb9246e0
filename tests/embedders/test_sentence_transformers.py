"""sentence-transformers: the messages when it cannot be had, and real all-MiniLM-L6-v2 weights."""

from __future__ import annotations

import functools
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import REPOSITORY, absent, files_of
from tracer_cli import embedders
from tracer_cli.artifacts import read_json, write_json
from tracer_cli.config.schema import SentenceTransformersEmbedder as Spec
from tracer_cli.embedders import Embedder, exported, sentence_transformers
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

    facts = "sentence-transformers normalize=True"
    assert _fingerprint(relative._model, facts) != fitted.fingerprint  # type: ignore[attr-defined]


@pytest.mark.model
def test_the_fingerprint_is_the_one_of_policies_that_exist(fitted: Embedder) -> None:
    digest = "3d2366c2c65a92f70972ec96d9422b830acd5fafa6b5dff00edb5f84fc34eff5"
    assert fitted.fingerprint == f"sentence-transformers:{digest}"


@pytest.mark.model
def test_a_folder_of_an_older_version_loads(fitted: Embedder, minilm: Path, tmp_path: Path) -> None:
    settings = {"model": str(minilm), "batch_size": 64, "normalize": True}
    spec = {"kind": "sentence-transformers", "dim": 384, "fingerprint": fitted.fingerprint, "settings": settings}
    write_json(tmp_path / "spec.json", spec)
    assert embedders.load(tmp_path).fingerprint == fitted.fingerprint


@pytest.mark.model
def test_a_prefix_is_put_before_each_text_and_is_part_of_the_fingerprint(fitted: Embedder, minilm: Path) -> None:
    prefixed = _fit(minilm, prefix="query: ")
    np.testing.assert_allclose(
        prefixed.embed(["where is my order", ""]), fitted.embed(["query: where is my order", "query: "]), atol=1e-6
    )
    others = {_fit(minilm, prefix=prefix).fingerprint for prefix in ("query:", "passage: ")}
    assert len({*others, prefixed.fingerprint, fitted.fingerprint}) == 4


@pytest.mark.model
def test_parts_are_handed_on_as_they_come(fitted: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_transformers, "_PART", 64)
    texts = [f"text {i}" for i in range(150)]
    parts = list(fitted.batches(texts))
    assert [rows for rows, _ in parts] == [range(64), range(64, 128), range(128, 150)]
    np.testing.assert_allclose(np.concatenate([part for _, part in parts]), fitted.embed(texts), atol=1e-5)


# --- device ---------------------------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.parametrize(
    ("device", "told"),
    [
        ("cpuu", "PyTorch knows no device 'cpuu'; write cpu, cuda, cuda:1 or mps"),
        ("gpu", "PyTorch knows no device 'gpu'"),
        ("cuda:4000", "PyTorch finds no device 'cuda:4000' on this machine; write cpu"),
        ("meta", "PyTorch finds no device 'meta' on this machine"),
    ],
)
def test_a_device_that_is_not_there_is_an_error(minilm: Path, device: str, told: str) -> None:
    with pytest.raises(EmbedderError, match=f"^embedder.device: {re.escape(told)}"):
        _fit(minilm, device=device)


@pytest.mark.model
def test_a_policy_from_another_device_is_computed_by_the_cpu(
    fitted: Embedder, minilm: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("tracer"), "propagate", True)
    fitted.save(tmp_path)
    spec = read_json(tmp_path / "spec.json")
    spec["settings"]["device"] = "cuda:4000"
    write_json(tmp_path / "spec.json", spec)
    loaded = embedders.load(tmp_path)
    assert "PyTorch finds no device 'cuda:4000' on this machine" in caplog.text and "the CPU is used" in caplog.text
    np.testing.assert_array_equal(loaded.embed(TEXTS), fitted.embed(TEXTS))


# --- revision -------------------------------------------------------------------------------------

COMMITS = {"v1": "1" * 40, "main": "2" * 40}


@pytest.fixture(scope="module")
def hub(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hub's local cache with two commits of someone/small; the second truncates texts earlier."""
    folder = tmp_path_factory.mktemp("hub")
    model = folder / "hub" / "models--someone--small"
    (model / "refs").mkdir(parents=True)
    for name, commit in COMMITS.items():
        (model / "refs" / name).write_text(commit)
        snapshot = shutil.copytree(minilm, model / "snapshots" / commit)
        if name == "main":
            settings = {"max_seq_length": 16, "do_lower_case": False}
            (snapshot / "sentence_bert_config.json").unlink()
            write_json(snapshot / "sentence_bert_config.json", settings)
    return folder


def _from_hub(hub: Path, program: str) -> str:
    """What a program prints that has `fit(revision)`, without a network."""
    start = (
        "import sys; from pathlib import Path; from tracer_cli import embedders\n"
        "from tracer_cli.config.schema import SentenceTransformersEmbedder as Spec\n"
        "from tracer_cli.errors import EmbedderError\n"
        "def fit(revision=None):\n"
        "    spec = Spec(kind='sentence-transformers', model='someone/small', revision=revision)\n"
        "    return embedders.fit(spec.model_dump(), [], 0, Path('/'))\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(hub), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", start + program], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.model
def test_a_revision_pins_the_model_and_what_is_saved_is_the_commit(hub: Path) -> None:
    program = f"""
import json, tempfile
for revision in (None, 'v1', {COMMITS["v1"]!r}):
    with tempfile.TemporaryDirectory() as folder:
        fit(revision).save(Path(folder))
        spec = json.loads((Path(folder) / 'spec.json').read_text())
        print(spec['settings']['revision'], spec['fingerprint'])
        if revision is None:
            assert embedders.load(Path(folder)).fingerprint == spec['fingerprint']
try:
    fit('v9')
except EmbedderError as error:
    print(error)
"""
    *lines, told = _from_hub(hub, program).splitlines()
    (newest, first), (old, second), (pinned, third) = (line.split() for line in lines)
    assert (newest, old, pinned) == (COMMITS["main"], COMMITS["v1"], COMMITS["v1"])
    assert first != second == third
    assert "no model named 'someone/small' at revision 'v9' could be had from the model hub or its local cache" in told
    assert "check the name, the revision and the connection" in told


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(EmbedderError, match=r"embedder\.revision: 'v1' is given, but .*model, which has no revisions"):
        _fit("model", tmp_path, revision="v1")


# --- backends -------------------------------------------------------------------------------------

BACKENDS = {"onnx": "optimum.onnxruntime", "openvino": "optimum.intel.openvino"}

# Their own temporary files are removed when the garbage is collected, and they say so.
silent_garbage = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, minilm: Path) -> str:
    name = str(request.param)
    if find_spec("optimum") is None or find_spec(BACKENDS[name].rpartition(".")[0]) is None:
        absent(f"the extra {name} is not installed")
    return name


@pytest.mark.model
@pytest.mark.parametrize("name", BACKENDS)
def test_a_missing_backend_says_what_to_install(minilm: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optimum", None)
    for module in list(sys.modules):
        if module.startswith("optimum."):
            monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, BACKENDS[name], None)
    with pytest.raises(EmbedderError, match=rf"embedder\.backend: {name} needs .* pip install 'tracer-cli\[{name}\]'"):
        _fit(minilm, backend=name)


@pytest.fixture(scope="module")
def kept(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A cache folder with the model exported to a backend. Shared: copy it before changing anything."""

    @functools.cache
    def made(backend: str) -> Path:
        folder = tmp_path_factory.mktemp(backend)
        before = files_of(minilm)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRACER_CACHE_DIR", str(folder))
            _fit(minilm, backend=backend)
        assert files_of(minilm) == before
        return folder

    return made


@silent_garbage
@pytest.mark.model
def test_another_backend_agrees_with_torch_and_is_exported_once(
    fitted: Embedder,
    minilm: Path,
    backend: str,
    kept: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACER_CACHE_DIR", str(kept(backend)))
    monkeypatch.setattr(exported, "_keep", None)  # nothing is exported again
    first = _fit(minilm, backend=backend)
    vectors = first.embed(TEXTS)
    assert (vectors * fitted.embed(TEXTS)).sum(axis=1).min() > 1 - 1e-4
    np.testing.assert_allclose(vectors, fitted.embed(TEXTS), atol=1e-5)
    assert first.dim == 384 and first.fingerprint != fitted.fingerprint

    first.save(tmp_path)
    loaded = embedders.load(tmp_path)
    assert loaded.fingerprint == first.fingerprint
    np.testing.assert_array_equal(loaded.embed(TEXTS), vectors)
    assert _fit(minilm, backend=backend, prefix="query: ").fingerprint != first.fingerprint


@silent_garbage
@pytest.mark.model
def test_a_damaged_export_is_made_again(
    fitted: Embedder,
    minilm: Path,
    backend: str,
    kept: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(kept(backend), tmp_path / "cache")
    monkeypatch.setenv("TRACER_CACHE_DIR", str(tmp_path / "cache"))
    [folder] = (tmp_path / "cache" / "exports").iterdir()
    [graph] = [*folder.rglob("*.onnx"), *folder.rglob("*.bin")]
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 0xFF
    graph.write_bytes(data)
    np.testing.assert_allclose(_fit(minilm, backend=backend).embed(TEXTS), fitted.embed(TEXTS), atol=1e-5)
    assert graph.read_bytes() != data and [path.name for path in folder.parent.iterdir()] == [folder.name]


@silent_garbage
@pytest.mark.model
def test_a_cache_folder_that_cannot_be_used_costs_a_warning(
    fitted: Embedder,
    minilm: Path,
    backend: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(logging.getLogger("tracer"), "propagate", True)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRACER_CACHE_DIR", str(tmp_path / "file"))
    made = _fit(minilm, backend=backend)
    assert "cannot keep the exported model" in caplog.text
    np.testing.assert_allclose(made.embed(TEXTS), fitted.embed(TEXTS), atol=1e-5)


@silent_garbage
@pytest.mark.model
def test_a_folder_with_its_own_graph_is_used_as_it_is(
    fitted: Embedder, backend: str, kept: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACER_CACHE_DIR", str(tmp_path / "cache"))
    [folder] = (kept(backend) / "exports").iterdir()
    shutil.copytree(folder, tmp_path / "model")
    brought = _fit("model", tmp_path, backend=backend)
    assert not (tmp_path / "cache").exists()
    np.testing.assert_allclose(brought.embed(TEXTS), fitted.embed(TEXTS), atol=1e-5)
    [graph] = [*(tmp_path / "model").rglob("*.onnx"), *(tmp_path / "model").rglob("*.xml")]
    again = _fit(shutil.copytree(tmp_path / "model", tmp_path / "copy"), backend=backend)
    assert again.fingerprint == brought.fingerprint
    with graph.with_name(f"{graph.stem}.note").open("w") as file:
        file.write("a file of the graph has changed")
    assert _fit("model", tmp_path, backend=backend).fingerprint != brought.fingerprint


@silent_garbage
@pytest.mark.model
def test_a_device_that_a_backend_does_not_have_is_an_error(minilm: Path, backend: str) -> None:
    with pytest.raises(EmbedderError, match=f"with backend: {backend} this machine has no device 'mps'; it has .*cpu"):
        _fit(minilm, backend=backend, device="mps")


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
@pytest.mark.parametrize("name", ["torch", *BACKENDS])
def test_loading_and_embedding_write_nothing_to_the_terminal_or_the_home(
    minilm: Path, tmp_path: Path, name: str
) -> None:
    if name != "torch" and find_spec("optimum") is None:
        absent(f"the extra {name} is not installed")
    program = (
        "import sys; from pathlib import Path; from tracer_cli import embedders\n"
        "from tracer_cli.config.schema import SentenceTransformersEmbedder as Spec\n"
        "spec = Spec(kind='sentence-transformers', model=sys.argv[1], backend=sys.argv[2])\n"
        "embedders.fit(spec.model_dump(), [], 0, Path()).embed(['a text'])"
    )
    (tmp_path / "home").mkdir()
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(tmp_path / "home"),
        "TRACER_CACHE_DIR": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-c", program, str(minilm), name], env=environment, capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")
    assert [path.name for path in (tmp_path / "home").iterdir() if path.name != ".cache"] == []
