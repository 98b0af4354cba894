"""The pages: search, a document, and what went wrong."""

from __future__ import annotations

import re

from flask import Blueprint, Flask, Response, make_response, render_template, request

from ingest.documents import Document
from ingest.errors import QueryError, TrineError
from pipeline.search.answer import Highlight
from search_api.observing import searched
from search_api.problems import ERROR_KINDS, HTTP_KINDS, INTERNAL_ERROR, Problem, problem_of
from search_api.searchers import CollectionState
from search_api.snapshot import current_pool
from web.page_request import PageRequest, own
from web.passage_marks import runs_of
from web.result_view import chips_of, readable, result_view, safe_link

__all__ = ["blueprint", "init_app", "problem_page"]

_MAX_FACETS = 6
_PASSAGE = re.compile(r"([0-9]{1,12})-([0-9]{1,12})")
# Shown on the home page of the standard library's documentation, where they make sense.
_PYTHON_EXAMPLES = (
    "read a file line by line",
    "run a program and capture its output",
    "count how often each value occurs",
    "turn text into a date",
    "json.dumps",
)

blueprint = Blueprint("pages", __name__)


def init_app(app: Flask) -> None:
    """Give an application the pages."""
    app.register_blueprint(blueprint)
    app.add_template_filter(readable, "readable")
    app.add_template_global(own, "own")


@blueprint.get("/")
def search_page() -> Response:
    """Show the search page: home without a query, results with one."""
    try:
        asked = PageRequest.read(request.args.to_dict(flat=False))
    except QueryError as error:
        return problem_page(problem_of(error))
    collection = asked.arguments.get("collection")
    if not asked.text:
        state = current_pool().state(collection)
        if state.error is not None:
            current_pool().get(collection)  # tells what is wrong, with the fitting status
        return _page("home.html", asked, state=state, examples=_examples(state))
    try:
        wanted = asked.search()
        searcher = current_pool().get(wanted.collection, wanted.version)
        asked = asked.within(searcher.fields)
        facets = searcher.facet_fields()[:_MAX_FACETS]
        query = asked.narrowed(wanted.query, facets)
        answer = searched(
            searcher, current_pool().with_reranking(query) if wanted.rerank else query
        )
    except TrineError as error:
        return problem_page(problem_of(error), asked)
    return _page(
        "results.html",
        asked,
        view=result_view(answer, asked),
        fields=searcher.fields,
        json_address=asked.json_address(query),
    )


@blueprint.get("/documents/<doc_id:doc_id>")
def document_page(doc_id: str) -> Response:
    """Show one document whole, the passage that was found marked in it."""
    asked = PageRequest.read(request.args.to_dict(flat=False))
    searcher = current_pool().get(asked.arguments.get("collection"), asked.arguments.get("version"))
    found = searcher.document(doc_id)
    return _page(
        "document.html",
        asked,
        document=found,
        title=readable(found.title.strip() or found.doc_id),
        runs=runs_of(readable(found.text), _passage_of(found)),
        chips=chips_of(found.metadata),
        link=safe_link(found.url),
        searcher=searcher,
    )


@blueprint.get("/problems/<slug>")
def problem_kind_page(slug: str) -> Response:
    """Say what a problem's ``type`` means."""
    kinds = {kind.slug: kind for kind in (*HTTP_KINDS.values(), *ERROR_KINDS.values())}
    kind = {**kinds, INTERNAL_ERROR.slug: INTERNAL_ERROR}.get(slug)
    if kind is None:
        return problem_page(Problem(HTTP_KINDS[404], "There is no such kind of problem."))
    return _page("problem_kind.html", PageRequest({}), kind=kind)


def problem_page(problem: Problem, asked: PageRequest | None = None) -> Response:
    """Say what went wrong to a person, the search box at hand."""
    response = _page("problem.html", asked or PageRequest({}), problem=problem)
    response.status_code = problem.kind.status
    for name, value in problem.headers:
        response.headers.setdefault(name, value)
    return response


def _page(template: str, asked: PageRequest, **values: object) -> Response:
    pool = current_pool()
    named = asked.arguments.get("collection")
    return make_response(
        render_template(
            template,
            asked=asked,
            collection=readable(named or pool.default_collection),
            collections=_collection_links(asked, pool.default_collection),
            **values,
        )
    )


def _collection_links(asked: PageRequest, default: str) -> list[tuple[str, str, bool]]:
    try:
        names = current_pool().names()
    except TrineError:
        return []
    current = asked.arguments.get("collection") or default
    bare = PageRequest({"q": asked.text} if asked.text else {})
    return [
        (name, bare.address(collection=None if name == default else name), name == current)
        for name in names
    ]


def _examples(state: CollectionState) -> tuple[str, ...]:
    from_pydoc = any(source.startswith("pydoc:") for source in state.sources)
    return _PYTHON_EXAMPLES if from_pydoc else ()


def _passage_of(document: Document) -> list[Highlight]:
    match = _PASSAGE.fullmatch(request.args.get("passage", ""))
    if match is None:
        return []
    start, end = sorted(min(int(place), len(document.text)) for place in match.groups())
    whole = end - start >= len(document.text.strip())
    return [] if whole or start == end else [Highlight(start, end, "semantic")]
