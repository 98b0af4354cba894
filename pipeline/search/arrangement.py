"""The options that put the best documents in another order: re-ranking, collapse, diversity.

Each looks at a fixed number of the best documents, whatever page is asked for, so pages of one
query neither overlap nor gap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from encoders.reranker import shared_reranker
from pipeline.search.answer import RerankOutcome
from pipeline.search.passage_choice import best_passage_rows, passage_of
from pipeline.search.query import Query
from pipeline.search.ranking import Ranking
from pipeline.search.reranking import RerankMemory, rerank
from pipeline.search.signals import Scorer
from pipeline.search.variety import N_VARIED, alike, collapse, embeddings_of, marginal_order
from pipeline.version.open_version import OpenVersion

__all__ = ["Arrangement", "Arranger", "arranger_for"]


@dataclass(frozen=True)
class Arrangement:
    """Documents in the order to show them.

    Parameters
    ----------
    ranking
        In order; this need not be that of the scores once diversity was asked for.
    collapsed
        Row of a document -> rows of the near-duplicates it stands for, absent from ``ranking``.
    rerank
        What came of re-ranking; ``None`` where it was not asked for.
    """

    ranking: Ranking
    collapsed: Mapping[int, list[int]] = field(default_factory=dict)
    rerank: RerankOutcome | None = None


Arranger: TypeAlias = Callable[[Ranking], Arrangement]
"""Arranges documents given best first."""


def arranger_for(
    query: Query,
    meaning: str,
    version: OpenVersion,
    scorers: Mapping[str, Scorer],
    memory: RerankMemory,
) -> Arranger | None:
    """What a query's options do to the order; ``None`` where it asks for none of them.

    Parameters
    ----------
    meaning
        The query's text without operators.
    scorers
        Signals bound to the query.
    memory
        What re-ranking to earlier queries of this version gave.
    """
    is_varied = query.diversity > 0 or query.collapse is not False
    if query.rerank is None and not is_varied:
        return None

    def arrange(ranking: Ranking) -> Arrangement:
        outcome = None
        if query.rerank is not None:
            ranking, outcome = rerank(
                ranking,
                query,
                meaning,
                shared_reranker(query.rerank),
                passage_rows=lambda rows: best_passage_rows(version, scorers, rows),
                read=lambda rows, passages: _texts(version, rows, passages),
                memory=memory,
            )
        varied, collapsed = ranking, dict[int, list[int]]()
        if is_varied:
            varied, collapsed = _varied(ranking, query, version, scorers)
        return Arrangement(varied, collapsed, outcome)

    return arrange


def _texts(
    version: OpenVersion, rows: NDArray[np.int64], passages: NDArray[np.int64]
) -> Sequence[str]:
    documents = version.documents.documents(rows.tolist())
    return [
        f"{document.title}\n{passage_of(version, document, passage).text}".strip()
        for document, passage in zip(documents, passages.tolist(), strict=True)
    ]


def _varied(
    ranking: Ranking, query: Query, version: OpenVersion, scorers: Mapping[str, Scorer]
) -> tuple[Ranking, dict[int, list[int]]]:
    n_varied = min(N_VARIED, len(ranking))
    rows = ranking.rows[:n_varied]
    signal, embeddings = embeddings_of(version, scorers, rows)
    order = np.arange(n_varied)
    collapsed: dict[int, list[int]] = {}
    if query.collapse is not False:
        threshold = alike(signal) if query.collapse is True else query.collapse
        groups = collapse(embeddings, threshold)
        order = np.array(list(groups), np.int64)
        collapsed = {int(rows[kept]): rows[others].tolist() for kept, others in groups.items()}
    if query.diversity > 0:
        order = order[marginal_order(ranking.take(order), embeddings[order], query.diversity)]
    return ranking.take(np.concatenate([order, np.arange(n_varied, len(ranking))])), collapsed
