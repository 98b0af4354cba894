"""The JSON API, below ``/api/v1``: every operation there is, and the document about them."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, request

from search_api import (
    access,
    document_routes,
    embedding_routes,
    health_routes,
    judging_routes,
    map_routes,
    request_ids,
    search_routes,
    snapshot,
    version_routes,
    writing,
)
from search_api.addresses import DocIdConverter
from search_api.caching import Answered, answer_response
from search_api.contract import PREFIX, register
from search_api.keys import KeyStore
from search_api.openapi import openapi_document
from search_api.parameters import checked_names
from search_api.searchers import SearcherPool

__all__ = ["ALL_OPERATIONS", "init_app"]

ALL_OPERATIONS = (
    search_routes.operations,
    document_routes.operations,
    writing.operations,
    embedding_routes.operations,
    map_routes.operations,
    judging_routes.operations,
    version_routes.operations,
    health_routes.operations,
)
"""Every module of routes; one that is added here is served and documented."""


def init_app(app: Flask, pool: SearcherPool, allowed: access.Access) -> None:
    """Give an application the API, answered from a pool of searchers."""
    snapshot.init_app(app, pool)
    access.init_app(app, allowed, KeyStore(pool.data_dir))
    request_ids.init_app(app)
    # Two slashes in a row may be part of a document's id.
    app.url_map.merge_slashes = False
    app.url_map.converters["doc_id"] = DocIdConverter
    blueprint = Blueprint("api", __name__, url_prefix=PREFIX)
    for operations in ALL_OPERATIONS:
        register(blueprint, operations)
    blueprint.add_url_rule("/openapi.json", "openapi", _contract)
    app.register_blueprint(blueprint)
    writing.init_app(app)


def _contract() -> Response:
    checked_names(request.args, ())
    server = request.script_root + "/"
    return answer_response(
        Answered(lambda: openapi_document(ALL_OPERATIONS, server=server), ["contract", server])
    )
