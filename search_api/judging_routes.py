"""Judgments: which documents people found relevant for which queries. Needs the scope write."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline.version.judgments import (
    Judged,
    JudgmentFolder,
    judged_of_texts,
)
from search_api.answer_models import JudgedAnswer, JudgmentsAnswer
from search_api.caching import Answered
from search_api.contract import Example, Operations
from search_api.request_models import CollectionRequest, JudgeRequest, JudgmentsImport
from search_api.snapshot import current_pool

__all__ = ["judgment_folder", "operations"]

operations = Operations(
    "Judgments", "What people judged, for tuning and measuring. Needs the scope write."
)


@operations.add(
    "GET",
    "/judgments",
    name="judgments",
    summary="List all judgments of a collection",
    asks=CollectionRequest,
    answers=JudgmentsAnswer,
    scope="write",
    statuses=(403, 404, 503),
)
def judgments(asked: CollectionRequest) -> Answered:
    """List judgments, by query in the order they were first judged in."""
    folder = judgment_folder(asked.collection)
    judged = folder.read()
    return Answered(
        lambda: {
            **_counts(folder, judged),
            "queries": [
                {
                    "query_id": query_id,
                    "query": text,
                    "judgments": [
                        {"doc_id": doc_id, "relevance": relevance}
                        for doc_id, relevance in judged.qrels[query_id].items()
                    ],
                }
                for query_id, text in judged.queries.items()
            ],
        }
    )


@operations.add(
    "POST",
    "/judgments",
    name="judge",
    summary="Judge a document for a query",
    description="Judged again, the last judgment counts; without `relevance` it is taken back.",
    asks=JudgeRequest,
    answers=JudgedAnswer,
    scope="write",
    statuses=(403, 404, 503),
    example=Example(asks={"query": "open a file", "doc_id": "json.load", "relevance": 1}),
)
def judge(asked: JudgeRequest) -> Answered:
    """Keep one judgment."""
    searcher = current_pool().get(asked.collection)
    if asked.relevance is not None:
        searcher.document(asked.doc_id)
    folder = judgment_folder(asked.collection)
    judged = folder.judge(asked.query, asked.doc_id, asked.relevance)
    return Answered(
        lambda: {
            **_counts(folder, judged),
            "query_id": judged.query_id(asked.query),
            "doc_id": asked.doc_id,
            "relevance": asked.relevance,
        }
    )


@operations.add(
    "POST",
    "/judgments/import",
    name="importJudgments",
    summary="Add judgments made elsewhere",
    description="The content of BEIR's two files. Where a document was judged for a query already, "
    "the added judgment counts; queries of the same words are one. All is added or nothing.",
    asks=JudgmentsImport,
    answers=JudgedAnswer,
    scope="write",
    statuses=(403, 404, 503),
    example=Example(
        asks={
            "queries": '{"_id": "1", "text": "open a file"}\n',
            "qrels": "query-id\tcorpus-id\tscore\n1\tjson.load\t1\n",
        }
    ),
)
def import_judgments(asked: JudgmentsImport) -> Answered:
    """Add judgments."""
    folder = judgment_folder(asked.collection)
    with tempfile.TemporaryDirectory() as place:
        more = judged_of_texts(asked.queries, asked.qrels, Path(place))
    judged = folder.add(more)
    return Answered(lambda: _counts(folder, judged))


def judgment_folder(collection: str | None) -> JudgmentFolder:
    """Where a collection's judgments lie.

    Raises
    ------
    UnknownIndexError
        If there is no such collection.
    """
    return JudgmentFolder(current_pool().existing_folder(collection).judgments_path)


def _counts(folder: JudgmentFolder, judged: Judged) -> dict[str, object]:
    return {
        "collection": folder.path.parent.parent.name,
        "n_queries": len(judged.queries),
        "n_answered": judged.n_answered,
        "n_judgments": judged.n_judgments,
    }
