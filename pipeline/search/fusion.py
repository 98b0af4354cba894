"""Many signals, one score: normalise each signal's scores, weigh, add.

Scores are fused, not ranks: on public collections a weighted sum of normalised scores beat the
best single signal where reciprocal rank fusion did not (Bruch, Gai & Ingber, TOIS 2023,
doi:10.1145/3596512). Reciprocal rank fusion stays selectable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DEFAULT_WEIGHTS",
    "FUSIONS",
    "MIN_MAX",
    "RECIPROCAL_RANK",
    "RRF_K",
    "Z_SCORE",
    "Normalization",
    "effective_weights",
    "fit_normalization",
]

MIN_MAX = "min_max"
Z_SCORE = "z_score"
RECIPROCAL_RANK = "reciprocal_rank"
FUSIONS = (MIN_MAX, Z_SCORE, RECIPROCAL_RANK)
RRF_K = 60
DEFAULT_WEIGHTS: Mapping[str, float] = {
    "bm25": 0.30,
    "tfidf": 0.15,
    "word2vec": 0.10,
    "bert": 0.45,
}
# Standard deviations that map to 0 and 1, so that z-scores weigh like min-max scores.
_Z_SPAN = 3.0


@dataclass(frozen=True, slots=True)
class Normalization:
    """How one signal's raw scores become comparable with the others', for one query.

    Parameters
    ----------
    method
        One of ``FUSIONS``.
    offset, scale
        ``(raw - offset) * scale``, clipped to [0, 1]; unused by ``reciprocal_rank``.
    """

    method: str
    offset: float = 0.0
    scale: float = 0.0

    def apply(self, raw: NDArray[np.float64], ranks: NDArray[np.int64]) -> NDArray[np.float64]:
        """Normalise.

        Parameters
        ----------
        raw
            float64, shape (n,); NaN where the signal abstains.
        ranks
            int64, shape (n,): rank in the signal's own candidates from 1, or 0.

        Returns
        -------
        float64, shape (n,)
            In [0, 1], 0 where the signal abstains; never falls as raw rises.
        """
        if self.method == RECIPROCAL_RANK:
            return np.where(ranks > 0, 1.0 / (RRF_K + ranks), 0.0)
        scaled: NDArray[np.float64] = np.clip((raw - self.offset) * self.scale, 0.0, 1.0)
        return np.nan_to_num(scaled, nan=0.0)


def fit_normalization(method: str, raw: NDArray[np.float64]) -> Normalization:
    """Fit one signal's normalisation on its scores for a query's candidates.

    Examples
    --------
    >>> import numpy as np
    >>> norm = fit_normalization("min_max", np.array([1.0, 3.0, np.nan]))
    >>> norm.apply(np.array([1.0, 2.0, 3.0, np.nan]), np.zeros(4, np.int64)).tolist()
    [0.0, 0.5, 1.0, 0.0]
    """
    known = raw[~np.isnan(raw)]
    if method == RECIPROCAL_RANK or not known.size:
        return Normalization(method)
    if method == Z_SCORE:
        low, high = known.mean(), known.mean() + _Z_SPAN * known.std()
    else:
        low, high = known.min(), known.max()
    if high - low <= 1e-12:
        # All alike: they share the signal's whole weight when they match at all.
        return Normalization(method, offset=min(float(low), 0.0) - 1.0, scale=float(high > 0))
    return Normalization(method, offset=float(low), scale=float(1.0 / (high - low)))


def effective_weights(
    names: Sequence[str], active: Sequence[bool], weights: Mapping[str, float] | None
) -> NDArray[np.float64]:
    """Weights that add up to 1 over the signals that have anything to say about a query.

    Parameters
    ----------
    names
        The signals, in the order of the result.
    active
        Which of them proposed any candidate.
    weights
        Wanted weights; signals it does not name weigh 0. The defaults when ``None``.

    Examples
    --------
    >>> effective_weights(["bm25", "bert"], [True, False], None).tolist()
    [1.0, 0.0]
    """
    wanted = DEFAULT_WEIGHTS if weights is None else weights
    raw = np.array(
        [wanted.get(name, 0.0) * alive for name, alive in zip(names, active, strict=True)]
    )
    total = raw.sum()
    return raw / total if total > 0 else raw
