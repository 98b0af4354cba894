"""Many signals, one score: normalise each signal's scores, weigh, add.

Scores are fused, not ranks: on public collections a weighted sum of normalised scores beat the
best single signal where reciprocal rank fusion did not (Bruch, Gai & Ingber, TOIS 2023,
doi:10.1145/3596512). Reciprocal rank fusion stays selectable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.version.manifest import SignalRecord

__all__ = [
    "DEFAULT_FUSION",
    "DEFAULT_WEIGHTS",
    "FUSIONS",
    "LEXICAL_SIGNALS",
    "MIN_MAX",
    "RECIPROCAL_RANK",
    "RRF_K",
    "Z_SCORE",
    "Normalization",
    "collection_trust",
    "effective_weights",
    "fit_normalization",
    "lexical_confidence",
    "normalize_each",
    "signal_confidence",
]

MIN_MAX = "min_max"
Z_SCORE = "z_score"
RECIPROCAL_RANK = "reciprocal_rank"
FUSIONS = (MIN_MAX, Z_SCORE, RECIPROCAL_RANK)
RRF_K = 60
DEFAULT_FUSION = Z_SCORE
DEFAULT_WEIGHTS: Mapping[str, float] = {
    "bm25": 0.25,
    "tfidf": 0.15,
    "word2vec": 0.10,
    "bert": 0.50,
}
LEXICAL_SIGNALS = ("bm25", "tfidf", "word2vec")
# A word that stands once in a document of average length reaches this share of the most it could.
_TYPICAL_SHARE = 1 / 2.2
# In longer queries ever fewer of the words can be expected in one document.
_FEW_WORDS = 5
# Working encoders reach .31 and more (see ARCHITECTURE.md, "Ranking"), broken ones .2 at most.
_LEAST_AGREEMENT = 0.25
# Standard deviations above the lowest candidate that count as 1; hardly any score reaches it.
_Z_SPAN = 12.0


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
            return _reciprocal(ranks)
        return _scaled(raw, self.offset, self.scale)


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
    low, high = float(known.min()), float(known.max())
    if high - low <= 1e-12:
        # All alike: they share the signal's whole weight when they match at all.
        return Normalization(method, offset=min(low, 0.0) - 1.0, scale=float(high > 0))
    if method == Z_SCORE:
        # Counted from the lowest candidate, not from the mean: the order is the same, and no
        # contribution is negative. A clear winner is so many deviations ahead, while min-max
        # would bring it down to 1 and everything else with it.
        scale = 1.0 / (_Z_SPAN * float(known.std()))
        return Normalization(method, offset=low, scale=scale)
    return Normalization(method, offset=low, scale=1.0 / (high - low))


def normalize_each(
    normalizations: Sequence[Normalization],
    raw: NDArray[np.float64],
    ranks: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Normalise each signal's scores by its own normalization, all in one go.

    Parameters
    ----------
    normalizations
        One a signal, all of one method.
    raw, ranks
        Shape (n_signals, n): each row as ``Normalization.apply`` has it.

    Returns
    -------
    float64, shape (n_signals, n)
        To the last bit what ``apply`` makes of each row.

    Examples
    --------
    >>> import numpy as np
    >>> both = [Normalization("min_max", 0.0, 1.0), Normalization("min_max", 1.0, 0.5)]
    >>> normalize_each(both, np.array([[0.5], [2.0]]), np.zeros((2, 1), np.int64)).tolist()
    [[0.5], [0.5]]
    """
    if not normalizations or normalizations[0].method == RECIPROCAL_RANK:
        return _reciprocal(ranks)
    offsets = np.array([one.offset for one in normalizations])[:, None]
    scales = np.array([one.scale for one in normalizations])[:, None]
    return _scaled(raw, offsets, scales)


