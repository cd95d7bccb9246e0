"""tf-idf of word and character n-grams, reduced by a truncated SVD: no download, deterministic.

The tokenisation is scikit-learn's (`CountVectorizer.build_analyzer`), and so are the weights: sublinear
tf, smoothed idf, each of the two blocks scaled to length 1 (`TfidfVectorizer` with these settings). What is
done here instead is the arithmetic of one text: summing a few hundred rows of the SVD's components takes a
fraction of the time that scikit-learn needs to validate and build a sparse matrix of one row. Every text
takes that path, in a batch as alone, so a vector does not depend on what it was embedded with.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracer_cli.artifacts import read_array, read_json, sha256_json, write_array, write_json
from tracer_cli.embedders.base import SPEC, Embedder, Floats, checked, spec_of
from tracer_cli.errors import EmbedderError

KIND = "tfidf"
TERMS = "terms.json"

# One-letter words count too: "i" and "2" carry meaning in short messages.
WORD = r"(?u)\b\w+\b"
SHORTEST_CHAR_NGRAM = 2

# Power iterations of the randomised SVD (Halko, Martinsson, Tropp 2011). On 1,800 short texts 2, 4 and 7
# iterations and the exact SVD gave models of the same accuracy.
POWER_ITERATIONS = 2
SMALLEST_RELATIVE_SINGULAR_VALUE = 1e-6

# Of at most sqrt(2): a text whose terms cancel out has no direction, only rounding errors.
SMALLEST_NORM = 1e-6

# Distinct words whose character n-grams are kept looked up, about 1 KB each.
CACHED_WORDS = 50_000

Analyzer = Callable[[str], Sequence[str]]


@dataclass(frozen=True, eq=False)
class TfidfEmbedder(Embedder):
    """A fitted state.

    words, chars: the terms, sorted; their columns are 0..len(words)-1 and len(words).. in that order.
    idf: (terms,) float64. components: (terms, dim) float32, the right singular vectors as columns.
    """

    settings: dict[str, Any]
    words: list[str]
    chars: list[str]
    idf: NDArray[np.float64]
    components: Floats

    kind = KIND

    @property
    def dim(self) -> int:
        return int(self.components.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(sha256_json([KIND, self.settings, self.words, self.chars]).encode())
        digest.update(np.ascontiguousarray(self.idf, "<f8").data)
        digest.update(np.ascontiguousarray(self.components, "<f4").data)
        return f"{KIND}:{digest.hexdigest()}"

    def embed(self, texts: Sequence[str]) -> Floats:
        """Unit vectors of shape (len(texts), dim); zero for a text without any known term."""
        vectors = np.zeros((len(texts), self.dim), np.float32)
        gathered = np.empty((0, self.dim), np.float32)
        for i, text in enumerate(texts):
            columns, weights = self._weights(text)
            if len(columns) > len(gathered):
                gathered = np.empty((2 * len(columns), self.dim), np.float32)
            # clip: with the default every take into `out` is buffered once more.
            rows = np.take(self.components, columns, axis=0, out=gathered[: len(columns)], mode="clip")
            # einsum sums row after row without BLAS: the same bits whatever the number of threads.
            vector = np.einsum("t,td->d", weights.astype(np.float32), rows)
            norm = float(np.sqrt(np.einsum("d,d->", vector, vector)))
            if norm > SMALLEST_NORM:
                vectors[i] = vector / norm
        return checked(vectors, len(texts), self.dim)

    def save(self, folder: Path) -> None:
        write_json(folder / SPEC, spec_of(self, self.settings))
        write_json(folder / TERMS, {"words": self.words, "chars": self.chars})
        write_array(folder / "idf.npy", self.idf)
        write_array(folder / "components.npy", self.components)

    def _weights(self, text: str) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Columns of the text's known terms, each once, and their weights."""
        blocks = [_block(columns(text), self.idf) for columns in self._columns]
        return np.concatenate([b[0] for b in blocks]), np.concatenate([b[1] for b in blocks])

    @cached_property
    def _columns(self) -> tuple[Callable[[str], Iterable[int]], ...]:
        """For each of the two kinds of terms: text -> the column of every known term in it, in their order."""
        by_word, by_char = _analyzers(self.settings)
        word_index = {term: i for i, term in enumerate(self.words)}
        char_index = {term: i for i, term in enumerate(self.chars, start=len(self.words))}

        # Character n-grams do not reach beyond a word, and words repeat: those of one word are looked up once.
        @lru_cache(maxsize=CACHED_WORDS)
        def of_word(word: str) -> tuple[int, ...]:
            return tuple(_known(by_char(word), char_index))

        return (
            lambda text: _known(by_word(text), word_index),
            lambda text: chain.from_iterable(map(of_word, text.lower().split())),
        )


