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
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from encoders.languages import DEFAULT_LANGUAGES
from encoders.protocol import ProgressCallback
from encoders.state import check_texts
from encoders.term_encoder import TermEncoder, language_settings
from encoders.word_forms import common_stems
from ingest.errors import EncoderError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["TfidfEncoder"]

# Power iterations of the randomized SVD. Five reach the exact SVD's ranking quality here.
_N_ITERATIONS = 5
# Directions this much weaker than the strongest are rounding noise of float32.
_SMALLEST_SINGULAR_VALUE = 1e-5


class TfidfEncoder(TermEncoder):
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
    languages
        Languages of the texts: what their words are stemmed in, and whose stop words are left out.

    Examples
    --------
    >>> encoder = TfidfEncoder(n_components=2).fit(["red apples", "green apples", "blue sky"])
    >>> documents = encoder.encode_documents(["red apples", "the sky"])
    >>> (encoder.encode_queries(["apple"]) @ documents.T).round(3)
    array([[1., 0.]], dtype=float32)
    """

    name: ClassVar[str] = "tfidf"
    fit_passes: ClassVar[int] = 2
    _vectors_file: ClassVar[str] = "components.npy"

    def __init__(
        self,
        *,
        n_components: int = 300,
        max_features: int = 200_000,
        seed: int = 0,
        sample_size: int = 100_000,
        languages: Sequence[str] = DEFAULT_LANGUAGES,
    ) -> None:
        if min(n_components, max_features, sample_size) < 1:
            raise EncoderError(
                "tfidf: n_components, max_features and sample_size must be at least 1, found "
                f"{n_components}, {max_features} and {sample_size}"
            )
        super().__init__()
        self.n_components = n_components
        self.max_features = max_features
        self.seed = seed
        self.sample_size = sample_size
        self.languages = tuple(languages) or DEFAULT_LANGUAGES

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
        n_texts, document_frequencies = self._count_documents(texts, progress)
        kept = sorted(document_frequencies, key=lambda term: (-document_frequencies[term], term))
        self._learn_idf(sorted(kept[: self.max_features]), document_frequencies, n_texts)
        self._vectors = self._directions(self._sample(texts, n_texts, progress))
        return self

    def sparse(self, texts: Sequence[str]) -> csr_matrix:
        """Weigh the words of each text exactly, before any reduction.

        Returns
        -------
        scipy.sparse.csr_matrix
            float32, shape (n_texts, n_terms), sorted columns; rows of unit L2 norm or all zero.
        """
        return self.weigh(check_texts(texts, self.name)).weights

    def term(self, word: str) -> str:
        """Stem of a word."""
        return next(iter(common_stems(word, self.languages)), word)

    def _terms(self, text: str) -> list[str]:
        return common_stems(text, self.languages)

    def _weigh(self, counts: NDArray[np.float64], idf: NDArray[np.float32]) -> NDArray[np.float64]:
        weights: NDArray[np.float64] = (1 + np.log(counts)) * idf
        # Unit length, so that a sum over several texts' rows gives each text the same say.
        return weights / np.sqrt(np.sum(weights**2)) if len(weights) else weights

    def _settings(self) -> dict[str, object]:
        return {
            "n_components": self.n_components,
            "max_features": self.max_features,
            "seed": self.seed,
            "sample_size": self.sample_size,
            **language_settings(self.languages),
        }

    def _count_documents(
        self, texts: Iterable[str], progress: ProgressCallback | None
    ) -> tuple[int, Counter[str]]:
        """Count the texts, and for each stem the texts that hold it."""
        n_texts = 0
        document_frequencies: Counter[str] = Counter()
        for text in _reported(texts, progress):
            n_texts += 1
            document_frequencies.update(set(self._terms(text)))
        return n_texts, document_frequencies

    def _sample(
        self, texts: Iterable[str], n_texts: int, progress: ProgressCallback | None
    ) -> csr_matrix:
        chosen: set[int] | range = range(n_texts)
        if n_texts > self.sample_size:
            generator = np.random.default_rng(self.seed)
            drawn = generator.choice(n_texts, self.sample_size, replace=False, shuffle=False)
            chosen = set(drawn.tolist())
        return self._weigh_texts(
            text for row, text in enumerate(_reported(texts, progress)) if row in chosen
        ).weights

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
