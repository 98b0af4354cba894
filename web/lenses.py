"""One query through several lenses: each signal's own order beside the order of all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flask import Blueprint, Flask, Response, request

from ingest.errors import QueryError, TrineError
from pipeline.search.answer import Answer, Hit
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from search_api.problems import problem_of
from search_api.snapshot import current_pool
from web.layout import problem_page, render_page
from web.page_request import PageRequest
from web.plain_text import readable
from web.score_bar import PART_LABELS

__all__ = [
    "HYBRID",
    "N_ROWS",
    "Comparison",
    "Lens",
    "Path",
    "Seat",
    "TableRow",
    "blueprint",
    "compared",
    "init_app",
]

HYBRID = "hybrid"
N_ROWS = 10
"""How many documents a lens shows."""

_DEPTH = 50  # how far down a document is followed
_ROW = 100.0  # height of a row, in units of the drawing
_WIDTH = 100.0  # of the gap between two lenses
_N_COLORS = 10

blueprint = Blueprint("lenses", __name__)


@dataclass(frozen=True, slots=True)
class Seat:
    """A document's place in one lens.

    Parameters
    ----------
    color
        Number of the document's color from 1, by its place in the hybrid; 0 for what the hybrid
        does not show.
    alone
        Whether no other lens shows it.
    """

    rank: int
    number: int
    title: str
    doc_id: str
    address: str
    color: int
    alone: bool


@dataclass(frozen=True, slots=True)
class Path:
    """A document's way from one lens to the next; ``drawn`` is the ``d`` of an SVG path.

    Parameters
    ----------
    kind
        ``staying``; ``leaving`` and ``coming`` go to and come from below the last row.
    """

    number: int
    color: int
    drawn: str
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Lens:
    """One order of documents, and the ways to the next lens."""

    name: str
    label: str
    method: str
    seats: list[Seat]
    paths: list[Path]
    n_shared: int


@dataclass(frozen=True, slots=True)
class TableRow:
    """One document and its rank in each lens, ``None`` where it is beyond what was followed."""

    title: str
    address: str
    color: int
    number: int
    ranks: list[int | None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same query through every lens."""

    lenses: list[Lens]
    rows: list[TableRow]
    remarks: list[tuple[str, str]]
    height: float
    depth: int


def init_app(app: Flask) -> None:
    """Give an application the page."""
    app.register_blueprint(blueprint)


@blueprint.get("/lenses")
def lenses_page() -> Response:
    """Show one query through every lens."""
    return _lenses("lenses.html", "problem.html")


@blueprint.get("/parts/lenses")
def lenses_part() -> Response:
    """What the page shows below its box, for a script to put there."""
    return _lenses("lenses_part.html", "problem_part.html")


def _lenses(template: str, problem_template: str) -> Response:
    try:
        asked = PageRequest.read(request.args.to_dict(flat=False), "/lenses")
    except QueryError as error:
        return problem_page(problem_of(error), template=problem_template)
    comparison = None
    try:
        searcher = current_pool().get(
            asked.arguments.get("collection"), asked.arguments.get("version")
        )
        if asked.text:
            asked = asked.within(searcher.fields)
            query = asked.narrowed(asked.search().query, ())
            comparison = compared(searcher, query, asked)
    except TrineError as error:
        return problem_page(problem_of(error), asked, problem_template)
    return render_page(template, asked, comparison=comparison, kept_names=("collection",))


