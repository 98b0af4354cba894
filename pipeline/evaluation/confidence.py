"""Does an answer say so when it is none? Queries that a collection cannot answer.

Two kinds. Foreign queries are about another subject, or about nothing at all. In the hard case
the subject is right and the answer missing: each judged query is asked with all its relevant
documents hidden, and once more with them in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from encoders.protocol import ProgressCallback
from pipeline.evaluation.reliability import N_JUDGED_HITS
from pipeline.search.answer import Answer
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher

__all__ = [
    "NOTHING_ASKED",
    "ForeignQueries",
    "MissingAnswers",
    "area_under_roc",
    "ask_foreign",
    "ask_without_answers",
    "gibberish",
    "pooled",
]

NOTHING_ASKED = (
    "?!", "...", "-", "!!! ??? ...", "???????", "\N{BULLET} \N{BULLET}", "123 456", "a",
    "is it", "the of and", "what is the", "how do I", "and so on", "this or that", "with the",
)  # fmt: skip
"""Queries of punctuation, digits and stop words: as good as blank."""
_N_GIBBERISH = 60
_N_BOOTSTRAPPED = 1000
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class ForeignQueries:
    """Queries the collection cannot answer.

    Parameters
    ----------
    source
        Where they are from.
    n_answered
        How many of them get a confident answer all the same.
    examples
        The first ten of those.
    """

    source: str
    n_queries: int
    n_answered: int
    examples: list[str]

    @property
    def answered(self) -> float:
        """Share of them that get a confident answer."""
        return self.n_answered / self.n_queries if self.n_queries else 0.0

    def to_json(self) -> dict[str, object]:
        """The figures as JSON-ready values."""
        return {
            "source": self.source,
            "n_queries": self.n_queries,
            "answered": self.answered,
            "examples": self.examples,
        }


@dataclass(frozen=True, slots=True)
class MissingAnswers:
    """How well the best probability tells queries with their answers from those without.

    Parameters
    ----------
    answered, answered_without
        Share of confident answers, with and without the relevant documents.
    auroc
        Chance that a query with its answers has a higher best probability among its first ten
        hits than a query, the same or another, without; equal ones count half.
    low, high
        95 % bootstrap interval of ``auroc``, over queries.
    """

    n_queries: int
    answered: float
    answered_without: float
    auroc: float
    low: float
    high: float

    def to_json(self) -> dict[str, object]:
        """The figures as JSON-ready values."""
        return {
            "n_queries": self.n_queries,
            "answered": self.answered,
            "answered_without": self.answered_without,
            "auroc": self.auroc,
            "auroc_interval": [self.low, self.high],
        }


def gibberish(seed: int = 0) -> list[str]:
    """Sixty queries of one to four words of random letters.

    Examples
    --------
    >>> len(gibberish()), gibberish() == gibberish()
    (60, True)
    """
    rng = np.random.default_rng(seed)
    return [
        " ".join(
            "".join(rng.choice(list(_LETTERS), size=rng.integers(3, 11)))
            for _ in range(rng.integers(1, 5))
        )
        for _ in range(_N_GIBBERISH)
    ]


def ask_foreign(
    searcher: Searcher,
    source: str,
    texts: Sequence[str],
    base: Query,
    advance: ProgressCallback,
) -> ForeignQueries:
    """Ask queries that the collection cannot answer, as ``base`` asks."""
    answered = []
    for text in texts:
        if not searcher.search(_plain(base, text)).no_good_result:
            answered.append(text)
        advance(1)
    return ForeignQueries(source, len(texts), len(answered), answered[:10])


def pooled(parts: Sequence[ForeignQueries]) -> ForeignQueries:
    """All of them together, each query counting the same."""
    return ForeignQueries(
        "all",
        sum(part.n_queries for part in parts),
        sum(part.n_answered for part in parts),
        [text for part in parts for text in part.examples][:10],
    )


def ask_without_answers(
    searcher: Searcher,
    queries: Mapping[str, str],
    judged: Mapping[str, Mapping[str, int]],
    base: Query,
    advance: ProgressCallback,
    *,
    seed: int = 0,
) -> MissingAnswers:
    """Ask each judged query with its relevant documents, and with all of them hidden.

    Hidden documents are no candidates, and neither normalisation nor regularisation knows them;
    the rarity of words does.

    Parameters
    ----------
    judged
        Judgments of every query to ask, each with a relevant document.
    seed
        Of the bootstrap.
    """
    best, answered = np.empty((2, len(judged))), np.empty((2, len(judged)), np.bool_)
    for position, (query_id, judgments) in enumerate(judged.items()):
        relevant = {doc_id for doc_id, level in judgments.items() if level > 0}
        asked = _plain(base, queries[query_id])
        for side, hidden in enumerate(({query_id}, relevant | {query_id})):
            answer = searcher.search(asked, hidden=hidden)
            best[side, position] = _best(answer)
            answered[side, position] = not answer.no_good_result
        advance(1)
    low, high = _interval(best, seed)
    shares = answered.mean(axis=1)
    return MissingAnswers(
        len(judged), float(shares[0]), float(shares[1]), area_under_roc(*best), low, high
    )


def area_under_roc(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    """Chance that a positive scores above a negative, equal scores counting half.

    Parameters
    ----------
    positives, negatives
        float64, of any length but 0.

    References
    ----------
    Hanley & McNeil, Radiology 1982, doi:10.1148/radiology.143.1.7063747.

    Examples
    --------
    >>> area_under_roc(np.array([0.9, 0.5]), np.array([0.5, 0.1]))
    0.875
    """
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, side="left")
    not_above = np.searchsorted(ordered, positives, side="right")
    return float((below + not_above).mean() / (2 * len(negatives)))


def _interval(best: NDArray[np.float64], seed: int) -> tuple[float, float]:
    rng, n_queries = np.random.default_rng(seed), best.shape[1]
    # A query is drawn with both its answers: they belong together.
    found = [
        area_under_roc(*best[:, rng.integers(0, n_queries, n_queries)])
        for _ in range(_N_BOOTSTRAPPED)
    ]
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def _plain(base: Query, text: str) -> Query:
    return replace(base, text=text, k=N_JUDGED_HITS, page=1, explain=False, highlight=False)


def _best(answer: Answer) -> float:
    return max((hit.probability for hit in answer.hits), default=0.0)
