"""The pages: search, a document, and what went wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from flask import Blueprint, Flask, Response, jsonify, make_response, render_template, request

from ingest.documents import Document
from ingest.errors import QueryError, TrineError
from pipeline.search.answer import Highlight
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from search_api.observing import searched
from search_api.problems import ERROR_KINDS, HTTP_KINDS, INTERNAL_ERROR, Problem, problem_of
from search_api.searchers import CollectionState
from search_api.snapshot import current_pool
from web.layout import problem_page, render_page
from web.page_request import PageRequest, own
from web.passage_marks import runs_of
from web.plain_text import readable, safe_link
from web.result_view import chips_of, passage_views, result_view
from web.word_view import readings_of

__all__ = ["blueprint", "init_app"]

_MAX_FACETS = 6
_N_SUGGESTIONS = 8
_N_SIMILAR = 6
_SIMILAR_CHARACTERS = 140
_MOST_PASSAGES = 20
_MAX_SHORT_NAME = 16  # as OpenSearch allows
_PASSAGE = re.compile(r"([0-9]{1,12})-([0-9]{1,12})")
# Kept by a new search; what the sliders and the options say stands in fields of their own.
_KEPT_AT_HOME = (
    *("collection", "signals", "weights", "fusion", "min_probability"),
    *("rerank", "diversity", "collapse", "map_region"),
)
_KEPT_WITH_SLIDERS = tuple(name for name in _KEPT_AT_HOME if name != "weights")
# Shown on the home page of the standard library's documentation, where they make sense.
_PYTHON_EXAMPLES = (
    "read a file line by line",
    "run a program and capture its output",
    "count how often each value occurs",
    "turn text into a date",
    "json.dumps",
)

blueprint = Blueprint("pages", __name__)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where an answer is shown: as pages of their own, or as parts a script asked for.

    While somebody is typing, the last word may have to be finished first.
    """

    welcome: str
    answer: str
    problem: str
    typing: bool = False


@dataclass(frozen=True, slots=True)
class SimilarDocument:
    """A document like the one shown, and how it begins."""

    title: str
    beginning: str
    address: str


_PAGES = _Frame("home.html", "results.html", "problem.html")
_PARTS = _Frame("welcome.html", "answer.html", "problem_part.html")
_PARTS_WHILE_TYPING = replace(_PARTS, typing=True)


def init_app(app: Flask) -> None:
    """Give an application the pages."""
    app.register_blueprint(blueprint)
    app.add_template_filter(readable, "readable")
    app.add_template_global(own, "own")


@blueprint.get("/")
def search_page() -> Response:
    """Show the search page: home without a query, results with one."""
    return _search(_PAGES)


@blueprint.get("/parts/answer")
def answer_part() -> Response:
    """Show what the search page would show below its box, for a script to put there."""
    return _search(_PARTS_WHILE_TYPING if "typing" in request.args else _PARTS)


def _search(frame: _Frame) -> Response:
    try:
        asked = PageRequest.read(request.args.to_dict(flat=False))
    except QueryError as error:
        return problem_page(problem_of(error), template=frame.problem)
    try:
        if asked.text or asked.like:
            return _answer(frame, asked)
        return _welcome(frame, asked)
    except TrineError as error:
        return problem_page(problem_of(error), asked, frame.problem)


def _welcome(frame: _Frame, asked: PageRequest) -> Response:
    collection = asked.arguments.get("collection")
    state = current_pool().state(collection)
    if state.error is not None:
        current_pool().get(collection)  # tells what is wrong, with the fitting status
    return render_page(
        frame.welcome, asked, state=state, examples=_examples(state), kept_names=_KEPT_AT_HOME
    )


def _answer(frame: _Frame, asked: PageRequest) -> Response:
    wanted = asked.search()
    searcher = current_pool().get(wanted.collection, wanted.version)
    asked = asked.within(searcher.fields).balanced(searcher.ranking.weights)
    wanted = asked.search()
    query = asked.narrowed(wanted.query, searcher.facet_fields()[:_MAX_FACETS])
    completed = searcher.completed(query.text) if frame.typing else None
    if completed is not None:
        query = replace(query, text=completed)
    answer = searched(searcher, current_pool().with_reranking(query) if wanted.rerank else query)
    view = result_view(answer, asked, searcher)
    return render_page(
        frame.answer,
        asked,
        view=view,
        completed=completed,
        fields=searcher.fields,
        n_documents=searcher.n_documents,
        json_address=asked.json_address(query),
        kept_names=_KEPT_WITH_SLIDERS if view.balance else _KEPT_AT_HOME,
    )


@blueprint.get("/words-of-hit")
def words_of_hit_page() -> Response:
    """Show what each word of one hit brought: page ``page`` of a search, one hit a page."""
    return _words_of_hit("words_of_hit.html")


@blueprint.get("/parts/words-of-hit")
def words_of_hit_part() -> Response:
    """The same, for a script to put below the hit."""
    return _words_of_hit("words_of_hit_part.html")