def compared(searcher: Searcher, query: Query, asked: PageRequest) -> Comparison:
    """Ask each signal alone, and all together.

    Parameters
    ----------
    query
        Whose words, filter and steering count; how many hits, and by which signals, do not.
    asked
        For the links.
    """
    plain = replace(query, k=_DEPTH, page=1, sort=None, rerank=None, highlight=False)
    answers: dict[str, Answer] = {
        name: searcher.search(replace(plain, signals=(name,), weights=None))
        for name in searcher.signals
    }
    answers[HYBRID] = searcher.search(plain)
    ranks = {name: _ranks(answer) for name, answer in answers.items()}
    hits = {hit.doc_id: hit for answer in answers.values() for hit in answer.hits}
    shown = {name: [hit.doc_id for hit in answer.hits[:N_ROWS]] for name, answer in answers.items()}
    best = shown[HYBRID]
    # Numbered in the order a reader meets them: the hybrid's own, then lens by lens.
    order = list(dict.fromkeys([*best, *(i for name in searcher.signals for i in shown[name])]))
    number = {doc_id: place for place, doc_id in enumerate(order, 1)}
    color = {doc_id: min(place, _N_COLORS) for place, doc_id in enumerate(best, 1)}
    names = [*searcher.signals, HYBRID]

    def address(hit: Hit) -> str:
        return asked.document_address(hit.doc_id, hit.passage.start, hit.passage.end)

    lenses = []
    for place, name in enumerate(names):
        following = names[place + 1] if place + 1 < len(names) else None
        seats = [
            Seat(
                rank=ranks[name][doc_id],
                number=number[doc_id],
                title=_title(hits[doc_id]),
                doc_id=readable(doc_id),
                address=address(hits[doc_id]),
                color=color.get(doc_id, 0),
                alone=sum(doc_id in documents for documents in shown.values()) == 1,
            )
            for doc_id in shown[name]
        ]
        paths = []
        if following:
            moving = dict.fromkeys([*shown[name], *shown[following]])
            paths = [
                _path(
                    ranks[name].get(i), ranks[following].get(i), number[i], color.get(i, 0), title
                )
                for i in moving
                for title in [_title(hits[i])]
            ]
        label, method = PART_LABELS.get(name, ("All together", "hybrid"))
        lenses.append(Lens(name, label, method, seats, paths, len(set(shown[name]) & set(best))))
    rows = [
        TableRow(
            _title(hits[doc_id]),
            address(hits[doc_id]),
            color.get(doc_id, 0),
            number[doc_id],
            [ranks[name].get(doc_id) for name in names],
        )
        for doc_id in order
    ]
    return Comparison(lenses, rows, _remarks(lenses, rows), (N_ROWS + 0.5) * _ROW, _DEPTH)


def _ranks(answer: Answer) -> dict[str, int]:
    return {hit.doc_id: hit.rank for hit in answer.hits}


def _title(hit: Hit) -> str:
    return readable(hit.title.strip() or hit.doc_id)


def _path(start: int | None, end: int | None, number: int, color: int, title: str) -> Path:
    """A curve from a document's row on the left to its row on the right."""
    inside = [rank is not None and rank <= N_ROWS for rank in (start, end)]
    kind = {(True, True): "staying", (True, False): "leaving", (False, True): "coming"}[
        inside[0], inside[1]
    ]
    y = [
        (rank - 0.5) * _ROW if rank is not None and within else (N_ROWS + 0.5) * _ROW
        for rank, within in zip((start, end), inside, strict=True)
    ]
    middle = _WIDTH / 2
    drawn = f"M0 {y[0]:g}C{middle:g} {y[0]:g} {middle:g} {y[1]:g} {_WIDTH:g} {y[1]:g}"
    told = [f"{rank}" if rank is not None else f"beyond {_DEPTH}" for rank in (start, end)]
    return Path(number, color, drawn, kind, f"{title}: {told[0]} → {told[1]}")


def _remarks(lenses: Sequence[Lens], rows: Sequence[TableRow]) -> list[tuple[str, str]]:
    """What there is to see, in words: (name of a lens or nothing, sentence)."""
    signals = lenses[:-1]
    best = lenses[-1].seats
    if not best or len(signals) < 2:
        return []
    remarks = []
    by_agreement = sorted(signals, key=lambda lens: -lens.n_shared)
    near, far = by_agreement[0], by_agreement[-1]
    remarks.append(
        (near.name, f"{near.label} comes nearest to the whole: it shares {near.n_shared} of "
         f"{len(best)} documents with it.")
    )  # fmt: skip
    if far.n_shared < near.n_shared:
        alone = sum(seat.alone for seat in far.seats)
        remarks.append(
            (far.name, f"{far.label} goes its own way: {alone} of its {len(far.seats)} are seen "
             "by no other lens.")
        )  # fmt: skip
    tops = {lens.seats[0].number for lens in signals if lens.seats}
    first = next(lens.seats[0] for lens in lenses[-1:])
    if tops == {first.number}:
        remarks.append((HYBRID, f"All lenses agree on the first: {first.title}."))
    else:
        row = next(row for row in rows if row.number == first.number)
        followers = [
            lens.label for lens, rank in zip(signals, row.ranks, strict=False) if rank == 1
        ]
        remarks.append(
            (HYBRID, f"The first of all, {first.title}, is first for "
             f"{' and '.join(followers) if followers else 'no lens alone: together they put it there'}.")
        )  # fmt: skip
    return remarks
