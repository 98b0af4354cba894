"""Parts of a set of queries, for cross-validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["fold_positions"]


def fold_positions(texts: Sequence[str], n_folds: int, seed: int) -> list[NDArray[np.int64]]:
    """Positions of each fold's queries; who asks the same words is in the same fold.

    Parameters
    ----------
    texts
        Text of each query.
    n_folds
        Parts to make; fewer where fewer queries differ.
    seed
        Of the order they are dealt out in.

    Returns
    -------
    list of int64 arrays
        Ascending in each fold; together every position once.

    Examples
    --------
    >>> [part.tolist() for part in fold_positions(["a b", "c", "A  b"], 2, seed=0)]
    [[0, 2], [1]]
    """
    same: dict[str, list[int]] = {}
    for position, text in enumerate(texts):
        same.setdefault(" ".join(text.casefold().split()), []).append(position)
    groups = [same[text] for text in sorted(same)]
    order = np.random.default_rng(seed).permutation(len(groups))
    parts = [part for part in np.array_split(order, n_folds) if len(part)]
    return [np.array(sorted(at for group in part for at in groups[group])) for part in parts]
