"""How likely is a hit relevant? A logistic curve over absolute evidence.

Fused scores are relative to a query's own candidates: the best of a bad lot scores as high as
the best of a good one. So probability looks at what does not depend on the other candidates:
the cosine of the best passage, and the share of the BM25 score the query could reach at most.
The coefficients were fitted on public judged collections (see ARCHITECTURE.md, "Probability").
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["GOOD_PROBABILITY", "best_possible_bm25", "probabilities"]

# Below this the best hit is not worth showing as an answer.
GOOD_PROBABILITY = 0.1
_BM25_K1 = 1.2
_INTERCEPT = -3.0
_BERT = 5.0
_BM25_SHARE = 2.0
# Being, or literally containing, what was asked for is evidence enough by itself.
_EXACT = 6.0


def best_possible_bm25(document_frequencies: Iterable[tuple[int, int]], n_documents: int) -> float:
    """Upper bound of the BM25 score any document can reach for a query.

    Parameters
    ----------
    document_frequencies
        For each distinct stem of the query: how many documents contain it, and how often it
        stands in the query. A stem no document contains counts in full.

    Examples
    --------
    >>> round(best_possible_bm25([(1, 1)], 10), 3)
    4.379
    """
    total = 0.0
    for frequency, count in document_frequencies:
        idf = math.log1p((n_documents - frequency + 0.5) / (frequency + 0.5))
        total += count * idf * (_BM25_K1 + 1)
    return total


def probabilities(
    bert: NDArray[np.float64],
    bm25_share: NDArray[np.float64],
    exactness: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Probability that each document is relevant.

    Parameters
    ----------
    bert
        Cosine of the best passage, NaN where bert abstains.
    bm25_share
        BM25 score over the best possible for this query, in [0, 1].
    exactness
        Bonus for being or containing what was asked for; 0 for most documents.

    Returns
    -------
    float64, shape (n,)
        In (0, 1); rises with either piece of evidence.
    """
    evidence = _INTERCEPT + _BERT * np.nan_to_num(bert, nan=0.0) + _BM25_SHARE * bm25_share
    evidence = evidence + _EXACT * (exactness > 0)
    result: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-evidence))
    return result