def _reciprocal(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(ranks > 0, 1.0 / (RRF_K + ranks), 0.0)


def _scaled(
    raw: NDArray[np.float64],
    offset: float | NDArray[np.float64],
    scale: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    # fmax makes 0 of NaN, where a signal abstains.
    scaled: NDArray[np.float64] = np.minimum(np.fmax((raw - offset) * scale, 0.0), 1.0)
    return scaled


def lexical_confidence(bm25_share: float, n_stems: int) -> float:
    """How far the words of a query can be trusted, in [0, 1].

    Who asks in other words than the documents' finds, by keyword, documents that share a word by
    chance. That shows in how little of the query the best keyword match covers; then the signals
    that count words (bm25, tfidf, word2vec) lose weight, and bert decides.

    Parameters
    ----------
    bm25_share
        Best BM25 score over the best possible one, in [0, 1].
    n_stems
        Distinct stems in the query.

    Examples
    --------
    >>> lexical_confidence(0.5, 1), round(lexical_confidence(0.23, 5), 2)
    (1.0, 0.26)
    """
    covered = bm25_share / _TYPICAL_SHARE
    expected = max(1.0, math.sqrt(n_stems / _FEW_WORDS))
    return min(1.0, covered * expected) ** 2


def collection_trust(name: str, record: SignalRecord) -> float:
    """How far a signal can be trusted for any query of a collection, in [0, 1].

    An encoder that reads the language badly, or holds for alike what no other signal does, is
    trusted little. And where the reduction of tfidf keeps nearly as many directions as there are
    documents, nothing is latent any more: it says again what bm25 said, and need not.

    Examples
    --------
    >>> collection_trust("bert", SignalRecord("passages", 900, 900, agreement=0.4))
    1.0
    >>> collection_trust("tfidf", SignalRecord("documents", 240, 240, dimension=240))
    0.0
    """
    trust = min(record.legibility, min(1.0, record.agreement / _LEAST_AGREEMENT) ** 6)
    if name == "tfidf" and record.dimension is not None and record.n_rows:
        trust *= min(1.0, 2 * max(0.0, 1 - record.dimension / record.n_rows))
    return trust


def signal_confidence(
    bm25_share: float, n_stems: int, trust: Mapping[str, float]
) -> dict[str, float]:
    """How far each signal can be trusted for one query, in [0, 1].

    Parameters
    ----------
    bm25_share, n_stems
        As ``lexical_confidence`` has them.
    trust
        How far each can be trusted in this collection; 1 where nothing is said. Where that is
        little for bert, what the words say is doubted less in its favour.

    Examples
    --------
    >>> [round(signal_confidence(0.23, 5, {"bert": trust})["bm25"], 2) for trust in (1.0, 0.1)]
    [0.26, 0.93]
    """
    bert = trust.get("bert", 1.0)
    lexical = 1 - bert * (1 - lexical_confidence(bm25_share, n_stems))
    return {**{name: lexical * trust.get(name, 1.0) for name in LEXICAL_SIGNALS}, "bert": bert}


def effective_weights(
    names: Sequence[str],
    active: Sequence[bool],
    weights: Mapping[str, float] | None,
    confidence: Mapping[str, float] | None = None,
    *,
    defaults: Mapping[str, float] = DEFAULT_WEIGHTS,
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
    confidence
        How far signals can be trusted for this query, in [0, 1]: factors of their default
        weights, 1 where nothing is said. Weights asked for stay as they are.
    defaults
        What weighs where nothing is wanted: Trine's own weights, or those a version was tuned to.

    Examples
    --------
    >>> effective_weights(["bm25", "bert"], [True, False], None).tolist()
    [1.0, 0.0]
    >>> effective_weights(["bm25", "bert"], [True, True], {"bm25": 3, "bert": 1}).tolist()
    [0.75, 0.25]
    """
    wanted = defaults if weights is None else weights
    raw = np.array(
        [wanted.get(name, 0.0) * alive for name, alive in zip(names, active, strict=True)]
    )
    if weights is None:
        guarded = raw * [(confidence or {}).get(name, 1.0) for name in names]
        # Where only doubtful signals speak there is nobody else to trust.
        raw = guarded if guarded.sum() > 0 else raw
    total = raw.sum()
    return raw / total if total > 0 else raw
