"""Judging: which hits answer a query, as people see it, kept for tuning and measuring."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, make_response, redirect, request

from ingest.errors import CorpusError, QueryError, TrineError
from pipeline.evaluation.tune import MIN_QUERIES
from pipeline.search.answer import Hit
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.judgments import Judged, judged_of_texts, texts_of_zip
from search_api.access import require
from search_api.judging_routes import judgment_folder
from search_api.problems import problem_of
from search_api.snapshot import current_pool
from web.forms import require_own_page
from web.layout import problem_page, render_page
from web.page_request import PageRequest, own
from web.passage_marks import Run, excerpt_of, runs_of, tightened, unwrapped
from web.plain_text import readable

__all__ = ["Candidate", "JudgedQueryView", "JudgingView", "blueprint", "init_app", "pooled"]

N_HYBRID = 20
N_SIGNAL = 10
_MAX_UPLOAD_BYTES = 20_000_000
_RELEVANCE: Mapping[str, int | None] = {"1": 1, "0": 0, "": None}
_KEPT = ("collection",)

blueprint = Blueprint("judging", __name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document to judge; ``relevance`` is ``None`` until somebody did.

    ``cut_before`` and ``cut_after`` tell whether the passage goes on there.
    """

    number: int
    doc_id: str
    title: str
    address: str
    runs: list[Run]
    cut_before: bool
    cut_after: bool
    relevance: int | None


@dataclass(frozen=True, slots=True)
class JudgedQueryView:
    """A query that was judged."""

    text: str
    address: str
    n_relevant: int
    n_other: int


@dataclass(frozen=True, slots=True)
class JudgingView:
    """All that the page shows; a query counts once something answers it."""

    candidates: list[Candidate]
    queries: list[JudgedQueryView]
    n_judgments: int
    n_answered: int
    n_wanted: int
    command: str


def init_app(app: Flask) -> None:
    """Give an application the page."""
    app.register_blueprint(blueprint)


@blueprint.get("/judging")
def judging_page() -> Response:
    """Show hits to judge, and how far one is."""
    require("write")
    try:
        asked = PageRequest.read(request.args.to_dict(flat=False), "/judging")
    except QueryError as error:
        return problem_page(problem_of(error))
    try:
        return render_page("judging.html", asked, view=_view(asked), kept_names=_KEPT)
    except TrineError as error:
        return problem_page(problem_of(error), asked)


@blueprint.post("/judging")
def judge() -> Response:
    """Keep one judgment."""
    require_own_page("write")
    form = request.form
    asked = PageRequest.read({name: form.getlist(name) for name in ("q", "collection")}, "/judging")
    collection, doc_id = asked.arguments.get("collection"), form.get("doc_id", "")
    relevance = form.get("relevance", "")
    if relevance not in _RELEVANCE:
        raise QueryError(f"relevance is {relevance!r:.40}; it must be 1, 0 or nothing")
    if _RELEVANCE[relevance] is not None:
        current_pool().get(collection).document(doc_id)
    judgment_folder(collection).judge(asked.text, doc_id, _RELEVANCE[relevance])
    number = form.get("number", "")
    place = f"#candidate-{number}" if number.isdecimal() and number.isascii() else ""
    return _to(asked.address() + place)


@blueprint.get("/judging/judgments.zip")
def export_judgments() -> Response:
    """Hand out all judgments of a collection in BEIR's layout."""
    require("write")
    asked = PageRequest.read(request.args.to_dict(flat=False), "/judging")
    folder = judgment_folder(asked.arguments.get("collection"))
    response = make_response(folder.export())
    response.content_type = "application/zip"
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Disposition"] = "attachment; filename=judgments.zip"
    return response


@blueprint.post("/judging/import")
def import_judgments() -> Response:
    """Add judgments from a zip file in BEIR's layout."""
    # Before the body is read: a form of another site's is not worth reading.
    require_own_page("write")
    request.max_content_length = _MAX_UPLOAD_BYTES
    asked = PageRequest.read({"collection": request.form.getlist("collection")}, "/judging")
    upload = request.files.get("judgments")
    if upload is None or not upload.filename:
        return problem_page(problem_of(CorpusError("no file was chosen")), asked)
    try:
        queries, qrels = texts_of_zip(upload.read())
        with tempfile.TemporaryDirectory() as place:
            more = judged_of_texts(queries, qrels, Path(place))
        judgment_folder(asked.arguments.get("collection")).add(more)
    except TrineError as error:
        return problem_page(problem_of(error), asked)
    return _to(asked.address())


def _to(address: str) -> Response:
    response = make_response(redirect(address, 303))
    response.headers["Cache-Control"] = "no-store"
    return response


def _view(asked: PageRequest) -> JudgingView:
    collection = asked.arguments.get("collection")
    searcher = current_pool().get(collection)
    judged = judgment_folder(collection).read()
    candidates = []
    if asked.text:
        known = judged.of_query(asked.text)
        hits = pooled(searcher, asked.search().query)
        candidates = [
            _candidate(number, hit, known.get(hit.doc_id), asked)
            for number, hit in enumerate(hits, start=1)
        ]
    return JudgingView(
        candidates=candidates,
        queries=_queries(judged, asked),
        n_judgments=judged.n_judgments,
        n_answered=judged.n_answered,
        n_wanted=MIN_QUERIES,
        command=f"trine tune --judgments --collection {searcher.collection}",
    )


def pooled(searcher: Searcher, query: Query) -> list[Hit]:
    """Hits to judge: the best of all signals together, then what single signals add.

    Who judges only what one ranking shows finds that ranking good; so each signal has its say, as
    in TREC's pools (Spärck Jones & van Rijsbergen, 1975).
    """
    plain = replace(query, explain=False, facets=(), page=1, diversity=0.0, collapse=False)
    found = {hit.doc_id: hit for hit in searcher.search(replace(plain, k=N_HYBRID)).hits}
    for name in searcher.signals:
        alone = replace(plain, k=N_SIGNAL, signals=(name,), weights=None)
        for hit in searcher.search(alone).hits:
            found.setdefault(hit.doc_id, hit)
    return list(found.values())


def _candidate(number: int, hit: Hit, relevance: int | None, asked: PageRequest) -> Candidate:
    excerpt = excerpt_of(hit.passage.text, hit.highlights)
    return Candidate(
        number=number,
        doc_id=hit.doc_id,
        title=readable(hit.title.strip() or hit.doc_id),
        address=asked.document_address(hit.doc_id, hit.passage.start, hit.passage.end),
        runs=tightened(runs_of(unwrapped(readable(excerpt.text)), excerpt.highlights)),
        cut_before=excerpt.cut_before,
        cut_after=excerpt.cut_after,
        relevance=relevance,
    )


def _queries(judged: Judged, asked: PageRequest) -> list[JudgedQueryView]:
    kept = {"collection": asked.arguments.get("collection")}
    views = []
    for query_id, text in reversed(judged.queries.items()):
        levels = judged.qrels[query_id].values()
        pairs = [(name, value) for name, value in {**kept, "q": text}.items() if value]
        n_relevant = sum(level > 0 for level in levels)
        views.append(
            JudgedQueryView(
                readable(text),
                own("/judging?" + urlencode(pairs)),
                n_relevant,
                len(levels) - n_relevant,
            )
        )
    return views
