"""Are probabilities what they say? Calibration of the first ten hits of judged queries.

Of the hits with a probability of .3, three in ten should be relevant. Hits are put into ten bins
of equal mass by their probability; how far mean probability and share of relevant hits lie apart,
on average over the hits, is the expected calibration error.

References
----------
Bins of equal mass: Nguyen & O'Connor, EMNLP 2015, doi:10.18653/v1/D15-1182. Expected calibration
error: Naeini, Cooper & Hauskrecht, AAAI 2015, doi:10.1609/aaai.v29i1.9602.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.folds import fold_positions
from pipeline.evaluation.platt import fit_platt
from pipeline.search.answer import Answer
from pipeline.search.calibration import Recalibration

__all__ = [
    "N_BINS",
    "N_JUDGED_HITS",
    "JudgedHits",
    "Reliability",
    "ReliabilityBin",
    "cross_validated",
    "expected_calibration_error",
    "measure_reliability",
    "reliability_bins",
    "wilson_interval",
]

N_BINS = 10
N_JUDGED_HITS = 10
_N_FOLDS = 5
# 95 % of a normal distribution lie within so many standard deviations.
_DEVIATIONS = 1.959963984540054


@dataclass(frozen=True, slots=True)
class JudgedHits:
    """The first ten hits of each judged query: how likely relevant, and whether they are.

    Parameters
    ----------
    texts
        Text of each query.
    query
        int64, shape (n_hits,): position of the query each hit belongs to.
    probability, cosine
        float64, shape (n_hits,): as served, and of the best passage, NaN where bert was not asked.
    exact
        bool, shape (n_hits,): whether the hit is, or literally contains, what was asked for.
    relevant
        bool, shape (n_hits,); what is not judged counts as not relevant.
    answered
        bool, shape (n_queries,): whether the query got a confident answer.
    """

    texts: Sequence[str]
    query: NDArray[np.int64]
    probability: NDArray[np.float64]
    cosine: NDArray[np.float64]
    exact: NDArray[np.bool_]
    relevant: NDArray[np.bool_]
    answered: NDArray[np.bool_]

    @classmethod
    def collect(
        cls,
        answers: Iterable[tuple[str, Answer]],
        texts: Mapping[str, str],
        qrels: Mapping[str, Mapping[str, int]],
    ) -> JudgedHits:
        """Judge the first ten hits of each explained answer.

        A document whose id is the query's own id is left out, as BEIR does.
        """
        asked: list[str] = []
        query: list[int] = []
        probability: list[float] = []
        cosine: list[float | None] = []
        exact: list[bool] = []
        relevant: list[bool] = []
        answered: list[bool] = []
        for query_id, answer in answers:
            hits = [hit for hit in answer.hits if hit.doc_id != query_id][:N_JUDGED_HITS]
            query += [len(asked)] * len(hits)
            probability += [hit.probability for hit in hits]
            found = [hit.explanation.get("bert") for hit in hits]
            cosine += [None if one is None else one.raw for one in found]
            exact += [hit.exactness > 0 for hit in hits]
            relevant += [qrels[query_id].get(hit.doc_id, 0) > 0 for hit in hits]
            answered.append(not answer.no_good_result)
            asked.append(texts[query_id])
        return cls(
            asked,
            np.array(query, np.int64),
            np.array(probability, np.float64),
            # None becomes NaN.
            np.array(cosine, np.float64),
            np.array(exact, np.bool_),
            np.array(relevant, np.bool_),
            np.array(answered, np.bool_),
        )

    def take(self, chosen: NDArray[np.bool_]) -> JudgedHits:
        """The chosen hits, of the same queries."""
        return replace(
            self,
            query=self.query[chosen],
            probability=self.probability[chosen],
            cosine=self.cosine[chosen],
            exact=self.exact[chosen],
            relevant=self.relevant[chosen],
        )

    def fit(self) -> Recalibration:
        """The level of probability that these judgments make likeliest, of no encoder.

        Exact hits have no part in it: they keep at least Trine's own probability.
        """
        plain = self.take(~self.exact)
        return fit_platt(plain.probability, plain.cosine, plain.relevant)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bin of a reliability diagram.

    Parameters
    ----------
    n_hits, n_relevant
        Hits in it, and how many of them are relevant.
    predicted, observed
        Mean probability, and share of relevant hits.
    low, high
        Wilson's 95 % interval of ``observed``.
    """

    n_hits: int
    n_relevant: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """How well probabilities of the first ten hits are calibrated.

    Parameters
    ----------
    ece
        Expected calibration error of the probabilities as served.
    ece_cross_validated
        The same once each fold of the queries is recalibrated on the others; ``None`` where
        fewer than two queries differ.
    ece_by_chance
        What probabilities that are exactly right would show on so many hits.
    bins
        The reliability diagram, as served, the least likely first.
    """

    n_hits: int
    n_relevant: int
    ece: float
    ece_cross_validated: float | None
    ece_by_chance: float
    bins: list[ReliabilityBin]

    def to_json(self) -> dict[str, object]:
        """The figures as JSON-ready values."""
        return {
            "n_hits": self.n_hits,
            "n_relevant": self.n_relevant,
            "ece": self.ece,
            "ece_cross_validated": self.ece_cross_validated,
            "ece_by_chance": self.ece_by_chance,
            "bins": [asdict(one) for one in self.bins],
        }


