"""tf-idf beside another embedder: both parts unchanged side by side, saved whole, and nothing changed without it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from support import REPOSITORY, files_of
from tracer_cli import embedders
from tracer_cli.artifacts import read_json, write_json
from tracer_cli.config.schema import SentenceTransformersEmbedder as Spec
from tracer_cli.embedders import Embedder, tfidf
from tracer_cli.embedders.base import spec_of
from tracer_cli.errors import EmbedderError, StorageError
from tracer_cli.traces import example

TEXTS = [row["input"] for row in itertools.islice(example.generate(400), 250)]
NASTY = ["", " \t\n", "?!", "😡😡", "أين طلبي؟", "a\u0000b\u202ec", "word " * 4000]


def _section(**changes: Any) -> dict[str, Any]:
    return Spec(kind="sentence-transformers", **changes).model_dump()


FEATURES = _section(text_features={"dim": 24, "char_ngrams": 4, "max_terms": 2000})["text_features"]
MODEL = "models/letters.json"


# --- a base whose weights lie outside the saved folder, as a sentence-transformers model's do ------


class Letters(Embedder):
    """How often each letter of the model's file occurs, scaled to length 1; zero for none of them."""

    kind = "letters"
    dim = 0
    fingerprint = ""

    def __init__(self, settings: dict[str, Any], root: Path) -> None:
        self._settings = settings
        self._letters = (root / settings["model"]).read_text()
        self.dim = len(self._letters)
        self.fingerprint = f"letters:{self._letters}"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        counts = np.array([[text.count(c) for c in self._letters] for text in texts], np.float32)
        norms = np.linalg.norm(counts.reshape(-1, self.dim), axis=1, keepdims=True)
        return np.divide(
            counts.reshape(-1, self.dim), norms, where=norms > 0, out=np.zeros((len(texts), self.dim), "f4")
        )

    def save(self, folder: Path) -> None:
        write_json(folder / "spec.json", spec_of(self, self._settings))


def _letters_fit(settings: dict[str, Any], texts: Sequence[str], seed: int, root: Path) -> Letters:
    return Letters({name: value for name, value in settings.items() if name != "kind"}, root)


def _letters_load(folder: Path, spec: dict[str, Any], root: Path) -> Letters:
    return Letters(spec["settings"], root)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with the model's file; the kind `letters` is registered."""
    monkeypatch.setitem(sys.modules, "letters_kind", SimpleNamespace(fit=_letters_fit, load=_letters_load))  # type: ignore[misc]
    monkeypatch.setitem(embedders._MODULES, "letters", "letters_kind")
    (tmp_path / "models").mkdir()
    (tmp_path / MODEL).write_text("aeiorst")
    return tmp_path


def _settings(**features: Any) -> dict[str, Any]:
    return {"kind": "letters", "model": MODEL, "text_features": FEATURES | features}


def _base(root: Path) -> Embedder:
    return embedders.fit({"kind": "letters", "model": MODEL}, [], 0, root)


def _text(texts: list[str] = TEXTS, seed: int = 0, **features: Any) -> tfidf.TfidfEmbedder:
    settings = {name: value for name, value in (FEATURES | features).items() if name != "weight"}
    return tfidf.fit(settings, texts, seed, Path())


def _fit(root: Path, texts: list[str] = TEXTS, seed: int = 0, **features: Any) -> Embedder:
    return embedders.fit(_settings(**features), texts, seed, root)


def _saved(embedder: Embedder, folder: Path) -> Path:
    folder.mkdir()
    embedder.save(folder)
    return folder


# --- the vectors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.5, 0.1, 1, 3.0])
def test_a_vector_is_the_bases_and_the_weighted_tfidf_of_the_fit_texts(root: Path, weight: float) -> None:
    both = _fit(root, weight=weight)
    vectors = both.embed([*TEXTS, *NASTY])
    assert (both.kind, both.dim, vectors.shape) == ("letters", 7 + 24, (len(TEXTS) + len(NASTY), 31))
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors[:, :7], _base(root).embed([*TEXTS, *NASTY]))
    np.testing.assert_array_equal(vectors[:, 7:], np.float32(weight) * _text().embed([*TEXTS, *NASTY]))
    np.testing.assert_allclose(np.linalg.norm(vectors[: len(TEXTS), 7:], axis=1), weight, rtol=1e-5)


