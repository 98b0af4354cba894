"""Answers to agents' questions, JSON-ready, from what an asker can reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ingest.errors import QueryError
from search_api.agent_models import (
    AgentFound,
    AgentHit,
    DocumentQuestion,
    NoQuestion,
    PassagesQuestion,
    SearchQuestion,
    SimilarQuestion,
)
from search_api.parameters import search_from_object
from search_api.reach import Reach
from search_api.request_models import Place
from search_api.several_collections import answer_of, searchers_of
from search_api.snapshot import Snapshot

__all__ = [
    "describe_collection",
    "get_document",
    "get_passages",
    "list_collections",
    "search",
    "similar_documents",
]


def search(reach: Reach, asked: SearchQuestion) -> dict[str, Any]:
    """Find documents."""
    if not asked.q.strip():
        raise QueryError("q is empty: say what to find", parameter="q")
    return _found(reach, asked.model_dump())


def similar_documents(reach: Reach, asked: SimilarQuestion) -> dict[str, Any]:
    """Find documents like one."""
    members = asked.model_dump()
    members["like"] = [members.pop("doc_id")]
    # A name with a comma in it is still one name.
    for name in ("collection", "version"):
        members[name] = [members[name]] if members[name] else []
    try:
        return _found(reach, members)
    except QueryError as error:
        if error.parameter == "like" and error.__cause__ is not None:
            # Here the document goes by another name.
            raise error.__cause__ from error
        raise


def _found(reach: Reach, members: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: list(v) if isinstance(v, tuple) else v for name, v in members.items()}
    wanted = search_from_object({**given, "explain": False})
    found = answer_of(wanted.query, searchers_of(wanted, Snapshot(reach)))
    hits = found["hits"]
    place = {"collection": found["collection"], "version": found["version"]}
    kept = set(AgentFound.model_fields)
    of_hit = set(AgentHit.model_fields)
    return {
        **{name: value for name, value in found.items() if name in kept},
        "hits": [
            {name: value for name, value in {**place, **hit}.items() if name in of_hit}
            for hit in (hits if isinstance(hits, list) else [])
        ],
    }


def get_document(reach: Reach, asked: DocumentQuestion) -> dict[str, Any]:
    """Read a document, or a part of it."""
    searcher = reach.get(asked.collection or None, asked.version or None)
    found = searcher.document(asked.doc_id)
    end = asked.start + asked.max_characters
    return {
        "doc_id": found.doc_id,
        "title": found.title,
        "text": found.text[asked.start : end],
        "url": found.url,
        "metadata": dict(found.metadata),
        "names": list(found.names),
        "collection": searcher.collection,
        "version": searcher.version,
        "start": asked.start,
        "n_characters": len(found.text),
        "next_start": end if end < len(found.text) else None,
    }


def get_passages(reach: Reach, asked: PassagesQuestion) -> dict[str, Any]:
    """Read a document's passages."""
    searcher = reach.get(asked.collection or None, asked.version or None)
    found = searcher.passages(asked.doc_id)
    shown = found[asked.first - 1 : asked.first - 1 + asked.limit]
    return {
        "doc_id": asked.doc_id,
        "collection": searcher.collection,
        "version": searcher.version,
        "first": asked.first,
        "n_passages": len(found),
        "passages": [
            {"text": p.text, "start": p.start, "end": p.end, "page": p.page} for p in shown
        ],
    }


def list_collections(reach: Reach, asked: NoQuestion) -> dict[str, Any]:
    """Tell what can be searched."""
    return {
        "default_collection": reach.default_collection,
        "collections": [reach.state(name).to_json() for name in reach.names()],
    }


def describe_collection(reach: Reach, asked: Place) -> dict[str, Any]:
    """Tell what a collection has."""
    searcher = reach.get(asked.collection or None, asked.version or None)
    return {
        "collection": searcher.collection,
        "version": searcher.version,
        "documents": searcher.n_documents,
        "signals": list(searcher.signals),
        "fields": list(searcher.fields),
        "facets": searcher.facet_fields(),
    }
