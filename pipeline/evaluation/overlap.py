"""How alike two versions answer, where nothing is judged: overlap@10 on queries from the documents.

Of each query's ten best documents, the share that both versions name (Webber, Moffat & Zobel 2010,
doi:10.1145/1852102.1852106, section 2, call it the overlap at depth 10).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.document_store import DocumentStore

__all__ = ["Overlap", "overlap_at_10", "sample_queries"]

DEPTH = 10
N_SAMPLED = 50
_N_SHOWN = 5
_QUERY_WORDS = 12


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two versions have in common among their ten best.

    Parameters
    ----------
    mean
        Mean share over the queries, in [0, 1]; 1 where there is no query.
    least
        The queries that differ most, with the share of each; only those below 1.
    """

    mean: float
    n_queries: int
    least: list[tuple[str, float]]

    def to_json(self) -> dict[str, object]:
        """The overlap as JSON-ready values."""
        least = [{"query": query, "overlap": share} for query, share in self.least]
        return {"mean": self.mean, "n_queries": self.n_queries, "least": least}


def sample_queries(
    store: DocumentStore, doc_ids: Sequence[str], n_queries: int = N_SAMPLED
) -> list[str]:
    """Titles of documents drawn evenly, or their first words where they have none.

    Parameters
    ----------
    doc_ids
        Documents to draw from; the same ones give the same queries, in the same order.
    """
    ordered = sorted(doc_ids)
    step = max(len(ordered) / n_queries, 1.0)
    drawn = [ordered[int(n * step)] for n in range(min(n_queries, len(ordered)))]
    documents = store.documents([store.row(doc_id) for doc_id in drawn])
    found = (
        " ".join((document.title or document.text).split()[:_QUERY_WORDS]) for document in documents
    )
    return list(dict.fromkeys(query for query in found if query))


def overlap_at_10(first: Searcher, second: Searcher, queries: Sequence[str]) -> Overlap:
    """Ask both the same, each as it ranks by default."""
    shares = {query: _share(_best(first, query), _best(second, query)) for query in queries}
    differing = sorted((share, query) for query, share in shares.items() if share < 1)
    return Overlap(
        sum(shares.values()) / len(shares) if shares else 1.0,
        len(shares),
        [(query, share) for share, query in differing[:_N_SHOWN]],
    )


def _best(searcher: Searcher, query: str) -> set[str]:
    asked = Query(query, k=DEPTH, explain=False, highlight=False)
    return {hit.doc_id for hit in searcher.search(asked).hits}


def _share(first: set[str], second: set[str]) -> float:
    return len(first & second) / max(len(first), len(second), 1) if first or second else 1.0