def _words_of_hit(template: str) -> Response:
    asked = PageRequest.read(request.args.to_dict(flat=False))
    wanted = asked.search()
    searcher = current_pool().get(wanted.collection, wanted.version)
    asked = asked.within(searcher.fields)
    query = replace(asked.narrowed(wanted.query, ()), k=1, explain_words=True)
    answer = searcher.search(current_pool().with_reranking(query) if wanted.rerank else query)
    if not answer.hits:
        return problem_page(Problem(HTTP_KINDS[404], f"There is no hit {query.page}."), asked)
    hit = answer.hits[0]
    return render_page(
        template,
        asked,
        title=readable(hit.title.strip() or hit.doc_id),
        rank=hit.rank,
        readings=readings_of(hit),
        back=asked.address(k=None, page=None),
        kept_names=_KEPT_AT_HOME,
    )


@blueprint.get("/passages")
def passages_page() -> Response:
    """Show a document's passages, nearest to the query first, but the one shown already."""
    return _passages("passages.html")


@blueprint.get("/parts/passages")
def passages_part() -> Response:
    """The same, for a script to put below the hit."""
    return _passages("passages_part.html")


def _passages(template: str) -> Response:
    asked = PageRequest.read(request.args.to_dict(flat=False))
    wanted = asked.search()
    searcher = current_pool().get(wanted.collection, wanted.version)
    doc_id, but = request.args.get("document", ""), request.args.get("but", "")
    found = searcher.passages_for(wanted.query, doc_id)
    found = [one for one in found if str(one.passage.start) != but]
    return render_page(
        template,
        asked,
        title=readable(searcher.document(doc_id).title.strip() or doc_id),
        passages=passage_views(found[:_MOST_PASSAGES], doc_id, asked),
        n_left_out=max(len(found) - _MOST_PASSAGES, 0),
        back=asked.address(),
        kept_names=_KEPT_AT_HOME,
    )


@blueprint.get("/documents/<doc_id:doc_id>")
def document_page(doc_id: str) -> Response:
    """Show one document whole, the passage that was found marked in it."""
    asked = PageRequest.read(request.args.to_dict(flat=False))
    searcher = current_pool().get(asked.arguments.get("collection"), asked.arguments.get("version"))
    found = searcher.document(doc_id)
    return render_page(
        "document.html",
        asked,
        document=found,
        title=readable(found.title.strip() or found.doc_id),
        runs=runs_of(readable(found.text), _passage_of(found)),
        chips=chips_of(found.metadata),
        link=safe_link(found.url),
        searcher=searcher,
        similar=_similar(searcher, doc_id, asked),
        more_address=asked.toward(doc_id),
        kept_names=_KEPT_AT_HOME,
    )


@blueprint.get("/opensearch.xml")
def opensearch() -> Response:
    """Describe the search to browsers, so that they can offer it in their address bar."""
    asked = PageRequest.read(request.args.to_dict(flat=False))
    named = asked.arguments.get("collection")
    text = render_template(
        "opensearch.xml",
        name=readable(f"Trine {named}" if named else "Trine")[:_MAX_SHORT_NAME],
        description=readable(f"Search {named or current_pool().default_collection}"),
        host=request.host_url.rstrip("/"),
        own_address=asked.opensearch_address(),
        collection_suffix=asked.collection_suffix(),
    )
    response = make_response(text)
    response.content_type = "application/opensearchdescription+xml; charset=utf-8"
    return response


@blueprint.get("/suggestions")
def suggestions() -> Response:
    """Complete what is typed in a browser's address bar, as OpenSearch wants it."""
    asked = PageRequest.read(request.args.to_dict(flat=False))
    texts: list[str] = []
    if asked.text:
        searcher = current_pool().get(asked.arguments.get("collection"))
        texts = [found.text for found in searcher.suggest(asked.text, _N_SUGGESTIONS)]
    response = jsonify([asked.text, texts])
    response.content_type = "application/x-suggestions+json"
    return response


@blueprint.get("/problems/<slug>")
def problem_kind_page(slug: str) -> Response:
    """Say what a problem's ``type`` means."""
    kinds = {kind.slug: kind for kind in (*HTTP_KINDS.values(), *ERROR_KINDS.values())}
    kind = {**kinds, INTERNAL_ERROR.slug: INTERNAL_ERROR}.get(slug)
    if kind is None:
        return problem_page(Problem(HTTP_KINDS[404], "There is no such kind of problem."))
    return render_page("problem_kind.html", PageRequest({}), kind=kind)


def _similar(searcher: Searcher, doc_id: str, asked: PageRequest) -> list[SimilarDocument]:
    found = searcher.search(Query("", k=_N_SIMILAR, like=(doc_id,), explain=False))
    return [
        SimilarDocument(
            readable(hit.title.strip() or hit.doc_id),
            readable(" ".join(hit.passage.text.split())[:_SIMILAR_CHARACTERS]),
            asked.document_address(hit.doc_id, hit.passage.start, hit.passage.end),
        )
        for hit in found.hits
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
