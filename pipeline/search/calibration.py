"""How likely is a hit relevant? A logistic curve over absolute evidence.

Fused scores are relative to a query's own candidates: the best of a bad lot scores as high as
the best of a good one. So probability looks at what does not depend on the other candidates:
the cosine of the best passage, and the share of the BM25 score the query could reach at most.
The coefficients were fitted on judged collections and on queries asked of collections on
another subject (see ARCHITECTURE.md, "Probability"). A collection with judgments of its own can
have its own level: a `Recalibration`, which ``trine tune`` fits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ingest.errors import IndexCorruptError

__all__ = [
    "COSINE_COEFFICIENT",
    "GOOD_PROBABILITY",
    "RECALIBRATED",
    "Recalibration",
    "best_possible_bm25",
    "log_odds",
    "probabilities",
]

# Below this the best hit is not worth showing as an answer. It is held against the curve itself:
# whether a query's subject is in the collection does not depend on how many of its hits the
# collection's judges found relevant.
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
# A collection's own level is fitted on the first of these curves, and says nothing of the others.
RECALIBRATED = ("bm25", "bert")
COSINE_COEFFICIENT = _CURVES[0][1]["bert"]
_ROUNDING = 1e-9
# Being, or literally containing, what was asked for is evidence enough by itself.
_EXACT = 8.0


@dataclass(frozen=True, slots=True)
class Recalibration:
    """A collection's own level: ``intercept + slope * log-odds + cosine * cosine`` (Platt scaling).

    Together with the curve's own coefficients these are coefficients of the same two pieces of
    evidence, and neither is below 0: a probability never falls as evidence rises.

    Parameters
    ----------
    intercept
        Any finite number.
    slope
        Of the log-odds on Trine's own curve; at least 0.
    cosine
        Of the best passage's cosine; may be negative, as long as the whole never falls with it.
    encoder
        Fingerprint of the ``bert`` encoder whose cosines it was fitted on; it says nothing of
        another's.

    Raises
    ------
    IndexCorruptError
        If they are anything else: they are read from a manifest.

    References
    ----------
    Platt, Advances in Large Margin Classifiers, 1999.

    Examples
    --------
    >>> Recalibration(1.0, 2.0, 0.0, "minilm").apply(np.array([0.5]), np.zeros(1)).round(3).tolist()
    [0.731]
    """

    intercept: float
    slope: float
    cosine: float
    encoder: str

    def __post_init__(self) -> None:
        numbers = [self.intercept, self.slope, self.cosine]
        sound = (
            all(isinstance(one, int | float) and math.isfinite(one) for one in numbers)
            and self.slope >= 0
            and self.slope * COSINE_COEFFICIENT + self.cosine >= -_ROUNDING
            and isinstance(self.encoder, str)
        )
        if not sound:
            raise IndexCorruptError(
                f"{(*numbers, self.encoder)!r} make no calibration: "
                "activate another version (trine versions list) or rebuild (trine reindex --full)"
            )

    def apply(
        self,
        probability: NDArray[np.float64],
        cosine: NDArray[np.float64],
        certain: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float64]:
        """Probabilities on the collection's own level.

        Parameters
        ----------
        probability, cosine
            float64, shape (n,): on Trine's own curve, and of the best passage, NaN where there is
            none.
        certain
            bool, shape (n,): which documents are, or contain, exactly what was asked for. Judged
            queries say little about those: they fall no lower than Trine's own curve has them.
        """
        known = np.where(np.isnan(cosine), 0.0, cosine)
        found = _logistic(self.intercept + self.slope * log_odds(probability) + self.cosine * known)
        return (
            found if certain is None else np.where(certain, np.maximum(found, probability), found)
        )

    def to_manifest(self) -> dict[str, object]:
        """The calibration as JSON keeps it."""
        return asdict(self)

    @classmethod
    def from_manifest(cls, kept: object) -> Recalibration | None:
        """A calibration as JSON keeps it; ``None`` where it keeps none."""
        if kept is None:
            return None
        found = kept if isinstance(kept, Mapping) else {}
        return cls(*(found.get(entry.name) for entry in fields(cls)))  # type: ignore[arg-type]


def log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """``log(p / (1 - p))``, finite for every p in [0, 1]."""
    tiny = np.finfo(np.float64).eps
    kept = np.clip(probability, tiny, 1 - tiny)
    result: NDArray[np.float64] = np.log(kept) - np.log1p(-kept)
    return result


def _logistic(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    # Further out, floats know no probability below 1.
    result: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(logit, -36.0, 36.0)))
    return result


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
    logit = intercept + _EXACT * certain.astype(np.float64)
    for name, coefficient in coefficients.items():
        logit = logit + coefficient * np.where(np.isnan(evidence[name]), 0.0, evidence[name])
    return _logistic(logit)
