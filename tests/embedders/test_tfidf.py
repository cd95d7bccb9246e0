"""tf-idf with a truncated SVD: equal to scikit-learn's, deterministic, and at ease with nasty texts."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from support import REPOSITORY, files_of
from tracer_cli import embedders
from tracer_cli.config.schema import TfidfEmbedder as Spec
from tracer_cli.embedders import tfidf
from tracer_cli.errors import EmbedderError
from tracer_cli.traces import example

NASTY = [
    "",
    " \t\n",
    "?!?! ... --",
    "😀😡🙏",
    "أين طلبي؟",
    "הזמנה מאחרת",
    "注文はどこですか",
    "a\u0000b\u200b\u202ec",
    "I",
    "İSTANBUL straße ﬁne e\u0301",
    "x" * 20_000,
    "where is my order " * 1_200,
]

TEXTS = [row["input"] for row in itertools.islice(example.generate(600), 400)]


def _settings(**changes: Any) -> dict[str, Any]:
    return Spec(**{"dim": 48, **changes}).model_dump()


def _fit(texts: list[str], seed: int = 0, **changes: Any) -> tfidf.TfidfEmbedder:
    return tfidf.fit(_settings(**changes), texts, seed, Path())


@pytest.fixture(scope="module")
def fitted() -> tfidf.TfidfEmbedder:
    return _fit(TEXTS)


class Library:
    """The same embedder through scikit-learn's public interface, from the saved state alone."""

    def __init__(self, embedder: tfidf.TfidfEmbedder) -> None:
        words, chars = len(embedder.words), len(embedder.chars)
        common: dict[str, Any] = {"sublinear_tf": True, "norm": "l2"}
        word = TfidfVectorizer(vocabulary=embedder.words, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **common)
        char = TfidfVectorizer(vocabulary=embedder.chars, ngram_range=(2, 5), analyzer="char_wb", **common)
        word.idf_, char.idf_ = embedder.idf[:words], embedder.idf[words : words + chars]
        self._blocks = (word, char)
        self._components = embedder.components.astype(np.float64)

    def project(self, texts: list[str]) -> np.ndarray:
        """Not yet scaled to length 1."""
        return np.asarray(sparse.hstack([block.transform(texts) for block in self._blocks]) @ self._components)


# --- equality with the library --------------------------------------------------------------------


def _same_as_library(embedder: tfidf.TfidfEmbedder, library: Library, texts: list[str]) -> None:
    projected = library.project(texts)
    norms = np.linalg.norm(projected, axis=1, keepdims=True)
    vectors = embedder.embed(texts)
    # Scaled back, because where the terms nearly cancel out a unit vector magnifies the rounding errors.
    np.testing.assert_allclose(vectors * norms, np.where(norms > tfidf.SMALLEST_NORM, projected, 0), atol=1e-6)


def test_vectors_are_those_of_scikit_learn(fitted: tfidf.TfidfEmbedder) -> None:
    library = Library(fitted)
    _same_as_library(fitted, library, TEXTS)
    _same_as_library(fitted, library, NASTY)
    clear = np.linalg.norm(library.project(TEXTS), axis=1) > 0.1
    expected = library.project(TEXTS)[clear]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.embed(TEXTS)[clear], expected, atol=1e-6)


_pieces = st.one_of(st.text(max_size=40), st.sampled_from([*NASTY[:10], *TEXTS[:50]]))


@given(st.lists(_pieces, min_size=1, max_size=5).map(" ".join))
def test_vectors_are_those_of_scikit_learn_for_any_text(text: str) -> None:
    embedder, library = _shared()
    _same_as_library(embedder, library, [text])


@given(st.lists(_pieces, min_size=1, max_size=6))
def test_a_text_has_the_same_bits_alone_and_in_a_batch(texts: list[str]) -> None:
    embedder, _ = _shared()
    batch = embedder.embed(texts)
    assert all(np.array_equal(batch[i], embedder.embed([text])[0]) for i, text in enumerate(texts))


