"""Search: one query, many, over one collection or several; suggestions; recommendations."""

from __future__ import annotations

from dataclasses import asdict

from ingest.errors import QueryError, TrineError
from pipeline.search.query import MAX_QUERY_CHARACTERS, RESULT_WINDOW
from search_api.answer_models import BatchAnswer, SearchAnswer, SuggestAnswer
from search_api.caching import Answered
from search_api.contract import Example, Operations
from search_api.observing import searched
from search_api.parameters import (
    SearchRequest,
    query_of,
    search_from_object,
    search_of,
)
from search_api.problems import problem_of
from search_api.request_models import (
    BatchRequest,
    RecommendRequest,
    SearchParameters,
    SuggestParameters,
)
from search_api.several_collections import answer_of, searchers_of
from search_api.snapshot import Snapshot, current_pool

__all__ = ["operations"]

operations = Operations("Search", "Find documents, and what is being typed.")
_OVER_SEVERAL = (
    "Several collections at once are each searched by themselves; their hits are merged best "
    "probability first, each collection's own order kept. `collections` then tells each one's "
    "totals and facets, `collection` and `version` name all of them, and giving these back asks "
    "the same snapshots again; page times k reaches at most 1,000, and `sort`, `like` and "
    "`unlike` are for one collection."
)


@operations.add(
    "POST",
    "/search",
    name="searchByBody",
    summary="Search, the parameters in a JSON object",
    description=_OVER_SEVERAL,
    asks=SearchParameters,
    answers=SearchAnswer,
    example=Example(
        asks={"q": "parse a date", "k": 3, "weights": {"bm25": 0.4, "bert": 0.6}, "explain": False}
    ),
)
@operations.add(
    "GET",
    "/search",
    name="search",
    summary="Search",
    description=_OVER_SEVERAL,
    asks=SearchParameters,
    answers=SearchAnswer,
    example=Example(asks={"q": "read a file line by line", "k": 3}),
)
def search(asked: SearchParameters) -> Answered:
    """Answer a query."""
    wanted = search_of(asked)
    pool = current_pool()
    query = pool.with_reranking(wanted.query) if wanted.rerank else wanted.query
    searchers = searchers_of(wanted, Snapshot(pool))
    # A re-ranker has so much time and no more: the same request may be answered differently.
    versions = () if wanted.rerank else [searcher.version for searcher in searchers]
    return Answered(lambda: answer_of(query, searchers), versions, pinned=bool(wanted.versions))


@operations.add(
    "POST",
    "/search/batch",
    name="searchBatch",
    summary="Search for several things at once",
    description="Each query has its own answer or its own problem, and all that name the same "
    "collection see the same version.",
    asks=BatchRequest,
    answers=BatchAnswer,
    example=Example(asks={"queries": [{"q": "open a file", "k": 1}, {"q": "json", "k": 1}]}),
)
def search_batch(asked: BatchRequest) -> Answered:
    """Answer several queries."""
    snapshot = Snapshot(current_pool())
    entries: list[dict[str, object]] = []
    n_hits = 0
    for body in asked.queries:
        try:
            wanted = search_from_object(body)
            n_hits += wanted.query.k
            if n_hits > RESULT_WINDOW:
                raise QueryError(
                    f"the queries of the batch up to this one ask for {n_hits} hits; "
                    f"together they may ask for {RESULT_WINDOW}",
                    parameter="k",
                )
            entries.append({"status": 200, "answer": _answer(wanted, snapshot)})
        except TrineError as error:
            problem = problem_of(error)
            entries.append({"status": problem.kind.status, "problem": problem.to_json()})
    return Answered(lambda: {"answers": entries})


def _answer(wanted: SearchRequest, snapshot: Snapshot) -> dict[str, object]:
    query = snapshot.pool.with_reranking(wanted.query) if wanted.rerank else wanted.query
    return answer_of(query, searchers_of(wanted, snapshot))


@operations.add(
    "POST",
    "/recommend",
    name="recommend",
    summary="Recommend documents by what somebody liked",
    description="The mean of the liked documents' embeddings, moved away from the disliked ones "
    "(Rocchio); none of them is found again. One that is named twice counts once.",
    asks=RecommendRequest,
    answers=SearchAnswer,
    example=Example(asks={"liked": ["open", "json.load"], "disliked": ["time.sleep"], "k": 3}),
)
def recommend(asked: RecommendRequest) -> Answered:
    """Find more like some documents, and less like others."""
    if not asked.liked:
        raise QueryError("liked is empty: name at least one document", parameter="liked")
    try:
        # Somebody's last clicks may hold a document twice.
        liked, disliked = (tuple(dict.fromkeys(ids)) for ids in (asked.liked, asked.disliked))
        query = query_of(asked, asked.q or "", like=liked, unlike=disliked)
        searcher = current_pool().get(asked.collection, asked.version)
        content = searched(searcher, query).to_json()
    except QueryError as error:
        # The query knows them by other names.
        name = {"like": "liked", "unlike": "disliked"}.get(error.parameter or "")
        if name is None:
            raise
        message = str(error).replace("like and unlike", "liked and disliked")
        raise QueryError(
            message.replace(f"{error.parameter}: ", f"{name}: ", 1), parameter=name
        ) from error
    return Answered(lambda: content)


@operations.add(
    "GET",
    "/suggest",
    name="suggest",
    summary="Complete what is being typed",
    description="By titles and frequent phrases; misspelt words are corrected where nothing "
    "continues them.",
    asks=SuggestParameters,
    answers=SuggestAnswer,
    example=Example(asks={"q": "read", "limit": 5}),
)
def suggest(asked: SuggestParameters) -> Answered:
    """Complete what is being typed."""
    if len(asked.q) > MAX_QUERY_CHARACTERS:
        raise QueryError(
            f"q has {len(asked.q)} characters; at most {MAX_QUERY_CHARACTERS} are allowed",
            parameter="q",
        )
    searcher = current_pool().get(asked.collection, asked.version)

    def make() -> dict[str, object]:
        found = searcher.suggest(asked.q, asked.limit, filter=asked.filter or None)
        return {
            "query": asked.q,
            "collection": searcher.collection,
            "version": searcher.version,
            "suggestions": [asdict(suggestion) for suggestion in found],
        }

    return Answered(make, [searcher.version], pinned=bool(asked.version))
