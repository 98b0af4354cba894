"""Word2Vec: a text is the weighted mean of its words' vectors, learned from their company.

References
----------
Mikolov, Chen, Corrado & Dean, "Efficient estimation of word representations in vector space",
2013, https://arxiv.org/abs/1301.3781. Negative sampling and subsampling of frequent words:
Mikolov, Sutskever, Chen, Corrado & Dean, 2013, https://arxiv.org/abs/1310.4546.
Weights by inverse document frequency: Sparck Jones, Journal of Documentation 28(1), 1972,
doi:10.1108/eb026526.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from encoders.protocol import Embeddings, FittedEncoder, ProgressCallback
from encoders.state import (
    batches,
    check_texts,
    read_array,
    read_json,
    state_fingerprint,
    unit_rows,
    write_array,
    write_json,
)
from encoders.word_vectors import read_word_vectors, train_word_vectors
from encoders.words import STOP_WORDS, words
from ingest.errors import EncoderError, NotFittedError

__all__ = ["Word2VecEncoder"]

_BATCH_SIZE = 1024  # texts


_SHORTEST = 1e-12


class Word2VecEncoder(FittedEncoder):
    """Mean of word vectors, weighted by inverse document frequency.

    The vectors are trained on the corpus itself (skip-gram, negative sampling), or read from a
    file of pre-trained ones; the weights always come from the corpus.

    Parameters
    ----------
    dimension
        Width of a trained vector; pre-trained ones bring their own.
    window
        Words on either side that count as a word's company.
    min_count
        A rarer word gets no vector, unless no word is that frequent.
    seed
        Fixes initial vectors, the sample and training: the same corpus gives the same vectors.
    max_training_words
        Training reads at most about this many words, from texts drawn evenly.
    vectors_path
        Pre-trained vectors: word2vec or GloVe text (``.txt``, ``.vec``), or word2vec binary
        (``.bin``); each may be compressed (``.gz``).

    Examples
    --------
    >>> encoder = Word2VecEncoder(dimension=8).fit(["red apples", "green apples"])
    >>> encoder.encode_documents(["apples", "unheard"]).any(axis=1).tolist()
    [True, False]
    """

    name: ClassVar[str] = "word2vec"

    def __init__(
        self,
        *,
        dimension: int = 200,
        window: int = 10,
        min_count: int = 2,
        seed: int = 0,
        max_training_words: int = 5_000_000,
        vectors_path: Path | None = None,
    ) -> None:
        if min(dimension, window, min_count, max_training_words) < 1:
            raise EncoderError(
                "word2vec: dimension, window, min_count and max_training_words must be at least "
                f"1, found {dimension}, {window}, {min_count} and {max_training_words}"
            )
        self.window = window
        self.min_count = min_count
        self.seed = seed
        self.max_training_words = max_training_words
        self.vectors_path = Path(vectors_path) if vectors_path is not None else None
        self._wanted_dimension = dimension
        self._vocabulary: dict[str, int] = {}
        self._idf: NDArray[np.float32] | None = None
        self._vectors: NDArray[np.float32] | None = None
        self._fingerprint: str | None = None

    @property
    def dimension(self) -> int:
        """Width of an embedding."""
        return int(self._fitted()[1].shape[1])

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of settings, vocabulary, weights and vectors."""
        idf, vectors = self._fitted()
        if self._fingerprint is None:
            # Where pre-trained vectors lay does not matter; the vectors themselves count.
            settings = {**self._settings(), "vectors_path": None}
            self._fingerprint = state_fingerprint(settings, list(self._vocabulary), [idf, vectors])
        return self._fingerprint

    @property
    def vocabulary(self) -> dict[str, int]:
        """Row of each word's vector."""
        self._fitted()
        return self._vocabulary

    @property
    def idf(self) -> NDArray[np.float32]:
        """Inverse document frequency of each word: float32, shape (n_words,), at least 1."""
        return self._fitted()[0]

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The words' vectors: float32, shape (n_words, dimension), of any length."""
        return self._fitted()[1]

    def fit(self, texts: Iterable[str], *, progress: ProgressCallback | None = None) -> Self:
        """Learn weights and, without ``vectors_path``, vectors from re-iterable texts.

        Parameters
        ----------
        texts
            The corpus; counted in one pass, trained on in memory from a second.
        progress
            Called with the number of texts read since its last call; a text is read once for
            weights and once for training.

        Returns
        -------
        Word2VecEncoder
            This encoder.

        Raises
        ------
        ModelNotFoundError
            If the file of pre-trained vectors is missing or unreadable.
        """
        if isinstance(texts, str):
            check_texts(texts, self.name)
        n_texts, n_words = 0, 0
        document_frequencies: Counter[str] = Counter()
        for text in texts:
            found = _content_words(text)
            n_texts += 1
            n_words += len(found)
            document_frequencies.update(set(found))
            if progress is not None:
                progress(1)
        if self.vectors_path is not None:
            terms, self._vectors = read_word_vectors(self.vectors_path)
        else:
            terms, self._vectors = train_word_vectors(
                self._training_texts(texts, n_words, progress),
                dimension=self._wanted_dimension,
                window=self.window,
                min_count=self.min_count,
                seed=self.seed,
            )
        self._vocabulary = {term: row for row, term in enumerate(terms)}
        frequencies = np.array([document_frequencies[term] for term in terms], dtype=np.float64)
        self._idf = (np.log((1 + n_texts) / (1 + frequencies)) + 1).astype(np.float32)
        self._fingerprint = None
        return self

    def encode_documents(
        self, texts: Sequence[str], *, progress: ProgressCallback | None = None
    ) -> Embeddings:
        """Embed texts: float32, shape (n_texts, dimension), rows of unit L2 norm or all zero."""
        _, vectors = self._fitted()
        checked = check_texts(texts, self.name)
        embeddings = np.zeros((len(checked), vectors.shape[1]), dtype=np.float32)
        start = 0
        for batch in batches(checked, _BATCH_SIZE):
            found = (_content_words(text) for text in batch)
            embeddings[start : start + len(batch)] = unit_rows(self._weights(found) @ vectors)
            start += len(batch)
            if progress is not None:
                progress(len(batch))
        return embeddings

    def word_similarities(
        self, words: Iterable[str], query: Embeddings
    ) -> dict[str, tuple[float, float]]:
        """How near words are to a query.

        Parameters
        ----------
        query
            A query's embedding: float32, shape (dimension,).

        Returns
        -------
        dict of word -> (weight, similarity)
            The weight a word has in a text (IDF times the length of its vector), and its cosine
            with the query; stop words and unknown words are left out.
        """
        idf, vectors = self._fitted()
        known = [word for word in words if word in self._vocabulary and word not in STOP_WORDS]
        rows = np.array([self._vocabulary[word] for word in known], dtype=np.int64)
        chosen = vectors[rows]
        lengths = np.linalg.norm(chosen, axis=1)
        similarities = (chosen @ query) / np.maximum(lengths, _SHORTEST)
        weights = (idf[rows] * lengths).tolist()
        return dict(zip(known, zip(weights, similarities.tolist(), strict=True), strict=True))

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embed queries, exactly as documents."""
        return self.encode_documents(texts)

    def save(self, folder: Path) -> None:
        """Write settings, vocabulary, weights and vectors into an existing folder."""
        idf, vectors = self._fitted()
        write_json(folder / "settings.json", {**self._settings(), "fingerprint": self.fingerprint})
        write_json(folder / "vocabulary.json", list(self._vocabulary))
        write_array(folder / "idf.npy", idf)
        write_array(folder / "vectors.npy", vectors)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; the vectors stay on disk, memory-mapped."""
        settings = read_json(folder / "settings.json", dict)
        fingerprint = settings.pop("fingerprint", None)
        try:
            encoder = cls(**settings)
        except TypeError as error:
            raise EncoderError(f"cannot read encoder state in {folder}: {error}") from error
        terms = read_json(folder / "vocabulary.json", list)
        encoder._vocabulary = {term: row for row, term in enumerate(terms)}
        encoder._idf = read_array(folder / "idf.npy")
        encoder._vectors = read_array(folder / "vectors.npy")
        encoder._fingerprint = fingerprint
        return encoder

    def _settings(self) -> dict[str, int | str | None]:
        return {
            "dimension": self._wanted_dimension,
            "window": self.window,
            "min_count": self.min_count,
            "seed": self.seed,
            "max_training_words": self.max_training_words,
            "vectors_path": str(self.vectors_path) if self.vectors_path is not None else None,
        }

    def _fitted(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._idf is None or self._vectors is None:
            raise NotFittedError(
                "word2vec: encode before fit; call fit(texts) or load(folder) first"
            )
        return self._idf, self._vectors

    def _weights(self, texts: Iterable[Sequence[str]]) -> csr_matrix:
        """Weight of each known word in each text's words: float32, shape (n_texts, n_words)."""
        columns: list[int] = []
        counts: list[int] = []
        ends = [0]
        for text in texts:
            known = Counter(map(self._vocabulary.get, text))
            known.pop(None, None)
            row = sorted(cast("Iterable[tuple[int, int]]", known.items()))
            columns.extend(column for column, _ in row)
            counts.extend(count for _, count in row)
            ends.append(len(columns))
        idf = cast("NDArray[np.float32]", self._idf)
        indices = np.array(columns, dtype=np.int32)
        weights = np.array(counts, dtype=np.float32) * idf[indices]
        return csr_matrix((weights, indices, ends), shape=(len(ends) - 1, len(idf)))

    def _training_texts(
        self, texts: Iterable[str], n_words: int, progress: ProgressCallback | None
    ) -> list[list[str]]:
        """Words of the texts, or of an even sample of them; equal words share one string."""
        share = min(1.0, self.max_training_words / max(n_words, 1))
        generator = np.random.default_rng(self.seed)
        chosen = []
        for text in texts:
            if share == 1.0 or generator.random() < share:
                chosen.append([sys.intern(word) for word in _content_words(text)])
            if progress is not None:
                progress(1)
        return chosen


def _content_words(text: str) -> list[str]:
    return [word for word in words(text) if word not in STOP_WORDS]
