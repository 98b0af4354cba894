"""One query over one collection, or over several at once.

Scores of different collections cannot be compared: each is made of that collection's own
statistics. Probabilities can, being calibrated on absolute evidence. So each collection ranks by
itself and the lists are merged like sorted files: of the next hit of each, the most probable is
taken, ties by doc_id and then by the collections' order. That keeps every collection's own order,
exact matches first, and the first n of the merged list need the first n of each list alone, so
pages neither overlap nor leave gaps. Totals add up, a document being one in each collection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from ingest.errors import QueryError
from pipeline.search.answer import Answer, Hit
from pipeline.search.query import MAX_K, Query
from pipeline.search.searcher import Searcher
from search_api.observing import searched
from search_api.parameters import SearchRequest
from search_api.snapshot import Snapshot

__all__ = ["MAX_COLLECTIONS", "answer_of", "searchers_of"]

MAX_COLLECTIONS = 10
_SUMMARY = (
    "collection",
    "version",
    "total",
    "no_good_result",
    "did_you_mean",
    "n_collapsed",
    "took_ms",
    "facets",
)


def searchers_of(wanted: SearchRequest, snapshot: Snapshot) -> list[Searcher]:
    """The searchers a request names, in its order.

    Raises
    ------
    QueryError
        If the names do not fit together.
    """
    collections = wanted.collections
    if len(collections) > MAX_COLLECTIONS:
        raise QueryError(
            f"{len(collections)} collections are named; at most {MAX_COLLECTIONS} are allowed",
            parameter="collection",
        )
    if not wanted.versions:
        return [snapshot.get(name) for name in collections or [None]]
    if len(wanted.versions) != max(len(collections), 1):
        raise QueryError(
            f"{len(wanted.versions)} versions are named for {max(len(collections), 1)} "
            "collections; name one each, in their order",
            parameter="version",
        )
    names = collections or (None,)
    return [snapshot.get(name, v) for name, v in zip(names, wanted.versions, strict=True)]


def answer_of(query: Query, searchers: Sequence[Searcher]) -> dict[str, object]:
    """Answer a query over each of some collections; JSON-ready.

    Raises
    ------
    QueryError
        If the query cannot be asked, or not of several collections.
    """
    if len(searchers) == 1:
        return searched(searchers[0], query).to_json()
    reach = query.page * query.k
    _check_of_several(query, reach)
    answers = [searched(searcher, replace(query, k=reach, page=1)) for searcher in searchers]
    merged = list(_merged(answers))[reach - query.k : reach]
    stages = list(dict.fromkeys(name for answer in answers for name in answer.stages_ms))
    reranked = [answer.rerank for answer in answers if answer.rerank is not None]
    return {
        "query": query.text,
        "collection": ",".join(answer.collection for answer in answers),
        "version": ",".join(answer.version for answer in answers),
        "took_ms": round(sum(answer.took_ms for answer in answers), 3),
        "stages_ms": {
            name: round(sum(answer.stages_ms.get(name, 0.0) for answer in answers), 3)
            for name in stages
        },
        "total": sum(answer.total for answer in answers),
        "page": query.page,
        "k": query.k,
        "no_good_result": all(answer.no_good_result for answer in answers),
        "did_you_mean": next((a.did_you_mean for a in answers if a.did_you_mean), None),
        "n_collapsed": sum(answer.n_collapsed for answer in answers),
        "rerank": asdict(reranked[0]) if reranked else None,
        "hits": [
            {
                **hit.to_json(),
                "rank": reach - query.k + place,
                "collection": answer.collection,
                "version": answer.version,
            }
            for place, (answer, hit) in enumerate(merged, start=1)
        ],
        # Each collection tells its 100 most frequent values: sums of these would not be exact.
        "facets": {},
        "collections": [_summary(answer) for answer in answers],
    }


def _check_of_several(query: Query, reach: int) -> None:
    if reach > MAX_K:
        raise QueryError(
            f"page {query.page} of {query.k} reaches hit {reach}; over several collections only "
            f"the first {MAX_K} can be paged",
            parameter="page",
        )
    for name, given in (("sort", query.sort), ("like", query.like), ("unlike", query.unlike)):
        if given:
            raise QueryError(
                f"{name} is for one collection: name one with collection", parameter=name
            )


def _merged(answers: Sequence[Answer]) -> Iterator[tuple[Answer, Hit]]:
    """All hits, each collection's in its own order, of the next of each the most probable."""
    places = [0] * len(answers)
    while True:
        heads = [
            (-answer.hits[place].probability, answer.hits[place].doc_id, number)
            for number, (answer, place) in enumerate(zip(answers, places, strict=True))
            if place < len(answer.hits)
        ]
        if not heads:
            return
        number = min(heads)[2]
        yield answers[number], answers[number].hits[places[number]]
        places[number] += 1


def _summary(answer: Answer) -> dict[str, object]:
    told = replace(answer, hits=[]).to_json()
    return {name: told[name] for name in _SUMMARY}