def measure_reliability(hits: JudgedHits, *, seed: int = 0) -> Reliability:
    """Measure how well the probabilities of judged hits are calibrated.

    Parameters
    ----------
    seed
        Of the folds, and of what chance would show.
    """
    recalibrated = cross_validated(hits, n_folds=_N_FOLDS, seed=seed)
    return Reliability(
        n_hits=len(hits.relevant),
        n_relevant=int(np.count_nonzero(hits.relevant)),
        ece=expected_calibration_error(hits.probability, hits.relevant),
        ece_cross_validated=(
            None
            if recalibrated is None
            else expected_calibration_error(recalibrated, hits.relevant)
        ),
        ece_by_chance=_error_by_chance(hits.probability, seed),
        bins=reliability_bins(hits.probability, hits.relevant),
    )


def cross_validated(
    hits: JudgedHits, *, n_folds: int = _N_FOLDS, seed: int = 0
) -> NDArray[np.float64] | None:
    """Probabilities with each fold of the queries recalibrated on all other folds.

    Returns
    -------
    float64, shape (n_hits,)
        ``None`` where fewer than two queries differ: there is nothing to hold out.
    """
    folds = fold_positions(hits.texts, n_folds, seed)
    if len(folds) < 2:
        return None
    found = np.empty(len(hits.probability))
    for fold in folds:
        held_out = np.isin(hits.query, fold)
        level = hits.take(~held_out).fit()
        part = hits.take(held_out)
        found[held_out] = level.apply(part.probability, part.cosine, part.exact)
    return found


def expected_calibration_error(
    probability: NDArray[np.float64], relevant: NDArray[np.bool_]
) -> float:
    """Mean distance, over the hits, of their bin's mean probability and share of relevant hits.

    Examples
    --------
    >>> expected_calibration_error(np.array([0.2, 0.9]), np.array([False, True])).__round__(3)
    0.15
    """
    bins = reliability_bins(probability, relevant)
    total = sum(one.n_hits for one in bins)
    return sum(abs(one.predicted - one.observed) * one.n_hits for one in bins) / max(total, 1)


def reliability_bins(
    probability: NDArray[np.float64], relevant: NDArray[np.bool_], n_bins: int = N_BINS
) -> list[ReliabilityBin]:
    """Cut hits, by probability, into bins of as nearly the same number as can be.

    Parameters
    ----------
    probability
        float64, shape (n_hits,).
    relevant
        bool, shape (n_hits,).

    Returns
    -------
    list of ReliabilityBin
        The least likely first; fewer than ``n_bins`` where there are fewer hits.
    """
    order = np.argsort(probability, kind="stable")
    return [
        _bin(probability[part], relevant[part])
        for part in np.array_split(order, n_bins)
        if len(part)
    ]


def _bin(probability: NDArray[np.float64], relevant: NDArray[np.bool_]) -> ReliabilityBin:
    n_relevant = int(np.count_nonzero(relevant))
    low, high = wilson_interval(n_relevant, len(relevant))
    predicted, observed = float(probability.mean()), n_relevant / len(relevant)
    return ReliabilityBin(len(relevant), n_relevant, predicted, observed, low, high)


def wilson_interval(n_relevant: int, n_hits: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, JASA 1927, doi:10.1080/01621459.1927.10502953).

    Examples
    --------
    >>> [round(edge, 3) for edge in wilson_interval(0, 10)]
    [0.0, 0.278]
    """
    share, squared = n_relevant / n_hits, _DEVIATIONS**2
    middle = (share + squared / (2 * n_hits)) / (1 + squared / n_hits)
    spread = share * (1 - share) / n_hits + squared / (4 * n_hits**2)
    half = _DEVIATIONS * math.sqrt(spread) / (1 + squared / n_hits)
    return max(0.0, middle - half), min(1.0, middle + half)


def _error_by_chance(probability: NDArray[np.float64], seed: int, n_drawn: int = 100) -> float:
    rng = np.random.default_rng(seed)
    drawn = rng.random((n_drawn, len(probability))) < probability
    return float(np.mean([expected_calibration_error(probability, one) for one in drawn]))
