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
# A neighbour counts this much beside the document itself, times a power of their cosine: only
# near-equals have a say, so topical collections gain what precise questions do not lose.
_STRENGTH = 0.5
_SHARPNESS = 4
# So small a product BLAS computes on the calling thread; waking others takes longer than the work.
_BLOCK_ROWS = 10


def regularization(
    scores: NDArray[np.float64], similarity: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What smoothing adds to each score, for one list of documents or many at once.

    A score becomes the mean of itself and its nearest neighbours' scores, the neighbours weighted
    by similarity; it never leaves the range of the scores given.

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
    cosine, theirs = _nearest(scores, similarity, min(_N_NEIGHBORS, n_documents - 1))
    weight = _STRENGTH * np.minimum(np.maximum(cosine, 0), 1) ** _SHARPNESS
    difference = theirs - scores[..., None]
    added: NDArray[np.float64] = (weight * difference).sum(axis=-1) / (1 + weight.sum(axis=-1))
    return added


def _nearest(
    scores: NDArray[np.float64], similarity: NDArray[np.float64], n_neighbors: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each document's nearest ones: how alike they are, and their scores; shape (..., n, k)."""
    n_documents = scores.shape[-1]
    left = similarity.reshape(-1, n_documents).copy()
    rows = np.arange(len(left))
    nearest = np.empty((len(left), n_neighbors), np.int64)
    cosine = np.empty(nearest.shape)
    for position in range(n_neighbors):
        # The first of equals, as a stable sort has it, which takes twice as long for so few.
        nearest[:, position] = best = left.argmax(axis=-1)
        cosine[:, position] = left[rows, best]
        left[rows, best] = -2.0
    # Of many lists of scores, each document looks into its own.
    theirs = scores.reshape(-1)[nearest + (rows // n_documents * n_documents)[:, None]]
    shape = (*scores.shape, n_neighbors)
    return cosine.reshape(shape), theirs.reshape(shape)


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
    n_documents = len(embeddings)
    products = np.empty((n_documents, n_documents), np.float32)
    for start in range(0, n_documents, _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        np.matmul(embeddings[block], embeddings.T, out=products[block])
    similarity: NDArray[np.float64] = np.maximum(products, 0, dtype=np.float64)
    similarity.flat[:: n_documents + 1] = -1.0
    return similarity