_cache: list[tuple[tfidf.TfidfEmbedder, Library]] = []


def _shared() -> tuple[tfidf.TfidfEmbedder, Library]:
    if not _cache:
        embedder = _fit(TEXTS)
        _cache.append((embedder, Library(embedder)))
    return _cache[0]


@pytest.mark.parametrize(("block", "ngrams"), [("word", (1, 2)), ("char_wb", (2, 5))])
def test_terms_and_idf_are_those_that_scikit_learn_fits(
    fitted: tfidf.TfidfEmbedder, block: str, ngrams: tuple[int, int]
) -> None:
    options: dict[str, Any] = {"token_pattern": r"(?u)\b\w+\b"} if block == "word" else {}
    library = TfidfVectorizer(analyzer=block, ngram_range=ngrams, min_df=2, sublinear_tf=True, **options).fit(TEXTS)
    words = len(fitted.words)
    terms, idf = (fitted.words, fitted.idf[:words]) if block == "word" else (fitted.chars, fitted.idf[words:])
    assert terms == list(library.get_feature_names_out())
    np.testing.assert_allclose(idf, library.idf_, rtol=1e-12)


def test_components_keep_nearly_all_that_the_exact_svd_keeps(fitted: tfidf.TfidfEmbedder) -> None:
    rows = [fitted._weights(text) for text in TEXTS]
    matrix = np.zeros((len(TEXTS), len(fitted.idf)))
    for i, (columns, weights) in enumerate(rows):
        matrix[i, columns] = weights
    exact = np.square(np.linalg.svd(matrix, compute_uv=False)[: fitted.dim]).sum()
    assert np.square(matrix @ fitted.components).sum() > 0.95 * exact
    np.testing.assert_allclose(fitted.components.T @ fitted.components, np.eye(fitted.dim), atol=1e-5)


# --- the settings ---------------------------------------------------------------------------------


def test_max_terms_keeps_the_terms_of_most_texts() -> None:
    everything, few = _fit(TEXTS), _fit(TEXTS, max_terms=20)
    assert len(few.words) == len(few.chars) == 20
    by_idf = sorted(everything.idf[: len(everything.words)])
    np.testing.assert_allclose(sorted(few.idf[:20]), by_idf[:20])


def test_min_count_drops_rare_terms() -> None:
    texts = ["late parcel", "late refund", "late late late"]
    assert _fit(texts, min_count=3, char_ngrams=0).words == ["late"]
    assert "parcel" in _fit(texts, min_count=1, char_ngrams=0).words


def test_ngram_settings_bound_the_terms() -> None:
    embedder = _fit(TEXTS, word_ngrams=3, char_ngrams=0)
    assert embedder.chars == []
    assert {term.count(" ") for term in embedder.words} == {0, 1, 2}
    assert {len(term) for term in _fit(TEXTS, char_ngrams=1).chars} == {1}
    assert {len(term) for term in _fit(TEXTS, char_ngrams=3).chars} == {2, 3}


@pytest.mark.parametrize(
    ("texts", "most"),
    [
        (["where is my order", "where is my refund", "cancel my order"], 3),
        (["where is my order"] * 5, 1),
        (["a single text, one single text"], 1),
        (["", "  ", "?!"], 1),
        (["no", "term", "twice"], 1),
    ],
)
def test_few_or_empty_texts_give_fewer_dimensions_and_no_crash(texts: list[str], most: int, tmp_path: Path) -> None:
    embedder = _fit(texts, char_ngrams=0, min_count=2)
    assert 1 <= embedder.dim <= most
    vectors = embedder.embed([*texts, "something else", *NASTY])
    assert vectors.shape == (len(texts) + 1 + len(NASTY), embedder.dim)
    embedder.save(tmp_path)
    assert np.array_equal(embedders.load(tmp_path).embed(texts), vectors[: len(texts)])


