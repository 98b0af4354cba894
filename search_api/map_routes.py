"""The map: where every document lies, which documents those are, and which a query found."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import numpy as np

from ingest.errors import QueryError
from pipeline.search.map_region import MAP_UNITS, map_units
from pipeline.search.searcher import Searcher
from pipeline.version.document_map import UNMAPPED, DocumentMap
from search_api.answer_models import MapAnswer, MapDocumentsAnswer, MapHitsAnswer
from search_api.caching import Answered
from search_api.contract import Example, Operations
from search_api.parameters import search_of
from search_api.problems import NoMapError
from search_api.request_models import MapDocumentsRequest, Place, SearchParameters
from search_api.snapshot import current_pool

__all__ = ["NO_CLUSTER", "map_of", "operations"]

NO_CLUSTER = 255
"""Cluster of a document without a place, as the answer writes it."""

operations = Operations("Map", "A picture of the documents, drawn when they were indexed.")


@operations.add(
    "GET",
    "/map",
    name="map",
    summary="Tell where every document lies",
    description="Documents whose embeddings are alike lie together. Seven bytes a document, as "
    "base64: 100,000 of them are 700 kB. Rows number the documents of one version, so the other "
    "operations on the map are to be given this answer's `version`.",
    asks=Place,
    answers=MapAnswer,
)
def document_map(asked: Place) -> Answered:
    """Tell where every document lies."""
    searcher = current_pool().get(asked.collection, asked.version)
    found = map_of(searcher)

    def make() -> dict[str, object]:
        units = map_units(found).astype("<u2")
        clusters = np.where(found.clusters == UNMAPPED, NO_CLUSTER, found.clusters).astype(np.uint8)
        centers = found.drawing.centers.astype(np.float64)
        middles = np.rint(np.stack([centers[:, 0] + 1, 1 - centers[:, 1]], 1) / 2 * MAP_UNITS)
        return {
            **_found_in(searcher),
            "drawing": found.drawing_id,
            "signal": found.signal,
            "n_documents": len(units),
            "width": MAP_UNITS,
            "positions": b64encode(units.tobytes()).decode("ascii"),
            "clusters": b64encode(clusters.tobytes()).decode("ascii"),
            "named": [
                {
                    "cluster": number,
                    "terms": list(terms),
                    "n_documents": count,
                    "x": int(x),
                    "y": int(y),
                }
                for number, (terms, count, (x, y)) in enumerate(
                    zip(found.names, found.counts().tolist(), middles.tolist(), strict=True)
                )
            ],
        }

    return Answered(make, [searcher.version], pinned=bool(asked.version))


@operations.add(
    "GET",
    "/map/documents",
    name="mapDocuments",
    summary="Tell which documents lie at places of the map",
    asks=MapDocumentsRequest,
    answers=MapDocumentsAnswer,
    example=Example(asks={"rows": "0,1"}),
)
def map_documents(asked: MapDocumentsRequest) -> Answered:
    """Tell ids and titles of documents by their rows."""
    searcher = current_pool().get(asked.collection, asked.version)
    map_of(searcher)
    if (last := max(asked.rows)) >= searcher.n_documents:
        raise QueryError(
            f"rows holds {last}; the rows of this version end at {searcher.n_documents - 1}",
            parameter="rows",
        )

    def make() -> dict[str, object]:
        documents = zip(asked.rows, searcher.documents_at(asked.rows), strict=True)
        return {
            **_found_in(searcher),
            "documents": [
                {"row": row, "doc_id": document.doc_id, "title": document.title}
                for row, document in documents
            ],
        }

    return Answered(make, [searcher.version], pinned=bool(asked.version))


@operations.add(
    "GET",
    "/map/hits",
    name="mapHits",
    summary="Tell where a query's hits lie",
    description="Takes what a search takes, in one collection, and answers with the hits' rows.",
    asks=SearchParameters,
    answers=MapHitsAnswer,
    example=Example(asks={"q": "read a file", "k": 3}),
)
def map_hits(asked: SearchParameters) -> Answered:
    """Tell where hits lie."""
    wanted = search_of(asked)
    if len(wanted.collections) > 1:
        raise QueryError(
            f"{len(wanted.collections)} collections are named; each has a map of its own: name one",
            parameter="collection",
        )
    pool = current_pool()
    searcher = pool.get(wanted.collection, wanted.version)
    found = map_of(searcher)
    query = replace(wanted.query, explain=False, explain_words=False, highlight=False)
    query = pool.with_reranking(query) if wanted.rerank else query

    def make() -> dict[str, object]:
        answer = searcher.search(query)
        rows = searcher.rows([hit.doc_id for hit in answer.hits])
        return {
            **_found_in(searcher),
            "query": answer.query,
            "drawing": found.drawing_id,
            "total": answer.total,
            "no_good_result": answer.no_good_result,
            "did_you_mean": answer.did_you_mean,
            "hits": [
                {
                    "row": row,
                    "doc_id": hit.doc_id,
                    "title": hit.title,
                    "rank": hit.rank,
                    "score": hit.score,
                    "probability": hit.probability,
                }
                for row, hit in zip(rows, answer.hits, strict=True)
            ],
        }

    # A re-ranker has so much time and no more: the same request may be answered differently.
    versions = () if wanted.rerank else (searcher.version,)
    return Answered(make, versions, pinned=bool(wanted.versions))


def map_of(searcher: Searcher) -> DocumentMap:
    """The map of a version.

    Raises
    ------
    NoMapError
        If it has none.
    """
    if searcher.map is None:
        raise NoMapError(
            f"version {searcher.version} of {searcher.collection!r} has no map: it was built by an "
            "earlier release or without embeddings (trine reindex draws one), or the key sees but "
            "a part of it"
        )
    return searcher.map


def _found_in(searcher: Searcher) -> dict[str, object]:
    return {"collection": searcher.collection, "version": searcher.version}
