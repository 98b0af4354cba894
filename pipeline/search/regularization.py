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
    n_neighbors = min(_N_NEIGHBORS, n_documents - 1)
    nearest = np.argsort(-similarity, axis=-1, kind="stable")[..., :n_neighbors]
    cosine = np.clip(np.take_along_axis(similarity, nearest, axis=-1), 0, 1)
    weight = _STRENGTH * cosine**_SHARPNESS
    theirs = np.take_along_axis(scores[..., None, :], nearest, axis=-1)
    difference = theirs - scores[..., None]
    added: NDArray[np.float64] = (weight * difference).sum(axis=-1) / (1 + weight.sum(axis=-1))
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
