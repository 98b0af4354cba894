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
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from encoders.languages import DEFAULT_LANGUAGES
from encoders.protocol import Embeddings, ProgressCallback
from encoders.state import check_texts
from encoders.term_encoder import TermEncoder, language_settings
from encoders.word_forms import all_stop_words, content_words
from encoders.word_vectors import read_word_vectors, train_word_vectors
from ingest.errors import EncoderError

__all__ = ["Word2VecEncoder"]


class Word2VecEncoder(TermEncoder):
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
    vectors_sha256
        SHA-256, in hex, that this file must have.
    languages
        Languages of the texts, whose stop words are left out.

    Examples
    --------
    >>> encoder = Word2VecEncoder(dimension=8).fit(["red apples", "green apples"])
    >>> encoder.encode_documents(["apples", "unheard"]).any(axis=1).tolist()
    [True, False]
    """

    name: ClassVar[str] = "word2vec"
    # Two to read the texts; training takes about eight times as long as one.
    fit_passes: ClassVar[int] = 10
    _vectors_file: ClassVar[str] = "vectors.npy"

    def __init__(
        self,
        *,
        dimension: int = 200,
        window: int = 10,
        min_count: int = 2,
        seed: int = 0,
        max_training_words: int = 5_000_000,
        vectors_path: Path | None = None,
        vectors_sha256: str | None = None,
        languages: Sequence[str] = DEFAULT_LANGUAGES,
    ) -> None:
        if min(dimension, window, min_count, max_training_words) < 1:
            raise EncoderError(
                "word2vec: dimension, window, min_count and max_training_words must be at least "
                f"1, found {dimension}, {window}, {min_count} and {max_training_words}"
            )
        super().__init__()
        self.window = window
        self.min_count = min_count
        self.seed = seed
        self.max_training_words = max_training_words
        self.vectors_path = Path(vectors_path) if vectors_path is not None else None
        self.vectors_sha256 = vectors_sha256
        self.languages = tuple(languages) or DEFAULT_LANGUAGES
        self._wanted_dimension = dimension

    def fit(self, texts: Iterable[str], *, progress: ProgressCallback | None = None) -> Self:
        """Learn weights and, without ``vectors_path``, vectors from re-iterable texts.

        Parameters
        ----------
        texts
            The corpus; counted in one pass, trained on in memory from a second.
        progress
            Called with the number of texts finished since its last call, each of them counted
            ``fit_passes`` times in all.

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
            found = self._terms(text)
            n_texts += 1
            n_words += len(found)
            document_frequencies.update(set(found))
            if progress is not None:
                progress(1)
        report = _Report(self.fit_passes * n_texts, n_texts, progress)
        if self.vectors_path is not None:
            terms, self._vectors = read_word_vectors(self.vectors_path, self.vectors_sha256)
        else:
            terms, self._vectors = train_word_vectors(
                self._training_texts(texts, n_words, report),
                dimension=self._wanted_dimension,
                window=self.window,
                min_count=self.min_count,
                seed=self.seed,
                progress=report.rest,
            )
        report.rest(1.0)
        self._learn_idf(terms, document_frequencies, n_texts)
        return self

    @property
    def favors_unseen_texts(self) -> bool:
        """True for vectors trained on the texts, which tell these apart by what is theirs alone."""
        return self.vectors_path is None

    def rows(self, words: Iterable[str]) -> NDArray[np.int64]:
        """Row of each word in the vocabulary; -1 for stop words, and words that have no vector."""
        left_out = all_stop_words(self.languages)
        known = self._vocabulary
        found = (-1 if word in left_out else known.get(word, -1) for word in words)
        return np.fromiter(found, np.int64)

    def nearness(
        self, rows: NDArray[np.int64], query: Embeddings
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How near words are to a query, and how much each of them weighs.

        The mean cosine of a text's words with the query, each weighing as much as in the text's
        embedding (IDF times the length of its vector), is the sum of their nearness over the sum
        of their weights.

        Parameters
        ----------
        rows
            int64, shape (n,): distinct rows, as ``rows`` gives them; -1 may stand several times.
        query
            A query's embedding: float32, shape (dimension,).

        Returns
        -------
        nearness, weights
            float64, shape (n,) each; 0 where the row is -1.
        """
        idf, vectors = self._fitted()
        near, weights = np.zeros(len(rows)), np.zeros(len(rows))
        known = np.flatnonzero(rows >= 0)
        # In order of the rows: a product's last bits depend on where a row stands in it.
        places = known[np.argsort(rows[known])]
        chosen = vectors[rows[places]]
        near[places] = idf[rows[places]] * (chosen @ query)
        weights[places] = idf[rows[places]] * np.sqrt(np.einsum("ij,ij->i", chosen, chosen))
        return near, weights

    def term(self, word: str) -> str:
        """The word itself."""
        return word

    def _terms(self, text: str) -> list[str]:
        return content_words(text, self.languages)

    def _weigh(self, counts: NDArray[np.float64], idf: NDArray[np.float32]) -> NDArray[np.float64]:
        return counts * idf

    def _settings(self) -> dict[str, object]:
        return {
            "dimension": self._wanted_dimension,
            "window": self.window,
            "min_count": self.min_count,
            "seed": self.seed,
            "max_training_words": self.max_training_words,
            "vectors_path": str(self.vectors_path) if self.vectors_path is not None else None,
            **({} if self.vectors_sha256 is None else {"vectors_sha256": self.vectors_sha256}),
            **language_settings(self.languages),
        }

    def _fingerprinted_settings(self) -> dict[str, object]:
        # Where pre-trained vectors lay does not matter; the vectors themselves count.
        return {**self._settings(), "vectors_path": None}

    def _training_texts(
        self, texts: Iterable[str], n_words: int, report: _Report
    ) -> list[list[str]]:
        """Words of the texts, or of an even sample of them; equal words share one string."""
        share = min(1.0, self.max_training_words / max(n_words, 1))
        generator = np.random.default_rng(self.seed)
        chosen = []
        for text in texts:
            if share == 1.0 or generator.random() < share:
                chosen.append([sys.intern(word) for word in self._terms(text)])
            report.texts(1)
        return chosen


class _Report:
    """Counts texts toward a total: so many so far, then a share of the rest.

    Parameters
    ----------
    total, done
        How much there is to report in all, and how much has been.
    """

    def __init__(self, total: int, done: int, progress: ProgressCallback | None) -> None:
        self._total, self._done, self._progress = total, done, progress
        self._begin_rest: int | None = None

    def texts(self, count: int) -> None:
        """Report so many more."""
        self._done += count
        if self._progress is not None and count > 0:
            self._progress(count)

    def rest(self, share: float) -> None:
        """Report as many more as make this share of what was left at the first call."""
        if self._begin_rest is None:
            self._begin_rest = self._done
        reached = self._begin_rest + int(share * (self._total - self._begin_rest))
        self.texts(reached - self._done)