def test_a_part_without_anything_known_is_zero(root: Path) -> None:
    vectors = _fit(root, char_ngrams=0, min_count=1, texts=["where is it"]).embed(["where", "toast", "WHERE", "?!"])
    assert [(row[:7].any(), row[7:].any()) for row in vectors] == [
        (True, True),
        (True, False),
        (False, True),
        (False, False),
    ]


def test_no_texts_give_no_rows(root: Path) -> None:
    both = _fit(root)
    vectors = both.embed([])
    assert vectors.shape == (0, both.dim) and vectors.dtype == np.float32


@pytest.mark.parametrize("texts", [[], ["", "?!"], ["one text"] * 3])
def test_few_or_empty_fit_texts_give_fewer_dimensions_and_no_crash(root: Path, texts: list[str]) -> None:
    both = _fit(root, texts)
    folder = _saved(both, root / "saved")
    assert both.dim == 8
    np.testing.assert_array_equal(embedders.load(folder, root).embed(TEXTS), both.embed(TEXTS))


def test_a_text_has_the_same_bits_alone_and_in_a_batch(root: Path) -> None:
    both = _fit(root)
    alone = np.concatenate([both.embed([text]) for text in [*TEXTS[:50], *NASTY]])
    np.testing.assert_array_equal(both.embed([*TEXTS[:50], *NASTY]), alone)


def test_any_kind_can_be_the_base(root: Path) -> None:
    section = {"kind": "tfidf", "dim": 16, "word_ngrams": 1, "char_ngrams": 0, "min_count": 1, "max_terms": 500}
    both = embedders.fit({**section, "text_features": FEATURES}, TEXTS, 0, root)
    parts = [embedders.fit(section, TEXTS, 0, root).embed(TEXTS), np.float32(0.5) * _text().embed(TEXTS)]
    np.testing.assert_array_equal(both.embed(TEXTS), np.concatenate(parts, axis=1))
    loaded = embedders.load(_saved(both, root / "saved"))
    assert loaded.fingerprint == both.fingerprint
    np.testing.assert_array_equal(loaded.embed(TEXTS), both.embed(TEXTS))


def test_vectors_of_any_length_beside_tfidf_are_refused(root: Path) -> None:
    with pytest.raises(EmbedderError, match=r"text_features needs embedder\.normalize: true"):
        embedders.fit({**_settings(), "normalize": False}, TEXTS, 0, root)


# --- the fingerprint ------------------------------------------------------------------------------


def test_the_fingerprint_follows_the_base_the_texts_the_seed_the_settings_and_the_weight(root: Path) -> None:
    both = _fit(root)
    assert _fit(root).fingerprint == both.fingerprint
    assert _fit(root, weight=1).fingerprint == _fit(root, weight=1.0).fingerprint
    others = [_fit(root, TEXTS[1:]), _fit(root, seed=1), _fit(root, dim=23), _fit(root, weight=0.25)]
    (root / MODEL).write_text("aeiorsu")
    others += [_fit(root), _base(root), _text()]
    assert len({both.fingerprint, *(other.fingerprint for other in others)}) == 8


def test_the_loaded_fingerprint_is_of_the_model_that_is_found_now(root: Path) -> None:
    both = _fit(root)
    folder = _saved(both, root / "saved")
    assert embedders.load(folder, root).fingerprint == both.fingerprint
    (root / MODEL).write_text("aeiorsu")
    assert embedders.load(folder, root).fingerprint == _fit(root).fingerprint != both.fingerprint


# --- without it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("section", [{"kind": "letters", "model": MODEL}, {"kind": "tfidf", **_text().settings}])
def test_null_is_as_if_the_setting_did_not_exist(root: Path, section: dict[str, Any]) -> None:
    absent = embedders.fit(section, TEXTS, 0, root)
    null = embedders.fit({**section, "text_features": None}, TEXTS, 0, root)
    assert (type(null), null.dim, null.fingerprint) == (type(absent), absent.dim, absent.fingerprint)
    files = files_of(_saved(null, root / "null"))
    assert files == files_of(_saved(absent, root / "absent"))
    assert "text_features" not in files["spec.json"].decode()


def test_the_settings_that_are_given_are_not_changed(root: Path) -> None:
    settings = _settings()
    before = json.dumps(settings)
    embedders.fit(settings, TEXTS, 0, root)
    assert json.dumps(settings) == before


# --- saving, loading ------------------------------------------------------------------------------


