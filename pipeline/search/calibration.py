"""How likely is a hit relevant? A logistic curve over absolute evidence.

Fused scores are relative to a query's own candidates: the best of a bad lot scores as high as
the best of a good one. So probability looks at what does not depend on the other candidates:
the cosine of the best passage, and the share of the BM25 score the query could reach at most.
The coefficients were fitted on judged collections and on queries asked of collections on
another subject (see ARCHITECTURE.md, "Probability").
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["GOOD_PROBABILITY", "best_possible_bm25", "probabilities"]

# Below this the best hit is not worth showing as an answer.
GOOD_PROBABILITY = 0.07
_BM25_K1 = 1.2
# Intercept, and the coefficient of each piece of evidence, by the best evidence there is.
_CURVES: tuple[tuple[float, Mapping[str, float]], ...] = (
    (-6.17, {"bert": 8.33, "bm25": 1.25}),
    (-6.14, {"bert": 8.88}),
    (-3.86, {"bm25": 7.48}),
    (-4.15, {"tfidf": 4.95}),
    (-8.21, {"word2vec": 8.91}),
)
# Being, or literally containing, what was asked for is evidence enough by itself.
_EXACT = 8.0


def best_possible_bm25(document_frequencies: Iterable[tuple[int, int]], n_documents: int) -> float:
    """Upper bound of the BM25 score any document can reach for a query.

    Parameters
    ----------
    document_frequencies
        For each distinct stem of the query: how many documents contain it, and how often it
        stands in the query. A stem no document contains counts in full.

    Examples
    --------
    >>> best_possible_bm25([(1, 1)], 10) == 2.2 * math.log(1 + 9.5 / 1.5)
    True
    """
    total = 0.0
    for frequency, count in document_frequencies:
        idf = math.log1p((n_documents - frequency + 0.5) / (frequency + 0.5))
        total += count * idf * (_BM25_K1 + 1)
    return total


def probabilities(
    evidence: Mapping[str, NDArray[np.float64]], certain: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Probability that each document is relevant.

    Parameters
    ----------
    evidence
        By signal, float64 of shape (n,): a cosine, or for ``bm25`` the share of the best
        possible score; NaN where the signal abstains, which counts as none.
    certain
        bool, shape (n,): which documents are, or contain, exactly what was asked for.

    Returns
    -------
    float64, shape (n,)
        In (0, 1); never falls as a piece of evidence rises.
    """
    intercept, coefficients = next(curve for curve in _CURVES if curve[1].keys() <= evidence.keys())
    logit = intercept + _EXACT * certain
    for name, coefficient in coefficients.items():
        logit = logit + coefficient * np.where(np.isnan(evidence[name]), 0.0, evidence[name])
    result: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-logit))
    return result
