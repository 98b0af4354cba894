"""Vectors of single words: trained on texts with gensim, or read from a file.

References
----------
Skip-gram with negative sampling: Mikolov, Sutskever, Chen, Corrado & Dean, 2013,
https://arxiv.org/abs/1310.4546. File formats: https://code.google.com/archive/p/word2vec/ and
https://nlp.stanford.edu/projects/glove/.
"""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.model_folder import file_sha256
from encoders.words import words
from ingest.errors import ModelNotFoundError

__all__ = ["read_word_vectors", "train_word_vectors"]

# Words read in all: small corpora are read up to ten times over, large ones twice.
_TRAINING_BUDGET_WORDS = 4_000_000
_FEWEST_EPOCHS, _MOST_EPOCHS = 2, 10
_LONGEST_SENTENCE = 10_000  # gensim silently drops what a longer one holds
# Four times gensim's learning rate and a tenth of its share of frequent words: five epochs then
# rank the 5,000 abstracts of scifact better (nDCG@10 .587) than twelve with its defaults (.499).
_LEARNING_RATE = 0.1
_SUBSAMPLING = 1e-4


def train_word_vectors(
    texts: Sequence[Sequence[str]],
    *,
    dimension: int,
    window: int,
    min_count: int,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> tuple[list[str], NDArray[np.float32]]:
    """Train skip-gram vectors on the words of texts; the same input gives the same vectors.

    Parameters
    ----------
    progress
        Called, from another thread, with the share of the training done so far, in [0, 1].

    Returns
    -------
    (words, vectors)
        Most frequent word first; float32, shape (n_words, dimension). No word at all gives
        shape (0, dimension).

    Examples
    --------
    >>> found, vectors = train_word_vectors(
    ...     [["red", "apple"], ["red", "sky"]], dimension=4, window=2, min_count=1, seed=0
    ... )
    >>> found[0], vectors.shape
    ('red', (3, 4))
    """
    # Imported here: gensim takes a second to import, and a search needs none of it.
    from gensim.models import Word2Vec

    sentences = list(_sentences(texts))
    n_words = sum(map(len, sentences))
    if n_words == 0:
        return [], np.zeros((0, dimension), dtype=np.float32)
    model = Word2Vec(
        vector_size=dimension,
        window=window,
        min_count=min_count,
        sg=1,
        negative=5,
        sample=_SUBSAMPLING,
        alpha=_LEARNING_RATE,
        seed=seed,
        workers=1,  # several would race, and no two runs would agree
        epochs=min(max(_TRAINING_BUDGET_WORDS // n_words, _FEWEST_EPOCHS), _MOST_EPOCHS),
    )
    model.build_vocab(sentences)
    if len(model.wv) == 0:
        model.min_count = 1
        model.build_vocab(sentences, min_count=1)
    watched = _Watched(sentences, model.epochs, progress) if progress else sentences
    model.train(watched, total_examples=model.corpus_count, epochs=model.epochs)
    return list(model.wv.index_to_key), np.ascontiguousarray(model.wv.vectors, dtype=np.float32)


def read_word_vectors(
    path: Path, sha256: str | None = None
) -> tuple[list[str], NDArray[np.float32]]:
    """Read pre-trained vectors, keeping what the words of a text can meet.

    Entries are folded as text is; of several that fold to one word the first stays, which in
    the usual files is the most frequent. Entries of several words are left out.

    Parameters
    ----------
    sha256
        What the file must hash to, in hex; anything when ``None``.

    Returns
    -------
    (words, vectors)
        In the file's order; float32, shape (n_words, dimension).

    Raises
    ------
    ModelNotFoundError
        If the file is missing, altered, unreadable or holds no word.
    """
    from gensim.models import KeyedVectors

    if not path.is_file():
        raise ModelNotFoundError(f"word2vec: no file of vectors at {path}")
    if sha256 is not None and (hashed := file_sha256(path)) != sha256:
        raise ModelNotFoundError(
            f"word2vec: {path} has changed: sha256 {hashed}, expected {sha256}; run this again"
        )
    binary = ".bin" in path.suffixes
    try:
        with warnings.catch_warnings():
            # gensim leaves a file without header open once it has seen its width.
            warnings.simplefilter("ignore", ResourceWarning)
            read = KeyedVectors.load_word2vec_format(
                str(path),
                binary=binary,
                no_header=not binary and not _has_header(path),
                unicode_errors="replace",
            )
    # gensim raises whatever a line or byte out of place makes it stumble over.
    except Exception as error:
        raise ModelNotFoundError(
            f"word2vec: {path} holds no vectors in word2vec or GloVe format: {error}"
        ) from error
    rows: dict[str, int] = {}
    for row, key in enumerate(read.index_to_key):
        found = words(key)
        # CamelCase gives its parts too; the first is the whole.
        if found and len(found[0]) == len(key):
            rows.setdefault(found[0], row)
    if not rows:
        raise ModelNotFoundError(f"word2vec: {path} holds no vector of a word")
    return list(rows), np.ascontiguousarray(read.vectors[list(rows.values())], dtype=np.float32)


class _Watched:
    """Sentences that tell how far their reading is, over all epochs."""

    def __init__(
        self, sentences: Sequence[Sequence[str]], n_epochs: int, progress: Callable[[float], None]
    ) -> None:
        self._sentences = sentences
        self._n_reads = n_epochs * len(sentences)
        self._n_read = 0
        self._progress = progress

    def __iter__(self) -> Iterator[Sequence[str]]:
        for sentence in self._sentences:
            yield sentence
            self._n_read += 1
            self._progress(self._n_read / self._n_reads)


def _sentences(texts: Sequence[Sequence[str]]) -> Iterator[Sequence[str]]:
    for text in texts:
        for start in range(0, len(text), _LONGEST_SENTENCE):
            yield text[start : start + _LONGEST_SENTENCE]


def _has_header(path: Path) -> bool:
    """True when the first line is a word count and a width, which GloVe leaves out."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return len(file.readline().split()) == 2