def test_a_saved_embedder_gives_the_same_bits_wherever_it_is_copied(root: Path) -> None:
    both = _fit(root)
    shutil.copytree(_saved(both, root / "saved"), root / "policy" / "embedder")
    shutil.rmtree(root / "saved")
    loaded = embedders.load(root / "policy" / "embedder", root)
    assert (loaded.kind, loaded.dim, loaded.fingerprint) == (both.kind, both.dim, both.fingerprint)
    np.testing.assert_array_equal(loaded.embed([*TEXTS, *NASTY]), both.embed([*TEXTS, *NASTY]))
    assert files_of(_saved(loaded, root / "again")) == files_of(root / "policy" / "embedder")


def test_two_fits_give_the_same_bytes(root: Path) -> None:
    first = files_of(_saved(_fit(root), root / "a"))
    assert first == files_of(_saved(_fit(root), root / "b"))
    assert first != files_of(_saved(_fit(root, seed=1), root / "c"))


def test_a_saved_embedder_holds_json_and_plain_arrays_and_its_section_of_tracer_yaml(root: Path) -> None:
    both = _fit(root, weight=1)
    folder = _saved(both, root / "saved")
    text = [f"text/{name}" for name in ("components.npy", "idf.npy", "spec.json", "terms.json")]
    assert list(files_of(folder)) == ["base/spec.json", "spec.json", *text]
    for path in folder.rglob("*.npy"):
        assert np.load(path, allow_pickle=False).dtype.kind == "f"
    assert read_json(folder / "spec.json") == {
        "kind": "letters",
        "dim": 31,
        "fingerprint": both.fingerprint,
        "settings": {"model": MODEL, "text_features": FEATURES | {"weight": 1.0}},
    }


def test_loading_imports_no_scikit_learn(root: Path) -> None:
    section = {"kind": "tfidf", **_text().settings}
    folder = _saved(embedders.fit({**section, "text_features": FEATURES}, TEXTS, 0, root), root / "saved")
    program = (
        "import sys; from pathlib import Path; from tracer_cli import embedders; "
        "embedders.load(Path(sys.argv[1])); sys.exit('sklearn' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    assert subprocess.run([sys.executable, "-c", program, str(folder)], env=environment, check=False).returncode == 0


# --- damaged folders ------------------------------------------------------------------------------


def _edit(name: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        spec = read_json(folder / name)
        change(spec)
        (folder / name).write_text(json.dumps(spec))

    return damage


def _weight(value: Any) -> Callable[[Path], None]:
    return _edit("spec.json", lambda spec: spec["settings"]["text_features"].update(weight=value))


def _replace_text(folder: Path) -> None:
    shutil.rmtree(folder / "text")
    shutil.copytree(folder / "base", folder / "text")


def _swap(folder: Path) -> None:
    (folder / "base").rename(folder / "other")
    (folder / "text").rename(folder / "base")
    (folder / "other").rename(folder / "text")


def _other_text(folder: Path) -> None:
    shutil.rmtree(folder / "text")
    _saved(_text(min_count=3), folder / "text")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_weight("0.5"), "saved is damaged: the weight '0.5' is not a number"),
        (_weight(None), "saved is damaged: the weight None is not a number"),
        (_weight(float("nan")), "saved is damaged: the weight nan is not a number"),
        (_weight(float("inf")), "saved is damaged: the weight inf is not a number"),
        (_edit("spec.json", lambda spec: spec["settings"].update(text_features=[])), "saved is damaged"),
        (_edit("spec.json", lambda spec: spec["settings"].update(text_features=None)), "saved is damaged"),
        (
            _edit("spec.json", lambda spec: spec["settings"]["text_features"].pop("weight")),
            r"saved is damaged \('weight'\)",
        ),
        (_edit("spec.json", lambda spec: spec.update(settings=["text_features"])), "saved is damaged"),
        (_edit("spec.json", lambda spec: spec.pop("settings")), r"saved is damaged \('settings'\)"),
        (_edit("spec.json", lambda spec: spec.pop("dim")), r"saved is damaged \('dim'\)"),
        (_edit("spec.json", lambda spec: spec.update(kind="tfidf")), "saved is damaged: .* do not belong together"),
        (
            _edit("spec.json", lambda spec: spec["settings"].update(model="x")),
            "saved is damaged: .* do not belong together",
        ),
        (_edit("base/spec.json", lambda spec: spec.pop("settings")), r"saved/base is damaged \('settings'\)"),
        (_edit("base/spec.json", lambda spec: spec.update(kind="word2vec")), "unknown embedder kind 'word2vec'"),
        (
            _edit("base/spec.json", lambda spec: spec["settings"].update(x=1)),
            "saved is damaged: .* do not belong together",
        ),
        (_edit("text/spec.json", lambda spec: spec.pop("dim")), r"saved/text is damaged \('dim'\)"),
        (_edit("text/spec.json", lambda spec: spec["settings"].update(min_count=1)), "do not belong together"),
        (
            _edit("text/terms.json", lambda terms: terms["words"].pop()),
            "saved/text is damaged: .* do not belong together",
        ),
        (_edit("text/terms.json", lambda terms: terms.pop("chars")), r"saved/text is damaged \('chars'\)"),
        (_replace_text, "saved is damaged: .*saved/text holds no tf-idf"),
        (_swap, "saved is damaged: .*saved/text holds no tf-idf"),
        (_other_text, "saved is damaged: .* do not belong together"),
        (_edit("spec.json", lambda spec: spec.update(dim=30)), "vectors of length 7 and 24 do not make the 30 that"),
    ],
)
def test_a_damaged_folder_is_refused_and_named(root: Path, damage: Callable[[Path], None], message: str) -> None:
    folder = _saved(_fit(root), root / "saved")
    embedders.load(folder, root)
    damage(folder)
    with pytest.raises(EmbedderError, match=message):
        embedders.load(folder, root)


