"""Neighbours should score alike: smooth the top scores over the documents' own similarity.

Source: Diaz, Regularizing ad hoc retrieval scores, CIKM 2005, doi:10.1145/1099554.1099722.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.protocol import Embeddings

__all__ = ["N_REGULARIZED", "regularization", "similarities"]

N_REGULARIZED = 50
_N_NEIGHBORS = 5
_STRENGTH = 0.3
# So small a product BLAS computes on the calling thread; waking others takes longer than the work.
_BLOCK_ROWS = 10


def regularization(
    scores: NDArray[np.float64], similarity: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What smoothing adds to each score, for one list of documents or many at once.

    A score moves part of the way toward the similarity-weighted mean of its nearest neighbours'
    scores; it never leaves the range of the scores given.

    Parameters
    ----------
    scores
        float64, shape (..., n): fused scores of the best documents.
    similarity
        float64, shape (..., n, n): how alike they are, from ``similarities``.

    Returns
    -------
    float64, shape (..., n)
        To be added to each score; all zero for fewer than three documents.

    Examples
    --------
    >>> import numpy as np
    >>> alike = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    >>> added = regularization(np.array([0.9, 0.5, 0.7]), similarities(alike))
    >>> bool(added[0] < 0 < added[1])
    True
    """
    n_documents = scores.shape[-1]
    if n_documents < 3:
        return np.zeros(scores.shape)
    n_neighbors = min(_N_NEIGHBORS, n_documents - 1)
    nearest = np.argsort(-similarity, axis=-1, kind="stable")[..., :n_neighbors]
    weight = np.take_along_axis(similarity, nearest, axis=-1)
    total = weight.sum(axis=-1)
    weight = weight / np.where(total > 0, total, 1.0)[..., None]
    theirs = np.take_along_axis(scores[..., None, :], nearest, axis=-1)
    around = np.where(total > 0, (theirs * weight).sum(axis=-1), scores)
    # Once: more rounds gain on topical collections what they lose on precise questions.
    added: NDArray[np.float64] = _STRENGTH * (around - scores)
    return added


def similarities(embeddings: Embeddings) -> NDArray[np.float64]:
    """How alike documents are.

    Parameters
    ----------
    embeddings
        float32, shape (n, dimension), unit rows: one embedding of each.

    Returns
    -------
    float64, shape (n, n)
        Cosines, 0 where they are below; -1 on the diagonal, for none is its own neighbour.
    """
    products = np.concatenate(
        [
            embeddings[start : start + _BLOCK_ROWS] @ embeddings.T
            for start in range(0, max(len(embeddings), 1), _BLOCK_ROWS)
        ]
    )
    similarity: NDArray[np.float64] = np.clip(products, 0, None).astype(np.float64)
    np.fill_diagonal(similarity, -1.0)
    return similarity
