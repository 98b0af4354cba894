"""TF-IDF reduced by latent semantic analysis: documents that share a vocabulary come near.

References
----------
Deerwester, Dumais, Furnas, Landauer & Harshman, "Indexing by latent semantic analysis", JASIS
41(6), 1990, doi:10.1002/(SICI)1097-4571(199009)41:6<391::AID-ASI1>3.0.CO;2-9.
Weights: Salton & Buckley, Information Processing and Management 24(5), 1988,
doi:10.1016/0306-4573(88)90021-0. Randomized SVD: Halko, Martinsson & Tropp, SIAM Review 53(2),
2011, doi:10.1137/090771806.
"""

from __future__ import annotations

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
from encoders.words import stems
from ingest.errors import EncoderError, NotFittedError

__all__ = ["TfidfEncoder"]

_BATCH_SIZE = 1024  # texts; bounds memory at a few MB of sparse rows
# Power iterations of the randomized SVD. Five reach the exact SVD's ranking quality here.
_N_ITERATIONS = 5
# Directions this much weaker than the strongest are rounding noise of float32.
_SMALLEST_SINGULAR_VALUE = 1e-5


class TfidfEncoder(FittedEncoder):
    """TF-IDF over stemmed words, projected on the corpus's strongest semantic directions.

    The weight of a word in a text is ``(1 + ln tf) * (ln((1 + n) / (1 + df)) + 1)``, rows are
    scaled to unit length, projected by a truncated SVD and scaled again.

    Parameters
    ----------
    n_components
        Width of an embedding; fewer where the corpus has fewer directions, at least 1.
    max_features
        Size of the vocabulary at most; the words of most documents are kept.
    seed
        Fixes the sample and the randomized SVD.
    sample_size
        Texts the SVD is fitted on at most, drawn evenly; word statistics always count all texts.

    Examples
    --------
    >>> encoder = TfidfEncoder(n_components=2).fit(["red apples", "green apples", "blue sky"])
    >>> documents = encoder.encode_documents(["red apples", "the sky"])
    >>> (encoder.encode_queries(["apple"]) @ documents.T).round(3)
    array([[1., 0.]], dtype=float32)
    """

    name: ClassVar[str] = "tfidf"

    def __init__(
        self,
        *,
        n_components: int = 300,
        max_features: int = 200_000,
        seed: int = 0,
        sample_size: int = 100_000,
    ) -> None:
        if min(n_components, max_features, sample_size) < 1:
            raise EncoderError(
                "tfidf: n_components, max_features and sample_size must be at least 1, found "
                f"{n_components}, {max_features} and {sample_size}"
            )
        self.n_components = n_components
        self.max_features = max_features
        self.seed = seed
        self.sample_size = sample_size
        self._vocabulary: dict[str, int] = {}
        self._idf: NDArray[np.float32] | None = None
        self._components: NDArray[np.float32] | None = None  # (n_terms, dimension)
        self._fingerprint: str | None = None

    @property
    def dimension(self) -> int:
        """Width of an embedding."""
        return int(self._fitted()[1].shape[1])

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of settings, vocabulary, weights and directions."""
        idf, components = self._fitted()
        if self._fingerprint is None:
            self._fingerprint = state_fingerprint(
                self._settings(), list(self._vocabulary), [idf, components]
            )
        return self._fingerprint

    @property
    def vocabulary(self) -> dict[str, int]:
        """Column of each stem, in alphabetical order."""
        self._fitted()
        return self._vocabulary

    @property
    def idf(self) -> NDArray[np.float32]:
        """Inverse document frequency of each column: float32, shape (n_terms,), at least 1."""
        return self._fitted()[0]

    def fit(self, texts: Iterable[str], *, progress: ProgressCallback | None = None) -> Self:
        """Learn vocabulary, weights and directions from texts that can be iterated twice.

        Parameters
        ----------
        texts
            The corpus; it is streamed, never held whole.
        progress
            Called with the number of texts read since its last call; a text is read twice.

        Returns
        -------
        TfidfEncoder
            This encoder.
        """
        if isinstance(texts, str):
            check_texts(texts, self.name)
        n_texts, document_frequencies = _count_documents(texts, progress)
        kept = sorted(document_frequencies, key=lambda term: (-document_frequencies[term], term))
        terms = sorted(kept[: self.max_features])
        self._vocabulary = {term: column for column, term in enumerate(terms)}
        frequencies = np.array([document_frequencies[term] for term in terms], dtype=np.float64)
        self._idf = (np.log((1 + n_texts) / (1 + frequencies)) + 1).astype(np.float32)
        self._components = self._directions(self._sample(texts, n_texts, progress))
        self._fingerprint = None
        return self

    def sparse(self, texts: Sequence[str]) -> csr_matrix:
        """Weigh the words of each text exactly, before any reduction.

        Returns
        -------
        scipy.sparse.csr_matrix
            float32, shape (n_texts, n_terms), sorted columns; rows of unit L2 norm or all zero.
        """
        self._fitted()
        return self._weigh(check_texts(texts, self.name))

    def encode_documents(
        self, texts: Sequence[str], *, progress: ProgressCallback | None = None
    ) -> Embeddings:
        """Embed texts: float32, shape (n_texts, dimension), rows of unit L2 norm or all zero."""
        _, components = self._fitted()
        checked = check_texts(texts, self.name)
        embeddings = np.zeros((len(checked), components.shape[1]), dtype=np.float32)
        start = 0
        for batch in batches(checked, _BATCH_SIZE):
            embeddings[start : start + len(batch)] = unit_rows(self._weigh(batch) @ components)
            start += len(batch)
            if progress is not None:
                progress(len(batch))
        return embeddings

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embed queries, exactly as documents."""
        return self.encode_documents(texts)

    def save(self, folder: Path) -> None:
        """Write settings, vocabulary, weights and directions into an existing folder."""
        idf, components = self._fitted()
        write_json(folder / "settings.json", {**self._settings(), "fingerprint": self.fingerprint})
        write_json(folder / "vocabulary.json", list(self._vocabulary))
        write_array(folder / "idf.npy", idf)
        write_array(folder / "components.npy", components)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; the directions stay on disk, memory-mapped."""
        settings = read_json(folder / "settings.json", dict)
        fingerprint = settings.pop("fingerprint", None)
        try:
            encoder = cls(**settings)
        except TypeError as error:
            raise EncoderError(f"cannot read encoder state in {folder}: {error}") from error
        terms = read_json(folder / "vocabulary.json", list)
        encoder._vocabulary = {term: column for column, term in enumerate(terms)}
        encoder._idf = read_array(folder / "idf.npy")
        encoder._components = read_array(folder / "components.npy")
        encoder._fingerprint = fingerprint
        return encoder

    def _settings(self) -> dict[str, int]:
        return {
            "n_components": self.n_components,
            "max_features": self.max_features,
            "seed": self.seed,
            "sample_size": self.sample_size,
        }

    def _fitted(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._idf is None or self._components is None:
            raise NotFittedError("tfidf: encode before fit; call fit(texts) or load(folder) first")
        return self._idf, self._components

    def _weigh(self, texts: Iterable[str]) -> csr_matrix:
        columns: list[int] = []
        counts: list[int] = []
        ends = [0]
        for text in texts:
            known = Counter(map(self._vocabulary.get, stems(text)))
            known.pop(None, None)
            row = sorted(cast("Iterable[tuple[int, int]]", known.items()))
            columns.extend(column for column, _ in row)
            counts.extend(count for _, count in row)
            ends.append(len(columns))
        indices = np.array(columns, dtype=np.int32)
        idf = cast("NDArray[np.float32]", self._idf)
        weights = (1 + np.log(np.array(counts, dtype=np.float64))) * idf[indices]
        starts = np.array(ends[:-1], dtype=np.int64)
        lengths = np.diff(ends)
        squares = np.zeros(len(lengths))
        filled = lengths > 0  # reduceat gives an empty row its neighbour's first value
        squares[filled] = np.add.reduceat(weights**2, starts[filled]) if filled.any() else 0
        weights /= np.repeat(np.sqrt(squares), lengths)
        return csr_matrix(
            (weights.astype(np.float32), indices, ends), shape=(len(lengths), len(idf))
        )

    def _sample(
        self, texts: Iterable[str], n_texts: int, progress: ProgressCallback | None
    ) -> csr_matrix:
        chosen: set[int] | range = range(n_texts)
        if n_texts > self.sample_size:
            generator = np.random.default_rng(self.seed)
            drawn = generator.choice(n_texts, self.sample_size, replace=False, shuffle=False)
            chosen = set(drawn.tolist())
        return self._weigh(
            text for row, text in enumerate(_reported(texts, progress)) if row in chosen
        )

    def _directions(self, rows: csr_matrix) -> NDArray[np.float32]:
        """Right singular vectors, strongest first: float32, shape (n_terms, dimension)."""
        n_components = min(self.n_components, *rows.shape)
        if rows.nnz == 0 or n_components == 0:
            return np.zeros((rows.shape[1], 1), dtype=np.float32)
        # Imported here: scikit-learn takes a second to import, and a search needs none of it.
        from sklearn.utils.extmath import randomized_svd

        _, strengths, directions = randomized_svd(
            rows, n_components, n_iter=_N_ITERATIONS, random_state=self.seed, flip_sign=True
        )
        real = strengths > _SMALLEST_SINGULAR_VALUE * strengths[0]
        return np.ascontiguousarray(directions[real].T, dtype=np.float32)


def _reported(texts: Iterable[str], progress: ProgressCallback | None) -> Iterable[str]:
    for text in texts:
        yield text
        if progress is not None:
            progress(1)


def _count_documents(
    texts: Iterable[str], progress: ProgressCallback | None
) -> tuple[int, Counter[str]]:
    """Count the texts, and for each stem the texts that hold it."""
    n_texts = 0
    document_frequencies: Counter[str] = Counter()
    for text in _reported(texts, progress):
        n_texts += 1
        document_frequencies.update(set(stems(text)))
    return n_texts, document_frequencies