def test_vectors_have_length_1_or_are_zero_without_known_terms(fitted: tfidf.TfidfEmbedder) -> None:
    np.testing.assert_allclose(np.linalg.norm(fitted.embed(TEXTS), axis=1), 1, atol=1e-6)
    assert not fitted.embed(["", "漢字", "\u202e"]).any()
    assert fitted.embed([]).shape == (0, fitted.dim)
    assert fitted.embed(TEXTS[:1]).dtype == np.float32


def test_similar_texts_are_nearer_than_others(fitted: tfidf.TfidfEmbedder) -> None:
    a, b, c = fitted.embed(["where is my refund", "Wheres my refund??", "the app does not let me log in"])
    assert a @ b > 0.7 > 0.4 > a @ c


# --- determinism, saving, loading -----------------------------------------------------------------


def test_two_fits_give_the_same_bytes_and_another_seed_another_embedder(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        _fit(TEXTS, seed).save(tmp_path / name)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b") != files_of(tmp_path / "c")


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_process_or_its_threads(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tracer_cli.embedders import tfidf; "
        "from tracer_cli.traces import example; from tracer_cli.config.schema import TfidfEmbedder; "
        "folder = Path(sys.argv[1]); folder.mkdir(); texts = [row['input'] for row in example.generate(1500)]; "
        "embedder = tfidf.fit(TfidfEmbedder().model_dump(), texts, 0, Path()); embedder.save(folder); "
        "(folder / 'vectors').write_bytes(embedder.embed(texts).tobytes())"
    )
    for threads in ("1", "2"):
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONHASHSEED": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "OMP_NUM_THREADS": threads,
        }
        subprocess.run([sys.executable, "-c", program, str(tmp_path / threads)], env=environment, check=True)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_a_saved_embedder_gives_the_same_vectors_and_fingerprint(fitted: tfidf.TfidfEmbedder, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    loaded = embedders.load(tmp_path)
    assert (loaded.kind, loaded.dim, loaded.fingerprint) == ("tfidf", fitted.dim, fitted.fingerprint)
    assert np.array_equal(loaded.embed([*TEXTS, *NASTY]), fitted.embed([*TEXTS, *NASTY]))


def test_the_fingerprint_follows_texts_settings_and_seed(fitted: tfidf.TfidfEmbedder) -> None:
    others = [_fit(TEXTS[1:]), _fit(TEXTS, dim=47), _fit(TEXTS, seed=1), _fit(TEXTS, max_terms=100)]
    assert len({fitted.fingerprint, *(other.fingerprint for other in others)}) == 5
    assert _fit(TEXTS).fingerprint == fitted.fingerprint


def test_a_saved_embedder_holds_json_and_plain_arrays_only(fitted: tfidf.TfidfEmbedder, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "components.npy",
        "idf.npy",
        "spec.json",
        "terms.json",
    ]
    for path in tmp_path.glob("*.npy"):
        assert np.load(path, allow_pickle=False).dtype.kind == "f"


def test_files_of_two_embedders_are_not_mixed_silently(fitted: tfidf.TfidfEmbedder, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    np.save(tmp_path / "components.npy", fitted.components[:-1])
    with pytest.raises(EmbedderError, match=r"is damaged: .* do not belong together"):
        embedders.load(tmp_path)


def test_loading_imports_no_scikit_learn(fitted: tfidf.TfidfEmbedder, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    program = (
        "import sys; from pathlib import Path; from tracer_cli import embedders; "
        "embedders.load(Path(sys.argv[1])); sys.exit('sklearn' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment, check=False).returncode == 0


def test_one_text_takes_less_than_two_milliseconds(fitted: tfidf.TfidfEmbedder) -> None:
    times = []
    for text in TEXTS[:200]:
        start = time.perf_counter()
        fitted.embed([text])
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.002  # measured: 0.12 ms