def fit(settings: dict[str, Any], texts: Sequence[str], seed: int, root: Path) -> TfidfEmbedder:
    """Learn terms, idf and components from `texts`; dim is smaller where these have not that many directions."""
    settings = {name: value for name, value in settings.items() if name != "kind"}
    words, chars = (_terms(analyze, texts, settings) for analyze in _analyzers(settings))
    counts = np.array([*words.values(), *chars.values()], np.float64)
    idf = np.log((1 + len(texts)) / (1 + counts)) + 1
    blank = TfidfEmbedder(settings, list(words), list(chars), idf, np.zeros((len(idf), 1), np.float32))
    components = _components(blank, texts, seed)
    return TfidfEmbedder(settings, blank.words, blank.chars, idf, components)


def load(folder: Path, spec: dict[str, Any], root: Path) -> TfidfEmbedder:
    terms = read_json(folder / TERMS)
    # Copies: a mapped file that is written over while a service runs would change its vectors, or end it by a signal.
    idf, components = (np.array(read_array(folder / name)) for name in ("idf.npy", "components.npy"))
    embedder = TfidfEmbedder(spec["settings"], terms["words"], terms["chars"], idf, components)
    count = len(embedder.words) + len(embedder.chars)
    if idf.shape != (count,) or components.shape != (count, spec["dim"]):
        raise EmbedderError(
            f"{folder} is damaged: {count} terms, idf.npy of shape {idf.shape} and components.npy of shape "
            f"{components.shape} do not belong together; run the embed stage again"
        )
    return embedder


def _analyzers(settings: dict[str, Any]) -> tuple[Analyzer, Analyzer]:
    from sklearn.feature_extraction.text import CountVectorizer

    longest = settings["char_ngrams"]
    words = CountVectorizer(token_pattern=WORD, ngram_range=(1, settings["word_ngrams"])).build_analyzer()
    if longest == 0:
        return words, lambda text: ()
    shortest = min(SHORTEST_CHAR_NGRAM, longest)
    return words, CountVectorizer(analyzer="char_wb", ngram_range=(shortest, longest)).build_analyzer()


def _terms(analyze: Analyzer, texts: Sequence[str], settings: dict[str, Any]) -> dict[str, int]:
    """The kept terms, sorted, with the number of texts that each occurs in; ties go to the smaller term."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(analyze(text)))
    common = ((term, count) for term, count in counts.items() if count >= settings["min_count"])
    return dict(sorted(sorted(common, key=lambda item: (-item[1], item[0]))[: settings["max_terms"]]))


def _known(terms: Iterable[str], index: dict[str, int]) -> list[int]:
    return [column for column in map(index.get, terms) if column is not None]


def _block(found: Iterable[int], idf: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Each column once, in order of first occurrence, with its weight."""
    counts = Counter(found)
    columns = np.fromiter(counts, np.intp, len(counts))
    weights = (1 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))) * idf[columns]
    return columns, weights / np.sqrt(np.square(weights).sum()) if len(weights) else weights


def _components(terms: TfidfEmbedder, texts: Sequence[str], seed: int) -> Floats:
    """(terms, dim): leading right singular vectors of the texts' weights, without those of no weight."""
    from scipy.sparse import csr_matrix
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    rows = [terms._weights(text) for text in texts]
    ends = np.cumsum([0, *(len(columns) for columns, _ in rows)])
    k = min(terms.settings["dim"], len(texts), len(terms.idf))
    if ends[-1] == 0:
        return terms.components
    weights = np.concatenate([w for _, w in rows])
    matrix = csr_matrix((weights, np.concatenate([c for c, _ in rows]), ends), shape=(len(rows), len(terms.idf)))
    with threadpool_limits(1):  # sums in one order: the same bytes on one core as on many
        _, strengths, directions = randomized_svd(matrix, k, n_iter=POWER_ITERATIONS, random_state=seed)
    kept = directions[strengths > SMALLEST_RELATIVE_SINGULAR_VALUE * strengths[0]]
    return np.ascontiguousarray(kept.T, dtype=np.float32)
