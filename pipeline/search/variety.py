"""Fewer hits that say the same: order by marginal relevance, and near-duplicates as one hit.

References
----------
Carbonell & Goldstein, "The use of MMR, diversity-based reranking for reordering documents and
producing summaries", SIGIR 1998, doi:10.1145/290941.291025.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from encoders.protocol import Embeddings
from ingest.errors import QueryError
from pipeline.search.ranking import Ranking
from pipeline.search.signals import PassageScorer, Scorer
from pipeline.version.open_version import OpenVersion

__all__ = ["N_VARIED", "alike", "collapse", "embeddings_of", "marginal_order"]

N_VARIED = 100
"""Best documents that diversity and collapse look at; the same for every page."""

# Cosine from which two documents count as one. Means of word vectors are alike by their nature.
_ALIKE = {"bert": 0.97, "tfidf": 0.98, "word2vec": 0.99}


def embeddings_of(
    version: OpenVersion, scorers: Mapping[str, Scorer], rows: NDArray[np.int64]
) -> tuple[str, Embeddings]:
    """One embedding of each document, by the best signal at hand.

    Of bert it is that of the document's best passage for the query; where the query does not ask
    bert, tfidf or word2vec stand in.

    Returns
    -------
    (signal, embeddings)
        float32, shape (n, dimension), rows of unit L2 norm or all zero.

    Raises
    ------
    QueryError
        If the version holds no embeddings of documents.
    """
    bert = scorers.get("bert")
    if isinstance(bert, PassageScorer):
        _, passages = bert.best_passages(rows)
        return "bert", version.vectors["bert"].vectors[passages]
    for name in ("tfidf", "word2vec"):
        if name in version.vectors:
            return name, version.vectors[name].vectors[rows]
    raise QueryError(
        "diversity and collapse compare embeddings: ask the bert signal too, "
        "or index tfidf or word2vec",
        parameter="signals",
    )


def alike(signal: str) -> float:
    """Cosine from which two documents are near-duplicates to a signal."""
    return _ALIKE[signal]


def collapse(embeddings: Embeddings, threshold: float) -> dict[int, list[int]]:
    """Let each document stand for those after it that are nearly the same.

    Parameters
    ----------
    embeddings
        float32, shape (n, dimension), best document first.
    threshold
        Cosine from which a document is folded into the first one it is that near to, in (0, 1].

    Returns
    -------
    dict
        Positions that stay, in order, each with the positions it stands for; a document without
        an embedding is like no other.

    Examples
    --------
    >>> import numpy as np
    >>> collapse(np.array([[1, 0], [0, 1], [1, 0]], np.float32), 0.9)
    {0: [2], 1: []}
    """
    similarity = embeddings @ embeddings.T
    # Rounding must not keep a copy from being a copy.
    near = similarity >= threshold - 1e-6
    kept: dict[int, list[int]] = {}
    for position in range(len(embeddings)):
        first = next((other for other in kept if near[other, position]), None)
        if first is None:
            kept[position] = []
        else:
            kept[first].append(position)
    return kept


def marginal_order(ranking: Ranking, embeddings: Embeddings, diversity: float) -> NDArray[np.int64]:
    """Order documents by relevance less likeness to what stands before them.

    The next document is the one with the highest ``(1 - diversity) * relevance - diversity *
    likeness``: its score brought to [0, 1], and its highest cosine (0 if negative) with a document
    already taken. What matches exactly stays before what does not.

    Parameters
    ----------
    ranking
        Documents, best first.
    embeddings
        One of each: float32, shape (n, dimension).
    diversity
        0 keeps the order; 1 looks at likeness alone.

    Returns
    -------
    int64, shape (n,)
        Positions in the new order; the first stays first.
    """
    n_documents = len(ranking)
    scores = ranking.scores - ranking.exactness
    spread = float(np.ptp(scores)) if n_documents else 0.0
    relevance = (scores - scores.min(initial=np.inf)) / (spread or 1.0)
    similarity = np.clip(embeddings @ embeddings.T, 0.0, None).astype(np.float64)
    likeness = np.zeros(n_documents)
    left = np.ones(n_documents, np.bool_)
    order: list[int] = []
    while left.any():
        exact = ranking.exactness == ranking.exactness[left].max()
        value = (1.0 - diversity) * relevance - diversity * likeness
        # Of equals argmax takes the first, which ranks higher.
        taken = int(np.argmax(np.where(left & exact, value, -np.inf))) if order else 0
        order.append(taken)
        left[taken] = False
        likeness = np.maximum(likeness, similarity[taken])
    return np.array(order, np.int64)
