"""The application: the JSON API and the pages in one Flask app."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from flask import Flask, Response, current_app, redirect, request, url_for
from flask_cors import CORS
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as BaseResponse

import search_api.observing
import search_api.overload
import search_api.routes
from ingest.errors import QueryError
from pipeline.version.collection import DEFAULT_COLLECTION, default_data_dir
from search_api import rate_limits
from search_api.access import (
    Access,
    UnauthorizedError,
    key_of_request,
    may,
    require,
    shows_key,
)
from search_api.contract import PREFIX
from search_api.observing import Observing
from search_api.problems import INTERNAL_ERROR, problem_of, problem_response
from search_api.rate_limits import RateLimit, RateLimiter
from search_api.request_ids import request_id
from search_api.searchers import RerankSettings, SearcherPool
from web import (
    console,
    contract_page,
    judging,
    lenses,
    map_page,
    pages,
    sign_in,
    words,
)
from web.layout import problem_page

__all__ = ["Settings", "checked_origin", "create_app"]

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
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?")
_PREFLIGHT_MAX_AGE_S = 600
# Blueprints whose every route says itself what it needs.
_WITH_SCOPES = frozenset({"api", "console", "writing", "sign_in"})
# What tells nothing of documents; of it, what is asked all the time and costs nothing.
_PUBLIC = frozenset({"static", "contract.contract_page", "pages.problem_kind_page"})
_UNCOUNTED = frozenset({"static", "api.live", "api.ready"})
_ASKED_HEADERS = ("Authorization", "X-API-Key", "Content-Type", "If-None-Match", "X-Request-ID")
_ANSWERED_HEADERS = (
    "ETag",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)


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
    keys_required
        Whether nothing is answered to those who show no API key.
    rate_limit
        How much each key, and each address without one, may ask; no bound when ``None``.
    cors_origins
        Origins whose pages may ask the API, ``"*"`` for any: no others when empty.
    n_proxies
        How many proxies in front are trusted to say, by ``X-Forwarded-...``, who asks for what.
    observing
        What is noted about requests.
    """

    data_dir: Path | None = None
    collection: str = DEFAULT_COLLECTION
    reranking: RerankSettings | None = None
    writable: bool = False
    admin: bool = False
    keys_required: bool = False
    rate_limit: RateLimit | None = None
    cors_origins: tuple[str, ...] = ()
    n_proxies: int = 0
    observing: Observing = field(default_factory=Observing)


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
    access = Access(chosen.writable, chosen.admin, chosen.keys_required)
    search_api.routes.init_app(app, pool, access)
    search_api.observing.init_app(app, chosen.observing)
    search_api.overload.init_app(app)
    pages.init_app(app)
    lenses.init_app(app)
    words.init_app(app)
    map_page.init_app(app)
    judging.init_app(app)
    console.init_app(app)
    contract_page.init_app(app)
    sign_in.init_app(app, pool.data_dir)
    limiter = None
    if chosen.rate_limit is not None:
        limiter = RateLimiter(pool.data_dir / "state" / "rates.sqlite", chosen.rate_limit)
    rate_limits.init_app(app, limiter, exempt=_is_uncounted)
    app.before_request(_require_key_for_pages)
    if chosen.cors_origins:
        _allow_origins(app, chosen.cors_origins)
    if chosen.n_proxies:
        n = chosen.n_proxies
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=n, x_proto=n, x_host=n, x_prefix=n
        )
    app.register_error_handler(Exception, handle_error)
    app.after_request(add_headers)
    return app


def _static_digest() -> str:
    """What stands in the address of static files: the same for the same files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in _STATIC.rglob("*") if path.is_file()):
        digest.update(path.relative_to(_STATIC).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def handle_error(error: Exception) -> BaseResponse | HTTPException:
    """Answer an error as its reader can take it: a problem document, or a page."""
    if isinstance(error, HTTPException) and (error.code or 500) < 400:
        return error
    problem = problem_of(error)
    if problem.kind is INTERNAL_ERROR:
        current_app.logger.error(
            "error at %s %s (request %s)",
            request.method,
            quote(request.path),
            request_id(),
            exc_info=error,
        )
    if request.path.startswith("/api/"):
        return problem_response(problem)
    is_part = request.path.startswith("/parts/")
    if isinstance(error, UnauthorizedError) and key_of_request() is None and not is_part:
        return sign_in.sign_in_first()
    # Whoever put a part into a page goes to sign in with all of it.
    return problem_page(problem, template="problem_part.html" if is_part else "problem.html")


def _require_key_for_pages() -> BaseResponse | None:
    """Let nobody see a page who may not search; the API's operations each ask for themselves."""
    is_public = request.endpoint is None or request.endpoint in _PUBLIC
    if is_public or request.blueprint in _WITH_SCOPES or request.method == "OPTIONS":
        return None
    # The start page is where one gets by signing in, and by the name above every page.
    if request.endpoint == "pages.search_page" and not may("search") and may("admin"):
        return redirect(url_for("console.console_page"), 303)
    require("search")
    return None


def _is_uncounted() -> bool:
    return request.method == "OPTIONS" or request.endpoint in _UNCOUNTED


def checked_origin(text: str) -> str:
    """An origin as browsers name it, ``https://shop.example:8443``, or ``*``.

    Raises
    ------
    QueryError
        If it is anything else: some texts would be read as patterns.
    """
    if text != "*" and not _ORIGIN.fullmatch(text):
        raise QueryError(
            f"the origin {text!r} cannot be read: write https://shop.example, with the port where "
            "it is not the usual one, or *"
        )
    return text.lower()


def _allow_origins(app: Flask, origins: Sequence[str]) -> None:
    CORS(
        app,
        resources={rf"{PREFIX}/.*": {"origins": list(origins)}},
        methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
        allow_headers=[*_ASKED_HEADERS],
        expose_headers=[*_ANSWERED_HEADERS],
        # A key is given by the page's own script; sessions are for our own pages.
        supports_credentials=False,
        max_age=_PREFLIGHT_MAX_AGE_S,
    )


def add_headers(response: Response) -> Response:
    """Tell the browser to run and to load nothing that is not ours, and caches what is private."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if shows_key():
        # A cache between us and others may not give them this.
        response.headers.setdefault("Cache-Control", "private, no-cache")
    return response
