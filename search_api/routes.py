"""The routes of the JSON API, below ``/api/v1``."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, current_app, request

from ingest.documents import Document
from pipeline.search.searcher import Searcher
from search_api.addresses import DocIdConverter
from search_api.json_format import json_response
from search_api.parameters import (
    SearchRequest,
    checked_names,
    place_from_arguments,
    read_json_object,
    search_from_arguments,
    search_from_object,
)
from search_api.problems import UnsupportedBodyError
from search_api.searchers import SearcherPool

__all__ = ["EXTENSION", "MAX_BODY_BYTES", "blueprint", "current_pool", "document_json", "init_app"]

MAX_BODY_BYTES = 1_000_000
EXTENSION = "trine_searchers"

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")


def init_app(app: Flask, pool: SearcherPool) -> None:
    """Give an application the API, answered from a pool of searchers."""
    app.extensions[EXTENSION] = pool
    # Two slashes in a row may be part of a document's id.
    app.url_map.merge_slashes = False
    app.url_map.converters["doc_id"] = DocIdConverter
    app.register_blueprint(blueprint)


def current_pool() -> SearcherPool:
    """Searchers of the application that handles this request."""
    pool: SearcherPool = current_app.extensions[EXTENSION]
    return pool


@blueprint.before_request
def limit_body() -> None:
    """Read no body larger than the API takes."""
    request.max_content_length = MAX_BODY_BYTES


@blueprint.route("/search", methods=["GET", "POST"])
def search() -> Response:
    """Answer a query."""
    asked = _posted_search() if request.method == "POST" else _search_of_arguments()
    pool = current_pool()
    query = pool.with_reranking(asked.query) if asked.rerank else asked.query
    searcher = pool.get(asked.collection, asked.version)
    return json_response(searcher.search(query).to_json())


@blueprint.get("/documents/<doc_id:doc_id>")
def document(doc_id: str) -> Response:
    """Show one document whole."""
    place = place_from_arguments(request.args.to_dict(flat=False))
    searcher = current_pool().get(*place)
    return json_response(document_json(searcher, searcher.document(doc_id)))


@blueprint.get("/health")
def health() -> Response:
    """Tell that queries can be answered, and over what."""
    checked_names(request.args, ())
    pool = current_pool()
    pool.get()
    states = [pool.state(name) for name in pool.names()]
    return json_response(
        {
            "status": "ok",
            "default_collection": pool.default_collection,
            "collections": [state.to_json() for state in states],
        }
    )


def document_json(searcher: Searcher, found: Document) -> dict[str, object]:
    """A document as JSON-ready values, and where it was found."""
    return {
        "doc_id": found.doc_id,
        "title": found.title,
        "text": found.text,
        "url": found.url,
        "metadata": dict(found.metadata),
        "names": list(found.names),
        "collection": searcher.collection,
        "version": searcher.version,
    }


def _search_of_arguments() -> SearchRequest:
    return search_from_arguments(request.args.to_dict(flat=False))


def _posted_search() -> SearchRequest:
    if not request.is_json:
        raise UnsupportedBodyError(
            f"the body is {request.mimetype or 'of no stated type'!r}; "
            "send JSON with Content-Type: application/json"
        )
    # Parameters stand in the body; what the address says as well must not be lost silently.
    checked_names(request.args, ())
    return search_from_object(read_json_object(request.get_data()))
