"""What tfidf and word2vec share: a text is the weighted sum of its terms' vectors."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray

from encoders.languages import DEFAULT_LANGUAGES
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
from ingest.errors import EncoderError, NotFittedError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["TermEncoder", "WeighedTexts", "language_settings"]

_BATCH_SIZE = 1024  # texts; bounds memory at a few MB of sparse rows


@dataclass(frozen=True)
class WeighedTexts:
    """What a term encoder reads in texts.

    Parameters
    ----------
    weights
        Weight of each known term of each text: float32, shape (n_texts, n_terms), sorted columns.
    n_words
        int64, shape (n_texts,): terms of each text, repeated ones as often as they stand there.
    n_unknown
        int64, shape (n_texts,): those among them that were not met when fitting.
    """

    weights: csr_matrix
    n_words: NDArray[np.int64]
    n_unknown: NDArray[np.int64]


class TermEncoder(FittedEncoder):
    """Embeds a text as the sum of its terms' vectors, each times its weight, at unit length.

    A subclass says what a text's terms are, what a term weighs, and learns a vector for each.
    """

    _vectors_file: ClassVar[str]

    def __init__(self) -> None:
        self._vocabulary: dict[str, int] = {}
        self._idf: NDArray[np.float32] | None = None
        self._vectors: NDArray[np.float32] | None = None  # (n_terms, dimension)
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
            self._fingerprint = state_fingerprint(
                self._fingerprinted_settings(), list(self._vocabulary), [idf, vectors]
            )
        return self._fingerprint

    @property
    def favors_unseen_texts(self) -> bool:
        """Whether texts it was not fitted on come out nearer to all others than those it was."""
        return False

    @property
    def vocabulary(self) -> dict[str, int]:
        """Row of each term."""
        self._fitted()
        return self._vocabulary

    @property
    def idf(self) -> NDArray[np.float32]:
        """Inverse document frequency of each term: float32, shape (n_terms,), at least 1."""
        return self._fitted()[0]

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The terms' vectors: float32, shape (n_terms, dimension), of any length."""
        return self._fitted()[1]

    def encode_documents(
        self, texts: Sequence[str], *, progress: ProgressCallback | None = None
    ) -> Embeddings:
        """Embed texts: float32, shape (n_texts, dimension), rows of unit L2 norm or all zero."""
        _, vectors = self._fitted()
        checked = check_texts(texts, self.name)
        embeddings = np.zeros((len(checked), vectors.shape[1]), dtype=np.float32)
        start = 0
        for batch in batches(checked, _BATCH_SIZE):
            embeddings[start : start + len(batch)] = self.embed(self.weigh(batch))
            start += len(batch)
            if progress is not None:
                progress(len(batch))
        return embeddings

    def weigh(self, texts: Iterable[str]) -> WeighedTexts:
        """Find and weigh the terms of texts, and count those that are unknown.

        Examples
        --------
        >>> from encoders.tfidf import TfidfEncoder
        >>> encoder = TfidfEncoder().fit(["red apples", "blue sky"])
        >>> weighed = encoder.weigh(["red cars", "the sky"])
        >>> weighed.n_words.tolist(), weighed.n_unknown.tolist()
        ([2, 1], [1, 0])
        """
        self._fitted()
        return self._weigh_texts(texts)

    def embed(self, weighed: WeighedTexts) -> Embeddings:
        """Embed what ``weigh`` gave; the same bytes in whatever batches texts come."""
        _, vectors = self._fitted()
        return unit_rows(weighed.weights @ vectors)

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embed queries; within rounding as documents."""
        _, vectors = self._fitted()
        checked = check_texts(texts, self.name)
        embeddings = np.zeros((len(checked), vectors.shape[1]), dtype=np.float32)
        for row, text in enumerate(checked):
            # Making a sparse matrix takes ten times as long as what it would be multiplied by.
            terms, weights, _ = self._weighed_terms(self._terms(text))
            embeddings[row] = unit_rows((weights @ vectors[terms])[None, :])[0]
        return embeddings

    def term_shares(self, text: str, other: Embeddings) -> dict[str, float]:
        """Take a text's cosine with another embedding apart, term by term.

        An embedding is the unit vector along a sum over terms, so its dot product with a vector
        is a sum over terms too, and exact.

        Parameters
        ----------
        text
            A document or a query.
        other
            float32, shape (dimension,): what the text is compared with.

        Returns
        -------
        dict
            Share of each known term of the text; they add up to the cosine, within rounding.
            Empty where the text's embedding is all zero.

        Examples
        --------
        >>> from encoders.tfidf import TfidfEncoder
        >>> encoder = TfidfEncoder(n_components=2).fit(["red apples", "green apples", "blue sky"])
        >>> shares = encoder.term_shares("red apples", encoder.encode_queries(["apple"])[0])
        >>> sorted(shares), round(sum(shares.values()), 3)
        (['appl', 'red'], 1.0)
        """
        _, vectors = self._fitted()
        rows, weights, _ = self._weighed_terms(self._terms(text))
        total = weights @ vectors[rows]
        if not unit_rows(total[None, :]).any():
            return {}
        shares = weights * (vectors[rows] @ other) / np.linalg.norm(total)
        of_row = dict(zip(rows.tolist(), shares.tolist(), strict=True))
        known = {term: self._vocabulary.get(term) for term in self._terms(text)}
        return {term: of_row[row] for term, row in known.items() if row is not None}

    @abstractmethod
    def term(self, word: str) -> str:
        """The term that a word, as ``encoders.words`` cuts it, counts as."""

    def save(self, folder: Path) -> None:
        """Write settings, vocabulary, weights and vectors into an existing folder."""
        idf, vectors = self._fitted()
        write_json(folder / "settings.json", {**self._settings(), "fingerprint": self.fingerprint})
        write_json(folder / "vocabulary.json", list(self._vocabulary))
        write_array(folder / "idf.npy", idf)
        write_array(folder / self._vectors_file, vectors)

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
        encoder._vectors = read_array(folder / cls._vectors_file)
        encoder._fingerprint = fingerprint
        return encoder

    @abstractmethod
    def _terms(self, text: str) -> list[str]:
        """Terms of a text, in order, repeated as they stand."""

    @abstractmethod
    def _weigh(self, counts: NDArray[np.float64], idf: NDArray[np.float32]) -> NDArray[np.float64]:
        """Weights of one text's terms: shape (n_terms_of_text,)."""

    def would_fit_like(self, other: TermEncoder) -> bool:
        """Whether both were made with the same arguments, so learn the same from the same texts."""
        return type(self) is type(other) and self._settings() == other._settings()

    @abstractmethod
    def _settings(self) -> Mapping[str, object]:
        """Arguments that make an encoder like this one."""

    def _fingerprinted_settings(self) -> Mapping[str, object]:
        """Settings that decide an embedding."""
        return self._settings()

    def _fitted(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._idf is None or self._vectors is None:
            raise NotFittedError(
                f"{self.name}: encode before fit; call fit(texts) or load(folder) first"
            )
        return self._idf, self._vectors

    def _learn_idf(self, terms: Sequence[str], frequencies: Counter[str], n_texts: int) -> None:
        """Number the terms, and weigh each by ``ln((1 + n) / (1 + df)) + 1``."""
        self._vocabulary = {term: row for row, term in enumerate(terms)}
        counted = np.array([frequencies[term] for term in terms], dtype=np.float64)
        self._idf = (np.log((1 + n_texts) / (1 + counted)) + 1).astype(np.float32)
        self._fingerprint = None

    def _weigh_texts(self, texts: Iterable[str]) -> WeighedTexts:
        """Weigh texts by vocabulary and IDF alone, before there need be vectors."""
        rows, counts = [], []
        for text in texts:
            terms = self._terms(text)
            known, weights, n_unknown = self._weighed_terms(terms)
            rows.append((known, weights))
            counts.append((len(terms), n_unknown))
        ends = np.cumsum([0, *(len(known) for known, _ in rows)])
        none = (np.zeros(0, np.int64), np.zeros(0, np.float32))
        columns, data = (np.concatenate(parts) for parts in zip(none, *rows, strict=True))
        n_words, n_unknown_words = np.array(counts, np.int64).reshape(-1, 2).T
        shape = (len(rows), len(self._vocabulary))
        # Imported here: SciPy takes a third of a second, and a search needs none of it.
        from scipy.sparse import csr_matrix

        return WeighedTexts(
            csr_matrix((data, columns, ends), shape=shape), n_words, n_unknown_words
        )

    def _weighed_terms(
        self, terms: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
        """Rows of a text's known terms, ascending, their weights, and how many are unknown."""
        known = Counter(map(self._vocabulary.get, terms))
        n_unknown = known.pop(None, 0)
        counted = sorted(cast("Iterable[tuple[int, int]]", known.items()))
        rows = np.array([row for row, _ in counted], dtype=np.int64)
        counts = np.array([count for _, count in counted], dtype=np.float64)
        idf = cast("NDArray[np.float32]", self._idf)[rows]
        return rows, self._weigh(counts, idf).astype(np.float32), n_unknown


def language_settings(languages: Sequence[str]) -> dict[str, object]:
    """Languages as a setting to save; nothing where they are the default.

    So an encoder of English texts keeps the fingerprint it always had.

    Examples
    --------
    >>> language_settings(("en",)), language_settings(("de",))
    ({}, {'languages': ['de']})
    """
    return {} if tuple(languages) == DEFAULT_LANGUAGES else {"languages": list(languages)}