@pytest.mark.parametrize("name", ["base/spec.json", "text/spec.json", "text/terms.json", "text/components.npy"])
@pytest.mark.parametrize(("contents", "message"), [(None, "no such file"), (b"x", "it is not ")])
def test_a_missing_or_broken_file_is_named(root: Path, name: str, contents: bytes | None, message: str) -> None:
    folder = _saved(_fit(root), root / "saved")
    (folder / name).unlink() if contents is None else (folder / name).write_bytes(contents)
    with pytest.raises(StorageError, match=rf"cannot read .*saved/{name}: {message}"):
        embedders.load(folder, root)


def test_a_model_that_now_gives_vectors_of_another_length_is_named(root: Path) -> None:
    folder = _saved(_fit(root), root / "saved")
    (root / MODEL).write_text("aeiou")
    with pytest.raises(EmbedderError, match=r"length 5 and 24 do not make the 31 .*has the model been updated\?"):
        embedders.load(folder, root)


# --- real weights ---------------------------------------------------------------------------------


@pytest.mark.model
def test_real_sentence_embeddings_with_tfidf_beside_them(minilm: Path, tmp_path: Path) -> None:
    (tmp_path / "model").symlink_to(minilm)
    section = _section(model="model", text_features=FEATURES)
    both = embedders.fit(section, TEXTS, 0, tmp_path)
    base = embedders.fit(_section(model="model"), TEXTS, 0, tmp_path)
    texts = [*TEXTS[:40], *NASTY]
    vectors = both.embed(texts)
    assert (both.kind, both.dim, vectors.shape) == ("sentence-transformers", 408, (len(texts), 408))
    np.testing.assert_array_equal(vectors[:, :384], base.embed(texts))
    np.testing.assert_array_equal(vectors[:, 384:], np.float32(0.5) * _text().embed(texts))
    np.testing.assert_allclose(np.linalg.norm(vectors[:, :384], axis=1), 1, atol=1e-5)
    assert both.embed([]).shape == (0, 408)

    folder = _saved(both, tmp_path / "saved")
    assert files_of(folder / "base") == files_of(_saved(base, tmp_path / "base"))
    assert not {"text_features", "kind"} & set(read_json(folder / "base" / "spec.json")["settings"])
    again = embedders.fit(section, TEXTS, 0, tmp_path)
    assert files_of(_saved(again, tmp_path / "again")) == files_of(folder)
    loaded = embedders.load(folder, tmp_path)
    assert (loaded.dim, loaded.fingerprint) == (both.dim, both.fingerprint)
    np.testing.assert_array_equal(loaded.embed(texts), vectors)
    np.testing.assert_array_equal(again.embed(texts), vectors)


@pytest.mark.model
def test_real_sentence_embeddings_of_any_length_are_refused(minilm: Path) -> None:
    with pytest.raises(EmbedderError, match=r"needs embedder\.normalize: true"):
        embedders.fit(_section(model=str(minilm), normalize=False, text_features=FEATURES), TEXTS, 0, REPOSITORY)
