"""One page out of everything that matches: order, probability, totals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.errors import QueryError
from pipeline.search.arrangement import Arrangement, Arranger
from pipeline.search.calibration import Recalibration, probabilities
from pipeline.search.query import Query
from pipeline.search.ranking import EVERYTHING, Ranking, Retrieval
from pipeline.search.variety import N_VARIED
from pipeline.version.metadata_columns import MetadataColumns

__all__ = ["Page", "cut_page"]


@dataclass(frozen=True)
class Page:
    """The hits of one page, scored, and what is known of all that match.

    Parameters
    ----------
    ranking, probability
        The page's documents in order, and how likely each is relevant.
    best_probability
        The highest among all candidates, whatever page is asked for, on Trine's own level.
    total
        How many documents match.
    matching
        Rows of all of them, where a facet or a sort needs them; ``None`` otherwise.
    arrangement
        What options made of the order; ``None`` where none was asked for.
    """

    ranking: Ranking
    probability: NDArray[np.float64]
    best_probability: float
    total: int
    matching: NDArray[np.int64] | None
    arrangement: Arrangement | None = None


def cut_page(
    query: Query,
    retrieval: Retrieval,
    metadata: MetadataColumns,
    best_bm25: float,
    arrange: Arranger | None = None,
    calibration: Recalibration | None = None,
) -> Page:
    """Rank as far as the page reaches, and cut the page out.

    Parameters
    ----------
    best_bm25
        Upper bound of the BM25 score any document can reach for this query.
    arrange
        Puts the best documents in another order before the page is cut; not with a sort.
    calibration
        The collection's own level of probability; Trine's where ``None``.

    Raises
    ------
    QueryError
        If the field to sort by does not exist, or the direction is neither asc nor desc.
    """
    begin, end = (query.page - 1) * query.k, query.page * query.k
    certain = retrieval.exactness.certain
    best = float(_probabilities(retrieval.head_ranking, certain, best_bm25).max(initial=0.0))
    total, matching, arrangement = retrieval.total, None, None
    # Documents that others stand for take no place on a page, so as many more are needed.
    reach = end if arrange is None else max(end + N_VARIED, query.rerank_depth)
    ranking = retrieval.rank(reach if query.min_probability is None else EVERYTHING)

    def likely(ranking: Ranking) -> NDArray[np.float64]:
        found = _probabilities(ranking, certain, best_bm25)
        if calibration is None:
            return found
        return calibration.apply(found, ranking.raw_of("bert"), _flags(ranking, certain))

    if query.min_probability is not None:
        ranking = ranking.take(likely(ranking) >= query.min_probability)
        total, matching = len(ranking), ranking.rows
    elif query.facets or query.sort:
        matching = retrieval.matching_rows()
    if arrange is not None:
        arrangement = arrange(ranking)
        ranking = arrangement.ranking
    if query.sort and matching is not None:
        rows = _sorted_rows(query.sort, matching, metadata)[begin:end]
        ranking = retrieval.rank_rows(rows)
    elif begin or end < len(ranking):
        ranking = ranking.take(np.arange(min(begin, len(ranking)), min(end, len(ranking))))
    return Page(ranking, likely(ranking), best, total, matching, arrangement)


def _probabilities(
    ranking: Ranking, certain: frozenset[int], best_bm25: float
) -> NDArray[np.float64]:
    evidence = {name: ranking.raw_of(name) for name in ranking.signals}
    if "bm25" in evidence:
        # Where no word of the query can match, every score is 0 already.
        evidence["bm25"] = evidence["bm25"] / (best_bm25 or 1.0)
    return probabilities(evidence, _flags(ranking, certain))


def _flags(ranking: Ranking, certain: frozenset[int]) -> NDArray[np.bool_]:
    flags = np.zeros(len(ranking), np.bool_)
    if certain:
        flags[:] = [row in certain for row in ranking.rows.tolist()]
    return flags


def _sorted_rows(
    sort: str, rows: NDArray[np.int64], metadata: MetadataColumns
) -> NDArray[np.int64]:
    name, _, direction = sort.rpartition(":") if ":" in sort else (sort, "", "asc")
    if direction not in {"asc", "desc"}:
        raise QueryError(
            f"sort is {sort!r}; write field, field:asc or field:desc", parameter="sort"
        )
    codes = metadata.column(name, parameter="sort").first_codes()[rows]
    keys = codes if direction == "asc" else -codes
    # Documents without the field come last either way.
    return rows[np.lexsort((rows, keys, codes < 0))]
