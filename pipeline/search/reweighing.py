"""One query, ranked under many default weights at once: what choosing weights needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.search.fusion import effective_weights
from pipeline.search.ranking import Retrieval
from pipeline.search.regularization import N_REGULARIZED, regularization

__all__ = ["best_rows"]


def best_rows(
    retrieval: Retrieval, weightings: Sequence[Mapping[str, float]], fusion: str, n_wanted: int
) -> list[NDArray[np.int64]]:
    """Best documents of a query under each of many default weights.

    They are the rows ``retrieval.with_defaults(weights, fusion).rank(n_wanted)`` begins with, for
    a small part of the time: all weightings of the same signals are computed together.

    Parameters
    ----------
    retrieval
        A query's, with every signal that any weighting names.
    weightings
        Weights of the signals, each with at least one above 0.

    Returns
    -------
    list of int64 arrays
        For each weighting at most ``n_wanted`` document rows, best first.
    """
    found: dict[int, NDArray[np.int64]] = {}
    for names, positions in _by_signals(retrieval, weightings).items():
        chosen = [weightings[position] for position in positions]
        part = retrieval.with_defaults(chosen[0], fusion)
        weights = np.stack(
            [
                effective_weights(names, part.active, None, part.confidence, defaults=one)
                for one in chosen
            ]
        )
        for position, rows in zip(positions, _rank(part, weights, n_wanted), strict=True):
            found[position] = rows
    return [found[position] for position in range(len(weightings))]


def _by_signals(
    retrieval: Retrieval, weightings: Sequence[Mapping[str, float]]
) -> dict[tuple[str, ...], list[int]]:
    grouped: dict[tuple[str, ...], list[int]] = {}
    for position, weights in enumerate(weightings):
        names = tuple(name for name in retrieval.scorers if weights.get(name, 0.0) > 0)
        grouped.setdefault(names, []).append(position)
    return grouped


def _rank(part: Retrieval, weights: NDArray[np.float64], n_wanted: int) -> list[NDArray[np.int64]]:
    """Rank under each row of ``weights``; every array's first axis is the weightings'."""
    head = part.head_ranking
    base = (weights[:, :, None] * head.normalized).sum(axis=1)
    scores = base + head.exactness
    # Rows ascend, so a stable sort leaves equal scores in the order ties go by.
    top = np.argsort(-base, axis=1, kind="stable")[:, :N_REGULARIZED]
    anywhere, places = np.unique(top, return_inverse=True)
    similarity = part.similarities(head.rows[anywhere])
    if similarity is not None:
        places = places.reshape(top.shape)
        among = similarity[places[:, :, None], places[:, None, :]]
        added = regularization(np.take_along_axis(base, top, axis=1), among)
        added *= part.trust_in_neighbors
        np.put_along_axis(scores, top, np.take_along_axis(scores, top, axis=1) + added, axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :n_wanted]
    return [
        head.rows[order[at]]
        if part.n_safe(base[at], weights[at]) >= max(n_wanted, N_REGULARIZED)
        # A document that no signal proposed may belong among the best.
        else part.with_weights(weights[at]).rank(n_wanted).rows[:n_wanted]
        for at in range(len(weights))
    ]
