"""Words that tell the clusters of a map from each other.

Class-based TF-IDF (Grootendorst, "BERTopic", 2022, https://arxiv.org/abs/2203.05794): how often a
word occurs in a cluster, weighed by how rare it is in all of them. A word counts once a document
here, so that no single one of them names its cluster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.word_forms import all_stop_words
from pipeline.version.passage_words import PassageWords

__all__ = ["name_clusters"]

_N_TERMS = 4
# Clusters are named by so many of their documents at most, drawn evenly.
_READ_DOCUMENTS = 20_000
_SHORTEST_TERM = 3
# How much more often a word is in a cluster's documents than in all, to tell anything of it.
_LEAST_LIFT = 2.0


def name_clusters(
    clusters: NDArray[np.int16],
    n_clusters: int,
    offsets: NDArray[np.int64],
    table: PassageWords,
    languages: Sequence[str],
) -> list[tuple[str, ...]]:
    """Name each cluster by up to four words, the most telling first.

    Parameters
    ----------
    clusters
        int16, shape (n_documents,): cluster of each document, or a negative number.
    offsets
        int64, shape (n_documents + 1,): passages of each document.
    table
        Words of the passages.
    languages
        Main languages of the documents: their stop words name nothing, and of words with one stem
        in the first of them only the most frequent does.
    """
    counts, sizes = _counts(clusters, n_clusters, offsets, table)
    left_out = all_stop_words(tuple(languages))
    named = np.array([_can_name(word, left_out) for word in table.vocabulary], np.bool_)
    counts[:, ~named] = 0
    _, stem_of = np.unique(table.stems[:, 0], return_inverse=True)
    stems = np.zeros((n_clusters, int(stem_of.max(initial=-1)) + 1))
    for cluster in range(n_clusters):
        stems[cluster] = np.bincount(stem_of, weights=counts[cluster], minlength=stems.shape[1])
    in_cluster = stems / np.maximum(stems.sum(axis=1, keepdims=True), 1)
    everywhere = stems.sum(axis=0)
    rarity = np.log1p(stems.sum() / max(n_clusters, 1) / np.maximum(everywhere, 1))
    scores = in_cluster * rarity
    shares = stems / np.maximum(sizes[:, None], 1)
    overall = everywhere / max(int(sizes.sum()), 1)
    # What is said everywhere, or by one document alone, is no name, unless there is nothing else.
    scores[shares < _LEAST_LIFT * overall] *= 1e-3
    scores[stems < 2] *= 1e-6
    return [
        _best_words(scores[cluster], stem_of, counts[cluster], table.vocabulary)
        for cluster in range(n_clusters)
    ]


def _counts(
    clusters: NDArray[np.int16],
    n_clusters: int,
    offsets: NDArray[np.int64],
    table: PassageWords,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """In how many documents of each cluster a word occurs, and how many documents were read."""
    counts = np.zeros((n_clusters, len(table.vocabulary)), np.int32)
    rows = np.flatnonzero(clusters >= 0)
    step = max(1, -(-len(rows) // _READ_DOCUMENTS))
    for row in rows[::step].tolist():
        first, last = table.sentence_offsets[offsets[row : row + 2]].tolist()
        begin, end = table.word_offsets[[first, last]].tolist()
        counts[clusters[row], np.unique(table.words[begin:end])] += 1
    return counts, np.bincount(clusters[rows[::step]], minlength=n_clusters)


def _can_name(word: str, left_out: frozenset[str]) -> bool:
    # Two signs are a word in Chinese or Japanese.
    long_enough = len(word) >= _SHORTEST_TERM or not word.isascii()
    return long_enough and word not in left_out and any(map(str.isalpha, word))


def _best_words(
    scores: NDArray[np.float64],
    stem_of: NDArray[np.int64],
    counts: NDArray[np.int32],
    vocabulary: Sequence[str],
) -> tuple[str, ...]:
    # Stable, so that equally telling words come in the same order each time.
    best = np.argsort(-scores, kind="stable")[:_N_TERMS]
    names = []
    for stem in best[scores[best] > 0].tolist():
        forms = np.flatnonzero(stem_of == stem)
        names.append(min((-int(counts[form]), vocabulary[form]) for form in forms.tolist())[1])
    return tuple(names)
