"""The application: the JSON API and the pages in one Flask app."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException

import search_api.routes
import search_api.writing
from pipeline.version.collection import DEFAULT_COLLECTION, default_data_dir
from search_api.access import Access
from search_api.problems import INTERNAL_ERROR, problem_of, problem_response
from search_api.searchers import RerankSettings, SearcherPool
from web import console, contract_page, judging, lenses, map_page, pages, words
from web.layout import problem_page

__all__ = ["Settings", "create_app"]

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "script-src 'self'; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_STATIC = Path(__file__).parent / "static"
# The address of static files changes with them, so nobody need ask again.
_STATIC_MAX_AGE_S = 31_536_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is told.

    Parameters
    ----------
    data_dir
        The data folder; ``$TRINE_DATA_DIR`` or the platform's when ``None``.
    collection
        Collection that is searched when a request names none.
    reranking
        The re-ranker requests may ask for; none when ``None``.
    writable
        Whether requests from this machine may write documents.
    admin
        Whether requests from this machine may do what changes the collections.
    """

    data_dir: Path | None = None
    collection: str = DEFAULT_COLLECTION
    reranking: RerankSettings | None = None
    writable: bool = False
    admin: bool = False


def create_app(settings: Settings | None = None) -> Flask:
    """Make the application; opens no index until the first request asks.

    Parameters
    ----------
    settings
        The defaults when ``None`` (so ``flask --app web run`` works).
    """
    chosen = settings or Settings()
    app = Flask(__name__, static_url_path=f"/static/{_static_digest()}")
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = _STATIC_MAX_AGE_S
    app.jinja_options = {**app.jinja_options, "trim_blocks": True, "lstrip_blocks": True}
    pool = SearcherPool(
        chosen.data_dir or default_data_dir(), chosen.collection, reranking=chosen.reranking
    )
    access = Access(write=chosen.writable, admin=chosen.admin)
    search_api.routes.init_app(app, pool, access)
    search_api.writing.init_app(app)
    pages.init_app(app)
    lenses.init_app(app)
    words.init_app(app)
    map_page.init_app(app)
    judging.init_app(app)
    console.init_app(app)
    contract_page.init_app(app)
    app.register_error_handler(Exception, handle_error)
    app.after_request(add_headers)
    return app


def _static_digest() -> str:
    """What stands in the address of static files: the same for the same files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in _STATIC.rglob("*") if path.is_file()):
        digest.update(path.relative_to(_STATIC).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def handle_error(error: Exception) -> Response | HTTPException:
    """Answer an error as its reader can take it: a problem document, or a page."""
    if isinstance(error, HTTPException) and (error.code or 500) < 400:
        return error
    problem = problem_of(error)
    if problem.kind is INTERNAL_ERROR:
        current_app.logger.error("error at %s %s", request.method, request.path, exc_info=error)
    if request.path.startswith("/api/"):
        return problem_response(problem)
    return problem_page(problem)


def add_headers(response: Response) -> Response:
    """Tell the browser to run and to load nothing that is not ours."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
